"""The lines of the measured reference on hashing, ejection and pools; a test carries its line's number."""
import collections
import concurrent.futures
import threading
import time

import pytest

from backends import Drop, value, values
from dialling import chi_squared_p
from sandbox import wait_for


def hashing(lane, key, http=None, **more):
    return lane.service(http, traffic={"loadBalancer": {"consistentHash": key}}, **more)


def servers(service, count=40, client=None, **options):
    """Who answered `count` equal requests."""
    service.forget()
    for _ in range(count):
        assert service.ask(client=client, **options).status == 200
    return {r.server for r in service.seen()}


def test_57_no_key_is_random_and_an_empty_header_is_a_key(lane):
    service = hashing(lane, {"httpHeaderName": "x-user"})
    assert len(servers(service, 60)) == 4
    assert len(servers(service, fields={"x-user": ""})) == 1
    assert len({*servers(service, 10, fields={"x-user": "ann"})}) == 1
    homes = [servers(service, 2, fields={"X-User": str(user)}).pop() for user in range(200)]
    assert chi_squared_p(collections.Counter(homes), dict.fromkeys(set(homes), 1)) > 1e-9
    assert len(set(homes)) == 4


def test_57_query_keys_are_case_sensitive_and_undecoded(lane):
    service = hashing(lane, {"httpQueryParameterName": "user"})
    assert len(servers(service, target="/?user=u1")) == 1
    assert len(servers(service, 60, target="/?User=u1")) == 4
    homes = {name: servers(service, 3, target=f"/?user={name}").pop() for name in
             [f"u{i}" for i in range(12)] + [f"u%3{i}" for i in range(10)]}
    assert any(homes[f"u{i}"] != homes[f"u%3{i}"] for i in range(10)), "escaped or not: different keys"


@pytest.mark.parametrize("ttl, attributes", [("60s", ["Max-Age=60", "Path=/p", "HttpOnly"]),
                                             ("0s", ["Path=/p", "HttpOnly"])])
def test_58_a_cookie_with_ttl_is_set_and_keeps_the_endpoint(lane, ttl, attributes):
    service = hashing(lane, {"httpCookie": {"name": "sid", "path": "/p", "ttl": ttl}})
    with lane.client() as client:
        first = service.ask(client=client)
        cookie, *rest = [part.strip() for part in value(first, "set-cookie").split(";")]
        assert sorted(rest) == sorted(attributes)
        assert value(service.ask(client=client), "set-cookie").split(";")[0] == cookie, "it repeats on one connection"
    name, _, content = cookie.partition("=")
    assert name == "sid" and content.strip('"')
    service.forget()
    reply = service.ask(fields={"cookie": f"other=1; {cookie}"})
    assert values(reply, "set-cookie") == []
    home = service.seen()[0].server
    assert servers(service, fields={"cookie": cookie.replace('"', "")}) == {home}
    with lane.client() as other:
        assert value(service.ask(client=other), "set-cookie").split(";")[0] != cookie


def test_58_a_cookie_without_ttl_is_never_set(lane):
    service = hashing(lane, {"httpCookie": {"name": "sid"}})
    assert values(service.ask(), "set-cookie") == []
    assert len(servers(service, 60)) == 4
    assert len(servers(service, fields={"cookie": "sid=abc"})) == 1


def test_59_weights_are_drawn_before_the_hash(lane):
    service = hashing(lane, {"httpHeaderName": "x-user"},
                      lambda s: [{"route": [s.to("v45", 1), s.to("v47", 1)]}])
    seen = servers(service, 60, fields={"x-user": "ann"})
    assert len(seen) == 2 and {r.version for r in service.seen()} == {"v45", "v47"}


def test_60_the_balancer_of_a_subset_replaces_the_hosts(lane):
    service = hashing(lane, {"httpHeaderName": "x-user"}, subsets={"v45": {"loadBalancer": {"simple": "RANDOM"}}})
    service.apply([{"match": [{"uri": {"exact": "/host"}}], "route": [service.to()]}, {"route": [service.to("v45")]}])
    assert len(servers(service, target="/host", fields={"x-user": "ann"})) == 1
    assert len(servers(service, fields={"x-user": "ann"})) == 2


