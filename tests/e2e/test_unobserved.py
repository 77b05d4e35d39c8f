"""Traffic on an HTTP port that cannot be watched passes octet by octet, is counted under its reason, and ejects nobody."""
import collections
import os
import socket
import ssl
import subprocess

import pytest

import rules
from peers import Peer, echo, read_exactly, read_head
from sandbox import end, inside, run, spawn, wait_for
from web import REQUESTS, UNOBSERVED

CONNECTIONS = 3
NOISE = os.urandom(100_000)
# What an answer of a broken server looks like: no one may take it for one here.
TRAP = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags=0, stream=0, payload=b""):
    """An HTTP/2 frame."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


# HEADERS of a gRPC call (HPACK: indexed and literal fields), and DATA with its five octets of gRPC framing.
GRPC = (PREFACE + frame(4) + frame(1, 4, 1, b"\x83\x86\x84\x40\x0ccontent-type\x10application/grpc")
        + frame(0, 1, 1, b"\0" + (300).to_bytes(4, "big") + NOISE[:300]))


def say(sock, data):
    """Sends and wants the same back."""
    sock.sendall(data)
    assert read_exactly(sock, len(data)) == data


def say_all(*pieces):
    def talk(sock):
        for piece in pieces:
            say(sock, piece)
    return talk


def switching(name):
    """(server, client) of a protocol that a 101 switches to; then both talk at will."""
    def serve(sock):
        read_head(sock)
        sock.sendall(f"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: {name}\r\n\r\n".encode())
        echo(sock)

    def talk(sock):
        sock.sendall(f"GET /chat HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: {name}\r\n\r\n".encode())
        assert read_head(sock).startswith(b"HTTP/1.1 101 ")
        say_all(PREFACE if name == "h2c" else b"\x81\x05hello", TRAP, NOISE)(sock)
    return serve, talk


def tunnel_server(sock):
    read_head(sock)
    sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    echo(sock)


def tunnel_client(sock):
    sock.sendall(b"CONNECT model:443 HTTP/1.1\r\nhost: model:443\r\n\r\n")
    assert read_head(sock) == b"HTTP/1.1 200 OK\r\n\r\n"
    say_all(TRAP, NOISE)(sock)


def tls(server_side):
    """Anonymous TLS 1.2: a handshake and records, and no certificate to keep."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT)
    if not server_side:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("aNULL:@SECLEVEL=0")
    return context


def tls_server(sock):
    with tls(True).wrap_socket(sock, server_side=True) as wrapped:
        echo(wrapped)


def tls_client(sock):
    with tls(False).wrap_socket(sock) as wrapped:
        say_all(TRAP, NOISE[:20000])(wrapped)


def greeting_server(sock):
    sock.sendall(b"220 smtp ready\r\n" + TRAP)
    echo(sock)


def greeting_client(sock):
    assert read_exactly(sock, 16 + len(TRAP)) == b"220 smtp ready\r\n" + TRAP
    say_all(b"EHLO x\r\n", TRAP)(sock)


def answering(*answers):
    """Takes as many heads, then answers them in one go."""
    def serve(sock):
        for _ in answers:
            read_head(sock)
        sock.sendall(b"".join(answers))
        echo(sock)
    return serve


def asking(sent, got):
    def talk(sock):
        sock.sendall(sent)
        assert read_exactly(sock, len(got)) == got
        say(sock, NOISE)
    return talk


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
LONG = b"GET / HTTP/1.1\r\nhost: x\r\nx-long: " + b"a" * 70_000 + b"\r\n\r\n"
CHUNKS = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;sum=1\r\nok\r\n0\r\n\r\n"
TWICE = b"HTTP/1.1 500 Oops\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok"
# name: (server, client, reason, code of the request that is counted all the same)
TRAFFIC = {
    "h2c": (echo, say_all(PREFACE, frame(4), TRAP, NOISE), "http2", None),
    "grpc": (echo, say_all(GRPC, TRAP), "http2", None),
    "h2c-upgrade": (*switching("h2c"), "upgraded", "101"),
    "websocket": (*switching("websocket"), "upgraded", "101"),
    "connect": (tunnel_server, tunnel_client, "upgraded", "200"),
    "tls": (tls_server, tls_client, "tls", None),
    "binary": (echo, say_all(b"\0\1\2\3", NOISE, TRAP), "not_http", None),
    "server-first": (greeting_server, greeting_client, "unasked", None),
    "pipelined": (answering(OK, OK, TWICE), asking(GET + GET + GET, OK + OK + TWICE), "pipelined", None),
    "head-too-large": (answering(OK), asking(LONG, OK), "head_too_large", None),
    "chunk-extension": (answering(CHUNKS), asking(GET, CHUNKS), "malformed", None),
    "two-lengths": (answering(TWICE), asking(GET, TWICE), "malformed", None),
}


