"""Every query of every board and rule of deploy/ finds data: a real Prometheus with those rules scrapes a real agent with traffic
on both lanes, retries, ejections, a mirror, a canary and an experiment."""
import math
import sys

import pytest

import boards
import rules
from prometheus import Prometheus
from sandbox import run, spawn, wait_for

CLIENT = boards.DEPLOY.parent / "tests/harness/mixed_client.py"
SERVICES = ("features", "breaking", "limited", "ranking")
VALUES = {"namespace": "ml-serving", "service": "|".join(f"{name}.ml-serving.svc.cluster.local" for name in SERVICES),
          "instance": ".*", "experiment": "ranking-arms"}
# Empty by nature: what should be so on a healthy node, or cannot be made here.
EMPTY = {
    "agent: Time in kernel programs A": "kernel.bpf_stats_enabled is the whole machine's",
    "agent: Drained B": "no drain fails here",
    "agent: Said less than happened B": "no line of the access log is lost",
    "experiments: Lines lost a second A": "no line of the exposure log is lost",
    "alerts: SluiceDrainFailures": "no drain fails here",
    "alerts: SluiceExposuresDropped": "no line of the exposure log is lost",
}


def policy(name, versions, **options):
    return rules.destination_rule(name, versions, lb="LEAST_REQUEST", **options)


def to(subset, weight=None):
    return {"destination": {"host": "ranking", "subset": subset}} | ({"weight": weight} if weight is not None else {})


def ranking(v47):
    """Premium users, users of an experiment, and everybody else: whom the canary moves."""
    made = rules.virtual_service("ranking", {})
    del made["metadata"]["annotations"]
    made["spec"]["http"] = [
        {"name": "premium", "match": [{"headers": {"x-user-segment": {"exact": "premium"}}}], "route": [to("v47")]},
        {"name": "arms", "match": [{"headers": {"x-user-id": {"regex": ".+"}}}], "route": [to("v45", 50), to("v47", 50)]},
        {"name": "everyone", "route": [to("v45", 100 - v47), to("v47", v47)], "retries": {"attempts": 2, "retryOn": "5xx"},
         # Copies for a subset that is not there are skipped, and counted.
         "mirrors": [{"destination": {"host": "ranking", "subset": "v48"}}, {"destination": {"host": "ranking", "subset": "v49"}}]}]
    return made


def ours(kind, name, spec):
    return {"apiVersion": "sluice.dev/v1", "kind": kind, "metadata": {"name": name, "namespace": "ml-serving"}, "spec": spec}


EXPERIMENT = ours("Experiment", "ranking-arms", {
    "host": "ranking", "route": "arms", "httpHeaderName": "x-user-id", "exposure": {"percentage": 100},
    "arms": [{"name": "control", "subset": "v45", "weight": 60}, {"name": "treatment", "subset": "v47", "weight": 40}]})
CANARY = ours("Canary", "ranking-v47", {
    "host": "ranking", "route": "everyone", "champion": "v45", "challenger": "v47", "interval": "200ms", "minimumRequests": 20,
    "stages": [{"weight": 25, "hold": "10m"}, {"weight": 100}],
    "gates": [{"name": "errors", "errorRate": {"max": 60}}, {"name": "tail", "latency": {"quantile": 99, "max": "5s"}}]})


class Place:
    """A mesh with the four services, its client, and the Prometheus that watches it."""

    def __init__(self, mesh, directory):
        self.mesh, block = mesh, mesh.block
        self.to = {name: f"{block[1 + i]}:8080" for i, name in enumerate(SERVICES)}
        servers = {"features": {"v45": 2, "v47": 1}, "breaking": {"v1": 1}, "limited": {"v1": 1},
                   "ranking": {"v45": 2, "v47": 1, "v48": 1}}
        hosts = iter(range(100, 200))
        self.addresses = {name: {version: [block[next(hosts)] for _ in range(count)] for version, count in versions.items()}
                          for name, versions in servers.items()}
        self.models = {(name, version): mesh.serve(version, addresses) for name, versions in self.addresses.items()
                       for version, addresses in versions.items()}
        out = {"consecutive5xxErrors": 3, "interval": "0.5s", "baseEjectionTime": "0.5s", "maxEjectionPercent": 50}
        for name in SERVICES:
            mesh.write(f"{name}.yaml", rules.service_entry(name, self.to[name].split(":")[0], self.addresses[name]))
        mesh.write("features-rules.yaml", policy("features", servers["features"], outlier=out),
                   rules.virtual_service("features", {"v45": 80, "v47": 20}))
        mesh.write("breaking-rules.yaml", policy("breaking", servers["breaking"],
                                                 outlier=out | {"baseEjectionTime": "10m", "maxEjectionPercent": 100}),
                   rules.virtual_service("breaking", {"v1": 100}))
        mesh.write("limited-rules.yaml", policy("limited", servers["limited"], pool={"tcp": {"maxConnections": 1}}))
        mesh.write("ranking-rules.yaml", policy("ranking", servers["ranking"], outlier=out | {"consecutive5xxErrors": 20}),
                   ranking(10), EXPERIMENT, CANARY)
        self.fail("features", "v45", "503", 0)
        self.fail("features", "v47", "503", 0)
        self.fail("breaking", "v1", "500", 0)
        self.fail("ranking", "v45", "503", 0)
        mesh.start("--references", "warn", "--exposure-log", directory / "exposures.jsonl")
        self.client = spawn([sys.executable, CLIENT, *self.to.values()], mesh.clients)
        mesh.cleanup.add(self.client.kill)
        target = ":".join(map(str, mesh.http_address))
        self.prometheus = mesh.cleanup.owns(Prometheus(directory, (block[251], 9090), target, rules=boards.RULES))

    def fail(self, name, version, fault, server):
        self.models[name, version].fault(fault, server=f"{self.addresses[name][version][server]}:8080")

    def has_data(self, query):
        """Some element of the answer is a number; NaN is what nothing divided by nothing gives."""
        return any(not math.isnan(float(row["value"][1])) for row in self.prometheus.query(query))


