"""Weights: how connections are shared out, and that nothing but the weights decides it."""
import pytest

import rules
from dialling import chi_squared_p, runs_z


@pytest.mark.parametrize("run", [1, 2, 3])
def test_20000_connections_at_85_10_5(ranking, run):
    service = ranking()
    service.mesh.start()
    got = service.dial(count=20000, threads=4)
    assert len(got) == 20000 and not got.failures
    assert 0.001 < chi_squared_p(got.versions, service.weights) < 0.999, got.versions
    # Independent draws: neither a rotor (too many runs) nor long stretches (too few).
    assert abs(runs_z([r.version == "v45" for r in got.ok])) < 4
    # Inside a subset round robin is even, whatever the subset's share.
    for version, addresses in service.servers.items():
        counts = [got.servers[f"{a}:8080"] for a in addresses]
        assert max(counts) - min(counts) <= 2, (version, counts)
    opened = service.mesh.metrics().by("destination_version", "istio_tcp_connections_opened_total", response_flags="-")
    assert opened == dict(got.versions)


def test_draws_of_one_thread_have_no_rotor(ranking):
    service = ranking(weights={"v45": 50, "v47": 50})
    service.mesh.start()
    got = service.dial(count=6000, threads=1)
    assert not got.failures and len(got) == 6000
    draws = [r.version == "v45" for r in got.ok]
    assert abs(runs_z(draws)) < 4
    # Nor is one hidden in every second draw.
    assert abs(runs_z(draws[::2])) < 4


def test_weight_0_gets_nothing(ranking):
    service = ranking(weights={"v45": 100, "v47": 0, "v43": 0})
    service.mesh.start()
    got = service.dial(count=5000, threads=4)
    assert dict(got.versions) == {"v45": 5000}
    # Near miss: one in 200 does get its share.
    service.split({"v45": 199, "v47": 1, "v43": 0})
    got = service.dial(count=5000, threads=4)
    assert 5 <= got.versions["v47"] <= 60 and got.versions["v43"] == 0 and not got.failures


def test_weights_need_not_add_to_100(ranking):
    service = ranking(weights={"v45": 1, "v47": 2})
    service.mesh.start()
    got = service.dial(count=9000, threads=4)
    assert not got.failures
    assert 0.001 < chi_squared_p(got.versions, {"v45": 1, "v47": 2}), got.versions


def test_a_destination_alone_gets_everything_whatever_its_weight(ranking):
    service = ranking(weights={"v43": 0})
    service.mesh.start()
    assert dict(service.dial(count=300).versions) == {"v43": 300}


@pytest.mark.parametrize("lb", ["ROUND_ROBIN", "LEAST_REQUEST", "RANDOM"])
def test_load_balancers_use_every_endpoint(ranking, lb):
    service = ranking(weights={"v45": 1}, lb=lb)
    service.mesh.start()
    got = service.dial(count=3000, threads=4)
    assert not got.failures
    counts = {a: got.servers[f"{a}:8080"] for a in service.servers["v45"]}
    assert all(700 < n < 1300 for n in counts.values()), counts


def test_least_request_avoids_the_busy_endpoint(ranking):
    service = ranking(weights={"v45": 1}, lb="LEAST_REQUEST")
    service.mesh.start()
    # Slow servers hold their connections: the third takes what the others are too busy for.
    slow = [f"{a}:8080" for a in service.servers["v45"][:2]]
    for server in service.mesh.models["v45"]:
        for address in slow:
            server.fault("slow", server=address, ms=300)
    got = service.dial(count=600, threads=16, seconds=60)
    assert not got.failures
    fast = got.servers[f"{service.servers['v45'][2]}:8080"]
    # Two draws of three: the idle one is in 5 of 9 pairs, each busy one wins 2 of 9; by chance alone all are equal.
    assert fast > 1.4 * max(got.servers[a] for a in slow), got.servers


def test_source_ip_hash_is_sticky_and_spreads(mesh):
    servers = mesh.serve_versions({"v45": 3})
    policy = rules.destination_rule("sticky", servers)
    policy["spec"]["trafficPolicy"]["loadBalancer"] = {"consistentHash": {"useSourceIp": True}}
    mesh.write("all.yaml", rules.service_entry("sticky", mesh.block[1], servers), policy)
    to = f"{mesh.block[1]}:8080"
    mesh.control(to)
    mesh.start()
    used = set()
    for client in range(30, 60):
        got = mesh.dial(to, count=10, source=mesh.block[client])
        assert not got.failures and len(got.servers) == 1, (client, got.servers)
        used |= set(got.servers)
    assert len(used) == 3


def test_a_port_that_is_no_service_is_left_alone(ranking):
    """Traffic that is not for a mesh address is untouched."""
    service = ranking()
    service.mesh.serve("plain", [f"{service.mesh.block[9]}:8080"])
    service.mesh.start()
    assert dict(service.mesh.dial(f"{service.mesh.block[9]}:8080", count=50).versions) == {"plain": 50}
    assert service.mesh.dial(f"{service.mesh.block[1]}:8081", count=3).failures == {"ECONNREFUSED": 3}
    # A server's own address can still be dialled directly.
    direct = service.servers["v47"][0]
    assert dict(service.mesh.dial(f"{direct}:8080", count=50).servers) == {f"{direct}:8080": 50}
