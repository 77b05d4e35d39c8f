#!/usr/bin/python3
"""Asks a raw_server with Python's own HTTP client over keep-alive connections, and counts the octets of its sockets.

  ask_python.py ADDR:PORT COUNT SEED WAITS LOG     WAITS: JSON list of ms, in turn; lines as raw_client.c writes them
"""
import http.client
import json
import random
import socket
import sys
import time

STATUSES = (200, 200, 200, 204, 304, 404, 500, 503)
FRAMES = ("length", "length", "chunked", "close")
SIZES = (0, 1, 100, 1448, 20000, 200000)
CONNECTIONS = 4


class Counting(socket.socket):
    """Knows how much went through it."""
    sent = received = 0

    def sendall(self, data, *flags):
        super().sendall(data, *flags)
        self.sent += len(data)

    def recv_into(self, *arguments):
        count = super().recv_into(*arguments)
        self.received += count
        return count


class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = Counting(socket.AF_INET, socket.SOCK_STREAM)
        self.sock.settimeout(20)
        self.sock.connect((self.host, self.port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def ask(connection, draw, wait):
    status, frame, size = draw.choice(STATUSES), draw.choice(FRAMES), draw.choice(SIZES)
    method = draw.choice(("GET", "GET", "HEAD", "POST"))
    body = b"x" * draw.randrange(5000) if method == "POST" else None
    chunked = method == "POST" and draw.random() < 0.5
    if chunked:
        body = iter([body[:7], body[7:]]) if len(body) > 7 else iter([body or b"y"])
    if connection.sock is None:
        connection.connect()
    sock, sent, received = connection.sock, connection.sock.sent, connection.sock.received
    began = time.monotonic_ns()
    connection.request(method, f"/?status={status}&frame={frame}&size={size}&wait={wait}", body, encode_chunked=chunked)
    answer = connection.getresponse()
    first = time.monotonic_ns()
    got = len(answer.read())
    done = time.monotonic_ns()
    wanted = 0 if method == "HEAD" or status in (204, 304) else size
    good = answer.status == status and got == wanted
    return (answer.status, answer.getheader("x-version"), method, sock.sent - sent, sock.received - received,
            first - began, done - began, "ok" if good else "wrong")


def main():
    to, count, seed, waits, log = sys.argv[1:]
    waits = json.loads(waits)
    host, port = to.rsplit(":", 1)
    draw = random.Random(int(seed))
    connections = [Connection(host, int(port)) for _ in range(CONNECTIONS)]
    with open(log, "w") as out:
        for i in range(int(count)):
            try:
                row = ask(connections[i % CONNECTIONS], draw, waits[i % len(waits)])
            except (OSError, http.client.HTTPException):
                row = (0, "-", "-", 0, 0, 0, 0, "broken")
                connections[i % CONNECTIONS].close()
            print(*row, file=out)


if __name__ == "__main__":
    main()
