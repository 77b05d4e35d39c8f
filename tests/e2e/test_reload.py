"""A broken directory never changes what is in force, and says where it is broken."""
import os
import random

import pytest

import rules
from sandbox import wait_for

GOOD = rules.text(rules.virtual_service("content-ranking", {"v47": 1}))
BROKEN = {
    "not yaml": b"kind: [unclosed\n",
    "not utf-8": GOOD.encode() + b"# \xff\xfe\n",
    "unknown kind": GOOD.replace("VirtualService", "VirtualServices").encode(),
    "unknown field": GOOD.replace("weight:", "wieght:").encode(),
    "weights that sum to 0": rules.text(rules.virtual_service("content-ranking", {"v45": 0, "v47": 0})).encode(),
    "negative weight": GOOD.replace("weight: 1", "weight: -1").encode(),
    "subset that does not exist": GOOD.replace("subset: v47", "subset: v48").encode(),
    "host that does not exist": GOOD.replace("host: content-ranking", "host: nobody").encode(),
    "two documents of one name": (GOOD + "---\n" + GOOD).encode(),
    "alias bomb": b"a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n",
    "deep nesting": b"[" * 2000 + b"]" * 2000,
    "cut in the middle": GOOD.encode()[:len(GOOD) // 2],
    "needs another lane": GOOD.replace("- route:", "- timeout: 2s\n    route:").replace(
        "sluice.dev/split: connection", "sluice.dev/split: connection\n    sluice.dev/lane: direct").encode(),
    "a regex that RE2 refuses": GOOD.replace("- route:", "- match: [{uri: {regex: '/a('}}]\n    route:").encode(),
    "bad duration": rules.text(rules.destination_rule("content-ranking", ["v47"],
                                                      outlier={"interval": "soon"})).encode(),
}


def errors(mesh):
    return mesh.get("/v1/status")["config"]["last_error"]


@pytest.fixture
def running(ranking):
    service = ranking(weights={"v45": 1})
    service.mesh.start()
    assert dict(service.dial(count=20).versions) == {"v45": 20}
    return service


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_changes_nothing(running, name):
    mesh = running.mesh
    generation = mesh.generation()
    temporary = mesh.directory / "new"
    temporary.write_bytes(BROKEN[name])
    # A second, good change in the same load must not get through either.
    mesh.write("other.yaml", rules.service_entry("other", mesh.block[2], {"v47": running.servers["v47"]}))
    os.rename(temporary, mesh.config / "split.yaml")
    lines = wait_for(lambda: errors(mesh), "the refusal")
    assert any("split.yaml:" in line for line in lines), lines
    assert all(len(line.split(":", 3)) == 4 for line in lines if "split.yaml" in line), lines
    assert dict(running.dial(count=50).versions) == {"v45": 50}
    assert mesh.metrics().sum("sluice_config_last_load_success") == 0
    # Repaired: both changes come into force.
    mesh.write("split.yaml", GOOD)
    wait_for(lambda: not errors(mesh), "the repair")
    assert mesh.generation() > generation
    assert dict(running.dial(count=50).versions) == {"v47": 50}
    assert not mesh.dial(f"{mesh.block[2]}:8080", count=10).failures


def mutilate(draw, text):
    text = bytearray(text)
    for _ in range(draw.randrange(1, 6)):
        at, what = draw.randrange(len(text)), draw.randrange(3)
        if what == 0:
            text[at] = draw.randrange(256)
        elif what == 1:
            del text[at:at + draw.randrange(1, 30)]
        else:
            text[at:at] = draw.randbytes(draw.randrange(1, 8))
    return bytes(text)


def test_fuzzed_files_under_traffic(running):
    """Whatever `sluice validate` refuses, the agent refuses too, and the last good generation stays."""
    mesh, seed = running.mesh, random.randrange(1 << 32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    aside = mesh.directory / "aside"
    aside.mkdir()
    for file in mesh.config.glob("*.yaml"):
        (aside / file.name).write_bytes(file.read_bytes())
    original, generation = (mesh.config / "policy.yaml").read_bytes(), mesh.generation()
    loop = mesh.dialler(running.to, count=10**6, rate=1000, seconds=100)
    refused = 0
    while refused < 60:
        text = mutilate(draw, original)
        (aside / "policy.yaml").write_bytes(text)
        if mesh.sluice("validate", aside, check=False).returncode == 0:
            continue  # still valid: not what is asked here
        refused += 1
        (mesh.config / "policy.yaml").write_bytes(text)  # in place: half-written files are seen too
        wait_for(lambda: errors(mesh), f"the refusal of {text!r}")
        (mesh.config / "policy.yaml").write_bytes(original)
        wait_for(lambda: not errors(mesh), "the repair")
        assert mesh.generation() == generation
    got = loop.stop()
    assert len(got) > 1000 and not got.failures and set(got.versions) == {"v45"}


def test_a_directory_that_goes_away_changes_nothing(running):
    mesh = running.mesh
    os.rename(mesh.config, mesh.directory / "config-away")
    assert dict(running.dial(count=200, rate=500).versions) == {"v45": 200}
    os.rename(mesh.directory / "config-away", mesh.config)
    before = mesh.generation()
    mesh.write("split.yaml", GOOD)
    mesh.wait_generation(before - 1)
    assert mesh.agent.poll() is None


def test_validate_says_the_same_without_an_agent(running):
    mesh = running.mesh
    assert mesh.sluice("validate", mesh.config).returncode == 0
    (mesh.directory / "bad").mkdir()
    for name in ("service.yaml", "policy.yaml"):
        (mesh.directory / "bad" / name).write_bytes((mesh.config / name).read_bytes())
    for name, text in BROKEN.items():
        (mesh.directory / "bad/split.yaml").write_bytes(text)
        done = mesh.sluice("validate", mesh.directory / "bad", check=False)
        assert done.returncode == 1, (name, done.stdout, done.stderr)
        assert "split.yaml:" in done.stdout + done.stderr, (name, done.stdout, done.stderr)
