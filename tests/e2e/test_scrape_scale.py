"""A scrape of a node that knows 100,000 endpoints and has asked 1,000 of them."""
# runs alone: it takes the time
import os
import pathlib
import re
import struct
import time

import pytest
import yaml

import bpf_rows
import rules
from mesh import REPOSITORY, Mesh
from metrics import Metrics, promtool_findings

SERVICES, ENDPOINTS = 1000, 100
SHARDS, BUCKETS = 8, 20
STATUSES = (200, 503)
LINES = 20_000  # telemetry/series.h
NONE = 0xffffffff


@pytest.fixture
def release(tmp_path):
    """A mesh on the binaries that ship: sanitizers have times of their own."""
    build = pathlib.Path(os.environ.get("SLUICE_BUILD", REPOSITORY / "build"))
    made = Mesh(tmp_path, build / "release/bin")
    try:
        yield made
    finally:
        made.remove()


def write_world(mesh):
    """1,000 services with 100 endpoints each, of ten workloads. Nobody listens anywhere."""
    for number in range(SERVICES):
        name = f"model-{number:04}"
        entry = rules.service_entry(name, mesh.block[1], {"v1": []}, port=10000 + number)
        entry["spec"]["endpoints"] = [
            {"address": f"127.{128 + number // 250}.{number % 250}.{host}", "ports": {"http": 8080},
             "labels": {"app": name, "version": "v1", "service.istio.io/canonical-name": f"{name}-{host // 10}"}}
            for host in range(ENDPOINTS)]
        mesh.write(f"{name}.yaml", yaml.dump(entry, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper)))


def pairs(mesh):
    """(cluster, destination workload) of one endpoint a cluster, as the tables number them."""
    found = {}
    for row in mesh.get("/v1/maps/endpoints")["rows"]:
        fields = dict(re.findall(r"(\w+)=(\S+)", row))
        found.setdefault(int(fields["cluster"]), int(fields["workload"]))
    return list(found.items())


def request_rows(pairs_):
    """(key, value) of sl_request_key and sl_request_counts (include/sluice/abi/http.h)."""
    for cluster, workload in pairs_:
        for status in STATUSES:
            for shard in range(SHARDS):
                histogram = [0] * BUCKETS
                histogram[3] = 5
                counts = struct.pack(f"<{5 + 4 * BUCKETS}Q", 5, 35_000_000, 30_000_000, 600, 5000, *(4 * histogram))
                yield struct.pack("<IIIHBB", 0, cluster, workload, status, 0, shard), counts


def flow_rows(pairs_):
    """sl_flow_key and sl_flow (include/sluice/abi/conn.h): established connections."""
    for cluster, workload in pairs_:
        yield struct.pack("<4I", 0, cluster, workload, 1), struct.pack("<28Q", 3, 3, 600, 5000, *([0] * 24))


def test_a_scrape_of_100000_endpoints_takes_200_ms_and_30_mb(release):
    mesh = release
    write_world(mesh)
    mesh.start(seconds=60)
    assert len(mesh.get("/v1/endpoints?host=model-0007")) == ENDPOINTS
    asked = pairs(mesh)
    assert len(asked) == SERVICES and len({workload for _, workload in asked}) == SERVICES
    pins = next(mesh.bpffs.path.glob("sluice/v*/maps"))
    rows = list(request_rows(asked))
    bpf_rows.update(pins / "requests", rows)
    bpf_rows.update(pins / "flows", flow_rows(asked))
    times, memory = [], []
    for _ in range(7):
        begin = time.monotonic()
        status, text = mesh.http("/metrics")
        times.append(time.monotonic() - begin)
        memory.append(Metrics("\n".join(re.findall(r"^process_resident_memory_bytes .*", text, re.M)))
                      .sum("process_resident_memory_bytes"))
        assert status == 200
    print(f"scrapes: {', '.join(f'{t * 1e3:.0f}' for t in times)} ms; {len(text) / 1e6:.1f} MB; resident "
          f"{memory[0] / 1e6:.0f} to {memory[-1] / 1e6:.0f} MB")
    assert sorted(times)[len(times) // 2] < 0.2, times
    assert len(text) < 30e6
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert len(lines) < LINES + 200, "bounded; the series of `other` and those without labels come on top"
    metrics = Metrics(text)
    # Counters are whole, one series an endpoint and status; buckets beyond the bound are summed, and nothing is lost.
    requests = metrics.of("istio_requests_total")
    assert len(requests) == SERVICES * len(STATUSES) and {value for _, value in requests} == {5.0 * SHARDS}
    total = 5 * len(rows)
    assert metrics.sum("istio_request_duration_milliseconds_count") == total
    assert metrics.sum("istio_request_duration_milliseconds_bucket", le="+Inf") == total
    assert metrics.sum("istio_request_duration_milliseconds_count", destination_service="other") > 0
    assert metrics.sum("sluice_metric_series_overflow_total") > 0
    assert metrics.sum("sluice_metric_series") <= LINES
    assert promtool_findings(text) == []