def held(service, count, fields=(), seconds=1.0):
    """Statuses of `count` requests at once, each held by its server for a while."""
    service.backends.behave = lambda r: time.sleep(seconds)
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        replies = list(pool.map(lambda _: service.ask(fields=fields), range(count)))
    return collections.Counter(r.status for r in replies), replies


def test_60_settings_of_a_port_replace_the_whole_policy(lane):
    tight = {"http": {"http2MaxRequests": 1}}
    service = lane.service(traffic={"connectionPool": tight})
    assert held(service, 6)[0][503] == 5
    service = lane.service(traffic={"connectionPool": tight, "portLevelSettings": [
        {"port": {"number": 8080}, "loadBalancer": {"simple": "RANDOM"}}]})
    assert held(service, 6)[0] == {200: 6}


def ejecting(lane, http=None, versions=None, **outlier):
    spec = {"consecutive5xxErrors": 3, "interval": "60s", "baseEjectionTime": "60s"} | outlier
    return lane.service(http, traffic={"outlierDetection": spec, "loadBalancer": {"simple": "ROUND_ROBIN"}},
                        versions=versions)


def exercise(service, count=60, target="/", broken=()):
    """`count` requests while the `broken` servers answer 500: {server: requests}, Counter of statuses."""
    service.backends.behave = lambda r: 500 if r.server in broken else None
    service.forget()
    statuses = collections.Counter(service.ask(target).status for _ in range(count))
    return collections.Counter(r.server for r in service.seen()), statuses


def test_61_ten_percent_of_four_is_nobody(lane):
    service = ejecting(lane)
    bad = lane.versions["v45"][0]
    seen, statuses = exercise(service, broken=[bad])
    assert seen[bad] == statuses[500] == 15


def test_62_half_of_four_are_exactly_two(lane):
    service = ejecting(lane, maxEjectionPercent=50)
    seen, statuses = exercise(service, 100, broken=[*lane.versions["v45"], *lane.versions["v47"]])
    assert sorted(seen.values())[:2] == [3, 3] and statuses == {500: 100}
    assert all(n > 20 for n in sorted(seen.values())[2:])


def test_62_all_can_go_and_there_is_no_panic_without_min_health(lane):
    everyone = [*lane.versions["v45"], *lane.versions["v47"]]
    service = ejecting(lane, maxEjectionPercent=100)
    seen, statuses = exercise(service, 40, broken=everyone)
    assert set(seen.values()) == {3} and statuses == {500: 12, 503: 28}
    reply = service.ask()
    assert (reply.status, reply.body) == (503, b"no healthy upstream")
    service = ejecting(lane, maxEjectionPercent=100, minHealthPercent=60)
    seen, statuses = exercise(service, 40, broken=everyone)
    assert statuses == {500: 40}, "below 60 percent all are used again"
    assert len(exercise(service, 40)[0]) == 4


def test_63_gateway_errors_alone_leave_the_default_of_five(lane):
    bad = lane.versions["v45"][0]
    traffic = {"outlierDetection": {"consecutiveGatewayErrors": 8, "interval": "60s", "maxEjectionPercent": 50},
               "loadBalancer": {"simple": "ROUND_ROBIN"}}
    service = lane.service(traffic=traffic)
    assert exercise(service, 80, broken=[bad])[0][bad] == 5
    traffic["outlierDetection"] |= {"consecutiveGatewayErrors": 2, "consecutive5xxErrors": 0}
    service = lane.service(traffic=traffic)
    assert exercise(service, 40, broken=[bad])[0][bad] == 10, "500 is no gateway error"
    service.backends.behave = lambda r: 502 if r.server == bad else None
    service.forget()
    for _ in range(40):
        service.ask()
    assert len([r for r in service.seen() if r.server == bad]) == 2


