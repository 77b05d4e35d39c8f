"""The lines of the measured reference on time-outs, retries, faults and mirrors; a test carries its line's number."""
import socket
import statistics
import time

import pytest

from backends import Drop, value, values
from sandbox import wait_for


def retrying(lane, retries=None, said=503, subset=None, **rule):
    """A service whose servers all give one answer, or what a function of the request gives."""
    service = lane.service(lambda s: [{"route": [s.to(subset)]} | ({"retries": retries} if retries else {}) | rule])
    lane.backends.behave = said if callable(said) else lambda r: said
    return service


def reset(_):
    raise Drop(reset=True)


def fin(_):
    raise Drop()


def slow(seconds):
    def behave(_):
        time.sleep(seconds)
    return behave


def tries(service, **options):
    """(status, how many tries servers saw)."""
    service.backends.forget()
    return service.ask(**options).status, len(service.seen())


def test_42_no_time_out_by_default_and_504_after_one(lane):
    service = retrying(lane, said=slow(1))
    assert tries(service) == (200, 1)
    service = retrying(lane, said=slow(1), timeout="0.2s")
    began = time.monotonic()
    reply = service.ask()
    assert (reply.status, reply.body) == (504, b"upstream request timeout")
    assert 0.19 < time.monotonic() - began < 0.9


@pytest.mark.parametrize("said, status", [(502, 502), (503, 503), (500, 500), (429, 429), (reset, 503), (fin, 503)])
@pytest.mark.parametrize("retries", [None, {"attempts": 3}])
def test_43_44_the_default_policy_covers_connecting_only(lane, said, status, retries):
    assert tries(retrying(lane, retries, said)) == (status, 1)


def unreachable(lane, refused, **rule):
    """A service with one server, and `refused` endpoints that refuse connections."""
    own = {"v45": [lane.versions["v45"][0], *[lane.mesh.block[200 + i] for i in range(refused)]]}
    return lane.service(lambda s: [{"route": [s.to()]} | rule], versions=own,
                        traffic={"loadBalancer": {"simple": "ROUND_ROBIN"}})


def refuses(address):
    with socket.socket() as probe:
        probe.settimeout(1)
        try:
            probe.connect((address, 8080))
            probe.recv(1)
            return False
        except ConnectionRefusedError:
            return True
        except OSError:
            return False


def test_43_failing_to_connect_is_retried_without_any_rule(lane):
    if not refuses(lane.mesh.block[200]):
        pytest.skip("a connect to an address that nobody serves does not fail on this machine")
    service = unreachable(lane, 1)
    assert {tries(service) for _ in range(10)} == {(200, 1)}
    assert {int(value(r, "x-envoy-attempt-count")) for r in service.seen()} <= {1, 2}
    service = unreachable(lane, 1, retries={"attempts": 0})
    statuses = [service.ask().status for _ in range(10)]
    assert statuses.count(503) == 5, statuses


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_45_three_attempts_are_three_retries(lane, method):
    service = retrying(lane, {"attempts": 3, "retryOn": "5xx"})
    assert tries(service, method=method, body=b"again" if method == "POST" else None) == (503, 4)
    assert [value(r, "x-envoy-attempt-count") for r in service.seen()] == ["1", "2", "3", "4"]
    assert {r.body for r in service.seen()} == {b"again" if method == "POST" else b""}


@pytest.mark.parametrize("retry_on, said, expected", [
    ("gateway-error,418", 418, 3), ("gateway-error,418", 503, 3), ("gateway-error,418", 500, 1),
    ("retriable-status-codes", 503, 1), ("retriable-4xx", 409, 3), ("retriable-4xx", 404, 1),
    ("connect-failure", reset, 1), ("reset-before-request", reset, 1), ("gateway-error", reset, 3), ("5xx", reset, 3),
    ("reset", reset, 3), ("reset", fin, 3), ("5xx", fin, 3), ("reset", 503, 1), ("5xx", 501, 3), ("5xx", 429, 1)])
def test_46_what_each_token_covers(lane, retry_on, said, expected):
    service = retrying(lane, {"attempts": 2, "retryOn": retry_on}, said)
    assert tries(service) == (said if isinstance(said, int) else 503, expected)


@pytest.mark.parametrize("retry_on, expected", [("5xx", 3), ("gateway-error", 3), ("reset", 3), ("connect-failure", 1),
                                                (None, 1), ("503", 1)])
def test_47_a_time_out_of_a_try_is_retried_only_by_kinds_that_cover_it(lane, retry_on, expected):
    retries = {"attempts": 2, "perTryTimeout": "0.1s"} | ({"retryOn": retry_on} if retry_on else {})
    service = retrying(lane, retries, slow(0.5))
    began = time.monotonic()
    assert tries(service) == (504, expected)
    assert time.monotonic() - began < 1.5


def test_47_a_total_time_out_is_never_followed_by_another_try(lane):
    service = retrying(lane, {"attempts": 2, "retryOn": "5xx"}, slow(0.6), timeout="0.2s")
    assert tries(service) == (504, 1)
    time.sleep(0.5)  # by then another try would have been seen: it would begin within 25 ms
    assert len(service.seen()) == 1


def test_48_a_retry_avoids_hosts_that_were_tried(lane):
    service = retrying(lane, {"attempts": 1, "retryOn": "5xx"}, subset="v45")
    missed = 0
    for _ in range(100):
        assert tries(service) == (503, 2)
        missed += len({r.server for r in service.seen()}) == 1
    assert missed <= 15, "five more draws of one in two: a repeat is one in 32"


