"""The source text's rules as it writes them, on real processes: what clients and model servers see of each."""
import collections
import hashlib
import json
import re
import time

import pytest

from dialling import chi_squared_p
from proxied import Proxied
from sandbox import wait_for

PREDICT = "/v1/models/content-ranking:predict?nonce="


class SourceText:
    """One act of examples/source-text: its rules, and five servers of three versions."""

    def __init__(self, directory, act):
        self.mesh = Proxied(directory)
        block = self.mesh.block
        theirs = {"127.101.0.10": block[2], "127.101.45.1": block[101], "127.101.45.2": block[102],
                  "127.101.47.1": block[103], "127.101.47.2": block[104], "127.101.43.1": block[105]}
        self.mesh.example("servers.yaml", act, addresses=theirs)
        self.servers = {"v45": [block[101], block[102]], "v47": [block[103], block[104]], "v43": [block[105]]}
        self.models = {version: self.mesh.serve(version, addresses) for version, addresses in self.servers.items()}
        self.mesh.start()

    def version(self, nonce, **headers):
        """Who answered a verified request; asserts that it did."""
        status, _, body = self.mesh.ask(f"{PREDICT}{nonce}", headers=headers)
        assert status == 200, (status, body)
        value = json.loads(body)
        assert value["nonce"] == str(nonce)
        return value["version"]

    def answered(self, version):
        return sum(one["answered"] for one in self.models[version].stats().values())

    def fault(self, version, mode, number=None, **query):
        if number is not None:
            query["server"] = f"{self.servers[version][number]}:8080"
        self.models[version].fault(mode, **query)


@pytest.fixture
def act(tmp_path):
    made = []

    def start(name):
        made.append(SourceText(tmp_path, name))
        return made[-1]

    yield start
    for one in made:
        one.mesh.remove()


def test_premium_users_get_the_new_model_and_all_others_the_canary_split(act):
    text = act("canary")
    assert {text.version(i, **{"x-user-segment": "premium"}) for i in range(50)} == {"v47"}
    assert text.version(1, **{"x-user-segment": "premium,gold"}) in ("v45", "v47"), "exact is exact: this one is drawn"
    seen = collections.Counter(text.version(i) for i in range(2000))
    assert set(seen) == {"v45", "v47"}, seen
    assert chi_squared_p(seen, {"v45": 90, "v47": 10}) > 1e-4, seen


def test_a_slow_or_broken_server_is_tried_again_elsewhere_within_the_timeout(act):
    text = act("canary")
    # One of two v45 servers fails: each request gets two more tries, and avoids where it was.
    text.fault("v45", "503", 0)
    assert {text.version(i, **{"x-user-segment": "other"}) for i in range(40)} <= {"v45", "v47"}
    text.fault("v45", "none", 0)
    # Both versions are slower than a try may take: three tries of 80 ms, cut by the 200 ms of all.
    for version in ("v45", "v47"):
        text.fault(version, "slow", ms=1000)
    began = time.monotonic()
    status, headers, body = text.mesh.ask(f"{PREDICT}1")
    took = time.monotonic() - began
    assert (status, body) == (504, b"upstream request timeout"), (status, headers, body)
    assert 0.15 < took < 0.6, took


def test_the_aggressive_breaker_takes_every_broken_server_out(act):
    text = act("circuit-breaker")
    for version in ("v45", "v43"):
        text.fault(version, "500")
    # The rule names no subsets: one cluster of five servers. Five in a row eject, and 100% may be out.
    for i in range(300):
        text.mesh.ask(f"{PREDICT}{i}")
    broken = sorted(f"{address}:8080" for version in ("v45", "v43") for address in text.servers[version])
    assert text.mesh.ejected() == broken
    assert {text.version(i) for i in range(100)} == {"v47"}
    text.fault("v47", "500")
    statuses = [text.mesh.ask(f"{PREDICT}{i}")[0] for i in range(60)]
    assert statuses.count(500) == 10, "five answers of each of the last two"
    status, _, body = text.mesh.ask(f"{PREDICT}1")
    assert (status, body) == (503, b"no healthy upstream")


def test_a_tenth_of_the_requests_is_mirrored_and_no_client_hears_of_it(act):
    text = act("mirror")
    text.fault("v47", "500", ms=50)
    count = 2000
    assert {text.version(i) for i in range(count)} == {"v45"}
    mirrored = wait_for(lambda: (n := text.answered("v47")) > 100 and n, "mirrored requests arrive")
    assert 120 < wait_for_rest(text, mirrored) < 290, "10% of 2000 within five sigma"
    assert text.answered("v45") == count


def wait_for_rest(text, seen):
    """The number of mirrored requests when no more come for half a second."""
    while True:
        try:
            seen = wait_for(lambda: (n := text.answered("v47")) > seen and n, "one more", 0.5, 0.05)
        except TimeoutError:
            return seen


def test_the_ab_test_by_regex_splits_users_by_their_first_letter(act):
    text = act("ab-test")
    control = re.compile("^[0-9a-cA-C].*")
    for user in ["0", "9f", "a1", "C3", "c", "d1", "ff", "F0", "E", "z", "", "_"]:
        expected = "v45" if control.fullmatch(user) else "v47"
        assert text.version(7, **{"x-user-id": user}) == expected, user
    assert text.version(8) == "v47", "without the header nobody is in the control group"


def bucket_of(user, experiment="ranking-v47", buckets=100):
    """The text's own function."""
    return int(hashlib.md5(f"{user}:{experiment}".encode()).hexdigest()[:8], 16) % buckets


def test_the_better_ab_test_follows_the_gateways_bucket_or_computes_the_same_one(act):
    text = act("sticky")
    for bucket in (0, 7, 42, 79, 80, 99):
        assert text.version(1, **{"x-ab-bucket": str(bucket)}) == ("v45" if bucket < 80 else "v47"), bucket
    users = [f"user-{i}" for i in range(400)]
    groups = {user: text.version(2, **{"x-user-id": user}) for user in users}
    assert groups == {user: "v45" if bucket_of(user) < 80 else "v47" for user in users}
    # The treatment grows: nobody who is in it leaves it.
    rules = (text.mesh.config / "content-ranking-ab-test.yaml").read_text()
    text.mesh.write("content-ranking-ab-test.yaml", rules.replace("weight: 80", "weight: 60").replace("weight: 20", "weight: 40"))
    wait_for(lambda: text.version(3, **{"x-user-id": next(u for u in users if 60 <= bucket_of(u) < 80)}) == "v47", "the new weights")
    moved = {user: text.version(4, **{"x-user-id": user}) for user in users}
    assert moved == {user: "v45" if bucket_of(user) < 60 else "v47" for user in users}
