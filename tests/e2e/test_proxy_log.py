"""The access log, `sluice tail` and `sluice top` of the proxy lane, and what it passes on of traces."""
import json
import re
import signal
import subprocess
import time

import pytest

from backends import value, values
from lane import Lane
from sandbox import spawn, wait_for

TEXT = re.compile(
    r'\[(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)\] "(?P<method>\S+) (?P<path>\S+) (?P<protocol>\S+)" '
    r'(?P<code>\d+) (?P<flags>\S+) (?P<details>\S+) - "(?P<failure>[^"]*)" (?P<received>\d+) (?P<sent>\d+) '
    r'(?P<duration>\d+) (?P<service_time>\S+) "(?P<for>[^"]*)" "(?P<agent>[^"]*)" "(?P<id>[^"]*)" '
    r'"(?P<authority>[^"]*)" "(?P<upstream>[^"]*)" (?P<cluster>\S+) (?P<upstream_local>\S+) (?P<local>\S+) '
    r'(?P<remote>\S+) - (?P<route>\S+)')


@pytest.fixture
def logged(tmp_path):
    made = []

    def start(*options):
        made.append(Lane(tmp_path, None, "--access-log", tmp_path / "access.log", *options))
        made[-1].log = tmp_path / "access.log"
        return made[-1]

    yield start
    for one in made:
        one.remove()


def lines(path, count):
    """The log's lines when there are that many."""
    return wait_for(lambda: (got := path.read_text().splitlines()) and len(got) == count and got, f"{count} lines", 10)


def test_a_line_says_what_client_and_server_saw(logged):
    lane = logged()
    service = lane.service(lambda s: [{"name": "main", "route": [s.to("v45")], "match": [{"uri": {"prefix": "/v1"}}]}])
    with lane.client() as client:
        mine = "%s:%d" % client.sock.getsockname()
        client.ask("/v1/x?user=7", "POST", service.name, {"User-Agent": "me \"quoted\"", "X-Forwarded-For": "10.1.1.1"},
                   b"12345")
        service.ask("/other", client=client)
    [seen] = service.seen()
    first, second = lines(lane.log, 2)
    got = TEXT.fullmatch(first)
    assert got, first
    row = got.groupdict()
    assert abs(time.time() - time.mktime(time.strptime(row["time"][:19], "%Y-%m-%dT%H:%M:%S")) + time.timezone) < 60
    expected = dict(method="POST", path="/v1/x?user=7", protocol="HTTP/1.1", code="200", flags="-",
                    details="via_upstream", failure="-", received="5", agent=r"me \x22quoted\x22",
                    id=value(seen, "x-request-id"), authority=service.name, upstream=f"{seen.server}:8080",
                    cluster=f"outbound|8080|v45|{service.name}.ml-serving.svc.cluster.local", remote=mine,
                    local="%s:%d" % lane.mesh.to, route="main")
    expected["for"] = "10.1.1.1"
    assert {name: row[name] for name in expected} == expected
    assert int(row["sent"]) > 20 and row["service_time"].isdigit() and row["upstream_local"] != "-"
    row = TEXT.fullmatch(second).groupdict()
    expected = dict(method="GET", path="/other", code="404", flags="NR", details="route_not_found", received="0", sent="0",
                    service_time="-", upstream="-", cluster="-", upstream_local="-", route="-", agent="-")
    assert {name: row[name] for name in expected} == expected


def test_json_has_the_same_and_sampling_leaves_the_failures(logged):
    lane = logged("--access-log-format", "json", "--access-log-sample", "0")
    service = lane.service(lambda s: [{"route": [s.to("v45")]}])
    lane.backends.behave = lambda r: 500 if r.target == "/bad" else None
    for target in ("/good", "/bad", "/good"):
        service.ask(target)
    [line] = lines(lane.log, 1)
    row = json.loads(line)
    assert list(row)[:3] == ["start_time", "route_name", "method"] and len(row) == 24
    expected = {"path": "/bad", "response_code": 500, "response_flags": "-", "response_code_details": "via_upstream",
                "connection_termination_details": None, "bytes_received": 0, "requested_server_name": None,
                "user_agent": None, "authority": service.name}
    assert {name: row[name] for name in expected} == expected
    assert row["bytes_sent"] > 0 and isinstance(row["duration"], int) and row["upstream_service_time"].isdigit()


def test_sighup_goes_on_in_a_new_file(logged):
    lane = logged()
    service = lane.service(lambda s: [{"route": [s.to("v45")]}])
    service.ask("/one")
    lines(lane.log, 1)
    old = lane.log.with_suffix(".1")
    lane.log.rename(old)
    lane.mesh.agent.send_signal(signal.SIGHUP)
    wait_for(lane.log.exists, "the new file")
    service.ask("/two")
    [line] = lines(lane.log, 1)
    assert "/two" in line and len(old.read_text().splitlines()) == 1
    assert lane.mesh.metrics().of("sluice_access_log_dropped_total") == [({"reason": "buffer"}, 0), ({"reason": "write"}, 0)]