@pytest.fixture
def place(mesh, tmp_path):
    return Place(mesh, tmp_path)


def wait_for_data(place, queries):
    """Waits until each (place, query) has data; the places of those that stay empty."""
    missing = dict(queries)

    def all_there():
        for where in [where for where, query in missing.items() if place.has_data(query)]:
            del missing[where]
        return not missing
    try:
        wait_for(all_there, "data", 60, 0.5)
    except TimeoutError:
        pass
    return missing


def canary_state(place):
    return place.prometheus.by("state", 'sluice_canary_state{canary="ranking-v47"} == 1')


def test_every_query_of_boards_and_rules_finds_data(place):
    place.mesh.sluice("canary", "start", "ranking-v47", "-m", "to see it on the boards")
    queries = [row for row in boards.everything(VALUES) if row[0] not in EMPTY and "ALERTS" not in row[1]]
    alerts = {where for where, _ in boards.rule_queries(boards.RULES[1])}
    # An alert that does not fire has no data, but what it looks at has.
    looked_at = {f"{where}: {selector}": selector for where, query in queries if where in alerts for selector in boards.selectors(query)}
    assert EMPTY.keys() <= {where for where, _ in boards.everything(VALUES)}, "what is excused is there"
    asked = [row for row in queries if row[0] not in alerts] + list(looked_at.items())
    wait_for(lambda: place.prometheus.by("job", "sluice_generation"), "a scrape", 20, 0.2)
    place.mesh.apply(rules.virtual_service("features", {"v45": 70, "v47": 30}))
    missing = wait_for_data(place, asked)
    print(f"{len(asked) - len(missing)} of {len(asked)} queries of {len(boards.BOARDS)} boards and {len(boards.RULES)} rule files have data")
    assert not missing, "\n".join(f"{where}: {query}" for where, query in missing.items())
    assert canary_state(place) == {"stage": 1}


def test_boards_and_alerts_say_what_is_so(place):
    ask = place.prometheus
    place.mesh.sluice("canary", "start", "ranking-v47", "-m", "to see it on the boards")
    wait_for(lambda: canary_state(place) == {"stage": 1}, "the canary's first stage", 20, 0.2)
    everyone = 'sluice_route_weight{destination_service=~"ranking.*", route="everyone"}'
    wait_for(lambda: ask.by("subset", everyone) == {"v45": 0.75, "v47": 0.25}, "the shares as the canary set them", 20, 0.2)

    place.mesh.apply(rules.virtual_service("features", {"v45": 70, "v47": 30}))
    wait_for(lambda: ask.by("subset", 'sluice_route_weight{destination_service=~"features.*"}') == {"v45": 0.7, "v47": 0.3},
             "the shares as set", 20, 0.2)
    one = VALUES | {"service": "ranking.ml-serving.svc.cluster.local"}
    retries = [query for where, query in boards.everything(one) if where == "service: Tries a request A"][0]
    wait_for(lambda: any(float(row["value"][1]) > 1.01 for row in ask.query(retries)), "tries beyond requests", 30, 0.2)

    firing = 'ALERTS{alertstate="firing"}'
    wait_for(lambda: "SluiceEjections" in ask.by("alertname", firing), "servers that fail again and again", 60, 0.5)
    assert "SluiceCanaryAborted" not in ask.by("alertname", firing)
    place.mesh.sluice("canary", "abort", "ranking-v47", "-m", "seen enough")
    wait_for(lambda: "SluiceCanaryAborted" in ask.by("alertname", firing), "an aborted canary", 20, 0.2)
    overview = [query for where, query in boards.everything(VALUES) if where == "overview: Alerts that fire A"][0]
    assert {"SluiceCanaryAborted", "SluiceEjections"} <= ask.by("alertname", overview).keys()

    run("kill", "-STOP", str(place.mesh.agent.pid))
    try:
        wait_for(lambda: ask.by("job", "up") == {"sluiced": 0}, "an agent that does not answer", 20, 0.2)
        pending = 'ALERTS{alertname="SluiceAgentDown", alertstate="pending"}'
        wait_for(lambda: ask.by("job", pending), "the alert that waits", 20, 0.2)
    finally:
        run("kill", "-CONT", str(place.mesh.agent.pid))
    wait_for(lambda: not ask.by("job", pending), "the end of the alert", 20, 0.2)
