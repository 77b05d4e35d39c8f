"""Endpoints that cannot be reached are taken out, come back on time, and nobody else suffers."""

from dialling import chi_squared_p
from sandbox import wait_for

# 3 failures eject; back after 2 s x times ejected, on a tick of 1 s.
OUTLIER = {"consecutive5xxErrors": 3, "interval": "1s", "baseEjectionTime": "2s", "maxEjectionPercent": 50}
REFUSED_BY_SLUICE = "istio_tcp_connections_opened_total"


def only_v47(ranking, **outlier):
    service = ranking(weights={"v47": 1}, outlier={**OUTLIER, **outlier})
    service.mesh.start()
    return service


def refuse(service, version, numbers):
    """The model servers of `version` with these numbers stop listening."""
    for n in numbers:
        service.mesh.models[version][0].fault("refuse", server=f"{service.servers[version][n]}:8080")


def test_a_stopped_server_is_ejected_after_exactly_the_configured_failures(ranking):
    service = only_v47(ranking, baseEjectionTime="20s")
    refuse(service, "v47", [1])
    got = service.dial(count=300)
    assert got.failures == {"ECONNREFUSED": 3}, got.failures
    refused = [i for i, r in enumerate(got.records) if r.result != "ok"]
    assert refused[-1] < 12, "round robin meets each server every third time"
    assert service.mesh.ejected() == [f"{service.servers['v47'][1]}:8080"]
    metrics = service.mesh.metrics()
    assert metrics.sum("sluice_ejections_total", subset="v47") == 1
    assert metrics.sum(REFUSED_BY_SLUICE, response_flags="UF", destination_version="v47") == 3


def test_success_in_between_resets_the_count(ranking):
    service = only_v47(ranking, baseEjectionTime="20s")
    for _ in range(4):
        refuse(service, "v47", [1])
        assert service.dial(count=6).failures == {"ECONNREFUSED": 2}
        service.mesh.models["v47"][0].fault("none")
        assert not service.dial(count=6).failures
    assert not service.mesh.ejected()


def test_it_returns_at_base_time_times_ejections_rounded_up_to_the_interval(ranking):
    service = only_v47(ranking)
    address = f"{service.servers['v47'][1]}:8080"
    for times in (1, 2):
        refuse(service, "v47", [1])
        loop = service.mesh.dialler(service.to, count=10**6, rate=400, seconds=30)
        wait_for(service.mesh.ejected, "the ejection")
        service.mesh.models["v47"][0].fault("none")
        accepted = service.mesh.models["v47"][0].stats()[address]["accepted"]
        wait_for(lambda: not service.mesh.ejected(), "the return", 15)
        wait_for(lambda: service.mesh.models["v47"][0].stats()[address]["accepted"] > accepted, "a connection after it")
        got = loop.stop()
        assert got.failures == {"ECONNREFUSED": 3}
        ejected_at = max(r.end_ns for r in got.records if r.result != "ok")
        back_at = min(r.start_ns for r in got.ok if r.server == address and r.start_ns > ejected_at)
        gone = (back_at - ejected_at) / 1e9
        assert 2 * times <= gone + 0.02 and gone <= 2 * times + 1.1, (times, gone)


def test_it_returns_on_time_without_an_agent(ranking):
    """The programs take an endpoint back by themselves."""
    service = only_v47(ranking)
    refuse(service, "v47", [1])
    assert service.dial(count=60).failures == {"ECONNREFUSED": 3}
    service.mesh.kill()
    service.mesh.models["v47"][0].fault("none")
    got = service.dial(count=2000, rate=500)
    assert not got.failures
    address = f"{service.servers['v47'][1]}:8080"
    gone = (min(r.start_ns for r in got.ok if r.server == address) - got.records[0].start_ns) / 1e9
    assert 1.0 < gone < 3.3, gone


def test_max_ejection_percent_holds(ranking):
    service = only_v47(ranking, maxEjectionPercent=50, baseEjectionTime="20s")
    refuse(service, "v47", [0, 1])  # two of three would be 67%
    got = service.dial(count=600)
    assert len(service.mesh.ejected()) == 1
    # The second one stays in and goes on failing: every second pick of the two that are left.
    tail = got.records[100:]
    assert 150 < sum(r.result == "ECONNREFUSED" for r in tail) < 350
    assert service.mesh.metrics().sum("sluice_ejections_overflow_total", subset="v47") > 0


def test_all_gone_is_econnrefused_and_uh(ranking):
    service = only_v47(ranking, maxEjectionPercent=100, baseEjectionTime="20s")
    refuse(service, "v47", [0, 1, 2])
    assert service.dial(count=60).failures == {"ECONNREFUSED": 60}
    metrics = service.mesh.metrics()
    assert metrics.sum(REFUSED_BY_SLUICE, response_flags="UF") == 9
    assert metrics.sum(REFUSED_BY_SLUICE, response_flags="UH") == 51
    assert metrics.sum("sluice_refusals_total", reason="no_healthy_upstream", subset="v47") == 51


def test_a_subset_that_is_down_fails_its_own_share_only(ranking):
    service = ranking(weights={"v45": 70, "v47": 30}, outlier={**OUTLIER, "maxEjectionPercent": 100,
                                                               "baseEjectionTime": "20s"})
    service.mesh.start()
    refuse(service, "v47", [0, 1, 2])
    service.dial(count=300)  # ejects them
    got = service.dial(count=2000)
    assert set(got.versions) == {"v45"}
    assert 480 < got.failures["ECONNREFUSED"] < 720, "the share of v47 and no more"


def test_spill_sends_the_share_to_the_other_subsets(ranking):
    service = ranking(weights={"v45": 60, "v47": 30, "v43": 10},
                      outlier={**OUTLIER, "maxEjectionPercent": 100, "baseEjectionTime": "20s"})
    service.mesh.start()
    service.split(service.weights, annotations={"sluice.dev/on-subset-down": "spill"})
    refuse(service, "v47", [0, 1, 2])
    service.dial(count=300)
    got = service.dial(count=7000, threads=4)
    assert not got.failures, got.failures
    assert chi_squared_p(got.versions, {"v45": 60, "v43": 10}) > 0.0001, got.versions


def test_min_health_percent_uses_everybody_again(ranking):
    """Panic: below minHealthPercent the ejected endpoints are used too."""
    service = only_v47(ranking, maxEjectionPercent=100, minHealthPercent=50, baseEjectionTime="20s")
    refuse(service, "v47", [0, 1])
    service.dial(count=30)
    got = service.dial(count=300)
    assert 60 < got.failures["ECONNREFUSED"], "two of three are ejected: 33% healthy is below 50%"
    assert 60 < len(got.ok)


def test_ejections_are_kept_over_a_restart(ranking):
    service = only_v47(ranking, baseEjectionTime="30s")
    refuse(service, "v47", [1])
    assert service.dial(count=60).failures == {"ECONNREFUSED": 3}
    service.mesh.kill()
    service.mesh.start()
    assert service.mesh.ejected() == [f"{service.servers['v47'][1]}:8080"]
    assert not service.dial(count=60).failures
