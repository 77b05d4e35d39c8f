"""What the proxy lane counts of its requests, against what clients and servers saw; and that a real Prometheus makes
the numbers of the source text's queries out of it."""
import collections
import json
import threading
import time

import pytest

import raw_http
from backends import Drop, answer, value
from metrics import promtool_findings
from prometheus import Prometheus
from sandbox import wait_for
from test_prometheus import ERROR_RATE, P99, p99, sample_times

REQUESTS = "istio_requests_total"
DURATION = "istio_request_duration_milliseconds"
LABELS = {"reporter", "source_workload", "source_canonical_service", "source_canonical_revision",
          "source_workload_namespace", "source_principal", "source_app", "source_version", "source_cluster",
          "destination_workload", "destination_workload_namespace", "destination_principal", "destination_app",
          "destination_version", "destination_service", "destination_canonical_service",
          "destination_canonical_revision", "destination_service_name", "destination_service_namespace",
          "destination_cluster", "request_protocol", "response_code", "grpc_response_status", "response_flags",
          "connection_security_policy"}


def fqdn(service):
    return f"{service.name}.ml-serving.svc.cluster.local"


def counted(service, reporter):
    """{(code, version, flags): requests}."""
    out = collections.Counter()
    for have, number in service.lane.mesh.metrics().of(REQUESTS, destination_service=fqdn(service), reporter=reporter):
        out[have["response_code"], have["destination_version"], have["response_flags"]] += int(number)
    return out


def wait_counted(service, source, destination):
    """Counters follow the last octet of an answer, which a client may see first."""
    for reporter, wanted in (("source", source), ("destination", destination)):
        try:
            wait_for(lambda: counted(service, reporter) == wanted, f"the counts of {reporter}", 5, 0.1)
        except TimeoutError:
            assert counted(service, reporter) == wanted, reporter


def test_both_reporters_count_each_request_once_with_every_label(lane):
    service = lane.service(lambda s: [{"route": [s.to("v45", 50), s.to("v47", 50)]}])
    with lane.client() as client:
        seen = collections.Counter(json.loads(service.ask(client=client).body)["version"] for _ in range(60))
    wanted = {("200", version, "-"): count for version, count in seen.items()}
    wait_counted(service, wanted, wanted)
    metrics = lane.mesh.metrics()
    for name in (REQUESTS, f"{DURATION}_count", "istio_request_bytes_count", "istio_response_bytes_count"):
        rows = metrics.of(name, destination_service=fqdn(service))
        assert rows and all(set(labels) == LABELS for labels, _ in rows), (name, rows[:1])
        assert sum(number for _, number in rows) == 120, name
    for labels, _ in metrics.of(REQUESTS, destination_service=fqdn(service)):
        assert labels | dict(source_workload_namespace="ml-serving", source_principal="unknown",
                             source_cluster="unknown", destination_app=service.name, destination_principal="unknown",
                             destination_service_name=service.name, destination_service_namespace="ml-serving",
                             request_protocol="http", grpc_response_status="", connection_security_policy="unknown",
                             destination_canonical_revision=labels["destination_version"]) == labels


def test_a_retry_is_one_request_to_the_client_and_each_try_to_its_server(lane):
    service = lane.service(lambda s: [{"route": [s.to("v45")], "retries": {"attempts": 3, "retryOn": "5xx"}}])
    lane.backends.behave = lambda r: 503 if value(r, "x-envoy-attempt-count") == "1" else None
    with lane.client() as client:
        assert {service.ask(client=client).status for _ in range(20)} == {200}
    assert len(service.seen()) == 40
    wait_counted(service, {("200", "v45", "-"): 20}, {("200", "v45", "-"): 20, ("503", "v45", "-"): 20})


def test_what_the_proxy_answers_itself_has_its_flag_and_no_version(lane):
    service = lane.service(lambda s: [{"match": [{"uri": {"prefix": "/lost"}}], "route": [s.to("v99")]},
                                      {"match": [{"uri": {"prefix": "/empty"}}], "route": [s.to("empty")]},
                                      {"match": [{"uri": {"prefix": "/here"}}], "route": [s.to("v45")]}])
    statuses = [service.ask(target).status for target in ("/lost", "/empty", "/elsewhere", "/here")]
    assert statuses == [503, 503, 404, 200]
    wait_counted(service, {("503", "unknown", "NC"): 1, ("503", "unknown", "UH"): 1, ("404", "unknown", "NR"): 1,
                           ("200", "v45", "-"): 1}, {("200", "v45", "-"): 1})
    [top] = lane.mesh.get(f"/v1/top?host={service.name}")["services"]
    assert (top["unrouted_requests"], top["unrouted_failed"]) == (2, 1), "NR and NC; NR is no failure"


