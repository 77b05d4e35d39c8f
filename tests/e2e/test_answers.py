"""Ejection from what models answer: the kernel reads the status of every answer, and acts on the very next decision."""
import http.client
import time

import pytest

import rules
from sandbox import inside, wait_for

# 4 failures eject; back after 2 s x times ejected, on a tick of 1 s.
OUTLIER = {"consecutive5xxErrors": 4, "interval": "1s", "baseEjectionTime": "2s", "maxEjectionPercent": 50}
LONG = {"baseEjectionTime": "60s"}
PREDICT = "/v1/models/content-ranking:predict?nonce="


class Watched:
    """Three servers of v47 behind one address, used in turn; their answers can be told to fail."""

    def __init__(self, ranking, outlier=None, **policy):
        self.service = ranking(weights={"v47": 1}, outlier={**OUTLIER, **(outlier or {})}, **policy)
        self.mesh = self.service.mesh
        self.servers = [f"{address}:8080" for address in self.service.servers["v47"]]
        self.mesh.start()

    def fault(self, mode, *numbers, **query):
        for n in numbers:
            self.mesh.models["v47"][0].fault(mode, server=self.servers[n], **query)

    def answered(self, n):
        return self.mesh.models["v47"][0].stats()[self.servers[n]]["answered"]

    def dial(self, count, **options):
        return self.service.dial(count=count, **options)

    def turn(self, mode):
        """One connection to each server; the one of server 1 fails as `mode` says. Its result."""
        self.fault(mode, 1)
        failures = self.dial(3).failures
        assert sum(failures.values()) <= 1, failures
        return next(iter(failures), "ok")

    def ejected(self):
        return [self.servers.index(one) for one in self.mesh.ejected()]


def test_one_after_the_other_the_bad_server_answers_exactly_as_often_as_configured(ranking):
    watched = Watched(ranking, LONG)
    watched.fault("500", 1)
    got = watched.dial(300)
    assert got.failures == {"wrong": 4}, got.failures
    assert watched.answered(1) == 4
    bad = [i for i, record in enumerate(got.records) if record.result != "ok"]
    assert bad[-1] < 13, "round robin meets each server every third time"
    assert watched.ejected() == [1]
    metrics = watched.mesh.metrics()
    assert metrics.sum("sluice_ejections_total", subset="v47") == 1
    shares = [got.servers[watched.servers[n]] for n in (0, 2)]
    assert abs(shares[0] - shares[1]) <= 1, "the healthy ones keep equal shares"


def test_under_concurrency_only_what_was_in_flight_comes_on_top(ranking):
    watched = Watched(ranking, LONG)
    watched.fault("500", 1, ms=100)  # slow enough that connections pile up before the first answer
    loops = [watched.mesh.dialler(watched.service.to, count=1500, threads=32) for _ in range(2)]
    wrong = sum(loop.result().failures["wrong"] for loop in loops)
    assert 4 < wrong <= 4 + 64, wrong
    assert watched.answered(1) == wrong
    assert watched.ejected() == [1]
    assert not watched.dial(60).failures


def test_successes_in_between_reset_the_count(ranking):
    watched = Watched(ranking, LONG)
    for _ in range(3):
        assert [watched.turn("500") for _ in range(3)] == ["wrong"] * 3
        assert watched.turn("none") == "ok"
    assert not watched.ejected()
    assert [watched.turn("500") for _ in range(4)] == ["wrong"] * 4
    assert watched.ejected() == [1]


@pytest.mark.parametrize("status", ["404", "429", "302"])
def test_what_is_no_5xx_is_a_success(ranking, status):
    watched = Watched(ranking, LONG)
    assert [watched.turn("503") for _ in range(3)] == ["wrong"] * 3
    assert [watched.turn(status) for _ in range(8)] == ["wrong"] * 8
    assert [watched.turn("503") for _ in range(3)] == ["wrong"] * 3
    assert not watched.ejected()
    assert watched.turn("599") == "wrong"
    assert watched.ejected() == [1]


