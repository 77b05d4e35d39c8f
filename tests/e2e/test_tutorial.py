"""The tutorial of README.md: every command in it, as it stands there, in an empty directory, in order; and what it promises."""
import collections
import hashlib
import http.client
import os
import pathlib
import re
import signal
import subprocess

import pytest

from sandbox import AddressBlock, end, spawn, wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARIES = pathlib.Path(os.environ.get("SLUICE_BIN", ROOT / "build/asan/bin"))
TITLE = "## An A/B test in fifteen minutes"
SECOND = 1.0
MARK, FAILED = "=== block", "=== failed"


def section():
    text = (ROOT / "README.md").read_text()
    return text[text.index(TITLE) + len(TITLE):].split("\n## ", 1)[0]


def blocks():
    """The shell commands, block by block."""
    return re.findall(r"^```sh\n(.*?)^```$", section(), re.M | re.S)


class Session:
    """One bash that gets block after block, in a PID namespace, so that what it leaves running ends with it."""

    def __init__(self, directory, translate):
        self.directory, self.translate = directory, translate
        self.process = spawn(["unshare", "--pid", "--mount-proc", "--fork", "--kill-child", "bash", "--noprofile", "--norc"], cwd=directory,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.process.stdin.write(f"set -euo pipefail\ntrap 'echo \"{FAILED} $?\"' EXIT\n")

    def run(self, block):
        """(seconds, output) of one block; fails if a command of it does."""
        self.process.stdin.write(f"begin=$EPOCHREALTIME\n{self.translate(block)}\n"
                                 f"printf '\\n{MARK} %s %s\\n' \"$begin\" \"$EPOCHREALTIME\"\n")
        self.process.stdin.flush()
        lines = []
        for line in self.process.stdout:
            if line.startswith(MARK):
                begin, end = map(float, line.removeprefix(MARK).split())
                return end - begin, "".join(lines)
            lines.append(line)
            if line.startswith(FAILED):
                break
        raise AssertionError(f"a command of this block failed:\n{block}\n{''.join(lines)}")

    def remove(self):
        end(self.process, signal.SIGKILL)


@pytest.fixture
def tutorial(tmp_path):
    """A session in a directory with nothing but what the repository has after `make`, on addresses of the test's own."""
    block = AddressBlock()
    (tmp_path / "build").symlink_to(BINARIES)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    hosts = {"127.107.0.10": block[2], "127.107.45.1": block[101], "127.107.45.2": block[102], "127.107.47.1": block[103], "127.107.43.1": block[104],
             "127.0.0.1:18080": f"{block[1]}:18080", "127.0.0.1:15000": f"{block[250]}:15000"}
    session = Session(tmp_path, lambda text: re.sub("|".join(map(re.escape, hosts)), lambda m: hosts[m[0]], text))
    session.hosts = hosts
    yield session
    session.remove()
    block.remove()


def answers(address):
    connection = http.client.HTTPConnection(address, 8080, timeout=2)
    try:
        connection.request("GET", "/v1/models/m:predict?nonce=here")
        return b'"here"' in connection.getresponse().read()
    except OSError:
        return False
    finally:
        connection.close()


def version_of(user, shares=((85, "v45"), (95, "v47"), (100, "v43"))):
    bucket = int(hashlib.md5(f"{user}:ranking-v47".encode()).hexdigest()[:8], 16) % 100
    return next(version for end, version in shares if bucket < end)


def versions(path):
    return re.findall(r'"(v\d+)"', path.read_text())


def sanitized():
    return b"__asan_init" in subprocess.run(["nm", "-D", BINARIES / "sluiced"], capture_output=True).stdout


def test_every_command_of_the_tutorial_does_what_it_says(tutorial):
    took = {}
    for number, block in enumerate(blocks()):
        seconds, output = tutorial.run(block)
        if "model_server.py" in block:  # the models run already, at the reader's
            for theirs, ours in tutorial.hosts.items():
                if theirs in block:
                    wait_for(lambda: answers(ours), f"the model server {ours}")
        else:
            took[number] = seconds
        print(f"{1000 * seconds:.0f} ms\n{output}")
    place = tutorial.directory / "ranking"
    users = [str(user) for user in range(1, 1001)]
    before, after = versions(place / "before"), versions(place / "after")
    assert before == [version_of(user) for user in users], "bucket for bucket as Python's hashlib has it"
    assert after == [version_of(user, ((70, "v45"), (95, "v47"), (100, "v43"))) for user in users]
    counts = collections.Counter(before)
    assert abs(counts["v45"] - 850) < 50 and abs(counts["v47"] - 100) < 40 and abs(counts["v43"] - 50) < 30, counts
    assert {new for old, new in zip(before, after) if old == "v47"} == {"v47"}, "whoever had v47 keeps it"
    again = tutorial.run("curl -s -K users | grep -o '\"version\":\"v[0-9]*\"'")[1]
    assert re.findall(r'"(v\d+)"', again) == before, "rolled back"
    print(f"the machine's part: {sum(took.values()):.2f} s")
    if not sanitized():
        assert sum(took.values()) < SECOND, took


def test_the_tutorial_notices_a_rule_that_is_wrong(tutorial):
    """Its own rule tests fail when the weights are others: they say something."""
    done = blocks()
    for block in done[:-3]:
        if "model_server.py" not in block:
            tutorial.run(block.replace("weight: 85", "weight: 80"))
    checks = next(block for block in done if "sluice test" in block)
    with pytest.raises(AssertionError, match="the shares"):
        tutorial.run(checks)
