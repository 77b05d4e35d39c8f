"""Address families, network namespaces, and what the application sees of it all: the address that it dialled."""
import socket

import pytest

import rules
from asking import ask
from sandbox import inside

VIRTUAL6 = "fd00:51:1::10"
V4, V6 = socket.AF_INET, socket.AF_INET6


@pytest.fixture
def dual(mesh, netns):
    """In a namespace: one service with a virtual address of each family; v4 endpoints are v45, v6 endpoints v47."""
    class Dual:
        pass

    made = Dual()
    made.mesh, made.ns = mesh, netns()
    for i in (1, 2):
        made.ns.address(f"fd00:51:2::{i}/128")
    v4 = [mesh.block[100], mesh.block[101]]
    v6 = ["fd00:51:2::1", "fd00:51:2::2"]
    mesh.serve("v45", [f"{a}:8080" for a in v4], made.ns)
    mesh.serve("v47", [f"[{a}]:8080" for a in v6], made.ns)
    made.virtual4 = mesh.block[1]
    made.only4, made.only6 = mesh.block[2], "fd00:51:1::11"
    mesh.write("dual.yaml", rules.service_entry("dual", [made.virtual4, VIRTUAL6], {"v45": v4, "v47": v6}),
               rules.service_entry("four", [made.only4, "fd00:51:1::4"], {"v45": v4}),
               rules.service_entry("six", [made.only6, mesh.block[6]], {"v47": v6}))
    made.ask = lambda *a, **k: inside(lambda: ask(*a, **k), mesh.clients, made.ns)
    made.many = lambda n, *a, **k: inside(lambda: [ask(*a, **k) for _ in range(n)], mesh.clients, made.ns)
    for family, address in ((V4, made.virtual4), (V6, VIRTUAL6), (V4, made.only4), (V6, made.only6)):
        assert "version" not in made.ask((address, 8080), family, timeout=1)
    return made


def versions(answers):
    assert all("version" in a for a in answers), answers
    return {a["version"] for a in answers}


def test_every_kind_of_socket(dual):
    dual.mesh.start()
    # An IPv4 socket reaches IPv4 endpoints only, and sees the address it dialled.
    got = dual.many(60, (dual.virtual4, 8080), V4)
    assert versions(got) == {"v45"} and {a["peer"] for a in got} == {(dual.virtual4, 8080)}
    # An IPv6 socket may use both families, unless it is V6ONLY.
    got = dual.many(80, (VIRTUAL6, 8080), V6)
    assert versions(got) == {"v45", "v47"} and {a["peer"] for a in got} == {(VIRTUAL6, 8080)}
    got = dual.many(60, (VIRTUAL6, 8080), V6, v6only=1)
    assert versions(got) == {"v47"} and {a["peer"] for a in got} == {(VIRTUAL6, 8080)}
    # v4-mapped: dialled on an IPv6 socket, reported back in the same form.
    got = dual.many(80, (f"::ffff:{dual.virtual4}", 8080), V6)
    assert "v45" in versions(got) and {a["peer"] for a in got} == {(f"::ffff:{dual.virtual4}", 8080)}
    # V6ONLY: of the same service only what IPv6 reaches, and nothing of one that has IPv4 servers only.
    assert versions(dual.many(60, (f"::ffff:{dual.virtual4}", 8080), V6, v6only=1)) == {"v47"}
    assert "error" in dual.ask((f"::ffff:{dual.only4}", 8080), V6, v6only=1)


def test_one_family_only(dual):
    dual.mesh.start()
    # IPv6 address in front of IPv4 servers: a dual-stack socket gets there, V6ONLY cannot and is told so.
    got = dual.many(10, ("fd00:51:1::4", 8080), V6)
    assert versions(got) == {"v45"} and {a["peer"] for a in got} == {("fd00:51:1::4", 8080)}
    assert dual.ask(("fd00:51:1::4", 8080), V6, v6only=1) == {"error": "ECONNREFUSED"}
    # IPv4 address in front of IPv6 servers: an IPv4 socket cannot.
    assert dual.ask((dual.mesh.block[6], 8080), V4) == {"error": "ECONNREFUSED"}
    assert versions(dual.many(10, (dual.only6, 8080), V6)) == {"v47"}
    metrics = dual.mesh.metrics()
    assert metrics.sum("sluice_refusals_total", reason="family_mismatch") == 2


def test_ipv6_loopback_split(mesh, netns):
    """Weights on IPv6, counted at the client."""
    ns = netns()
    for i in range(4):
        ns.address(f"fd00:52:2::{i + 1}/128")
    endpoints = {"v45": ["fd00:52:2::1", "fd00:52:2::2"], "v47": ["fd00:52:2::3", "fd00:52:2::4"]}
    for version, addresses in endpoints.items():
        mesh.serve(version, [f"[{a}]:8080" for a in addresses], ns)
    to = "[fd00:52:1::10]:8080"
    mesh.write("all.yaml", rules.service_entry("six", "fd00:52:1::10", endpoints),
               rules.destination_rule("six", endpoints), rules.virtual_service("six", {"v45": 80, "v47": 20}))
    mesh.control(to, netns=ns)
    mesh.start()
    got = mesh.dial(to, netns=ns, count=4000, threads=2)
    assert not got.failures and len(got) == 4000
    assert 700 < got.versions["v47"] < 900


def test_clients_in_two_network_namespaces_at_once(mesh, netns):
    """The programs follow the cgroup, whatever namespace its processes are in."""
    spaces = [netns(), netns()]
    endpoints = {"v45": [mesh.block[100]], "v47": [mesh.block[101]]}
    for ns in spaces:
        for version, addresses in endpoints.items():
            mesh.serve(version, [f"{a}:8080" for a in addresses], ns)
    to = f"{mesh.block[1]}:8080"
    mesh.write("all.yaml", rules.service_entry("both", mesh.block[1], endpoints),
               rules.destination_rule("both", endpoints), rules.virtual_service("both", {"v45": 50, "v47": 50}))
    for ns in spaces:
        mesh.control(to, netns=ns)
    mesh.start()
    running = [mesh.dialler(to, netns=ns, count=2000, threads=2) for ns in spaces]
    for one in running:
        got = one.result()
        assert not got.failures and len(got) == 2000 and 850 < got.versions["v47"] < 1150
    # Each namespace has servers of its own, and each answered its own clients.
    answered = [sum(a["answered"] for a in server.stats().values())
                for servers in mesh.models.values() for server in servers]
    assert sum(answered) == 4000 and all(850 < n < 1150 for n in answered)


def test_udp_to_a_mesh_address_is_untouched(mesh):
    servers = mesh.serve_versions({"v45": 1})
    mesh.write("all.yaml", rules.service_entry("tcp-only", mesh.block[1], servers))
    mesh.start()
    with socket.socket(V4, socket.SOCK_DGRAM) as listener:
        listener.bind((mesh.block[1], 8080))
        listener.settimeout(5)

        def send():
            with socket.socket(V4, socket.SOCK_DGRAM) as sock:
                sock.connect((mesh.block[1], 8080))
                sock.send(b"hello")
                return sock.getpeername()
        assert inside(send, mesh.clients) == (mesh.block[1], 8080)
        assert listener.recv(100) == b"hello"