def service(mesh, serve):
    """A service with outlier detection at its most touchy, on one Peer; ADDR, PORT to dial."""
    mesh.write("service.yaml", rules.service_entry("content-ranking", mesh.block[1], {"v45": [mesh.block[100]]}))
    mesh.write("policy.yaml", rules.destination_rule("content-ranking", ["v45"], outlier={
        "consecutive5xxErrors": 1, "consecutiveGatewayErrors": 1, "interval": "1s", "baseEjectionTime": "60s",
        "maxEjectionPercent": 100}))
    mesh.write("split.yaml", rules.virtual_service("content-ranking", {"v45": 1}))
    mesh.control(f"{mesh.block[1]}:8080")
    if serve:
        mesh.cleanup.owns(Peer(f"{mesh.block[100]}:8080", serve))
    mesh.start()
    return mesh.block[1], 8080


@pytest.mark.parametrize("kind", TRAFFIC)
def test_what_cannot_be_watched_passes_and_is_counted(mesh, kind):
    serve, talk, reason, code = TRAFFIC[kind]
    address = service(mesh, serve)

    def once():
        with socket.create_connection(address, 10) as sock:
            sock.settimeout(10)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            talk(sock)
    for _ in range(CONNECTIONS):
        inside(once, mesh.clients)
    wait_for(lambda: mesh.metrics().sum(UNOBSERVED) >= CONNECTIONS, "unobserved connections")
    metrics = mesh.metrics()
    assert metrics.by("reason", UNOBSERVED, version="v45", subset="v45") == {reason: CONNECTIONS}
    assert metrics.by("response_code", REQUESTS) == ({code: CONNECTIONS} if code else {})
    assert metrics.sum("istio_tcp_connections_opened_total") == CONNECTIONS
    assert mesh.ejected() == [] and metrics.sum("sluice_ejections_total") == 0


NODE_SERVER = """
const http2 = require('http2'), [host, port] = process.argv[1].split(':');
const server = http2.createServer();
server.on('stream', (stream, headers) => {
    stream.respond({':status': 500, 'x-path': headers[':path']});
    stream.end(Buffer.alloc(100000, 'z'));
});
server.listen(Number(port), host, () => console.log('ready'));
"""


def test_a_real_http2_server_answers_curl_and_its_500_ejects_nobody(mesh):
    host, port = service(mesh, None)
    server = spawn(["node", "-e", NODE_SERVER, f"{mesh.block[100]}:8080"], stdout=subprocess.PIPE, text=True)
    mesh.cleanup.add(lambda: end(server))
    assert server.stdout.readline() == "ready\n"
    for number in range(CONNECTIONS):
        done = inside(lambda: run("curl", "--disable", "-s", "--http2-prior-knowledge", "-w", "%{http_code} %{http_version}",
                                  "-D", "-", f"http://{host}:{port}/{number}"), mesh.clients)
        assert done.stdout.endswith("z" * 100000 + "500 2") and f"x-path: /{number}\n" in done.stdout
    wait_for(lambda: mesh.metrics().sum(UNOBSERVED) >= CONNECTIONS, "unobserved connections")
    metrics = mesh.metrics()
    # A server of HTTP/2 may send its SETTINGS before it has heard anything: then it is the one that gives itself away.
    reasons = metrics.by("reason", UNOBSERVED)
    assert set(reasons) <= {"http2", "unasked"} and sum(reasons.values()) == CONNECTIONS, reasons
    assert metrics.sum(REQUESTS) == 0 and mesh.ejected() == []


def test_an_upgrade_that_the_server_does_not_take_is_watched_on(mesh):
    """curl --http2 offers h2c; a server of HTTP/1.1 just answers."""
    host, port = service(mesh, answering(OK))
    done = inside(lambda: run("curl", "--disable", "-s", "--http2", "-w", "%{http_code} %{http_version}",
                              f"http://{host}:{port}/"), mesh.clients)
    assert done.stdout == "ok200 1.1"
    wait_for(lambda: mesh.metrics().sum(REQUESTS), "the request")
    metrics = mesh.metrics()
    assert metrics.by("response_code", REQUESTS) == {"200": 1} and metrics.sum(UNOBSERVED) == 0


def test_requests_before_the_watching_ended_stay_counted(mesh):
    """Two good requests, then something that no HTTP/1 is."""
    def serve(sock):
        for _ in range(2):
            read_head(sock)
            sock.sendall(OK)
        echo(sock)

    address = service(mesh, serve)

    def talk():
        with socket.create_connection(address, 10) as sock:
            for _ in range(2):
                sock.sendall(GET)
                assert read_exactly(sock, len(OK)) == OK
            say_all(b"\x16\x03\x01 not today", TRAP)(sock)
    inside(talk, mesh.clients)
    wait_for(lambda: mesh.metrics().sum(UNOBSERVED), "the unobserved connection")
    metrics = mesh.metrics()
    assert metrics.by("response_code", REQUESTS) == {"200": 2}
    assert collections.Counter(metrics.by("reason", UNOBSERVED)) == {"tls": 1} and mesh.ejected() == []
