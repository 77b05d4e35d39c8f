"""Experiments on real traffic: who gets which arm, what is counted of arms, and what the exposure log says."""
import collections
import hashlib
import json
import os
import re
import signal
import stat
import threading
import time

import pytest
import yaml

import rules
from backends import value
from lane import Lane
from sandbox import wait_for

SALT, BUCKETS = "ranking-v47", 1000
USERS = [f"user-{i}" for i in range(3000)]


def digest(user, salt=SALT):
    return hashlib.md5(f"{user}:{salt}".encode()).hexdigest()


def bucket_of(user, salt=SALT, buckets=BUCKETS):
    """The source text's own function."""
    return int(digest(user, salt)[:8], 16) % buckets


def sampled(user, percentage, salt=SALT):
    return int(digest(user, salt)[8:16], 16) * 1_000_000 >> 32 < percentage * 10_000


class Trial:
    """A service whose rule is split 50 to 50, and an experiment with arms of its own on it."""

    def __init__(self, directory, *options, workers=2):
        self.options = ("--references", "warn", *options)
        self.lane = Lane(directory, None, *options, workers=workers)
        self.mesh, self.backends = self.lane.mesh, self.lane.backends
        self.service = self.lane.service(lambda s: [
            {"name": "by-user", "route": [s.to("v45", 50), s.to("v47", 50)],
             "retries": {"attempts": 2, "retryOn": "gateway-error"}}])

    def split(self, treatment, buckets=BUCKETS, **spec):
        """The share of the treatment, of 1000."""
        arms = [{"name": "control", "subset": "v45", "weight": 1000 - treatment},
                {"name": "treatment", "subset": "v47", "weight": treatment}]
        spec = {"host": self.service.name, "route": "by-user", "httpHeaderName": "x-user-id", "experiment": SALT,
                "buckets": buckets, "arms": arms} | spec
        self.mesh.apply({"apiVersion": "sluice.dev/v1", "kind": "Experiment",
                         "metadata": {"name": "ranking", "namespace": rules.NS}, "spec": spec})

    def restart(self):
        assert self.mesh.stop() == 0
        self.mesh.start(*self.options)

    def ask(self, users, fields=()):
        """Asks once for each user on one connection; the versions and statuses."""
        out = []
        with self.lane.client() as client:
            for user in users:
                reply = self.service.ask(client=client, fields=[("x-user-id", user), *fields] if user else fields)
                out.append((json.loads(reply.body)["version"] if reply.status == 200 else None, reply.status))
        return out

    def versions(self, users):
        return dict(zip(users, (version for version, _ in self.ask(users))))

    def list(self):
        """The rows of `sluice get experiments` by arm."""
        return {row["arm"]: row for row in json.loads(self.mesh.sluice("get", "experiments", "-o", "json").stdout)}


@pytest.fixture
def trial(tmp_path):
    made = []

    def start(*options, **more):
        made.append(Trial(tmp_path, *options, **more))
        return made[-1]

    yield start
    for one in made:
        one.lane.remove()


def expected(users, treatment):
    return {user: "v47" if bucket_of(user) >= BUCKETS - treatment else "v45" for user in users}