def test_what_the_end_finds_in_memory_is_written(logged):
    lane = logged()
    service = lane.service(lambda s: [{"route": [s.to("v45")]}])
    with lane.client() as client:
        for _ in range(50):
            service.ask(client=client)
    assert lane.mesh.stop() == 0
    assert len(lane.log.read_text().splitlines()) == 50


def test_a_path_that_cannot_be_opened_ends_the_start(tmp_path):
    with pytest.raises(RuntimeError, match="/nonexistent/access.log"):
        Lane(tmp_path, None, "--access-log", "/nonexistent/access.log")


def test_tail_shows_proxied_requests_with_flags_tries_and_route(lane):
    service = lane.service(lambda s: [{"name": "retried", "route": [s.to("v45")],
                                       "retries": {"attempts": 2, "retryOn": "5xx"}}])
    other = lane.service(lambda s: [{"route": [s.to("v47")]}])
    lane.backends.behave = lambda r: 503 if r.version == "v45" else None
    tail = spawn([lane.mesh.binaries / "sluice", "tail", service.name, "--limit", "3", "--duration", "30", "-o", "json",
                  "--run", lane.mesh.run_dir], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        def ask():
            service.ask("/watched", "POST", body=b"123")
            other.ask()
            return tail.poll() is not None
        wait_for(ask, "tail has seen enough", 30, 0.05)
        out, err = tail.communicate()
    finally:
        tail.kill()
    rows = [json.loads(line) for line in out.splitlines()]
    assert len(rows) == 3 and "3 requests shown, 0 lost" in err
    for row in rows:
        expected = {"host": f"{service.name}.ml-serving.svc.cluster.local", "port": 8080, "subset": "v45",
                    "method": "POST", "status": 503, "flag": "URX", "reason": "via_upstream", "lane": "proxy",
                    "route": "retried", "attempts": 3}
        assert {name: row[name] for name in expected} == expected
        assert row["endpoint"] in [f"{a}:8080" for a in lane.versions["v45"]]
        assert 0 < row["first_byte_ms"] <= row["duration_ms"] and row["request_bytes"] > 3


def test_top_shows_proxied_requests_per_version_whichever_rule_sends_there(lane):
    service = lane.service(lambda s: [{"match": [{"headers": {"x-ab": {"exact": "b"}}}], "route": [s.to("v47")]},
                                      {"route": [s.to("v45")]}])
    lane.backends.behave = lambda r: 500 if r.version == "v47" else None
    with lane.client() as client:
        for i in range(40):
            service.ask(client=client, fields={"x-ab": "b"} if i % 4 == 0 else {})

    def rows():
        [one] = lane.mesh.get(f"/v1/top?host={service.name}")["services"]
        return {row["subset"]: row for row in one["destinations"]}

    wait_for(lambda: sum(row["requests"] for row in rows().values()) == 40, "all requests")
    got = rows()
    assert {name: (row["requests"], row["failed"]) for name, row in got.items()} == {"v45": (30, 0), "v47": (10, 10)}
    assert sum(got["v45"]["duration"]) == 30 and got["v47"]["share"] is None and got["v45"]["share"] == 1
    plain = lane.mesh.sluice("top", service.name, "--interval", "0.5", "--once").stdout
    assert "v45" in plain and "v47" in plain


TRACES = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "tracestate": "vendor=a,other=b",
          "baggage": "user=7", "b3": "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1",
          "x-b3-traceid": "80f198ee56343ba864fe8b2a57d3eff7", "x-b3-spanid": "e457b5a2e4d86bd1",
          "x-b3-parentspanid": "05e3ac9a4f6e3b90", "x-b3-sampled": "1", "x-b3-flags": "0"}


def test_trace_context_is_passed_on_and_a_request_id_is_made_when_there_is_none(lane):
    service = lane.service(lambda s: [{"route": [s.to("v45")], "mirror": s.to("v47")["destination"]}])
    service.ask(fields=TRACES)
    service.ask(fields=TRACES | {"X-Request-Id": "mine"})
    seen = wait_for(lambda: len(got := service.seen()) == 4 and got, "two requests and their copies")
    for request in seen:
        assert {name: values(request, name) for name in TRACES} == {name: [text] for name, text in TRACES.items()}
    ids = {version: [value(r, "x-request-id") for r in seen if r.version == version] for version in ("v45", "v47")}
    assert sorted(ids["v45"]) == sorted(ids["v47"]) and "mine" in ids["v45"]
    [made] = [one for one in ids["v45"] if one != "mine"]
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", made)
