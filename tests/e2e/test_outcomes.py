"""Every connection has one outcome, and `active` goes back to 0 whatever a socket's end looks like."""
import errno
import os
import select
import signal
import socket
import subprocess
import time

import pytest

import rules
from asking import RESET_ON_CLOSE, ask, exchange
from sandbox import inside, spawn, wait_for
from stranger import Stranger

HOLDER = """
import signal, socket, sys
held = []
for _ in range(int(sys.argv[3])):
    held.append(socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5))
print("held", flush=True)
signal.pause()
"""


def outcomes(mesh):
    return {reason: int(n) for reason, n in mesh.metrics().by("reason", "sluice_outcomes_total").items()}


def settled(mesh, **wanted):
    """Waits until nothing is held, then compares the outcomes."""
    wait_for(lambda: mesh.active() == (0, 0), "active back to 0")
    wait_for(lambda: outcomes(mesh) == wanted, f"{wanted}, have {outcomes(mesh)}", 3)
    closed = {k: int(v) for k, v in mesh.metrics().by("response_flags", "istio_tcp_connections_closed_total").items()}
    assert sum(closed.values()) == sum(wanted.values())


@pytest.fixture
def service(ranking):
    made = ranking(weights={"v45": 1})
    made.mesh.start()
    made.address = (made.mesh.block[1], 8080)
    return made


def hold(service, count, cgroup=None):
    process = spawn(["/usr/bin/python3", "-c", HOLDER, service.address[0], service.address[1], count],
                    cgroup=cgroup or service.mesh.clients, stdout=subprocess.PIPE, text=True)
    service.mesh.cleanup.add(lambda: process.poll() is None and process.kill())
    assert process.stdout.readline() == "held\n"
    return process


def test_reset_by_the_client(service):
    assert len(service.dial(count=500, threads=4).ok) == 500
    settled(service.mesh, established=500)


def test_reset_by_the_server(service):
    for server in service.mesh.models["v45"]:
        server.fault("reset")
    assert service.dial(count=200, threads=4).failures == {"reset": 200}
    settled(service.mesh, established=200)


def test_closed_by_fin_and_time_wait(service):
    assert len(service.dial(count=500, threads=4, fin=True).ok) == 500
    settled(service.mesh, established=500)


def test_kill_of_a_process_with_50_connections(service):
    process = hold(service, 50)
    assert service.mesh.active() == (50, 50)
    process.kill()
    process.wait()
    settled(service.mesh, established=50)


def test_rmdir_of_the_cgroup_while_connections_live(service):
    short = service.mesh.clients.child("short")
    process = hold(service, 20, short)
    service.mesh.cgroup.path.joinpath("cgroup.procs").write_text(str(process.pid))
    wait_for(lambda: not (short.path / "cgroup.procs").read_text(), "the move")
    short.path.rmdir()
    assert service.mesh.active() == (20, 20)
    process.kill()
    process.wait()
    settled(service.mesh, established=20)


def test_fork_and_dup_release_once(service):
    def client():
        first = socket.create_connection(service.address, timeout=5)
        second = first.dup()
        closed, close = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(close)
            os.close(first.detach())
            os.read(closed, 1)  # the parent's are gone
            exchange(second)  # the only descriptor left
            os._exit(0)
        first.close()
        second.close()
        os.close(close)
        return os.waitpid(child, 0)[1]
    assert inside(client, service.mesh.clients) == 0
    settled(service.mesh, established=1)


def test_connect_to_af_unspec_ends_it(service):
    def client():
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        answers = []
        with socket.socket() as sock:
            sock.settimeout(5)
            for _ in range(3):
                sock.connect(service.address)
                answers.append(exchange(sock)[0])
                assert libc.connect(sock.fileno(), bytes(16), 16) == 0  # AF_UNSPEC: not connected any more
        return answers
    assert inside(client, service.mesh.clients) == ["v45"] * 3
    settled(service.mesh, established=3)


def test_reconnect_on_one_socket_after_a_refusal(service):
    model = service.mesh.models["v45"][0]
    model.fault("refuse")

    def client():
        with socket.socket() as sock:  # blocking: a timeout would make the second connect an ECONNABORTED
            refused = sock.connect_ex(service.address)
            model.fault("none")
            sock.connect(service.address)
            return refused, exchange(sock)[0]
    assert inside(client, service.mesh.clients) == (errno.ECONNREFUSED, "v45")
    settled(service.mesh, refused=1, established=1)