def test_assignment_is_the_same_by_traffic_by_explain_and_after_a_restart_and_only_grows(trial, tmp_path):
    one = trial()
    one.split(100)
    first = one.versions(USERS)
    assert first == expected(USERS, 100)
    # The same by rule tests, offline, and by `sluice explain`, offline and of the agent.
    tests = tmp_path / "arms.test.yaml"
    tests.write_text(yaml.safe_dump({
        "rules": str(one.mesh.config), "defaults": {"host": one.service.name, "client": {"namespace": rules.NS}},
        "tests": [{"name": user, "request": {"headers": {"x-user-id": user}},
                   "expect": {"subset": version, "experiment": {"name": "ranking", "bucket": bucket_of(user)}}}
                  for user, version in expected(USERS[:500], 100).items()]}))
    one.mesh.sluice("--references", "warn", "test", tests)
    for user in [u for u in USERS if first[u] == "v47"][:4] + USERS[:4]:
        for where in ((), ("--config", one.mesh.config, "--references", "warn")):
            told = json.loads(one.mesh.sluice("explain", f"{one.service.name}:8080", "--request", "GET /", "--header",
                                              f"x-user-id={user}", "--client", rules.NS, "-o", "json", *where).stdout)
            assert told["experiment"] == {"name": "ranking", "bucket": bucket_of(user),
                                          "arm": "treatment" if first[user] == "v47" else "control"}
            assert [(d["destination"].rpartition("/")[2], d["share"]) for d in told["destinations"]] == [(first[user], 1)]
    # The rule's own weights are 50 to 50, for those without a key.
    drawn = collections.Counter(version for version, _ in one.ask([None] * 400))
    assert min(drawn["v45"], drawn["v47"]) > 120, drawn
    one.restart()
    assert one.versions(USERS) == first
    # From a tenth to a quarter, by the command that people use.
    generation = one.mesh.generation()
    rule = one.mesh.directory / "grown.yaml"
    rule.write_text(rules.text(changed(one, 250)))
    one.mesh.sluice("apply", rule, "-m", "a quarter")
    assert one.mesh.generation() > generation
    grown = one.versions(USERS)
    assert grown == expected(USERS, 250)
    assert not [user for user in USERS if first[user] == "v47" and grown[user] != "v47"], "nobody leaves the treatment"
    joined = sum(first[user] != grown[user] for user in USERS)
    assert joined == sum(750 <= bucket_of(user) < 900 for user in USERS)


def changed(one, treatment):
    """The experiment in force with another share of the treatment."""
    [path] = [p for p in one.mesh.config.glob("*.yaml") if "kind: Experiment" in p.read_text()]
    [spec] = [d for d in yaml.safe_load_all(path.read_text()) if d["kind"] == "Experiment"]
    for arm, weight in zip(spec["spec"]["arms"], (1000 - treatment, treatment)):
        arm["weight"] = weight
    return spec


def test_what_is_counted_of_an_arm_is_what_clients_and_servers_saw(trial):
    one = trial()
    one.split(500)
    users = USERS[:600]
    # Of the treatment every tenth user fails for good, and every tenth once.
    last = [user for user in users if bucket_of(user) % 10 == 3]
    once = [user for user in users if bucket_of(user) % 10 == 4]
    failed = set()

    def behave(request):
        user = value(request, "x-user-id")
        if request.version != "v47" or user not in last + once or user in once and user in failed:
            return None
        failed.add(user)
        return 500 if user in last else 502

    one.backends.behave = behave
    seen = dict(zip(users, one.ask(users)))
    one.ask([None] * 50)
    treated = [user for user in users if bucket_of(user) >= 500]
    assert {user for user, (_, status) in seen.items() if status != 200} == set(treated) & set(last)
    keyed = [r for r in one.backends.requests() if value(r, "x-user-id")]
    tries = collections.Counter(r.version for r in keyed)
    assert tries == {"v45": len(users) - len(treated), "v47": len(treated) + len(set(treated) & set(once))}

    def counted():
        metrics = one.mesh.metrics()
        return metrics.sum("sluice_experiment_requests_total", experiment="ranking") == len(users) + 50 and metrics
    metrics = wait_for(counted, "all requests are counted")
    labels = {"experiment": "ranking", "namespace": rules.NS}
    by_code = {arm: metrics.by("response_code", "sluice_experiment_requests_total", arm=arm, **labels)
               for arm in ("control", "treatment", "(no key)")}
    bad = len(set(treated) & set(last))
    assert by_code == {"control": {"200": len(users) - len(treated)},
                       "treatment": {"200": len(treated) - bad, "500": bad}, "(no key)": {"200": 50}}
    assert metrics.sum("sluice_experiment_duration_seconds_count", arm="treatment", **labels) == len(treated)
    assert 0 < metrics.sum("sluice_experiment_duration_seconds_sum", arm="control", **labels) < 60
    rows = one.list()
    assert {arm: (row["requests"], row["errors"]) for arm, row in rows.items()} == {
        "control": (len(users) - len(treated), 0), "treatment": (len(treated), bad), "(no key)": (50, 0)}
    row = rows["treatment"]
    assert row["set_share"] == 0.5 and row["subset"] == "v47" and row["buckets"] == "500-999"
    assert abs(row["observed_share"] - len(treated) / len(users)) < 0.0001
    assert 0 < row["p50_ms"] <= row["p99_ms"] < 10_000
    table = one.mesh.sluice("get", "experiments").stdout
    assert re.search(r"^ranking +ml-serving +\S+ +treatment +v47 +500-999 +50", table, re.MULTILINE), table
    # With other shares the list begins anew, the metrics go on.
    one.split(400)
    assert {row["requests"] for row in one.list().values()} == {0}
    assert one.mesh.metrics().sum("sluice_experiment_requests_total", **labels) == len(users) + 50
    offline = json.loads(one.mesh.sluice("get", "experiments", "--config", one.mesh.config, "--references", "warn",
                                         "-o", "json", check=False).stdout)
    assert [(row["arm"], row["set_share"]) for row in offline] == [("control", 0.6), ("treatment", 0.4)]


