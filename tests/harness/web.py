"""content-ranking on raw servers, with clients of several kinds, and how their counts compare with the kernel's."""
import collections
import itertools

import raw_http
import rules
from sandbox import wait_for

REQUESTS = "istio_requests_total"
UNOBSERVED = "sluice_unobserved_connections_total"
SERVICE = "content-ranking.ml-serving.svc.cluster.local"
# Histogram, its unit in milliseconds, the field of a client's row.
TIMES = (("istio_request_duration_milliseconds", 1, "ms"), ("sluice_request_first_byte_seconds", 1000, "first_ms"))


class Web:
    """Versions and their number of servers; a version's answers are late by `late_ms[version]`."""

    def __init__(self, mesh, versions=None, weights=None, late_ms=None, **policy):
        versions = versions or {"v45": 2, "v47": 1}
        self.mesh = mesh
        self.to = f"{mesh.block[1]}:8080"
        hosts, addresses = itertools.count(100), {}
        for version, count in versions.items():
            addresses[version] = [mesh.block[next(hosts)] for _ in range(count)]
            mesh.cleanup.owns(raw_http.RawServer(version, [f"{a}:8080" for a in addresses[version]],
                                                 (late_ms or {}).get(version, 0)))
        mesh.write("service.yaml", rules.service_entry("content-ranking", mesh.block[1], addresses))
        mesh.write("policy.yaml", rules.destination_rule("content-ranking", versions, **policy))
        mesh.write("split.yaml", rules.virtual_service("content-ranking", weights or {"v45": 60, "v47": 40}))
        mesh.control(self.to)

    def client(self, name):
        """A cgroup whose processes are the workload `name`."""
        cgroup = self.mesh.cgroup.child(name)
        self.mesh.write(f"client-{name}.yaml", rules.client(name, cgroup))
        return cgroup

    def counted(self, metrics=None, flags="-", **labels):
        """{(code, version): requests} with these response flags."""
        out = collections.Counter()
        for have, value in (metrics or self.mesh.metrics()).of(REQUESTS, response_flags=flags, **labels):
            out[have["response_code"], have["destination_version"]] += int(value)
        return out

    def wait_counted(self, wanted, **labels):
        """Counters follow the last octet of an answer, which a client may see first."""
        try:
            wait_for(lambda: self.counted(**labels) == wanted, "the counts", 5, 0.1)
        except TimeoutError:
            assert self.counted(**labels) == wanted, self.mesh.metrics().of(UNOBSERVED)


def tally(rows):
    """{(code, version): requests} as a client saw them."""
    return collections.Counter((str(row.status), row.version) for row in rows)


def histogram(metrics, name, unit=1, **labels):
    """Counts of each bucket, not cumulative, the last above all bounds. `unit`: 1000 for seconds."""
    by_bound = {}
    for have, value in metrics.of(f"{name}_bucket", **labels):
        bound = float(have["le"]) * unit
        by_bound[bound] = by_bound.get(bound, 0) + value
    cumulative = [by_bound[bound] for bound in sorted(by_bound)]
    assert [*sorted(by_bound)][:-1] == [*raw_http.BOUNDS], sorted(by_bound)
    return [int(b - a) for a, b in zip([0, *cumulative], cumulative)]


def own_histogram(values):
    counts = [0] * (len(raw_http.BOUNDS) + 1)
    for value in values:
        counts[raw_http.bucket(value)] += 1
    return counts


def quantile_bucket(counts, q):
    rank, seen = q * sum(counts), 0
    for index, count in enumerate(counts):
        seen += count
        if seen >= rank:
            return index
    raise ValueError("no counts")


def assert_not_later(kernel, client, what):
    """The kernel's time lies within the client's: no more requests are slower than a bound than the client says. Two
    may be told apart by the client's rounding."""
    assert sum(kernel) == sum(client), (what, kernel, client)
    for index in range(len(client)):
        assert sum(kernel[:index]) >= sum(client[:index]) - 2, (what, index, kernel, client)


def assert_near(kernel, client, what):
    """Both tell of the same times, to one bucket; on a busy machine a client may see one request in 30 later."""
    assert_not_later(kernel, client, what)
    for q in (0.1, 0.2, 0.4, 0.6, 0.9):
        assert abs(quantile_bucket(kernel, q) - quantile_bucket(client, q)) <= 1, (what, q, kernel, client)
    slack = sum(client) / 30
    for index in range(1, len(client)):
        assert sum(kernel[:index]) <= sum(client[:index + 1]) + slack, (what, index, kernel, client)


def finish(mesh, running):
    """Rows of each client, all of which came out well."""
    for one in running.values():
        mesh.cleanup.owns(one)
    rows = {name: client.result() for name, client in running.items()}
    for name, own in rows.items():
        assert {row.result for row in own} == {"ok"}, (name, collections.Counter(row.result for row in own))
    return rows
