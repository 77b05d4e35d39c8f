"""Connections of the proxy lane from their first octet to their last: drains, reloads, upgrades, streams, large bodies,
old clients, pipelining, Expect. On both back ends."""
import base64
import hashlib
import os
import signal
import socket
import subprocess
import threading
import time

import pytest

from backends import Broken, Drop, Request, Wire, answer, value, values
from lane import Lane
from sandbox import wait_for


@pytest.fixture(params=["epoll", "io_uring"], scope="module")
def lane(request, tmp_path_factory):
    made = Lane(tmp_path_factory.mktemp(request.param), io=request.param)
    yield made
    made.remove()


@pytest.fixture
def service(lane):
    return lane.service()


@pytest.fixture(params=["epoll", "io_uring"])
def own(request, tmp_path):
    """A lane of the test's own, which it may end."""
    made = Lane(tmp_path, io=request.param)
    yield made
    made.remove()


def resident(process):
    with open(f"/proc/{process.pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


class Load:
    """Keep-alive clients, each asking without pause; a client comes again when it is told to close."""

    def __init__(self, service, clients=8):
        self.service, self.over = service, threading.Event()
        self.good, self.bad, self.refused, self.closes = 0, [], 0, 0
        self.threads = [threading.Thread(target=self._run, args=(i,)) for i in range(clients)]
        for thread in self.threads:
            thread.start()

    def _run(self, number):
        client, count = None, 0
        while not self.over.is_set():
            fresh = client is None
            try:
                client = client or self.service.lane.client()
            except OSError:
                self.refused += 1  # nobody listens: the agent has ended
                return
            count += 1
            try:
                reply = self.service.ask(f"/{number}/{count}", client=client)
            except (OSError, Broken) as error:
                # A listener that closes resets what only its kernel has accepted: that is no other than refusing it.
                if fresh and isinstance(error, ConnectionResetError):
                    self.refused += 1
                else:
                    self.bad.append((number, count, fresh, repr(error)))
                return
            if reply.status == 200 and f"/{number}/{count}\"".encode() in reply.body:
                self.good += 1
            else:
                self.bad.append((number, count, reply))
            if "close" in values(reply, "connection"):
                self.closes += 1
                client.close()
                client = None

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join(20)
        return self


def test_sigterm_drains(own):
    service = own.service()
    own.backends.behave = lambda r: time.sleep(1.0 if r.target == "/long" else 0.002)
    long, idle = own.client(), own.client()
    assert service.ask(client=idle).status == 200
    long.send(f"GET /long HTTP/1.1\r\nHost: {service.name}\r\n\r\n".encode())
    wait_for(lambda: any(r.target == "/long" for r in service.seen()), "the long request is under way")
    load = Load(service)
    wait_for(lambda: load.good > 100, "load")
    own.mesh.agent.send_signal(signal.SIGTERM)
    reply = long.wire.reply()
    assert reply.status == 200 and value(reply, "connection") == "close"
    assert idle.closed() == b""
    assert own.mesh.agent.wait(20) == 0
    load.end()
    assert load.bad == [] and load.closes > 0, (load.bad[:3], load.good, load.closes, load.refused)


def test_rules_change_under_load_and_no_request_fails(lane):
    service = lane.service(lambda s: [{"route": [s.to("v45", 50), s.to("v47", 50)]}])
    load = Load(service)
    for share in (10, 90, 30, 70, 0, 100, 50, 20) * 3:
        service.apply([{"route": [service.to("v45", share), service.to("v47", 100 - share)]}])
    service.apply([{"route": [service.to("v47")]}])
    service.forget()
    before = load.good
    wait_for(lambda: load.good > before + 50, "more requests")
    # 8 were under way when apply returned.
    assert len([r for r in service.seen() if r.version == "v45"]) <= 8
    load.end()
    assert load.bad == [] and load.good > 200


def websocket(request):
    key = value(request, "sec-websocket-key")
    proof = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
    return (f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {proof}\r\n\r\nfirst octets of the server").encode()


def test_a_websocket_is_passed_through(lane, service):
    block = lane.mesh.block

    def serve(listener):
        sock, _ = listener.accept()
        with sock:
            wire = Wire(sock)
            line, fields = wire.head()
            sock.sendall(websocket(Request("", "", *line.split()[:2], fields, b"", 1, 0)))
            data = wire.data
            while True:
                if data:
                    sock.sendall(data.upper())
                if not (data := sock.recv(65536)):
                    break
            sock.sendall(b"bye")
    with socket.create_server((block[170], 8080)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        sockets = lane.service(versions={"v45": [block[170]]})
        with lane.client() as client:
            key = base64.b64encode(b"0123456789abcdef").decode()
            reply = sockets.ask("/chat", client=client, fields={
                "Connection": "keep-alive, Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": key,
                "Sec-WebSocket-Version": "13"})
            assert reply.status == 101 and value(reply, "upgrade").lower() == "websocket"
            assert value(reply, "connection").lower() == "upgrade"
            assert value(reply, "sec-websocket-accept") == "BACScCJPNqyz+UBoqMH89VmURoA="
            assert client.wire.exactly(26) == b"first octets of the server"
            for text in (b"hello", b"x" * 300_000, b"bye"):
                client.send(text)
                assert client.wire.exactly(len(text)) == text.upper()
            client.sock.shutdown(socket.SHUT_WR)
            assert client.closed() == b"bye", "half-close reaches the server, which still says something"
        thread.join(5)


def test_an_upgrade_that_is_refused_is_an_answer_like_others(lane, service):
    lane.backends.behave = lambda r: 403 if values(r, "upgrade") else None
    with lane.client() as client:
        reply = service.ask(client=client, fields={"Connection": "Upgrade", "Upgrade": "websocket"})
        assert reply.status == 403 and value(reply, "connection") == "close"
        assert client.closed() == b""
    with lane.client() as client:
        reply = service.ask(client=client, fields={"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c",
                                                   "HTTP2-Settings": "AAMAAABkAAQAoAAAAAIAAAAA"})
        assert reply.status == 200, "h2c is not passed on"
        assert values(service.seen()[-1], "upgrade") == values(service.seen()[-1], "http2-settings") == []


def test_server_sent_events_come_one_by_one(lane, service):
    go = threading.Semaphore(0)
    block = lane.mesh.block

    def serve(listener):
        sock, _ = listener.accept()
        with sock:
            Wire(sock).head()
            sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            for number in range(5):
                go.acquire()
                event = b"data: %d\n\n" % number
                sock.sendall(b"%x\r\n%s\r\n" % (len(event), event))
            go.acquire()
            sock.sendall(b"0\r\n\r\n")
    with socket.create_server((block[171], 8080)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        events = lane.service(versions={"v45": [block[171]]})
        with lane.client() as client:
            client.send(f"GET /events HTTP/1.1\r\nHost: {events.name}\r\n\r\n".encode())
            line, fields = client.wire.head()
            assert " 200 " in line and ("transfer-encoding", "chunked") in fields, "the head comes before any event"
            for number in range(5):
                event = b"data: %d\n\n" % number
                began = time.monotonic()
                go.release()  # the next is sent only when the one before has arrived
                assert client.wire.until(b"\r\n") == b"%x" % len(event)
                assert client.wire.exactly(len(event) + 2) == event + b"\r\n"
                assert time.monotonic() - began < 1
            go.release()
            assert client.wire.exactly(5) == b"0\r\n\r\n"


LARGE = 100 << 20


def test_large_bodies_both_ways_in_constant_memory(lane, service):
    """The server reads late, then the client: what the proxy holds is bounded."""
    block, piece = lane.mesh.block, os.urandom(1 << 20)
    got = {}

    def serve(listener):
        sock, _ = listener.accept()
        with sock:
            wire = Wire(sock)
            wire.head()
            got["sum"] = drain(wire, lambda: time.sleep(0.3))
            sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % LARGE)
            for _ in range(LARGE >> 20):
                sock.sendall(piece)

    def drain(wire, first):
        """SHA-256 of the next LARGE octets."""
        first()
        digest, left = hashlib.sha256(wire.data), LARGE - len(wire.data)
        while left:
            data = wire.sock.recv(min(left, 1 << 20))
            assert data, left
            digest.update(data)
            left -= len(data)
        wire.data = b""
        return digest.hexdigest()
    expected = hashlib.sha256(piece * (LARGE >> 20)).hexdigest()
    with socket.create_server((block[172], 8080)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        large = lane.service(versions={"v45": [block[172]]})
        before = resident(lane.mesh.agent)
        with lane.client(timeout=60) as client:
            client.send(f"POST /large HTTP/1.1\r\nHost: {large.name}\r\nContent-Length: {LARGE}\r\n\r\n".encode())
            peak = 0
            for _ in range(LARGE >> 20):
                client.send(piece)
                peak = max(peak, resident(lane.mesh.agent))
            assert " 200 " in client.wire.head()[0]
            assert got["sum"] == expected

            def late():
                nonlocal peak
                time.sleep(0.3)
                peak = max(peak, resident(lane.mesh.agent))
            assert drain(client.wire, late) == expected
            peak = max(peak, resident(lane.mesh.agent))
    print(f"{(peak - before) >> 10} KiB more at the peak")
    assert peak - before < 24 << 20, (before, peak)


def raw(lane, octets):
    with lane.client() as client:
        client.send(octets)
        return client.closed()


def test_clients_of_http_1_0(lane, service):
    host = f"Host: {service.name}\r\n".encode()
    said = raw(lane, b"GET /old HTTP/1.0\r\n" + host + b"\r\n")
    assert said.startswith(b"HTTP/1.1 200") and b"/old" in said
    assert b"transfer-encoding" not in said.lower()
    with lane.client() as client:
        # RFC 9112 9.3: no proxy keeps a connection with a client of HTTP/1.0, whatever that asks for.
        client.send(b"GET /old HTTP/1.0\r\nConnection: keep-alive\r\n" + host + b"\r\n")
        reply = client.wire.reply()
        assert reply.status == 200 and value(reply, "connection").lower() == "close"
        assert client.closed() == b""
    lane.backends.behave = lambda r: b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    said = raw(lane, b"GET /old HTTP/1.0\r\nConnection: keep-alive\r\n" + host + b"\r\n")
    assert b"transfer-encoding" not in said.lower() and said.endswith(b"\r\n\r\nhello"), "the end of the body is the end"


def test_an_answer_that_ends_with_its_connection(lane, service):
    def until_close(request):
        if request.target == "/close":
            raise Drop(b"HTTP/1.1 200 OK\r\n\r\nall of it")
    lane.backends.behave = until_close
    with lane.client() as client:
        reply = service.ask("/close", client=client)
        assert reply.body == b"all of it" and value(reply, "transfer-encoding") == "chunked"
        assert service.ask(client=client).status == 200, "the client's connection goes on"


def test_pipelined_requests_are_answered_in_order(lane, service):
    lane.backends.behave = lambda r: time.sleep(0.15 if r.target.endswith("0") else 0)
    count = 40
    text = "".join(f"POST /{i} HTTP/1.1\r\nHost: {service.name}\r\nContent-Length: 3\r\n\r\nabc" if i % 3 == 0 else
                   f"GET /{i} HTTP/1.1\r\nHost: {service.name}\r\n\r\n" for i in range(count))
    with lane.client() as client:
        client.send(text.encode())
        for i in range(count):
            reply = client.wire.reply()
            assert reply.status == 200 and f'"/{i}"'.encode() in reply.body, i
    assert sorted(int(r.target[1:]) for r in service.seen()) == list(range(count))


def test_expect_100_continue_with_curl(lane, service, tmp_path):
    body = tmp_path / "body"
    body.write_bytes(b"z" * 2_000_000)
    done = subprocess.run(["curl", "-sv", "--max-time", "20", "-H", "Expect: 100-continue", "-H", f"Host: {service.name}",
                           "--expect100-timeout", "15", "--data-binary", f"@{body}",
                           "http://%s:%d/up" % lane.mesh.to], capture_output=True, text=True, check=True)
    assert "< HTTP/1.1 100 Continue" in done.stderr and '"/up"' in done.stdout
    assert "Done waiting for 100-continue" not in done.stderr
    assert service.seen()[0].body == b"z" * 2_000_000


def test_a_final_answer_instead_of_100_spares_the_body(lane):
    service = lane.service([{"directResponse": {"status": 413}}])
    with lane.client() as client:
        client.send(f"POST / HTTP/1.1\r\nHost: {service.name}\r\nExpect: 100-continue\r\n"
                    f"Content-Length: 1000000\r\n\r\n".encode())
        reply = client.wire.reply()
        assert reply.status == 413 and value(reply, "connection") == "close"


def test_an_answer_that_is_cut_is_seen_to_be_cut(lane, service):
    cut = {"/length": b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf",
           "/chunked": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
           "/within": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n40\r\nhalf"}

    def behave(request):
        raise Drop(cut[request.target], reset=request.fields[-1][1] == "reset")
    lane.backends.behave = behave
    for target in cut:
        for how in ("fin", "reset"):
            with lane.client() as client, pytest.raises((Broken, OSError)):
                reply = service.ask(target, client=client, fields={"x-how": how})
                assert reply.status >= 500, (target, reply)
                raise Broken("a proxy's own error is visible too")


def test_a_client_that_leaves_frees_its_server(lane, service):
    began, gone = threading.Event(), threading.Event()
    block = lane.mesh.block

    def serve(listener):
        sock, _ = listener.accept()
        with sock:
            sock.recv(65536)
            began.set()
            sock.settimeout(10)
            try:
                if sock.recv(1) == b"":
                    gone.set()
            except ConnectionResetError:
                gone.set()
    with socket.create_server((block[173], 8080)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        waiting = lane.service(versions={"v45": [block[173]]})
        with lane.client() as client:
            client.send(f"GET / HTTP/1.1\r\nHost: {waiting.name}\r\n\r\n".encode())
            assert began.wait(5)
        assert gone.wait(5), "the connection to the server ends when the client leaves"


def test_the_answer_of_a_server_that_does_not_read_the_body(lane, service):
    """An early answer is delivered, and no further request goes out on that connection."""
    block = lane.mesh.block

    def serve(listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with sock:
                sock.settimeout(5)
                if not sock.recv(1000):
                    continue
                sock.sendall(answer(413, b"too large"))
                try:
                    while sock.recv(65536):
                        pass
                except (OSError, TimeoutError):
                    pass
    with socket.create_server((block[174], 8080)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        early = lane.service(versions={"v45": [block[174]]})
        with lane.client() as client:
            head = f"POST / HTTP/1.1\r\nHost: {early.name}\r\nContent-Length: 10000000\r\n\r\n"
            client.send(head.encode() + b"x" * 1000)
            reply = client.wire.reply()
            assert (reply.status, reply.body) == (413, b"too large")
