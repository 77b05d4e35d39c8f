"""The canary of the source text, end to end: real processes, a real Prometheus, and what clients feel of it."""
import http.server
import itertools
import json
import threading
import time

import pytest

import rules
from canaries import HOST, NAME, RULE, STAGES, Ranking, canary, keep_looking, pairs, slower
from prometheus import Prometheus
from sandbox import wait_for

# As the source text asks it, but for the range: holds are seconds here.
SOURCE_QUERY = ('histogram_quantile(0.99, rate(inference_latency_seconds_bucket'
                '{model_version="{{version}}"}[5s]))')


@pytest.fixture
def ranking(tmp_path):
    mesh = Ranking(tmp_path)
    try:
        yield mesh
    finally:
        mesh.remove()


def begin(mesh, *extra, rate=300, premium=0.0, **spec):
    """Starts agent, load and canary."""
    mesh.write("canary.yaml", canary(**spec))
    mesh.start(*extra)
    load = mesh.load(rate=rate, premium=premium)
    wait_for(lambda: mesh.metrics().sum("istio_requests_total") > 50, "traffic", 20, 0.1)
    out = mesh.tell("start", NAME, "-m", "week 47").stdout
    assert "v47" in out and "waits for" in out, out
    return load


def scrape(mesh, directory):
    targets = [":".join(map(str, mesh.http_address))] + [f"{a}:8080" for own in mesh.addresses.values() for a in own]
    address = (mesh.block[251], 9090)
    mesh.cleanup.owns(Prometheus(directory, address, '", "'.join(targets), "250ms"))
    return "http://%s:%d" % address


def test_a_good_challenger_is_promoted_through_every_stage(ranking):
    seen, done = set(), threading.Event()
    looking = threading.Thread(target=keep_looking, args=(ranking, seen, done.is_set))
    looking.start()
    try:
        load = begin(ranking, premium=0.1)
        watching = ranking.watch()
        end = ranking.ended()
    finally:
        done.set()
        looking.join()
    assert end["state"] == "promoted", end
    assert ranking.weights() == (0, 100)
    assert seen == pairs()
    # The header route, retries, time-outs and comments are as they were.
    assert ranking.rule() == (RULE.replace("weight: 100\n        - dest", "weight: 0\n        - dest", 1)
                              .replace("# Canary\n          weight: 0", "# Canary\n          weight: 100"))
    code, lines = watching.result()
    assert code == 0 and "\x1b" not in lines, lines
    for stage in range(2, 5):
        assert f"stage {stage}/5" in lines, lines
    counts = load.stop()
    assert not [why for why in counts if not why.startswith("200 ")], counts
    history = ranking.get("/v1/history?limit=50")
    assert [row["source"] for row in history].count("canary") == len(STAGES)
    shown = ranking.sluice("canary", "status", NAME).stdout
    assert "promoted" in shown and "stage 4/5" in shown


def test_status_tells_gates_samples_and_power(ranking):
    begin(ranking, stages=[(50, 60), (100, 0)])
    wait_for(lambda: (now := ranking.canary())["gates"] and now["powers"] and
             all(gate["challenger_sample"] > 100 for gate in now["gates"]), "looks", 30, 0.1)
    shown = ranking.tell("status", NAME).stdout
    assert "\x1b" not in shown
    for text in ("stage 1 of 2, 50% to v47", " s left", "errors", "tail", "pass", "power at the minimum of 30 requests",
                 "waits for  its hold", "week 47"):
        assert text in shown, (text, shown)
    value = json.loads(ranking.tell("status", NAME, "-o", "json").stdout)
    assert [gate["gate"] for gate in value["gates"]] == ["errors", "tail"]
    assert all(0 <= power["power"] <= 1 and power["text"] for power in value["powers"]), value["powers"]
    assert NAME in ranking.sluice("status").stdout and NAME in ranking.tell("list").stdout
    metrics = ranking.metrics()
    assert metrics.sum("sluice_canary_state", canary=NAME, state="stage") == 1
    assert metrics.sum("sluice_canary_state", canary=NAME) == 1
    assert metrics.sum("sluice_canary_weight", canary=NAME) == 50
    assert metrics.sum("sluice_canary_gate", canary=NAME, gate="errors", verdict="pass") == 1
    assert metrics.sum("sluice_route_weight", route="default-split", subset="v47") == 0.5
    assert metrics.sum("sluice_canary_transitions_total", canary=NAME, to="stage") == 1


@pytest.mark.parametrize("behaviour,gate", [(slower(20), "tail"), ({"errors_percent": 2}, "errors")],
                         ids=["p99 20% worse", "2% errors"])
def test_a_bad_challenger_is_rolled_back(ranking, behaviour, gate):
    ranking.versions.behave(v47=behaviour)
    begin(ranking, rate=400, stages=[(5, 4), (10, 4), (25, 6), (50, 10), (100, 0)])
    watching = ranking.watch()
    before = ranking.generation()
    end = ranking.ended()
    assert end["state"] == "aborted" and gate in end["reason"], end
    assert ranking.rule() == RULE, "the former document, byte for byte"
    newest, previous = ranking.get("/v1/history?limit=2")
    assert newest["source"] == "canary" and newest["generation"] == previous["generation"] + 1 > before
    code, lines = watching.result()
    assert code == 1 and "aborted" in lines, lines