def test_servers_that_break_are_told_as_a_proxy_beside_them_would(lane):
    service = lane.service(lambda s: [{"route": [s.to("v45")]}])

    def behave(request):
        if request.target == "/reset":
            raise Drop(reset=True)
        if request.target == "/garbage":
            raise Drop(b"what is this\r\n\r\n")
        if request.target == "/cut":
            raise Drop(answer(200, b"x" * 100)[:-50])
        return None

    lane.backends.behave = behave
    assert [service.ask(target).status for target in ("/reset", "/garbage")] == [503, 502]
    with lane.client() as client, pytest.raises(Exception):
        service.ask("/cut", client=client)
    wait_counted(service,
                 {("503", "v45", "UC"): 1, ("502", "v45", "UPE"): 1, ("200", "v45", "UC"): 1},
                 {("503", "v45", "UC"): 1, ("502", "v45", "UPE"): 1, ("200", "v45", "UC"): 1})


def test_nobody_listening_is_an_error_of_that_version(lane):
    service = lane.service(lambda s: [{"route": [s.to("v48")]}], versions={"v48": [lane.mesh.block[199]]})
    assert service.ask().status == 503
    wait_counted(service, {("503", "v48", "UF,URX"): 1}, {("503", "v48", "UF"): 3})


def test_who_gave_up_is_the_client(lane):
    service = lane.service(lambda s: [{"route": [s.to("v45")], "timeout": "0.1s"}])
    lane.backends.behave = lambda r: time.sleep(0.4)
    assert service.ask().status == 504
    with lane.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n" % service.name.encode())
        wait_for(lambda: len(service.seen()) == 2, "the second request at a server")
    wait_counted(service, {("504", "v45", "UT"): 1, ("0", "v45", "DC"): 1}, {("0", "v45", "DC"): 2})


def test_times_are_those_of_the_servers_and_the_first_octet_has_its_own(lane):
    service = lane.service(lambda s: [{"route": [s.to("v45")]}])
    lane.backends.behave = lambda r: time.sleep(0.12)
    service.ask()
    wait_counted(service, {("200", "v45", "-"): 1}, {("200", "v45", "-"): 1})
    metrics = lane.mesh.metrics()
    for reporter in ("source", "destination"):
        own = dict(destination_service=fqdn(service), reporter=reporter)
        assert metrics.sum(f"{DURATION}_bucket", le="100", **own) == 0
        assert 120 <= metrics.sum(f"{DURATION}_sum", **own) < 2000
    first = dict(destination_service=fqdn(service), destination_version="v45", response_code="200")
    assert metrics.sum("sluice_request_first_byte_seconds_count", **first) == 1
    assert 0.12 <= metrics.sum("sluice_request_first_byte_seconds_sum", **first) < 2


def test_sizes_are_octets_of_the_clients_connection(lane):
    service = lane.service(lambda s: [{"route": [s.to("v45")]}])
    lane.backends.behave = lambda r: answer(200, b"y" * 5000)
    head = f"POST /x HTTP/1.1\r\nHost: {service.name}\r\nContent-Length: 700\r\n\r\n".encode()
    with lane.client() as client:
        client.send(head + b"z" * 700)
        reply = client.wire.reply()
    wait_counted(service, {("200", "v45", "-"): 1}, {("200", "v45", "-"): 1})
    own = dict(destination_service=fqdn(service), reporter="source")
    assert lane.mesh.metrics().sum("istio_request_bytes_sum", **own) == len(head) + 700
    told = lane.mesh.metrics().sum("istio_response_bytes_sum", **own)
    octets = sum(len(n) + len(v) + 4 for n, v in reply.fields) + len("HTTP/1.1 200 OK\r\n\r\n") + len(reply.body)
    assert told == octets


def test_a_shadow_has_metrics_of_its_own(lane):
    service = lane.service(lambda s: [{"route": [s.to("v45")], "mirrors": [
        {"destination": s.to("v47")["destination"]}, {"destination": s.to("v99")["destination"]}]}])
    lane.backends.behave = lambda r: 500 if r.version == "v47" else None
    with lane.client() as client:
        assert {service.ask(client=client).status for _ in range(30)} == {200}
    shadow = dict(service=fqdn(service), port="8080", subset="v47", version="v47", response_code="500")
    wait_for(lambda: lane.mesh.metrics().sum("sluice_mirror_requests_total", **shadow) == 30, "copies")
    metrics = lane.mesh.metrics()
    assert metrics.sum("sluice_mirror_duration_seconds_count", **shadow) == 30
    assert metrics.sum("sluice_mirror_skipped_total", service=fqdn(service), reason="cluster_not_found") == 30
    wait_counted(service, {("200", "v45", "-"): 30}, {("200", "v45", "-"): 30})


