"""Who is asking decides which rules there are: cgroup -> workload -> namespace."""
import rules
from sandbox import wait_for

HOST = "content-ranking.ml-serving.svc.cluster.local"


def test_two_clients_see_two_virtual_services_for_one_host(ranking):
    """A private rule of the client's namespace goes before the public one (exportTo, namespace precedence)."""
    service = ranking(weights={"v45": 1})
    mesh = service.mesh
    team_a, team_b = mesh.clients.child("a"), mesh.clients.child("b")
    mesh.write("clients.yaml", rules.client("a", team_a, ns="team-a"), rules.client("b", team_b, ns="team-b"))
    mesh.write("private.yaml", rules.virtual_service("mine", {"v47": 1}, ns="team-a", host=HOST, export_to=["."]))
    mesh.start()
    # Both at once, in one run.
    a = mesh.dialler(service.to, team_a, count=2000, threads=2)
    b = mesh.dialler(service.to, team_b, count=2000, threads=2)
    assert dict(a.result().versions) == {"v47": 2000}
    assert dict(b.result().versions) == {"v45": 2000}
    # Processes in no known cgroup see what is exported to all.
    assert dict(mesh.dial(service.to, count=100).versions) == {"v45": 100}


def test_nested_cgroups_belong_to_their_client(ranking):
    service = ranking(weights={"v45": 1})
    mesh = service.mesh
    pod = mesh.clients.child("pod")
    container = pod.child("container")
    mesh.write("clients.yaml", rules.client("a", pod, ns="team-a"))
    mesh.write("private.yaml", rules.virtual_service("mine", {"v47": 1}, ns="team-a", host=HOST, export_to=["."]))
    mesh.start()
    assert dict(mesh.dial(service.to, container, count=50).versions) == {"v47": 50}
    # A container that starts later is found too.
    assert dict(mesh.dial(service.to, pod.child("later").child("deeper"), count=50).versions) == {"v47": 50}


def test_a_destination_rule_of_the_clients_namespace_goes_first(ranking):
    """Subsets of the client's own rule are used, not those of the service's namespace; nothing is merged."""
    service = ranking(weights={"v45": 1})
    mesh = service.mesh
    team_a = mesh.clients.child("a")
    own = rules.destination_rule("own", ["v45"], ns="team-a", export_to=["."])
    own["spec"]["host"] = HOST
    own["spec"]["subsets"] = [{"name": "v45", "labels": {"model-version": "v43"}}]
    mesh.write("clients.yaml", rules.client("a", team_a, ns="team-a"))
    mesh.write("own.yaml", own)
    mesh.start()
    assert dict(mesh.dial(service.to, team_a, count=60).versions) == {"v43": 60}
    assert dict(mesh.dial(service.to, count=60).versions) == {"v45": 60}


def test_a_service_is_seen_only_where_it_is_exported(mesh):
    servers = mesh.serve_versions({"v45": 1})
    to = f"{mesh.block[1]}:8080"
    inside, outside = mesh.clients.child("inside"), mesh.clients.child("outside")
    mesh.write("all.yaml", rules.service_entry("private", mesh.block[1], servers, export_to=["."]),
               rules.client("inside", inside), rules.client("outside", outside, ns="elsewhere"))
    mesh.control(to, cgroup=inside)
    mesh.start()
    assert not mesh.dial(to, inside, count=30).failures
    assert not mesh.dial(to, outside, count=3).ok
    assert not mesh.dial(to, count=3).ok


def test_a_client_cgroup_that_is_made_later_is_found(ranking):
    service = ranking(weights={"v45": 1})
    mesh = service.mesh
    late = rules.client("late", mesh.clients, ns="team-a")
    late["metadata"]["annotations"]["sluice.dev/cgroup"] = f"{mesh.clients.relative()}/late"
    mesh.write("clients.yaml", late)
    mesh.write("private.yaml", rules.virtual_service("mine", {"v47": 1}, ns="team-a", host=HOST, export_to=["."]))
    mesh.start()
    cgroup = mesh.clients.child("late")
    wait_for(lambda: dict(mesh.dial(service.to, cgroup, count=5).versions) == {"v47": 5}, "the new client's rules")


def test_metrics_name_the_client(ranking):
    service = ranking(weights={"v45": 1})
    mesh = service.mesh
    known = mesh.clients.child("known")
    mesh.write("clients.yaml", rules.client("api-gateway", known, ns="front"))
    mesh.start()
    assert len(mesh.dial(service.to, known, count=40).ok) == 40
    assert len(mesh.dial(service.to, count=7).ok) == 7
    metrics = mesh.metrics()
    opened = "istio_tcp_connections_opened_total"
    assert metrics.sum(opened, source_workload="api-gateway", source_workload_namespace="front",
                       source_app="api-gateway", source_version="v1") == 40
    assert metrics.sum(opened, source_workload="unknown", source_workload_namespace="unknown") == 7


def test_max_connections_counts_per_client(ranking):
    """connectionPool.tcp.maxConnections: over the limit ECONNREFUSED and UO; each client workload has its own."""
    service = ranking(weights={"v45": 1}, pool={"tcp": {"maxConnections": 4}})
    mesh = service.mesh
    a, b = mesh.clients.child("a"), mesh.clients.child("b")
    mesh.write("clients.yaml", rules.client("a", a), rules.client("b", b))
    mesh.start()
    for server in mesh.models["v45"]:
        server.fault("slow", ms=1500)
    loud = mesh.dial(service.to, a, count=12, threads=12)
    assert len(loud.ok) == 4 and loud.failures == {"ECONNREFUSED": 8}, loud.failures
    busy = mesh.dialler(service.to, a, count=4, threads=4)
    quiet = mesh.dial(service.to, b, count=4, threads=4)
    assert len(quiet.ok) == 4 and len(busy.result().ok) == 4
    assert mesh.metrics().sum("istio_tcp_connections_opened_total", response_flags="UO") == 8
    # And the places come free again.
    assert len(mesh.dial(service.to, a, count=4, threads=4).ok) == 4