def log_lines(path, count):
    def there():
        text = path.read_text() if path.exists() else ""
        return text.endswith("\n") and text.count("\n") >= count and text.splitlines()
    got = wait_for(there, f"{count} lines in {path.name}", 10)
    assert len(got) == count, len(got)
    return [json.loads(line) for line in got]


def test_the_exposure_log_tells_of_each_request_of_a_sampled_key(trial, tmp_path):
    log = tmp_path / "exposures.log"
    one = trial("--exposure-log", log)
    one.split(250, exposure={"percentage": 40})
    users = USERS[:500] + ["j\u00f6rg".encode().decode("latin-1"), 'a"b\\c']
    octets = {user: user.encode("latin-1") for user in users}
    hashes = {user: hashlib.md5(octets[user] + f":{SALT}".encode()).hexdigest() for user in users}
    inside = [user for user in users if int(hashes[user][8:16], 16) * 1_000_000 >> 32 < 400_000]
    assert 140 < len(inside) < 260
    one.backends.behave = lambda r: 500 if r.version == "v47" else None
    began = time.time()
    for round_number in range(2):
        one.ask(users, [("x-request-id", f"round-{round_number}")])
    one.ask([None] * 20)
    rows = log_lines(log, 2 * len(inside))
    by_hash = {hashes[user]: user for user in users}
    assert collections.Counter(row["key"] for row in rows) == {hashes[user]: 2 for user in inside}
    for row in rows:
        bucket = int(row["key"][:8], 16) % BUCKETS
        treated = bucket >= 750
        assert list(row) == ["time", "experiment", "namespace", "salt", "arm", "subset", "bucket", "key", "hashed",
                             "request_id", "status", "duration_ms", "attempts"]
        assert row == row | {"experiment": "ranking", "namespace": rules.NS, "salt": SALT, "bucket": bucket, "hashed": True,
                             "arm": "treatment" if treated else "control", "subset": "v47" if treated else "v45",
                             "status": 500 if treated else 200, "attempts": 1}, by_hash[row["key"]]
        assert row["request_id"] in ("round-0", "round-1") and 0 < row["duration_ms"] < 10_000
        at = time.strptime(row["time"][:19], "%Y-%m-%dT%H:%M:%S")
        assert began - 2 < time.mktime(at) - time.timezone < time.time() + 2
    metrics = one.mesh.metrics()
    assert metrics.sum("sluice_exposures_total", experiment="ranking") == len(rows)
    assert metrics.of("sluice_exposures_dropped_total") == [({"reason": "buffer"}, 0), ({"reason": "write"}, 0)]
    # The key as it came.
    one.split(250, exposure={"key": "plain"})
    one.ask(users)
    rows = log_lines(log, len(rows) + len(users))[len(rows):]
    assert sorted(row["key"] for row in rows) == sorted(text_of(octets[user]) for user in users)
    assert {row["hashed"] for row in rows} == {False}
    # Without `exposure` nothing is logged.
    one.split(250)
    one.ask(users[:50])
    assert one.mesh.stop() == 0
    assert log.read_text().count("\n") == 2 * len(inside) + len(users)