@pytest.mark.parametrize("metrics", [True, False], ids=["tells", "tells nothing"])
def test_the_query_of_the_source_text_against_a_real_prometheus(ranking, tmp_path, metrics):
    """A challenger whose metrics are missing is never promoted; the same query promotes one that has them."""
    ranking.versions.behave(v47={"metrics": metrics})
    gates = [{"name": "quality", "query": {"promql": SOURCE_QUERY, "regression": 30, "failures": 2}}]
    url = scrape(ranking, tmp_path)
    begin(ranking, stages=[(25, 3), (50, 6), (100, 0)], gates=gates, prometheus=url, dataTimeout="6s")
    end = ranking.ended()
    if metrics:
        assert end["state"] == "promoted", end
    else:
        assert end["state"] == "aborted" and "quality" in end["reason"], end
        assert ranking.rule() == RULE
        assert all(step["weight"] <= 25 for step in end["steps"])


@pytest.mark.parametrize("behaviour,state", [({}, "promoted"), ({"errors_percent": 5}, "aborted")],
                         ids=["good", "5% errors"])
def test_errors_and_latency_from_prometheus(ranking, tmp_path, behaviour, state):
    ranking.versions.behave(v47=behaviour)
    url = scrape(ranking, tmp_path)
    gates = [{"name": "errors", "errorRate": {"max": 0.5}}, {"name": "tail", "latency": {"quantile": 90, "max": "400ms"}}]
    begin(ranking, stages=[(25, 4), (50, 8), (100, 0)], gates=gates, prometheus=url, metrics="prometheus")
    end = ranking.ended()
    assert end["state"] == state, end
    assert (ranking.weights() == (0, 100)) == (state == "promoted")


class Webhook:
    """A person's or a script's say in a canary: `answer` is a status, or None to keep the caller waiting."""

    def __init__(self, address, answer):
        asked, self.ended = [], threading.Event()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(handler):
                asked.append(json.loads(handler.rfile.read(int(handler.headers["content-length"]))))
                if answer is None:
                    self.ended.wait()
                else:
                    handler.send_response(answer)
                    handler.end_headers()

            def log_message(handler, *_):
                pass

        self.asked = asked
        self.server = http.server.ThreadingHTTPServer((address, 0), Handler)
        self.url = "http://%s:%d/gate" % self.server.server_address
        threading.Thread(target=self.server.serve_forever).start()

    def remove(self):
        self.ended.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.mark.parametrize("status,state", [(204, "promoted"), (409, "aborted")])
def test_a_webhook_decides(ranking, status, state):
    hook = ranking.cleanup.owns(Webhook(ranking.block[252], status))
    begin(ranking, stages=[(25, 1), (100, 0)], gates=[{"name": "ready", "webhook": {"url": hook.url}}])
    end = ranking.ended()
    assert end["state"] == state and (state == "promoted" or "ready" in end["reason"]), end
    assert hook.asked[0] == {"canary": NAME, "namespace": rules.NS, "service": f"{HOST}.{rules.NS}.svc.cluster.local",
                             "champion": "v45", "challenger": "v47", "stage": 1, "weight": 25, "mirror": False}


def test_a_webhook_that_keeps_silent_holds_up_neither_people_nor_the_end_of_the_agent(ranking):
    hook = ranking.cleanup.owns(Webhook(ranking.block[252], None))
    gates = [{"name": "ready", "webhook": {"url": hook.url, "timeout": "60s"}}]
    begin(ranking, stages=[(25, 1), (100, 0)], gates=gates)
    wait_for(lambda: hook.asked, "the question")
    started = time.monotonic()
    ranking.tell("pause", NAME)
    ranking.tell("resume", NAME)
    wait_for(lambda: len(hook.asked) > 1, "the question of the resumed stage")
    ranking.tell("abort", NAME)
    assert ranking.rule() == RULE
    ranking.tell("start", NAME)
    wait_for(lambda: len(hook.asked) > 2, "the question of the second canary")
    ranking.stop()
    assert time.monotonic() - started < 30, "half of what the gate would wait"


def test_a_challenger_without_traffic_is_not_promoted(ranking):
    ranking.write("canary.yaml", canary(stages=[(5, 1), (100, 0)], dataTimeout="2s"))
    ranking.start()
    ranking.tell("start", NAME)
    end = ranking.ended(30)
    assert end["state"] == "aborted" and ranking.rule() == RULE, end