def test_gateway_errors_have_a_count_of_their_own(ranking):
    watched = Watched(ranking, {**LONG, "consecutive5xxErrors": 0, "consecutiveGatewayErrors": 3})
    for status in ("500", "500", "500", "500", "502", "503", "501", "503", "504"):
        assert watched.turn(status) == "wrong"
    assert not watched.ejected(), "501 ended the run of 502 and 503"
    assert watched.turn("502") == "wrong"
    assert watched.ejected() == [1]


def test_gateway_errors_leave_the_default_of_5xx_in_force(ranking):
    """istio-measured 63: consecutiveGatewayErrors alone leaves consecutive5xxErrors at 5."""
    service = {key: value for key, value in OUTLIER.items() if key != "consecutive5xxErrors"}
    one = ranking(weights={"v47": 1}, outlier={**service, **LONG, "consecutiveGatewayErrors": 50})
    one.mesh.start()
    one.mesh.models["v47"][0].fault("500", server=f"{one.servers['v47'][1]}:8080")
    assert one.dial(count=60).failures == {"wrong": 5}


def test_failed_connections_resets_and_5xx_count_together(ranking):
    """And an established connection proves nothing: only an answer ends the run."""
    watched = Watched(ranking, LONG)
    assert [watched.turn(mode) for mode in ("500", "refuse", "reset")] == ["wrong", "ECONNREFUSED", "reset"]
    assert not watched.ejected()
    assert watched.turn("503") == "wrong"
    assert watched.ejected() == [1]


def test_a_reset_instead_of_an_answer_ejects(ranking):
    watched = Watched(ranking, LONG)
    watched.fault("reset", 1)
    assert watched.dial(300).failures == {"reset": 4}
    assert watched.ejected() == [1]


@pytest.mark.parametrize("before, last", [
    (["500", "500", "refuse", "refuse", "500"], "500"),  # the fourth 5xx; with the refusals it would be the sixth
    (["500", "refuse", "refuse", "404", "refuse", "refuse"], "refuse"),  # any answer ends a run of refusals
])
def test_split_mode_counts_answers_and_refusals_apart(ranking, before, last):
    watched = Watched(ranking, {**LONG, "splitExternalLocalOriginErrors": True, "consecutiveLocalOriginFailures": 3})
    for mode in before:
        assert watched.turn(mode) != "ok"
    assert not watched.ejected()
    assert watched.turn(last) != "ok"
    assert watched.ejected() == [1]


def times_out(watched, times):
    """Ejects server 1 by 500s under load; how long no connection went to it, in seconds."""
    watched.fault("500", 1)
    loop = watched.mesh.dialler(watched.service.to, count=10**6, rate=400, seconds=30)
    wait_for(watched.ejected, "the ejection")
    watched.fault("none", 1)
    wait_for(lambda: not watched.ejected(), "the return", 5 + 3 * times)
    answered = watched.answered(1)
    wait_for(lambda: watched.answered(1) > answered, "an answer after it")
    got = loop.stop()
    assert got.failures == {"wrong": 4}
    ejected_at = max(record.end_ns for record in got.records if record.result != "ok")
    back_at = min(r.start_ns for r in got.ok if r.server == watched.servers[1] and r.start_ns > ejected_at)
    return ejected_at, back_at


def test_each_ejection_lasts_longer_and_ends_on_a_tick(ranking):
    watched = Watched(ranking)
    backs = []
    for times in (1, 2):
        ejected_at, back_at = times_out(watched, times)
        gone = (back_at - ejected_at) / 1e9
        assert 2 * times <= gone + 0.02 and gone <= 2 * times + 1.1, (times, gone)
        backs.append(back_at)
    assert min((backs[1] - backs[0]) % 10**9, -(backs[1] - backs[0]) % 10**9) < 0.08e9, "ticks are a second apart"


