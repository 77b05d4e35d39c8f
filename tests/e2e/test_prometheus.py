"""The two queries of the source text, asked of a real Prometheus that scrapes a real agent, give what clients saw."""
import collections

import pytest

import raw_http
from prometheus import Prometheus
from sandbox import wait_for
from web import REQUESTS, SERVICE, Web

# "P99 latency per model version" and "Error rate per model version", with the service's whole name and their range.
P99 = """
histogram_quantile(0.99,
  sum(rate(istio_request_duration_milliseconds_bucket{{destination_service="{service}"}}[{range}])) by (le, destination_version)
)
"""
ERROR_RATE = """
sum(rate(istio_requests_total{{destination_service="{service}", response_code=~"5.."}}[{range}])) by (destination_version)
/
sum(rate(istio_requests_total{{destination_service="{service}"}}[{range}])) by (destination_version)
"""
VERSIONS = {"v45": 2, "v47": 1}
LATE_MS = {"v45": 0, "v47": 60}


def sample_times(prometheus):
    """When the counters of requests were scraped, the same times for all of them: first, last, in seconds."""
    rows = prometheus.query(f"{REQUESTS}[1h]")
    spans = {(values[0][0], values[-1][0], len(values)) for values in (row["values"] for row in rows)}
    return spans.pop() if len(spans) == 1 else None


def p99(values):
    return sorted(values)[int(0.99 * (len(values) - 1))]


@pytest.mark.parametrize("restart", [False, True])
def test_error_rate_and_p99_per_version_are_what_the_clients_saw(mesh, tmp_path, restart):
    web = Web(mesh, VERSIONS, {"v45": 50, "v47": 50}, LATE_MS)
    cgroup = web.client("api-gateway")
    mesh.start()
    ask = lambda count, seed: mesh.cleanup.owns(  # noqa: E731
        raw_http.raw(web.to, cgroup, count, threads=12, mode="timed", seed=seed)).result()
    # A counter that Prometheus first sees with a value has no increase up to it: each series has to be there before.
    first = ask(400, 1)
    kinds = {(row.status, row.version) for row in first}
    assert len(kinds) == 6 * len(VERSIONS)
    wait_for(lambda: mesh.metrics().sum(REQUESTS) == len(first), "the first requests")
    prometheus = mesh.cleanup.owns(Prometheus(tmp_path, (mesh.block[251], 9090), ":".join(map(str, mesh.http_address))))
    wait_for(lambda: sum(prometheus.by("response_code", f"sum({REQUESTS}) by (response_code)").values()) == len(first),
             "the first scrape", 20, 0.1)
    rows = []
    for seed in range(2, 5):
        rows += ask(400, seed)
        if restart:  # what the kernel counted is no counter that begins again
            mesh.kill()
            mesh.start()
    assert {row.result for row in first + rows} == {"ok"} and {(row.status, row.version) for row in rows} <= kinds
    total = len(first) + len(rows)
    wait_for(lambda: sum(prometheus.by("response_code", f"sum({REQUESTS}) by (response_code)").values()) == total,
             "the last scrape", 20, 0.1)
    begin, last, samples = wait_for(lambda: sample_times(prometheus), "samples of the same times")
    assert samples > 3
    # A range from the first sample to the last leaves nothing to extrapolate, but the millisecond that includes it.
    span = {"service": SERVICE, "range": f"{round((last - begin) * 1000) + 1}ms"}

    seen = collections.defaultdict(list)
    for row in rows:
        seen[row.version].append(row)
    increases = prometheus.by("destination_version", "sum(increase(istio_requests_total{{destination_service=\"{service}\"}}"
                              "[{range}])) by (destination_version)".format(**span), last)
    assert increases == pytest.approx({version: len(own) for version, own in seen.items()}, rel=1e-3)
    rates = prometheus.by("destination_version", ERROR_RATE.format(**span), last)
    assert rates == pytest.approx({version: sum(row.status >= 500 for row in own) / len(own)
                                   for version, own in seen.items()}, rel=1e-3)
    slow = prometheus.by("destination_version", P99.format(**span), last)
    for version, own in seen.items():
        assert abs(raw_http.bucket(slow[version]) - raw_http.bucket(p99([row.ms for row in own]))) <= 1, (version, slow)
    assert slow["v47"] > LATE_MS["v47"] > min(row.ms for row in seen["v45"])
    assert sum(prometheus.by("instance", "up").values()) == 1
