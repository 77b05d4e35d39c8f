#!/usr/bin/python3
"""An application that asks for rankings, one connection a request, and knows nothing of versions or meshes.

  client.py 127.100.0.10:8080 [--requests N] [--seconds S] [--pause-ms MS]

An answer counts only if it carries the request's own nonce and a version. A refused connection is tried again, as any
client does. Prints one JSON object: answered, versions, servers, refused (attempts), failed (requests), errors.
"""
import argparse
import collections
import json
import os
import random
import signal
import socket
import time

ATTEMPTS = 4
MODEL = "content-ranking"


def ask(address, nonce):
    """(version, server) of one verified answer; OSError or ValueError otherwise."""
    body = json.dumps({"nonce": nonce, "items": ["a1", "b2", "c3"]}).encode()
    head = f"POST /v1/models/{MODEL}:predict HTTP/1.1\r\nhost: {MODEL}\r\ncontent-length: {len(body)}\r\n\r\n"
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family) as sock:
        sock.settimeout(5)
        sock.connect(address)
        if sock.getpeername()[:2] != address:
            raise ValueError(f"getpeername: {sock.getpeername()}")
        sock.sendall(head.encode() + body)
        answer = b""
        while b"\r\n\r\n" not in answer or len(answer.split(b"\r\n\r\n", 1)[1]) < content_length(answer):
            data = sock.recv(65536)
            if not data:
                raise ValueError("answer ends early")
            answer += data
    value = json.loads(answer.split(b"\r\n\r\n", 1)[1])
    if value.get("nonce") != nonce or not value.get("version"):
        raise ValueError("not an answer to this request")
    return value["version"], value["server"]


def content_length(answer):
    for line in answer.split(b"\r\n\r\n", 1)[0].split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise ValueError("no content-length")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", help="ADDR:PORT or [ADDR6]:PORT")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60, help="stop then, whatever is left")
    parser.add_argument("--pause-ms", type=float, default=0, help="between requests")
    options = parser.parse_args()
    host, _, port = options.address.rpartition(":")
    address = (host.strip("[]"), int(port))
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    versions, servers, errors = collections.Counter(), collections.Counter(), collections.Counter()
    refused = failed = 0
    deadline = time.monotonic() + options.seconds
    left = options.requests
    while left and not stop and time.monotonic() < deadline:
        left -= 1
        time.sleep(options.pause_ms / 1000)
        for _ in range(ATTEMPTS):
            try:
                version, server = ask(address, f"{os.getpid()}-{random.getrandbits(64):016x}")
            except ConnectionRefusedError:
                refused += 1
                continue
            except (OSError, ValueError) as error:
                errors[f"{type(error).__name__}: {error}"] += 1
                failed += 1
                break
            versions[version] += 1
            servers[server] += 1
            break
        else:
            errors["refused every time"] += 1
            failed += 1
    print(json.dumps({"answered": sum(versions.values()), "versions": versions, "servers": servers,
                      "refused": refused, "failed": failed, "errors": errors}), flush=True)


if __name__ == "__main__":
    main()
