"""Clients that dial a service as ever reach the agent's proxy, in whatever network namespace they are."""
import multiprocessing
import pathlib
import threading
import time

import pytest

import rules
from captured import NAME, PREMIUM, Captured, ask, premium_route
from sandbox import inside, run, wait_for


def started(mesh, netns=None):
    service = Captured(mesh, netns)
    assert service.ask() != ["v45"], "the control run must fail"
    mesh.start()
    return service


def test_each_request_of_a_captured_connection_is_routed_by_its_headers(mesh):
    service = started(mesh)
    assert service.ask(count=3) == ["v45"] * 3
    assert service.ask(PREMIUM, count=3) == ["v47"] * 3
    assert service.counted("captured") == 2 and service.counted("capture_fallback") == 0


def test_the_host_picks_the_service_and_an_unknown_one_means_what_was_dialled(mesh):
    service = started(mesh)
    other = mesh.block[2]
    mesh.apply(rules.service_entry("other", other, service.servers),
               rules.destination_rule("other", service.servers), premium_route("other"))
    assert service.ask(PREMIUM, host="nobody.example") == ["v47"]
    assert service.ask(PREMIUM, host=f"other.{rules.NS}.svc.cluster.local") == ["v47"]
    mesh.apply(premium_route("other", fault={"abort": {"httpStatus": 418, "percentage": {"value": 100}}}))
    assert service.ask(host=f"other.{rules.NS}.svc.cluster.local") == [418]
    assert service.ask() == ["v45"]


def test_connections_to_servers_are_made_in_the_clients_network_namespace(mesh, netns):
    inner = netns()
    service = started(mesh, inner)
    # A namespace that the agent has not seen yet is opened at once, so that at most the first connection goes alone.
    wait_for(lambda: service.ask(PREMIUM) == ["v47"], "capture in the namespace")
    assert service.ask(count=2) == ["v45"] * 2
    assert service.ask(PREMIUM, count=2) == ["v47"] * 2
    facts = service.capture()
    assert facts["namespaces"] == 2 and not facts["errors"] and facts["processes_denied"] == 0, facts


def test_the_workers_carry_requests_without_any_capability(mesh, netns):
    service = started(mesh, netns())
    wait_for(lambda: service.ask(PREMIUM) == ["v47"], "capture in the namespace")
    held = {}
    for task in pathlib.Path(f"/proc/{mesh.agent.pid}/task").iterdir():
        fields = dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if ":\t" in line)
        held.setdefault(fields["Name"], set()).update(int(fields[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb"))
    workers = {name: caps for name, caps in held.items() if name.startswith("sluice-w")}
    assert workers and all(caps == {0} for caps in workers.values()), held
    assert held["sluiced"] != {0}, "the control thread needs its own"


def test_a_namespace_that_everybody_left_is_left_by_the_agent_too(mesh, netns):
    inner = netns()
    service = started(mesh, inner)
    wait_for(lambda: service.ask(PREMIUM) == ["v47"], "capture in the namespace")
    assert service.capture()["namespaces"] == 2
    wait_for(lambda: service.capture()["namespaces"] == 1, "the end of its listeners", 20)
    wait_for(lambda: not inner.command("ss", "-Htn", "state", "established").stdout, "the end of idle connections")
    wait_for(lambda: service.ask(PREMIUM) == ["v47"], "capture when somebody comes again")


def test_without_the_agent_new_connections_get_the_weights_and_with_it_the_rules_again(mesh):
    service = started(mesh)
    assert service.ask(PREMIUM) == ["v47"]
    mesh.kill()
    assert service.ask(PREMIUM) == ["v45"], "the rule without a match"
    mesh.start()
    assert service.ask(PREMIUM) == ["v47"]
    assert service.counted("capture_fallback") == 1


def test_rules_that_nobody_may_go_around_refuse_without_the_agent(mesh):
    service = started(mesh)
    mesh.apply(premium_route(fault={"abort": {"httpStatus": 418, "percentage": {"value": 100}}}))
    assert service.ask() == [418] and service.ask(PREMIUM) == ["v47"]
    mesh.kill()
    assert service.ask() == ["refused"] and service.ask(PREMIUM) == ["refused"]
    mesh.start()
    assert service.ask() == [418]
    assert service.counted("capture_refused") == 2


def test_no_moment_is_without_a_route_while_the_agent_comes_and_goes(mesh):
    service = started(mesh)
    fell_back = multiprocessing.Event()

    def ask_on():
        """(begun, answer) of requests, each on its own connection, until the agent was gone and is back."""
        seen, end = [], time.monotonic() + 40
        while time.monotonic() < end:
            begun = time.monotonic()
            try:
                (answer,) = ask(service.to, PREMIUM)
            except OSError:
                answer = "cut"
            seen.append((begun, answer))
            if answer == "v45":
                fell_back.set()
            elif answer == "v47" and fell_back.is_set():
                break
        return seen

    result = {}
    client = threading.Thread(target=lambda: result.update(seen=inside(ask_on, mesh.clients)))
    client.start()
    wait_for(lambda: service.counted("captured") > 50, "traffic")
    mesh.kill()
    gone = time.monotonic()
    assert fell_back.wait(20), "no request went without the agent"
    mesh.start()
    client.join()
    answers = [answer for _, answer in result["seen"]]
    assert answers[0] == "v47" and answers[-1] == "v47", answers[-5:]
    # What was inside the proxy, or on its way to it, ends with it; nothing that began later does.
    later = {answer for begun, answer in result["seen"] if begun > gone}
    assert later == {"v45", "v47"} and set(answers) <= {"v45", "v47", "cut", "refused"}, (later, set(answers))


def test_clients_see_the_rules_of_their_own_namespace(mesh):
    service = Captured(mesh)
    team, others = mesh.cgroup.child("team"), mesh.cgroup.child("others")
    mesh.write("clients.yaml", rules.client("reporter", team, ns="team"), rules.client("other", others, ns="others"))
    hidden = premium_route(host=f"{NAME}.{rules.NS}.svc.cluster.local", rule_name="hidden")
    hidden["metadata"]["namespace"] = "team"
    hidden["spec"]["exportTo"] = ["."]
    hidden["spec"]["http"][0]["match"] = [{"headers": {"x-team": {"exact": "yes"}}}]
    mesh.write("hidden.yaml", hidden)
    mesh.start()
    for cgroup, headers, version in ((team, {"x-team": "yes"}, "v47"), (team, PREMIUM, "v45"),
                                     (others, {"x-team": "yes"}, "v45"), (others, PREMIUM, "v47"),
                                     (mesh.clients, PREMIUM, "v47")):
        assert service.ask(headers, cgroup) == [version], (cgroup, headers)


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_both_families(mesh, netns, family):
    inner = netns()
    virtual = "fd00::1" if family == "v6" else mesh.block[1]
    service = Captured(mesh, inner)
    mesh.write("service.yaml", rules.service_entry(NAME, virtual, service.servers))
    service.to = (virtual, 8080)
    mesh.start()
    wait_for(lambda: service.ask(PREMIUM) == ["v47"], "capture in the namespace")


def test_uninstall_leaves_nothing(mesh):
    service = started(mesh)
    assert service.ask() == ["v45"]
    mesh.stop()
    run(mesh.binaries / "sluiced", *mesh.arguments(), "--uninstall")
    assert mesh.bpffs.pins() == []
    assert service.ask() != ["v45"]