def text_of(octets):
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets.decode("latin-1")


def test_sighup_goes_on_in_a_new_file(trial, tmp_path):
    log = tmp_path / "exposures.log"
    one = trial("--exposure-log", log)
    one.split(250, exposure={})
    one.ask(USERS[:10])
    log_lines(log, 10)
    old = log.with_suffix(".1")
    log.rename(old)
    one.mesh.agent.send_signal(signal.SIGHUP)
    wait_for(log.exists, "the new file")
    one.ask(USERS[10:15])
    assert [row["key"] for row in log_lines(log, 5)] == [digest(user) for user in USERS[10:15]]
    assert old.read_text().count("\n") == 10
    assert stat.S_IMODE(log.stat().st_mode) & 0o027 == 0, "others do not read of users"


def test_a_log_that_nobody_takes_costs_lines_not_requests(trial, tmp_path):
    pipe = tmp_path / "exposures"
    os.mkfifo(pipe)
    one = trial("--exposure-log", pipe, workers=1)
    one.split(250, exposure={})
    users = [f"{'u' * 150}-{i}" for i in range(5500)]
    slowest = 0
    with one.lane.client() as client:
        for user in users:
            began = time.monotonic()
            one.service.ask(client=client, fields=[("x-user-id", user), ("x-request-id", "r" * 300)])
            slowest = max(slowest, time.monotonic() - began)
    assert slowest < 5
    metrics = one.mesh.metrics()
    assert metrics.sum("sluice_exposures_total") == len(users)
    dropped = metrics.by("reason", "sluice_exposures_dropped_total")
    assert dropped.keys() == {"buffer"} and dropped["buffer"] > 100, dropped
    # What was kept is whole.
    out = bytearray()

    def read():
        with open(pipe, "rb") as reader:
            while piece := reader.read(65536):
                out.extend(piece)
    reader = threading.Thread(target=read)
    reader.start()
    assert one.mesh.stop() == 0
    reader.join(20)
    assert not reader.is_alive()
    rows = [json.loads(line) for line in out.decode().splitlines()]
    assert len(rows) == len(users) - dropped["buffer"]
    assert [row["key"] for row in rows] == [digest(user) for user in users[:len(rows)]], "the first, in order"


def test_without_a_log_each_assignment_to_tell_counts_as_dropped(trial):
    one = trial()
    one.split(250, exposure={"percentage": 50})
    one.ask(USERS[:200])
    inside = sum(sampled(user, 50) for user in USERS[:200])
    metrics = one.mesh.metrics()
    assert metrics.sum("sluice_exposures_total") == inside
    assert metrics.of("sluice_exposures_dropped_total") == [({"reason": "no_log"}, inside)]


@pytest.mark.parametrize("options, why", [
    (("--exposure-log", "-", "--access-log", "-"), "--exposure-log and --access-log cannot both write to -"),
    (("--exposure-log", "/nonexistent/exposures"), "exposure log /nonexistent/exposures")])
def test_a_log_that_cannot_be_written_ends_the_start(trial, options, why):
    with pytest.raises(RuntimeError, match=why):
        trial(*options)
