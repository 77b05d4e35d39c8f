#!/usr/bin/python3
"""A model server that says who it is: every answer carries its version, its address and the caller's nonce.

  model_server.py --version v47 --control /tmp/v47-1.sock 127.100.47.1:8080 [more addresses]

POST /v1/models/NAME:predict with {"nonce": "...", "items": [...]}, or GET with ?nonce=..., is answered with
  {"model": NAME, "version": "v47", "server": "127.100.47.1:8080", "nonce": "...", "ranking": [...]}.

The control socket speaks HTTP; `server=ADDR:PORT` limits a fault to one of several addresses:
  curl --unix-socket /tmp/v47-1.sock -X POST http://model/fault/refuse     none|refuse|slow|reset or a status, as 503
                                                                           (&ms=200: how late slow or a status is)
  curl --unix-socket /tmp/v47-1.sock http://model/stats
One thread, one epoll set: a few thousand connections a second and process.
"""
import argparse
import heapq
import http.client
import json
import os
import select
import signal
import socket
import struct
import sys
import time
import zlib
from urllib.parse import parse_qs, urlsplit

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
HEAD_LIMIT = 64 << 10
BODY_LIMIT = 1 << 20
FAULTS = ("none", "refuse", "slow", "reset")
SLOW_MS = 200