def test_ejection_time_is_rounded_up_to_the_interval(ranking):
    watched = Watched(ranking, {"baseEjectionTime": "100ms", "interval": "2s"})
    first, second = times_out(watched, 1)[1], times_out(watched, 1)[1]
    apart = (second - first) / 1e9
    assert apart > 1.9 and min(apart % 2, -apart % 2) < 0.08, apart


def test_back_off_falls_again_in_health(ranking):
    watched = Watched(ranking, {"baseEjectionTime": "1s"})
    for _ in range(2):
        times_out(watched, 1)
    back = time.monotonic()
    wait_for(lambda: time.monotonic() - back > 2.1, "two ticks in health")
    ejected_at, back_at = times_out(watched, 1)
    assert (back_at - ejected_at) / 1e9 < 2.1, "the first length again, and a tick"


def test_ejects_and_returns_without_an_agent(ranking):
    """Programs count, eject and take back by themselves."""
    watched = Watched(ranking)
    watched.mesh.kill()
    watched.fault("500", 1)
    assert watched.dial(60).failures == {"wrong": 4}
    watched.fault("none", 1)
    got = watched.dial(1600, rate=400)
    assert not got.failures
    gone = (min(r.start_ns for r in got.ok if r.server == watched.servers[1]) - got.records[0].start_ns) / 1e9
    assert 1.0 < gone < 3.3, gone


def test_max_ejection_percent_holds(ranking):
    watched = Watched(ranking, LONG)
    watched.fault("500", 0, 1)  # two of three would be 67%
    got = watched.dial(600)
    assert len(watched.ejected()) == 1
    tail = got.records[100:]
    assert 150 < sum(record.result == "wrong" for record in tail) < 350, "the second one stays in"
    assert watched.mesh.metrics().sum("sluice_ejections_overflow_total", subset="v47") > 0


def test_ten_percent_of_three_never_ejects(ranking):
    """istio-measured 61: the default of maxEjectionPercent is strict also for the first."""
    watched = Watched(ranking, {**LONG, "maxEjectionPercent": 10})
    watched.fault("500", 1)
    assert watched.dial(90).failures == {"wrong": 30}
    assert not watched.ejected()


def keep_alive(to, requests, pause=0.0):
    """Statuses and servers of requests on connections that are kept; a new one when the old has ended in between."""
    host, port = to.split(":")
    seen, connections = [], 0
    connection = None
    for n in range(requests):
        for attempt in (1, 2):
            fresh = connection is None
            if fresh:
                connection = http.client.HTTPConnection(host, int(port), timeout=5)
                connections += 1
            try:
                connection.request("GET", f"{PREDICT}{n}")
                answer = connection.getresponse()
                break
            except (ConnectionError, http.client.RemoteDisconnected):
                connection.close()
                connection = None
                assert not fresh and attempt == 1, "a new connection failed"
        body = answer.read()
        seen.append((answer.status, len(body) == int(answer.getheader("content-length"))))
        time.sleep(pause)  # the client's think time
    return seen, connections


def test_answers_on_a_kept_connection_count(ranking):
    """Without drain the connection stays; whoever connects anew avoids the server."""
    watched = Watched(ranking, LONG)
    watched.fault("500", 0, 1, 2)
    seen, connections = inside(lambda: keep_alive(watched.service.to, 10), watched.mesh.clients)
    assert seen == [(500, True)] * 10 and connections == 1
    [out] = watched.ejected()
    watched.fault("none", 0, 1, 2)
    assert watched.servers[out] not in watched.dial(30).servers