def test_49_back_off_grows_with_full_jitter(lane):
    service = retrying(lane, {"attempts": 3, "retryOn": "5xx", "backoff": "0.1s"})
    gaps = []
    for _ in range(12):
        assert tries(service) == (503, 4)
        at = [r.at for r in service.seen()]
        gaps.append([b - a for a, b in zip(at, at[1:])])
    for number, bound in enumerate((0.1, 0.2, 0.4)):
        times = [g[number] for g in gaps]
        assert max(times) < bound + 0.15, (number, times)
        assert max(times) - min(times) > bound / 4, (number, times)
    assert 0.15 < statistics.median(sum(g) for g in gaps) < 0.65


def mirroring(lane, **rule):
    return lane.service(lambda s: [{"route": [s.to("v45")], "mirror": {"host": s.name, "subset": "v47"}} | rule])


def test_50_51_53_faults(lane):
    fault = {"fault": {"abort": {"httpStatus": 418, "percentage": {"value": 100}}}}
    service = mirroring(lane, retries={"attempts": 2, "retryOn": "418,5xx"}, **fault)
    reply = service.ask()
    assert (reply.status, reply.body, service.seen()) == (418, b"fault filter abort", [])
    for kind in ({"abort": {"httpStatus": 418}}, {"delay": {"fixedDelay": "5s"}}):
        service = retrying(lane, said=200, fault=kind)
        began = time.monotonic()
        assert service.ask().status == 200 and time.monotonic() - began < 3, "a fault without percentage does nothing"
    service = mirroring(lane, fault={"abort": {"grpcStatus": "UNAVAILABLE", "percentage": {"value": 100}}})
    reply = service.ask()
    assert (reply.status, reply.body, service.seen()) == (200, b"fault filter abort", [])


def test_50_nothing_of_an_abort_reaches_a_mirror(lane):
    service = mirroring(lane, fault={"abort": {"httpStatus": 418, "percentage": {"value": 50}}})
    statuses = [service.ask().status for _ in range(60)]
    good = statuses.count(200)
    assert 5 < good < 55
    wait_for(lambda: len(service.backends.requests(version="v47")) >= good, "mirrored requests")
    assert len(service.backends.requests(version="v47")) == len(service.backends.requests(version="v45")) == good


def test_52_a_delay_does_not_count_against_the_time_out(lane):
    always = {"percentage": {"value": 100}}
    service = mirroring(lane, timeout="0.2s", fault={"delay": {"fixedDelay": "0.4s"} | always})
    began = time.monotonic()
    assert service.ask().status == 200
    assert time.monotonic() - began >= 0.4
    service = mirroring(lane, fault={"delay": {"fixedDelay": "0.3s"} | always, "abort": {"httpStatus": 418} | always})
    began = time.monotonic()
    assert service.ask().status == 418
    assert time.monotonic() - began >= 0.3


def test_54_what_a_mirror_sees(lane):
    service = mirroring(lane, rewrite={"uri": "/new/", "authority": "re.written"}, match=[{"uri": {"prefix": "/old/"}}],
                        headers={"request": {"add": {"x-added": "1"}}}, retries={"attempts": 2, "retryOn": "5xx"})
    lane.backends.behave = lambda r: 503 if r.version == "v45" else None
    assert service.ask("/old/p?q=1", "POST", body=b"whole body").status == 503
    [copy] = wait_for(lambda: service.backends.requests(version="v47"), "the mirrored request")
    assert (copy.method, copy.target, copy.body) == ("POST", "/new/p?q=1", b"whole body")
    assert value(copy, "host") == "re.written"
    assert value(copy, "x-added") == "1"
    assert value(copy, "x-envoy-internal") == "true"
    wait_for(lambda: len(service.backends.requests(version="v45")) == 3, "all tries")
    assert len(service.backends.requests(version="v47")) == 1, "sent once, however often the request is tried"
    assert all(values(r, "x-envoy-internal") == [] for r in service.backends.requests(version="v45"))


@pytest.mark.parametrize("said", [500, reset, slow(1.5)])
def test_54_what_becomes_of_a_mirror_changes_nothing(lane, said):
    service = mirroring(lane)
    lane.backends.behave = lambda r: said if isinstance(said, int) and r.version == "v47" else (
        said(r) if r.version == "v47" else None)
    began = time.monotonic()
    assert [service.ask().status for _ in range(10)] == [200] * 10
    assert time.monotonic() - began < 1.2


def test_54_a_mirror_without_subset_or_endpoints_changes_nothing(lane):
    for subset in ("nobody", "empty"):
        service = lane.service(lambda s: [{"route": [s.to("v45")], "mirror": {"host": s.name, "subset": subset}}])
        assert [service.ask().status for _ in range(5)] == [200] * 5


def test_54_several_mirrors_are_drawn_independently(lane):
    service = lane.service(lambda s: [{"match": [{"uri": {"exact": "/m"}}], "route": [s.to("v45")], "mirrors": [
        {"destination": {"host": s.name, "subset": "v47"}, "percentage": {"value": 50}},
        {"destination": {"host": s.name, "subset": "v47"}, "percentage": {"value": 50}}]}])
    with lane.client() as client:
        for i in range(200):
            assert service.ask("/m", client=client, fields={"x-n": str(i)}).status == 200
    wait_for(lambda: len(service.backends.requests(version="v47")) > 150, "mirrored requests")
    time.sleep(0.3)
    counts = [0] * 200
    for copy in service.backends.requests(version="v47"):
        counts[int(value(copy, "x-n"))] += 1
    assert all(20 < counts.count(n) < 140 for n in (0, 1, 2)), [counts.count(n) for n in (0, 1, 2)]
