"""What a scrape sees."""
import http.client

import rules
from metrics import promtool_findings
from sandbox import wait_for

LABELS = {"reporter", "source_workload", "source_canonical_service", "source_canonical_revision",
          "source_workload_namespace", "source_principal", "source_app", "source_version", "source_cluster",
          "destination_workload", "destination_workload_namespace", "destination_principal", "destination_app",
          "destination_version", "destination_service", "destination_canonical_service",
          "destination_canonical_revision", "destination_service_name", "destination_service_namespace",
          "destination_cluster", "request_protocol", "response_flags", "connection_security_policy"}
TCP = ("istio_tcp_connections_opened_total", "istio_tcp_connections_closed_total", "istio_tcp_sent_bytes_total",
       "istio_tcp_received_bytes_total")


def test_istio_metrics_have_every_label(ranking):
    service = ranking()
    mesh = service.mesh
    mesh.write("clients.yaml", rules.client("api-gateway", mesh.clients, ns="front"))
    mesh.start()
    got = service.dial(count=400, threads=2)
    assert not got.failures
    wait_for(lambda: mesh.active() == (0, 0), "all closed")
    metrics = mesh.metrics()
    for name in TCP:
        rows = metrics.of(name)
        assert rows and all(set(labels) == LABELS for labels, _ in rows), (name, rows[:1])
        assert all(value for labels in rows for value in labels[0].values()), "no label is empty"
    for version in service.weights:
        labels = dict(reporter="source", source_workload="api-gateway", source_workload_namespace="front",
                      source_canonical_service="api-gateway", source_app="api-gateway",
                      destination_version=version, destination_app="content-ranking",
                      destination_service="content-ranking.ml-serving.svc.cluster.local",
                      destination_service_name="content-ranking", destination_service_namespace="ml-serving",
                      request_protocol="tcp", connection_security_policy="unknown", response_flags="-",
                      source_principal="unknown", source_cluster="unknown")
        for name in TCP[:2]:
            assert metrics.sum(name, **labels) == got.versions[version], (name, version)


def test_bytes_are_those_of_the_wire(ranking):
    service = ranking(weights={"v45": 1})
    mesh = service.mesh
    mesh.start()
    got = service.dial(count=100)
    wait_for(lambda: mesh.active() == (0, 0), "all closed")
    metrics = mesh.metrics()
    # Istio's view: received from the client, sent to the client.
    received, sent = metrics.sum(TCP[3]), metrics.sum(TCP[2])
    assert 100 * 120 < received < 100 * 300 and received % 100 == 0, "100 requests of one length"
    assert 100 * 150 < sent < 100 * 400
    assert len(got.ok) == 100


def test_promtool_has_nothing_to_say(ranking):
    service = ranking()
    mesh = service.mesh
    mesh.start()
    service.dial(count=200)
    wait_for(lambda: mesh.metrics().sum("istio_requests_total") == 200, "requests")
    text = mesh.metrics().text
    assert "\nistio_request_duration_milliseconds_bucket{" in text
    assert promtool_findings(text) == []


def test_sluice_metrics(ranking):
    service = ranking(weights={"v45": 1})
    mesh = service.mesh
    mesh.start()
    service.dial(count=150)
    metrics = mesh.metrics()
    assert metrics.sum("sluice_picks_total", subset="v45") == 150
    assert metrics.sum("sluice_connect_duration_seconds_count", subset="v45", version="v45") == 150
    assert metrics.sum("sluice_connect_duration_seconds_bucket", subset="v45", le="+Inf") == 150
    buckets = [value for _, value in metrics.of("sluice_connect_duration_seconds_bucket", subset="v45")]
    assert buckets == sorted(buckets), "cumulative"
    assert metrics.sum("sluice_generation") == mesh.generation()
    assert metrics.sum("sluice_config_load_errors_total") == 0
    used = metrics.by("table", "sluice_table_used")
    assert all(used[table] <= metrics.sum("sluice_table_capacity", table=table) for table in used) and len(used) >= 6
    (mesh.config / "split.yaml").write_text("nonsense: [")
    wait_for(lambda: mesh.metrics().sum("sluice_config_load_errors_total") >= 1, "the load error")


def test_the_tcp_port_answers_and_does_not_write(ranking):
    mesh = ranking().mesh
    mesh.start()
    assert mesh.http("/healthz")[0] == 200 and mesh.http("/readyz")[0] == 200
    assert mesh.http("/v1/status")[0] == 200
    assert mesh.http("/v1/nothing")[0] == 404
    assert mesh.http("/metrics", "POST", "x")[0] in (403, 404, 405)
    connection = http.client.HTTPConnection(*mesh.http_address, timeout=5)
    connection.request("GET", "/metrics")
    assert connection.getresponse().getheader("content-type").startswith("text/plain")
    connection.close()