@pytest.mark.parametrize("where", ["DestinationRule", "VirtualService"])
def test_drain_idle_moves_kept_connections_off_an_ejected_server(ranking, where):
    drain = {"sluice.dev/drain": "idle"}
    watched = Watched(ranking, LONG, annotations=drain if where == "DestinationRule" else None)
    if where == "VirtualService":
        watched.service.split(watched.service.weights, annotations=drain)
    assert inside(lambda: keep_alive(watched.service.to, 3), watched.mesh.clients)[1] == 1
    watched.fault("500", 0)

    def clients():
        return [keep_alive(watched.service.to, 40, pause=0.02) for _ in range(3)]

    runs = inside(clients, watched.mesh.clients)
    assert watched.ejected() == [0]
    bad = sum(status == 500 for seen, _ in runs for status, _ in seen)
    # The agent needs a moment to end a connection; where the programs close it themselves, the fourth answer is the last.
    assert 4 <= bad <= (5 if where == "DestinationRule" else 20), runs
    assert all(whole for seen, _ in runs for _, whole in seen), "no answer was cut"
    assert sorted(connections for _, connections in runs) == [1, 1, 2]


def test_a_subset_that_is_all_out_fails_its_own_share_only(ranking):
    service = ranking(weights={"v45": 70, "v47": 30}, outlier={**OUTLIER, **LONG, "maxEjectionPercent": 100})
    service.mesh.start()
    service.mesh.models["v47"][0].fault("500")
    assert service.dial(count=300).failures["wrong"] == 12, "four of each of three servers"
    got = service.dial(count=2000)
    assert set(got.versions) == {"v45"} and set(got.failures) == {"ECONNREFUSED"}
    assert 480 < got.failures["ECONNREFUSED"] < 720, "the share of v47 and no more"
    metrics = service.mesh.metrics()
    assert metrics.sum("istio_requests_total", response_code="500", destination_version="v47") == 12
    refused = metrics.sum("sluice_refusals_total", reason="no_healthy_upstream", subset="v47")
    assert refused >= got.failures["ECONNREFUSED"]
    assert metrics.sum("istio_requests_total", response_code="0", response_flags="UH") == refused


def test_spill_gives_the_share_to_the_others(ranking):
    service = ranking(weights={"v45": 70, "v47": 30}, outlier={**OUTLIER, **LONG, "maxEjectionPercent": 100})
    service.mesh.start()
    service.split(service.weights, annotations={"sluice.dev/on-subset-down": "spill"})
    service.mesh.models["v47"][0].fault("500")
    assert service.dial(count=300).failures == {"wrong": 12}
    got = service.dial(count=1000)
    assert not got.failures and set(got.versions) == {"v45"}


def test_health_is_kept_for_each_subset_apart(ranking):
    """istio-measured 64: out of the subset, the server still serves the whole service."""
    watched = Watched(ranking, LONG)
    watched.fault("500", 1)
    assert watched.dial(60).failures == {"wrong": 4}
    watched.fault("none", 1)
    front = rules.virtual_service("front", {"v47": 1})
    front["spec"]["http"][0]["route"] = [{"destination": {"host": "content-ranking"}}]
    watched.mesh.apply(rules.service_entry("front", watched.mesh.block[2], {"v1": [watched.mesh.block[99]]}), front)
    assert len(watched.mesh.dial(f"{watched.mesh.block[2]}:8080", count=60).servers) == 8, "all of every version"
    assert watched.servers[1] not in watched.dial(60).servers


def test_on_a_tcp_port_answers_are_not_read(mesh):
    """There only the connection counts, as before."""
    servers = mesh.serve_versions({"v47": 3})
    mesh.write("rules.yaml", rules.service_entry("content-ranking", mesh.block[1], servers, protocol="TCP"),
               rules.destination_rule("content-ranking", servers, outlier={**OUTLIER, **LONG}))
    mesh.start()
    mesh.models["v47"][0].fault("500")
    to = f"{mesh.block[1]}:8080"
    assert mesh.dial(to, count=60).failures == {"wrong": 60}
    mesh.models["v47"][0].fault("reset")
    assert mesh.dial(to, count=60).failures == {"reset": 60}
    assert not mesh.ejected()