def test_what_is_refused_is_counted_by_name(lane):
    before = lane.mesh.metrics().sum("sluice_proxy_refused_total")
    with lane.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nbad field: x\r\n\r\n")
        assert client.wire.reply().status == 400
    wait_for(lambda: lane.mesh.metrics().sum("sluice_proxy_refused_total") == before + 1, "one more")
    assert all(labels["reason"] for labels, _ in lane.mesh.metrics().of("sluice_proxy_refused_total"))


def test_promtool_has_nothing_to_say(lane):
    service = lane.service(lambda s: [{"route": [s.to("v45")], "mirror": s.to("v47")["destination"]}])
    service.ask()
    wait_for(lambda: lane.mesh.metrics().sum("sluice_mirror_requests_total", service=fqdn(service)) == 1, "the copy")
    text = lane.mesh.metrics().text
    for name in (REQUESTS, "sluice_request_first_byte_seconds_bucket", "sluice_mirror_duration_seconds_bucket",
                 "sluice_proxy_samples_lost_total"):
        assert f"\n{name}{{" in text, name
    assert promtool_findings(text) == []


Saw = collections.namedtuple("Saw", "version status ms")
LATE_MS = {"v45": 0, "v47": 60}


def ask_many(lane, service, count, threads=8):
    """What clients saw of so many requests."""
    rows, lock = [], threading.Lock()

    def ask():
        with lane.client() as client:
            for _ in range(count // threads):
                began = time.monotonic()
                reply = service.ask(client=client)
                row = Saw(json.loads(reply.body)["version"], reply.status, 1000 * (time.monotonic() - began))
                with lock:
                    rows.append(row)

    own = [threading.Thread(target=ask) for _ in range(threads)]
    for thread in own:
        thread.start()
    for thread in own:
        thread.join()
    return rows


def test_error_rate_and_p99_per_version_are_what_the_clients_saw(lane, tmp_path):
    service = lane.service(lambda s: [{"route": [s.to("v45", 50), s.to("v47", 50)]}])
    turn = collections.Counter()

    def behave(request):
        time.sleep(LATE_MS[request.version] / 1000)
        turn[request.version] += 1
        status = 500 if turn[request.version] % (5 if request.version == "v45" else 3) == 0 else 200
        return answer(status, json.dumps({"version": request.version}).encode())

    lane.backends.behave = behave
    mesh = lane.mesh
    # A counter that Prometheus first sees with a value has no increase up to it: each series has to be there before.
    first = ask_many(lane, service, 80)
    assert len({(row.status, row.version) for row in first}) == 4
    total = lambda: mesh.metrics().sum(REQUESTS, destination_service=fqdn(service), reporter="source")  # noqa: E731
    wait_for(lambda: total() == len(first), "the first requests")
    prometheus = mesh.cleanup.owns(Prometheus(tmp_path, (mesh.block[251], 9090), ":".join(map(str, mesh.http_address))))
    scraped = f'sum({REQUESTS}{{destination_service="{fqdn(service)}",reporter="source"}}) by (destination_service)'
    saw = lambda: prometheus.by("destination_service", scraped).get(fqdn(service))  # noqa: E731
    wait_for(lambda: saw() == len(first), "the first scrape", 20, 0.1)
    rows = ask_many(lane, service, 400) + ask_many(lane, service, 400)
    wait_for(lambda: saw() == len(first) + len(rows), "the last scrape", 20, 0.1)
    begin, last, samples = wait_for(lambda: sample_times(prometheus), "samples of the same times")
    assert samples > 3
    # A range from the first sample to the last leaves nothing to extrapolate, but the millisecond that includes it.
    span = {"service": fqdn(service), "range": f"{round((last - begin) * 1000) + 1}ms"}

    seen = collections.defaultdict(list)
    for row in rows:
        seen[row.version].append(row)
    increase = 'sum(increase({name}{{{{destination_service="{{service}}",reporter="{reporter}"}}}}[{{range}}])) ' \
               'by (destination_version)'
    for reporter in ("source", "destination"):
        query = increase.format(name=REQUESTS, reporter=reporter).format(**span)
        assert prometheus.by("destination_version", query, last) == pytest.approx(
            {version: len(own) for version, own in seen.items()}, rel=1e-3)
    rates = prometheus.by("destination_version", ERROR_RATE.format(**span), last)
    assert rates == pytest.approx({version: sum(row.status >= 500 for row in own) / len(own)
                                   for version, own in seen.items()}, rel=1e-3)
    slow = prometheus.by("destination_version", P99.format(**span), last)
    for version, own in seen.items():
        assert abs(raw_http.bucket(slow[version]) - raw_http.bucket(p99([row.ms for row in own]))) <= 1, (version, slow)
    assert slow["v47"] > LATE_MS["v47"]