def test_63_a_success_resets_the_count_and_a_reset_counts(lane):
    bad = lane.versions["v45"][0]
    service = ejecting(lane, maxEjectionPercent=50)
    count = iter(range(10**6))

    def two_of_three(request):
        return 500 if request.server == bad and next(count) % 3 < 2 else None
    service.backends.behave = two_of_three
    for _ in range(60):
        service.ask()
    assert len([r for r in service.seen() if r.server == bad]) == 15, "never three in a row"

    def resets(request):
        if request.server == bad:
            raise Drop(reset=True)
    service = ejecting(lane, maxEjectionPercent=50)
    service.backends.behave = resets
    statuses = collections.Counter(service.ask().status for _ in range(60))
    assert statuses == {200: 57, 503: 3}


def test_64_health_is_of_each_subset_apart(lane):
    bad = lane.versions["v45"][0]
    service = ejecting(lane, maxEjectionPercent=50)
    service.apply([{"match": [{"uri": {"exact": "/subset"}}], "route": [service.to("v45")]}, {"route": [service.to()]}])
    assert exercise(service, 40, "/subset", [bad])[0][bad] == 3
    assert exercise(service, 40)[0][bad] == 10


def test_65_every_ejection_bites_on_the_very_next_request(lane):
    """Envoy merges changes of health within a second: a second ejection may bite that much later. Ours never does."""
    service = ejecting(lane, maxEjectionPercent=50, consecutive5xxErrors=1)
    seen, statuses = exercise(service, 40, broken=lane.versions["v45"])
    assert statuses == {200: 38, 500: 2}
    assert {seen[s] for s in lane.versions["v45"]} == {1}


def test_66_return_is_on_a_tick_and_the_second_ejection_lasts_longer(lane):
    bad = lane.versions["v45"][0]
    service = ejecting(lane, maxEjectionPercent=50, consecutive5xxErrors=1, interval="0.4s", baseEjectionTime="0.5s")
    service.backends.behave = lambda r: 500 if r.server == bad else None

    def out(name):
        """Seconds between two requests at the bad server."""
        before = len([r for r in service.seen() if r.server == bad])

        def more():
            service.ask()
            found = [r.at for r in service.seen() if r.server == bad]
            return len(found) > before and found[-1] - found[-2] if len(found) > 1 else None
        return wait_for(more, name, 10, 0.002)
    for _ in range(4):
        service.ask()
    first, second = out("the first return"), out("the second return")
    assert 0.45 < first < 1.5, first
    assert 0.95 < second < 2.2, (first, second)


OVERFLOW = b"upstream connect error or disconnect/reset before headers. reset reason: overflow"


def test_67_a_request_that_waits_for_a_connection_is_pending(lane):
    service = lane.service(versions={"v45": lane.versions["v45"][:1]}, traffic={"connectionPool": {
        "tcp": {"maxConnections": 1}, "http": {"http1MaxPendingRequests": 1}}})
    seen, replies = held(service, 8, seconds=0.5)
    assert set(seen) == {200, 503} and 2 <= seen[200] <= 4, seen
    overflow = next(r for r in replies if r.status == 503)
    assert overflow.body == OVERFLOW and value(overflow, "x-envoy-overloaded") == "true"


def test_68_http2_max_requests_limits_http_1_as_well(lane):
    service = lane.service(traffic={"connectionPool": {"http": {"http2MaxRequests": 3}}})
    seen, replies = held(service, 10)
    assert seen == {200: 3, 503: 7}
    assert {r.body for r in replies if r.status == 503} == {OVERFLOW}


def test_69_max_retries_counts_retries_in_flight_with_their_back_off(lane):
    service = lane.service(lambda s: [{"route": [s.to()], "retries": {
        "attempts": 1, "retryOn": "5xx", "backoff": "2s"}}], traffic={"connectionPool": {"http": {"maxRetries": 2}}})
    begun = threading.Barrier(10)

    def fail(request):
        if value(request, "x-envoy-attempt-count") == "1":
            begun.wait(10)
        return 503
    service.backends.behave = fail
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        replies = list(pool.map(lambda _: service.ask(), range(10)))
    assert {r.status for r in replies} == {503}
    assert all(b"version" in r.body for r in replies), "who gets no retry fails with the server's own answer"
    again = [r for r in service.seen() if value(r, "x-envoy-attempt-count") == "2"]
    assert 2 <= len(again) <= 4, "back-offs are jittered: an early one may make room for a third"
