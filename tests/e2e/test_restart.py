"""The end of the agent, planned or not: nothing happens; --uninstall leaves nothing."""
import json
import signal
import time

import pytest

import rules
from dialling import chi_squared_p
from sandbox import run, wait_for

OPENED = "istio_tcp_connections_opened_total"


def opened(mesh):
    return mesh.metrics().by("destination_version", OPENED, response_flags="-")


@pytest.mark.parametrize("sig,status", [(signal.SIGKILL, -9), (signal.SIGTERM, 0)])
def test_three_ends_of_the_agent_during_10000_connections(ranking, sig, status):
    service = ranking()
    mesh = service.mesh
    mesh.start()
    many = mesh.dialler(service.to, count=10000, threads=3, rate=1500)
    steady = mesh.dialler(service.to, count=10**6, rate=1000, seconds=60)  # one every millisecond
    for _ in range(3):
        time.sleep(0.3)
        assert mesh.stop(sig) == status
        time.sleep(0.3)
        mesh.start()
    many = many.result()
    steady = steady.stop()
    assert len(many) == 10000 and not many.failures
    assert len(steady) > 1000 and not steady.failures
    together = many.versions + steady.versions
    assert 0.0005 < chi_squared_p(together, service.weights), together
    # The kernel counted while nobody was there.
    assert opened(mesh) == dict(together)


def test_health_and_history_are_there_after_a_restart(ranking):
    service = ranking()
    mesh = service.mesh
    mesh.start()
    service.split({"v45": 50, "v47": 50})
    before, generation = opened(mesh), mesh.generation()
    mesh.kill()
    mesh.start()
    assert opened(mesh) == before
    assert mesh.generation() >= generation
    assert mesh.get("/v1/status")["kernel"]["adopted"] is True
    got = service.dial(count=2000, threads=2)
    assert not got.failures and chi_squared_p(got.versions, {"v45": 50, "v47": 50}) > 0.0001
    assert any(row["source"] == "apply" for row in mesh.get("/v1/history"))


def test_rules_that_changed_while_it_was_dead_are_taken_at_the_start(ranking):
    service = ranking(weights={"v45": 1})
    mesh = service.mesh
    mesh.start()
    mesh.kill()
    mesh.write("split.yaml", rules.virtual_service("content-ranking", {"v47": 1}))
    assert dict(service.dial(count=50).versions) == {"v45": 50}, "nobody has read it yet"
    mesh.start()
    assert dict(service.dial(count=50).versions) == {"v47": 50}


def test_an_agent_of_another_abi_is_followed_without_a_failed_connection(ranking):
    service = ranking(weights={"v45": 1})
    mesh = service.mesh
    mesh.start()
    mesh.stop()
    pins = mesh.bpffs.path / "sluice"
    (theirs,) = pins.iterdir()
    theirs.rename(pins / "v0")
    mesh.write("split.yaml", rules.virtual_service("content-ranking", {"v47": 1}))
    steady = mesh.dialler(service.to, count=10**6, rate=1000, seconds=60)
    mesh.start()
    wait_for(lambda: not (pins / "v0").exists(), "the end of the other agent's programs")
    assert dict(service.dial(count=50).versions) == {"v47": 50}
    steady = steady.stop()
    assert set(steady.versions) == {"v45", "v47"} and not steady.failures
    assert "an agent of ABI v0 was in force here" in mesh.log_text()


def test_a_cold_start_with_a_broken_directory_serves_the_last_good_rules(ranking):
    service = ranking(weights={"v47": 1})
    mesh = service.mesh
    mesh.start()
    mesh.stop()
    run(mesh.binaries / "sluiced", *mesh.arguments(), "--uninstall")
    mesh.control(service.to)
    mesh.write("split.yaml", "kind: VirtualService\nspec: [\n")
    mesh.start()
    assert dict(service.dial(count=50).versions) == {"v47": 50}
    assert mesh.get("/v1/status")["config"]["last_error"]


def test_uninstall_leaves_nothing(ranking):
    service = ranking()
    mesh = service.mesh
    mesh.start()
    assert not service.dial(count=50).failures
    attached = json.loads(run("bpftool", "-j", "cgroup", "show", mesh.cgroup.path).stdout)
    ours = {program["id"] for program in attached}
    assert {p["attach_type"] for p in attached} == {
        "cgroup_inet4_connect", "cgroup_inet6_connect", "cgroup_inet4_getpeername", "cgroup_inet6_getpeername",
        "cgroup_sock_ops", "cgroup_inet_sock_release", "cgroup_inet_egress", "cgroup_inet_ingress"}
    assert mesh.bpffs.pins()
    mesh.stop()
    assert mesh.bpffs.pins(), "the end of the agent takes nothing away"
    run(mesh.binaries / "sluiced", *mesh.arguments(), "--uninstall")
    assert mesh.bpffs.pins() == []
    assert run("bpftool", "-j", "cgroup", "show", mesh.cgroup.path).stdout.strip() in ("", "[]")

    def programs_gone():
        return not ours & {p["id"] for p in json.loads(run("bpftool", "-j", "prog", "show").stdout)}
    wait_for(programs_gone, "the programs' end")  # freed after a grace period
    mesh.control(service.to)
    # Twice is no error.
    run(mesh.binaries / "sluiced", *mesh.arguments(), "--uninstall")


def test_a_second_agent_on_the_same_run_directory_is_refused(ranking):
    service = ranking()
    mesh = service.mesh
    mesh.start()
    second = run(mesh.binaries / "sluiced", *mesh.arguments(), check=False, timeout=20)
    assert second.returncode == 1 and second.stderr + second.stdout
    assert not service.dial(count=20).failures and mesh.agent.poll() is None