class Listener:
    """One address: its listening socket (None while it refuses), its fault and its counts."""

    def __init__(self, text):
        host, _, port = text.rpartition(":")
        self.text = text
        self.family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.address = (host.strip("[]"), int(port))
        self.sock = None
        self.fault, self.delay = "none", 0.0
        self.accepted = self.answered = 0

    def open(self):
        self.sock = socket.socket(self.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind(self.address)
        self.sock.listen(4096)
        # Bind to port 0 picks one: say which.
        self.address = self.sock.getsockname()[:2]
        host = f"[{self.address[0]}]" if self.family == socket.AF_INET6 else self.address[0]
        self.text = f"{host}:{self.address[1]}"


class Connection:
    def __init__(self, sock, listener):
        self.sock, self.listener, self.buffer = sock, listener, b""


def split_request(buffer):
    """(method, target, body, bytes used) of the first complete request in `buffer`, or None. ValueError: not HTTP."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        if len(buffer) > HEAD_LIMIT:
            raise ValueError("head too long")
        return None
    lines = buffer[:end].decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ")
    length = 0
    for line in lines[1:]:
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            length = int(value)
    if not 0 <= length <= BODY_LIMIT:
        raise ValueError("body too long")
    used = end + 4 + length
    return (method, target, buffer[end + 4:used], used) if len(buffer) >= used else None


def is_status(fault):
    return len(fault) == 3 and fault.isdigit() and 200 <= int(fault) <= 599 and int(fault) not in (204, 304)


def http_answer(status, value):
    body = json.dumps(value, separators=(",", ":")).encode()
    reason = http.client.responses.get(status, "Status")
    head = f"HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Server:
    def __init__(self, version, addresses, control):
        self.version = version
        self.poll = select.epoll()
        self.listeners = [Listener(text) for text in addresses]
        self.by_fd = {}
        self.later = []  # heap of (due, sequence, connection, answer)
        self.sequence = 0
        self.control = None
        for listener in self.listeners:
            self.listen(listener)
        if control:
            self.control = Listener("control:0")
            self.control.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            self.control.sock.bind(control)
            self.control.sock.listen(16)
            self.watch(self.control.sock, self.control)

    def watch(self, sock, owner):
        self.by_fd[sock.fileno()] = owner
        self.poll.register(sock.fileno(), select.EPOLLIN)

    def forget(self, sock):
        self.by_fd.pop(sock.fileno(), None)
        sock.close()  # leaves the epoll set with its last descriptor

    def listen(self, listener):
        listener.open()
        self.watch(listener.sock, listener)

    def serve(self):
        while True:
            wait = max(0.0, self.later[0][0] - time.monotonic()) if self.later else -1
            for fd, _ in self.poll.poll(wait):
                owner = self.by_fd.get(fd)
                if isinstance(owner, Listener):
                    self.accept(owner)
                elif owner is not None:
                    self.receive(owner)
            while self.later and self.later[0][0] <= time.monotonic():
                _, _, connection, answer = heapq.heappop(self.later)
                self.send(connection, answer)

    def accept(self, listener):
        for _ in range(64):
            try:
                sock, _ = listener.sock.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except AttributeError:  # closed by a fault in this very round
                return
            sock.setblocking(False)
            listener.accepted += 1
            connection = Connection(sock, listener)
            self.watch(sock, connection)
            self.receive(connection)  # the request is often there already

    def receive(self, connection):
        try:
            data = connection.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.forget(connection.sock)
            return
        connection.buffer += data
        try:
            while (request := split_request(connection.buffer)) is not None:
                method, target, body, used = request
                connection.buffer = connection.buffer[used:]
                if connection.listener is self.control:
                    self.send(connection, self.command(method, target))
                elif not self.predict(connection, target, body):
                    return
        except ValueError as error:
            self.send(connection, http_answer(400, {"error": str(error)}))
            self.forget(connection.sock)

    def predict(self, connection, target, body):
        """Answers one inference request; False when the connection is gone."""
        listener = connection.listener
        if listener.fault == "reset":
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            self.forget(connection.sock)
            return False
        url = urlsplit(target)
        if not (url.path.startswith("/v1/models/") and url.path.endswith(":predict")):
            answer = http_answer(404, {"error": "POST /v1/models/NAME:predict"})
        elif is_status(listener.fault):
            answer = http_answer(int(listener.fault), {"error": f"fault {listener.fault}", "server": listener.text,
                                                       "version": self.version})
        else:
            question = json.loads(body) if body else {"nonce": parse_qs(url.query).get("nonce", [""])[0]}
            items = question.get("items", [])
            answer = http_answer(200, {
                "model": url.path[len("/v1/models/"):-len(":predict")], "version": self.version,
                "server": listener.text, "nonce": question.get("nonce", ""),
                "ranking": sorted(items, key=lambda item: zlib.crc32(f"{self.version}{item}".encode()))})
        listener.answered += 1
        if listener.delay:
            self.sequence += 1
            heapq.heappush(self.later, (time.monotonic() + listener.delay, self.sequence, connection, answer))
        else:
            self.send(connection, answer)
        return True

    def send(self, connection, answer):
        try:
            connection.sock.sendall(answer)  # answers fit into an empty socket buffer
        except OSError:
            if connection.sock.fileno() >= 0:
                self.forget(connection.sock)

    def command(self, method, target):
        url = urlsplit(target)
        query = parse_qs(url.query)
        if url.path == "/stats":
            return http_answer(200, {one.text: {"version": self.version, "fault": one.fault, "accepted": one.accepted,
                                                "answered": one.answered} for one in self.listeners})
        fault = url.path.removeprefix("/fault/")
        if method != "POST" or (fault not in FAULTS and not is_status(fault)):
            return http_answer(404, {"error": f"GET /stats or POST /fault/{'|'.join(FAULTS)}|STATUS"})
        for one in self.listeners:
            if query.get("server", [one.text])[0] != one.text:
                continue
            one.fault = fault
            late = {"slow": SLOW_MS}.get(fault, 0)
            one.delay = float(query.get("ms", [late])[0]) / 1000 if fault == "slow" or is_status(fault) else 0.0
            if fault == "refuse" and one.sock:
                self.forget(one.sock)
                one.sock = None
            elif fault != "refuse" and one.sock is None:
                self.listen(one)
        return http_answer(200, {"fault": fault})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", required=True)
    parser.add_argument("--control", help="path of the control socket")
    parser.add_argument("address", nargs="+", help="ADDR:PORT or [ADDR6]:PORT; port 0 picks one")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    signal.signal(signal.SIGINT, lambda *_: os._exit(0))
    server = Server(options.version, options.address, options.control)
    print("ready", *(one.text for one in server.listeners), flush=True)
    server.serve()


if __name__ == "__main__":
    sys.exit(main())
