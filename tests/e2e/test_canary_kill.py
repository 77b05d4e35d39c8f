"""kill -9 of the agent at every step of a canary: the rule has the weights of a stage, always, and the canary ends."""
import random
import signal
import threading
import time

import pytest

from canaries import NAME, RULE, Ranking, canary, keep_looking, pairs
from sandbox import wait_for

STAGES = [(5, 1), (10, 1), (25, 1), (50, 1), (100, 0)]
# Milliseconds after a step was asked for or seen to begin: before, within and after the writing of state and rule.
DELAYS = (0, 1, 2, 4, 8, 15, 30)


@pytest.fixture
def ranking(tmp_path):
    mesh = Ranking(tmp_path)
    try:
        yield mesh
    finally:
        mesh.remove()


class Looking:
    """Reads the rule's weights all the time, also while no agent runs."""

    def __init__(self, mesh):
        self.seen, self.done = set(), threading.Event()
        self.thread = threading.Thread(target=keep_looking, args=(mesh, self.seen, self.done.is_set))
        self.thread.start()

    def end(self):
        self.done.set()
        self.thread.join()
        return self.seen


def spec(**changed):
    """A gate that a single request passes, so the test needs little load: what is tested is the writing."""
    return canary(stages=STAGES, interval="200ms", minimumRequests=1, dataTimeout="30s",
                  gates=[{"name": "errors", "errorRate": {"max": 50}}], **changed)


def restart(mesh):
    assert mesh.kill() == -signal.SIGKILL
    assert mesh.weights() in pairs(), "as the killed agent left it"
    mesh.start()
    # The rule says what the state says, or is on its way there.
    wait_for(lambda: not mesh.canary()["changing"], "the interrupted change", 10)
    now = mesh.canary()
    if now["state"] == "stage":
        assert mesh.weights() == (100 - now["weight"], now["weight"]), now


def kill_as_soon_as(mesh, seen, delay_ms):
    """Waits for `seen()` of the canary's file or state, then a little, and kills."""
    wait_for(seen, "the step", 30, 0.0005)
    time.sleep(delay_ms / 1000)
    restart(mesh)


def test_every_stage_survives_a_kill_and_the_canary_is_promoted(ranking):
    ranking.write("canary.yaml", spec())
    ranking.start()
    ranking.load(rate=200)
    looking, kills = Looking(ranking), 0
    try:
        ranking.tell("start", NAME)
        order = [(100, 0)] + [(100 - weight, weight) for weight, _ in STAGES]
        for before, after in zip(order[1:], order[2:]):
            # While a stage holds, and right when the next one's weights appear.
            wait_for(lambda: ranking.weights() == before, f"{before}", 40, 0.001)
            restart(ranking)
            kills += 1
            kill_as_soon_as(ranking, lambda: ranking.weights() == after, random.choice(DELAYS))
            kills += 1
        end = ranking.ended()
    finally:
        seen = looking.end()
    assert end["state"] == "promoted" and ranking.weights() == (0, 100), end
    assert seen <= pairs(), seen
    assert kills == 8


@pytest.mark.parametrize("command", ["start", "abort", "promote"])
def test_a_kill_in_the_middle_of_a_command_leaves_the_old_weights_or_the_new(ranking, command):
    ranking.write("canary.yaml", spec() | {"spec": spec()["spec"] | {"stages": [{"weight": 5, "hold": "600s"},
                                                                              {"weight": 100}]}})
    ranking.start()
    looking = Looking(ranking)
    outcomes = set()
    try:
        for delay in DELAYS:
            if command != "start":
                if ranking.phase() not in ("stage", "paused"):
                    ranking.tell("start", NAME)
                wait_for(lambda: ranking.weights() == (95, 5), "the first stage", 10)
            elif ranking.phase() == "stage":
                ranking.tell("abort", NAME)
            asking = threading.Thread(target=ranking.tell, args=(command, NAME), kwargs={"check": False})
            asking.start()
            time.sleep(0.003 + delay / 1000)
            restart(ranking)
            asking.join()
            now = ranking.canary()
            outcomes.add((now["state"], ranking.weights()))
            if command == "promote" and now["state"] == "promoted":
                ranking.write("rule.yaml", RULE)
                wait_for(lambda: ranking.get("/v1/history?limit=1")[0]["source"] == "directory", "the former rule", 10)
    finally:
        seen = looking.end()
    assert seen <= pairs(), seen
    allowed = {"start": {("idle", (100, 0)), ("aborted", (100, 0)), ("stage", (95, 5))},
               "abort": {("stage", (95, 5)), ("aborted", (100, 0))},
               "promote": {("stage", (95, 5)), ("promoted", (0, 100))}}[command]
    assert outcomes <= allowed, outcomes


def test_an_abort_after_a_restart_still_knows_the_former_rule(ranking):
    ranking.write("canary.yaml", spec())
    ranking.start()
    ranking.tell("start", NAME)
    wait_for(lambda: ranking.weights() == (95, 5), "the first stage", 10)
    restart(ranking)
    before = ranking.generation()
    ranking.tell("abort", NAME)
    assert ranking.rule() == RULE and ranking.generation() == before + 1


def test_a_successor_goes_on_with_a_canary_and_one_that_fails_does_not_end_it(ranking):
    ranking.write("canary.yaml", spec())
    ranking.start()
    load = ranking.load(rate=200)
    looking = Looking(ranking)
    try:
        ranking.tell("start", NAME)
        ranking.wait_stage(1)
        first = ranking.agent
        ranking.launch("--takeover", "--listen", "192.0.2.1:1=nobody:8080")  # no address of this machine
        second, ranking.agent = ranking.agent, first
        assert second.wait(30) == 1
        wait_for(lambda: "the successor failed to start" in ranking.log_text(), "the first agent's word")
        ranking.wait_stage(2)
        assert ranking.take_over() == 0
        end = ranking.ended()
    finally:
        seen = looking.end()
    assert end["state"] == "promoted" and ranking.weights() == (0, 100), end
    assert seen <= pairs(), seen
    counts = load.stop()
    assert not [why for why in counts if not why.startswith("200 ")], counts