def test_non_blocking_connects(service):
    model = service.mesh.models["v45"][0]

    def client(wait):
        sock = socket.socket()
        sock.setblocking(False)
        assert sock.connect_ex(service.address) in (errno.EINPROGRESS, errno.ECONNREFUSED)
        if wait:
            select.select([], [sock], [], 5)
            result = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        else:
            result = None
        sock.close()
        return result
    assert inside(lambda: client(True), service.mesh.clients) == 0
    model.fault("refuse")
    inside(lambda: client(True), service.mesh.clients)
    inside(lambda: client(False), service.mesh.clients)
    settled(service.mesh, established=1, refused=2)


@pytest.fixture
def deaf(mesh):
    """A service whose only endpoint drops SYNs: its accept queue is full. connectTimeout 1 s."""
    listener = socket.socket()
    listener.bind((mesh.block[100], 8080))
    listener.listen(0)
    filler = [socket.socket() for _ in range(4)]
    for sock in filler:
        sock.setblocking(False)
        sock.connect_ex((mesh.block[100], 8080))
    mesh.write("all.yaml", rules.service_entry("deaf", mesh.block[1], {"v1": [mesh.block[100]]}),
               rules.destination_rule("deaf", ["v1"], annotations={"sluice.dev/split": "connection"},
                                      pool={"tcp": {"connectTimeout": "1s"}},
                                      outlier={"consecutive5xxErrors": 2, "baseEjectionTime": "20s",
                                               "maxEjectionPercent": 100}))
    mesh.start()
    yield mesh
    for sock in [listener, *filler]:
        sock.close()


def test_abandoned_while_connecting_is_not_the_endpoints_failure(deaf):
    def client():
        for _ in range(5):
            sock = socket.socket()
            sock.setblocking(False)
            assert sock.connect_ex((deaf.block[1], 8080)) == errno.EINPROGRESS
            select.select([], [sock], [], 0.05)
            sock.close()
    inside(client, deaf.clients)
    settled(deaf, cancelled=5)
    assert not deaf.ejected()


def test_connect_timeout_counts_and_ejects(deaf):
    begin = time.monotonic()
    answers = inside(lambda: [ask((deaf.block[1], 8080), timeout=20) for _ in range(2)], deaf.clients)
    assert answers == [{"error": "ETIMEDOUT"}] * 2
    assert 1.5 < time.monotonic() - begin < 8
    assert deaf.ejected() == [f"{deaf.block[100]}:8080"]
    assert inside(lambda: ask((deaf.block[1], 8080)), deaf.clients) == {"error": "ECONNREFUSED"}
    settled(deaf, timed_out=2, no_healthy_upstream=1)


def test_unreachable_network_is_a_local_error(mesh, netns):
    ns = netns()
    mesh.write("all.yaml", rules.service_entry("far", mesh.block[1], {"v1": ["10.99.0.1"]}))
    mesh.start()
    assert inside(lambda: ask((mesh.block[1], 8080)), mesh.clients, ns) == {"error": "ENETUNREACH"}
    settled(mesh, local_error=1)


def test_tcp_fast_open(service):
    def client():
        answers = []
        for _ in range(5):
            with socket.socket() as sock:
                sock.settimeout(5)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                sock.setsockopt(socket.IPPROTO_TCP, 30, 1)  # TCP_FASTOPEN_CONNECT
                sock.connect(service.address)
                answers.append(exchange(sock)[0])
        with socket.socket() as sock:
            sock.sendto(b"", socket.MSG_FASTOPEN, service.address)
            answers.append(exchange(sock)[0])
        return answers
    assert inside(client, service.mesh.clients) == ["v45"] * 6
    settled(service.mesh, established=6)


def test_another_sockops_program_keeps_its_flags_and_we_keep_ours(service):
    mesh = service.mesh
    stranger = mesh.cleanup.owns(Stranger(mesh.bpffs))
    below, beside = mesh.clients.child("below"), mesh.cgroup
    stranger.attach(below, "sock_ops", "other_sockops")  # runs before ours
    assert len(mesh.dial(service.to, below, count=300, threads=2).ok) == 300
    assert stranger.rtt_callbacks() > 0, "the other program lost its callbacks"
    stranger.attach(beside, "sock_ops", "other_sockops")  # runs after ours, and overwrites our flags
    assert len(service.dial(count=300, threads=2).ok) == 300
    settled(mesh, established=600)


def test_sigkill_of_the_agent_while_connections_are_held(service):
    process = hold(service, 30)
    service.mesh.kill()
    process.send_signal(signal.SIGKILL)
    process.wait()
    service.mesh.start()
    settled(service.mesh, established=30)
