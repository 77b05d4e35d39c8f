#!/usr/bin/python3
"""Asks all kinds of things of the services of tests/e2e/test_dashboards.py until it is ended.

  mixed_client.py DIRECT BREAKING LIMITED PROXIED     each ADDR:PORT

DIRECT: requests, and now and then a TLS client. BREAKING: requests. LIMITED: two connections where one is allowed. PROXIED:
requests of premium users, of users of an experiment and of others; bodies that are not copied, and what is no HTTP.
"""
import http.client
import itertools
import socket
import sys
import time

TLS_HELLO = bytes.fromhex("160301002e0100002a0303") + bytes(36)
PATH = "/v1/models/content-ranking:predict?nonce="


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def attempt(function, *arguments, **options):
    """What breaks is meant to."""
    try:
        return function(*arguments, **options)
    except (OSError, http.client.HTTPException):
        return None


def ask(to, nonce, host, headers=None):
    connection = http.client.HTTPConnection(*to, timeout=5)
    try:
        connection.request("GET", PATH + str(nonce), headers={"Host": host, **(headers or {})})
        connection.getresponse().read()
    finally:
        connection.close()


def say(to, octets):
    with socket.create_connection(to, timeout=2) as sock:
        sock.sendall(octets)
        sock.settimeout(0.2)
        sock.recv(1000)


def main():
    direct, breaking, limited, proxied = (address(text) for text in sys.argv[1:])
    held = None
    for number in itertools.count():
        attempt(ask, direct, number, "features")
        attempt(ask, proxied, number, "ranking")
        attempt(ask, proxied, number, "ranking", {"x-user-segment": "premium"})
        attempt(ask, proxied, number, "ranking", {"x-user-id": f"user-{number}"})
        if number % 4 == 0:
            attempt(ask, breaking, number, "breaking")
        if number % 20 == 0:
            attempt(say, direct, TLS_HELLO)
            attempt(say, proxied, b"GET / HTTP/1.1\r\nno field at all\r\n\r\n")
            held = held or attempt(socket.create_connection, limited)
            attempt(say, limited, b"")
        time.sleep(0.002)


if __name__ == "__main__":
    main()
