"""What the kernel says of requests' times is what their clients measured."""
# runs alone: clients that wait for a CPU measure that too
import collections

import raw_http
from web import TIMES, Web, assert_near, finish, histogram, own_histogram, tally

WAITS = (0, 3, 7, 30)


def test_times_are_those_of_the_clients(mesh, tmp_path):
    web = Web(mesh)
    groups = {name: web.client(name) for name in ("raw", "python", "node", "curl")}
    mesh.start()
    rows = finish(mesh, {
        "raw": raw_http.raw(web.to, groups["raw"], 400, mode="timed"),
        "python": raw_http.python(web.to, groups["python"], 200, waits=WAITS),
        "node": raw_http.node(web.to, groups["node"], 200, waits=WAITS),
        "curl": raw_http.Curl(web.to, groups["curl"], 200, tmp_path, waits=WAITS),
    })
    web.wait_counted(sum(map(tally, rows.values()), collections.Counter()))
    metrics = mesh.metrics()
    for name, own in rows.items():
        for metric, unit, field in TIMES:
            counts = histogram(metrics, metric, unit, source_workload=name)
            assert_near(counts, own_histogram(getattr(row, field) for row in own), (name, metric))
            # What the servers waited is there: a quarter each in (1, 5], (5, 10] and (25, 50] ms at least.
            for wait in WAITS:
                slower = sum(counts[raw_http.bucket(wait):])
                assert slower >= sum(row.ms >= wait for row in own) * 0.95, (name, metric, wait, counts)