def test_the_mirror_stage_judges_copies_and_internal_users_come_first(ranking):
    spec = {"mirror": {"percentage": 50, "hold": "3s"}, "internal": [{"headers": {"x-user-segment": {"exact": "staff"}}}]}
    load = begin(ranking, stages=[(50, 3), (100, 0)], **spec)
    wait_for(lambda: ranking.phase() == "mirror", "the mirror stage", 10, 0.05)
    assert ranking.weights() == (100, 0) and "mirrors:" in ranking.rule()
    wait_for(lambda: any(gate["challenger_sample"] > 30 for gate in ranking.canary()["gates"]), "copies judged", 20)
    ranking.wait_stage(1)
    assert "mirrors:" not in ranking.rule() and f"canary-{NAME}-internal" in ranking.rule()
    staff = {json.loads(ranking.ask("/v1/models/m:predict", headers={"x-user-segment": "staff"})[2])["version"]
             for _ in range(20)}
    assert staff == {"v47"}
    assert ranking.ended()["state"] == "promoted"
    assert "internal" not in ranking.rule() and ranking.weights() == (0, 100)
    counts = load.stop()
    assert not [why for why in counts if not why.startswith("200 ")], counts


def test_a_manual_edit_of_the_weights_pauses_and_says_so(ranking):
    begin(ranking, stages=[(5, 60), (100, 0)])
    ranking.wait_stage(1)
    edited = ranking.rule().replace("weight: 95", "weight: 80").replace("weight: 5\n", "weight: 20\n")
    assert edited != ranking.rule()
    ranking.write("rule.yaml", edited)
    wait_for(lambda: ranking.phase() == "paused", "the pause", 10, 0.05)
    now = ranking.canary()
    assert "80" in now["reason"] or "20" in now["reason"], now["reason"]
    assert ranking.rule() == edited, "what the person wrote stays"
    assert ranking.tell("watch", NAME, check=False).returncode == 1


def test_an_edit_of_other_parts_does_not_and_survives_an_abort(ranking):
    begin(ranking, stages=[(5, 60), (100, 0)])
    ranking.wait_stage(1)
    ranking.write("rule.yaml", ranking.rule().replace("timeout: 2s", "timeout: 3s"))
    ranking.wait_generation(ranking.generation() - 1)
    wait_for(lambda: any(r["source"] == "directory" for r in ranking.get("/v1/history?limit=3")), "the edit", 10)
    assert ranking.phase() == "stage"
    ranking.tell("abort", NAME, "-m", "enough")
    assert ranking.rule() == RULE.replace("timeout: 2s", "timeout: 3s")
    assert "enough" in json.dumps(ranking.canary()["steps"])


def test_pause_resume_promote_and_abort_do_what_they_say(ranking):
    begin(ranking, stages=[(5, 600), (100, 0)])
    ranking.wait_stage(1)
    ranking.tell("pause", NAME)
    assert ranking.phase() == "paused" and ranking.weights() == (95, 5)
    refused = ranking.tell("pause", NAME, check=False)
    assert refused.returncode == 1 and refused.stderr
    ranking.tell("resume", NAME)
    assert ranking.phase() == "stage" and ranking.weights() == (95, 5)
    before = ranking.generation()
    ranking.tell("abort", NAME)
    assert ranking.phase() == "aborted" and ranking.rule() == RULE and ranking.generation() == before + 1
    ranking.tell("start", NAME)
    ranking.tell("promote", NAME, "-m", "it is fine")
    assert ranking.phase() == "promoted" and ranking.weights() == (0, 100)
    assert ranking.tell("status", "nobody", check=False).returncode == 1
    assert ranking.tell("start", check=False).returncode == 2


class Second(Ranking):
    """Another agent on the rules directory of the first."""

    def __init__(self, directory, first):
        directory.mkdir()
        Ranking.__mro__[2].__init__(self, directory, None)
        self.host, self.client, self.workers, self.io = first.host, first.client, first.workers, first.io
        self.to = (self.block[1], 8080)
        self.config = first.config


def test_of_two_agents_on_one_directory_only_one_acts(ranking, tmp_path):
    begin(ranking, stages=[(5, 3600), (100, 0)])
    ranking.wait_stage(1)
    second = ranking.cleanup.owns(Second(tmp_path / "second", ranking))
    second.start()
    refused = second.tell("start", NAME, check=False)
    assert refused.returncode == 1 and str(ranking.agent.pid) in refused.stderr, refused
    assert ranking.phase() == "stage" and second.weights() == (95, 5)
    # Hidden files of the lock are no rules, and go away.
    ranking.tell("abort", NAME)
    wait_for(lambda: not list(ranking.config.glob(".sluice-canary-*")), "the lock's end", 5)
    second.tell("start", NAME)
    assert second.phase() == "stage" and ranking.tell("start", NAME, check=False).returncode == 1
    second.tell("abort", NAME)
    assert ranking.rule() == RULE


def test_a_canary_goes_on_under_the_agent_that_takes_over(ranking):
    begin(ranking, stages=[(5, 5), (50, 3), (100, 0)])
    ranking.wait_stage(1)
    first = ranking.agent
    ranking.launch("--takeover")
    assert first.wait(60) == 0
    ranking.wait_ready()
    assert ranking.ended()["state"] == "promoted"
    assert ranking.weights() == (0, 100)
