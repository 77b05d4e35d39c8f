"""Clients that ask little or slowly, and mirrors that hang, cost those who behave next to nothing."""
import concurrent.futures
import json
import os
import pathlib
import random
import resource
import select
import socket
import statistics
import subprocess
import threading
import time

import pytest

from backends import Wire, answer, value
from dialling import SOURCE, program
from lane import Lane
from sandbox import end, run, spawn, wait_for

REPOSITORY = SOURCE.parents[2]
ASK = REPOSITORY / "tests/bench/http_ask.cc"
ANSWER = REPOSITORY / "tests/bench/http_answer.cc"
COMPILER = ("g++", "-std=c++20", "-O2", "-pthread", "-I", REPOSITORY)
IDLE, SLOW = 10_000, 1_000
CALLERS = 24


def sanitized(mesh):
    """Built with a sanitizer: its figures say nothing of the product's speed or memory."""
    return b"__asan_init" in subprocess.run(["nm", "-D", mesh.binaries / "sluiced"], capture_output=True).stdout or \
        "asan" in str(mesh.binaries)


def resident(process):
    with open(f"/proc/{process.pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def descriptors(process):
    return len(list(pathlib.Path(f"/proc/{process.pid}/fd").iterdir()))


class Answering:
    """The fast server of the benchmark on a free port of all addresses: `GET /N` gives N octets."""

    def __init__(self, lane):
        lane.mesh.cleanup.owns(self)
        while True:
            self.port = random.randrange(20000, 32000)
            self.process = spawn([program(ANSWER, COMPILER), self.port, "1"], stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL, text=True)
            if self.process.stdout.readline() == "listening\n":
                return
            self.remove()

    def remove(self):
        end(self.process)


def dialled(**rule):
    return {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {"name": "dialled", "namespace": "ml-serving"},
            "spec": {"hosts": ["dialled"], "http": [{"route": [{"destination": {"host": "dialled"}}]} | rule]}}


def ask(lane, seconds=1.0, connections=16):
    """{requests, wrong, latency_us...} of well-behaved clients that ask as fast as answers come."""
    done = run(program(ASK, COMPILER), "--to", "%s:%d" % lane.mesh.to, "--connections", connections, "--bytes", 1024,
               "--seconds", seconds, check=False)
    told = json.loads(done.stdout)
    assert told["wrong"] == 0, told
    return told


def make_fast(directory, io):
    """A lane whose dialled service is http_answer; SLUICE_BIN of a release build gives figures that mean something."""
    lane = Lane(directory, io=io)
    try:
        entry = lane.entry("dialled", {"v1": [lane.mesh.block[120]]})
        entry["spec"]["ports"][0]["targetPort"] = Answering(lane).port
        lane.mesh.apply(entry)
    except BaseException:
        lane.remove()
        raise
    return lane


@pytest.fixture(params=["epoll", "io_uring"])
def fast(request, tmp_path):
    lane = make_fast(tmp_path, request.param)
    yield lane
    lane.remove()


@pytest.fixture
def other(request, fast, tmp_path):
    """Another lane like `fast`, for figures side by side."""
    (tmp_path / "other").mkdir()
    lane = make_fast(tmp_path / "other", fast.mesh.io)
    yield lane
    lane.remove()


class Crowd:
    """Connections that send a head an octet at a time, or nothing at all."""

    def __init__(self, to, count, sources):
        self.sockets = []
        for number in range(count):
            sock = socket.socket()
            # One source address has some 28,000 ports: a few addresses are enough for many tests at once.
            sock.bind((sources[number % len(sources)], 0))
            sock.connect(to)
            self.sockets.append(sock)

    def send(self, octet):
        for sock in self.sockets:
            sock.send(octet)

    def alive(self):
        """How many the proxy has not ended."""
        poll, gone = select.poll(), 0
        for sock in self.sockets:
            poll.register(sock, select.POLLIN)
        gone = len(poll.poll(0))
        return len(self.sockets) - gone

    def close(self):
        for sock in self.sockets:
            sock.close()


@pytest.fixture
def many_files():
    import resource
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < IDLE + SLOW + 500:
        pytest.skip(f"no {IDLE + SLOW + 500} open files here: {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def side_by_side(one, other, pairs):
    """Requests of `one` for each of `other`, asked in turn, so that what else the machine does weighs on both."""
    answered = {one: 0, other: 0}
    for i in range(pairs):
        for lane in (one, other) if i % 2 else (other, one):
            answered[lane] += ask(lane, 0.3)["requests"]
    return answered[one] / answered[other], answered[other] / pairs / 0.3


def test_idle_and_slow_clients_leave_others_their_throughput(many_files, fast, other):
    sources = [fast.mesh.block[i] for i in range(180, 190)]
    ask(fast)
    before, files = resident(fast.mesh.agent), descriptors(fast.mesh.agent)
    idle = Crowd(fast.mesh.to, IDLE, sources)
    slow = Crowd(fast.mesh.to, SLOW, sources)
    over, head = threading.Event(), b"GET / HTTP/1.1\r\nHost: dialled\r\nx: " + b"y" * 1000

    def trickle():
        for at in range(len(head)):
            slow.send(head[at:at + 1])
            if over.wait(1):
                return
    trickling = threading.Thread(target=trickle)
    try:
        wait_for(lambda: descriptors(fast.mesh.agent) >= files + IDLE + SLOW - 40, "all are accepted", 30)
        octets = (resident(fast.mesh.agent) - before) / (IDLE + SLOW)
        trickling.start()
        real = not sanitized(fast.mesh)
        for _ in range(4 if real else 1):
            ratio, rate = side_by_side(fast, other, 6 if real else 1)
            print(f"{octets:.0f} octets an idle connection; {rate:.0f}/s without the crowd, with it {ratio:.3f} of that")
            if ratio >= 0.95:
                break
        assert idle.alive() == IDLE and slow.alive() == SLOW
        if real:
            assert ratio >= 0.95 and octets < 4096
    finally:
        over.set()
        if trickling.ident:
            trickling.join()
        idle.close()
        slow.close()
    wait_for(lambda: descriptors(fast.mesh.agent) <= files + 40, "all are gone again", 30)


@pytest.fixture(scope="module")
def lane(tmp_path_factory):
    made = Lane(tmp_path_factory.mktemp("slow"), {"v45": 2, "v47": 1})
    yield made
    made.remove()


def ratios(one, other, pairs):
    """Medians over pairs of {p50, p99} of `one`'s latency over that of `other`, asked in turn by one client each."""
    found = {"p50": [], "p99": []}
    for i in range(pairs):
        told = {lane: ask(lane, 0.25, 1)["latency_us"] for lane in ((one, other) if i % 2 else (other, one))}
        for quantile, each in found.items():
            each.append(told[one][quantile] / told[other][quantile])
    return {quantile: statistics.median(each) for quantile, each in found.items()}


@pytest.mark.parametrize("timeout", [None, "2s"])
@pytest.mark.parametrize("backlog", [4096, 0])
def test_a_mirror_that_hangs_costs_callers_next_to_nothing(fast, other, backlog, timeout):
    """Its connections are never read; with a full queue they are not even made. Without a time-out copies pile up until
    they are skipped, with one they are made and given up all the time. Beside it a lane without a mirror."""
    with socket.socket() as silent:
        silent.bind((fast.mesh.block[175], 8080))
        silent.listen(backlog)
        rule = {"mirror": {"host": "silent"}} | ({"timeout": timeout} if timeout else {})
        fast.mesh.apply(fast.entry("silent", {"v1": [fast.mesh.block[175]]}), dialled(**rule))
        ask(fast)
        real = not sanitized(fast.mesh)
        bounds = {"p50": 1.3, "p99": 2} if real else {"p50": 3, "p99": 6}
        for _ in range(4):
            found = ratios(fast, other, 16 if real else 4)
            print(f"latency with a mirror that hangs over that without: {found}")
            if all(found[quantile] < bounds[quantile] for quantile in found):
                break
        assert all(found[quantile] < bounds[quantile] for quantile in found), found
        kind = "sluice_mirror_requests_total" if timeout else "sluice_mirror_skipped_total"
        wait_for(lambda: fast.mesh.metrics().sum(kind) > 100, "the mirror did hang")


@pytest.mark.parametrize("size", [0, 1 << 20])
def test_no_answer_waits_for_its_copy(lane, size):
    """The mirror reads nothing before every caller has its answer: who waited for it would wait for ever."""
    answered, copies = threading.Event(), lane.mesh.block[176]
    with socket.create_server((copies, 8080), backlog=256) as silent:
        lane.mesh.apply(lane.entry("copies", {"v1": [copies]}))
        service = lane.service(lambda s: [{"route": [s.to()], "mirror": {"host": "copies"}}])
        read = []

        def serve():
            held = [silent.accept()[0] for _ in range(CALLERS)]
            answered.wait(60)
            for sock in held:
                with sock:
                    sock.settimeout(30)
                    wire = Wire(sock)
                    _, fields = wire.head()
                    read.append((len(wire.body(fields)), time.monotonic()))
                    sock.sendall(answer(500))
        mirror = threading.Thread(target=serve)
        mirror.start()
        try:
            with concurrent.futures.ThreadPoolExecutor(CALLERS) as callers:
                body = b"x" * size or None
                got = list(callers.map(lambda _: service.ask(method="POST" if size else "GET", body=body).status, range(CALLERS)))
            done = time.monotonic()
        finally:
            answered.set()
            mirror.join(60)
    assert got == [200] * CALLERS and len(lane.backends.requests(target="/")) == CALLERS
    assert [octets for octets, _ in read] == [size] * CALLERS and all(at >= done for _, at in read), "each was copied, read after all answers"


def test_requests_at_a_limit_of_connections_are_refused_and_counted(lane):
    service = lane.service(traffic={"connectionPool": {"tcp": {"maxConnections": 1},
                                                       "http": {"http1MaxPendingRequests": 1, "http2MaxRequests": 2}}},
                           versions={"v47": lane.versions["v47"]})
    lane.backends.behave = lambda r: time.sleep(0.5)
    clients = [lane.client() for _ in range(8)]
    for client in clients:
        client.send(f"GET / HTTP/1.1\r\nHost: {service.name}\r\n\r\n".encode())
    statuses = [client.wire.reply() for client in clients]
    for client in clients:
        client.close()
    refused = [r for r in statuses if r.status == 503]
    # Two may be asked and one may wait; a request that waits for its pool's first connection is the one that waits.
    assert 4 <= len(refused) <= 7 and {value(r, "x-envoy-overloaded") for r in refused} == {"true"}
    counted = lane.mesh.metrics().of("istio_requests_total", response_flags="UO",
                                     destination_service_name=service.name)
    assert sum(count for _, count in counted) == len(refused), counted


def test_a_slow_reader_holds_a_bounded_part_of_its_answer(lane):
    size = 64 << 20
    body = b"z" * size
    lane.backends.behave = lambda r: b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + body
    service = lane.service()
    lane.backends.behave = lambda r: b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + body
    before = resident(lane.mesh.agent)
    readers = [lane.client(timeout=60) for _ in range(4)]
    for client in readers:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.send(f"GET /large HTTP/1.1\r\nHost: {service.name}\r\n\r\n".encode())
    for client in readers:
        assert client.wire.head()[0].split()[1] == "200"

    peak, steady = 0, 0
    while steady < 20:  # until it grows no more: what flows is in socket buffers
        now = resident(lane.mesh.agent)
        steady = 0 if now > peak else steady + 1
        peak = max(peak, now)
        time.sleep(0.02)
    print(f"{(peak - before) >> 10} KiB for four answers of 64 MiB")
    assert peak - before < 16 << 20
    left = size - len(readers[0].wire.data)
    while left and (data := readers[0].sock.recv(min(left, 1 << 20))):
        left -= len(data)
    assert left == 0, "the rest comes when it is read"
    for client in readers:
        client.close()
