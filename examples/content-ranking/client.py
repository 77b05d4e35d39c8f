#!/usr/bin/python3
"""An application that asks for rankings and knows nothing of versions or meshes.

  client.py 127.100.0.10:8080 [--requests N] [--seconds S] [--pause-ms MS] [--keep-alive]

One connection a request, or one for all of them with --keep-alive. An answer counts only if it carries the request's own
nonce and a version. A refused connection is tried again, as any client does, and so is a request on a kept connection
that had ended before anything of an answer came. Prints one JSON object: answered, versions, servers, statuses (of
answers that were no rankings), refused (attempts), renewed (kept connections that had ended), failed (requests), errors.
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


class Ended(Exception):
    """A kept connection had ended before anything of an answer came: ask again on a new one."""


class Status(Exception):
    """An answer that is no ranking."""


class Client:
    def __init__(self, address, keep):
        self.address, self.keep, self.sock = address, keep, None

    def connect(self):
        self.sock = socket.socket(socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET)
        self.sock.settimeout(5)
        self.sock.connect(self.address)
        if self.sock.getpeername()[:2] != self.address:
            raise ValueError(f"getpeername: {self.sock.getpeername()}")

    def close(self):
        if self.sock:
            self.sock.close()
            self.sock = None

    def ask(self, nonce):
        """(version, server) of one verified answer; Ended, Status, OSError or ValueError otherwise."""
        kept = self.sock is not None
        try:
            if not kept:
                self.connect()
            answer = self.exchange(nonce, kept)
        except BaseException:
            self.close()
            raise
        if not self.keep:
            self.close()
        status = answer.split(b" ", 2)[1].decode()
        if status != "200":
            raise Status(status)
        value = json.loads(answer.split(b"\r\n\r\n", 1)[1])
        if value.get("nonce") != nonce or not value.get("version"):
            raise ValueError("not an answer to this request")
        return value["version"], value["server"]

    def exchange(self, nonce, kept):
        body = json.dumps({"nonce": nonce, "items": ["a1", "b2", "c3"]}).encode()
        head = f"POST /v1/models/{MODEL}:predict HTTP/1.1\r\nhost: {MODEL}\r\ncontent-length: {len(body)}\r\n\r\n"
        answer = b""
        try:
            self.sock.sendall(head.encode() + body)
            while b"\r\n\r\n" not in answer or len(answer.split(b"\r\n\r\n", 1)[1]) < content_length(answer):
                data = self.sock.recv(65536)
                if not data:
                    raise ConnectionResetError("answer ends early")
                answer += data
        except ConnectionError as error:
            if kept and not answer:
                raise Ended from error
            raise
        return answer


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
    parser.add_argument("--keep-alive", action="store_true", help="one connection for all requests")
    options = parser.parse_args()
    host, _, port = options.address.rpartition(":")
    client = Client((host.strip("[]"), int(port)), options.keep_alive)
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    versions, servers, statuses, errors = (collections.Counter() for _ in range(4))
    refused = renewed = failed = 0
    deadline = time.monotonic() + options.seconds
    left = options.requests
    while left and not stop and time.monotonic() < deadline:
        left -= 1
        time.sleep(options.pause_ms / 1000)
        for _ in range(ATTEMPTS):
            try:
                version, server = client.ask(f"{os.getpid()}-{random.getrandbits(64):016x}")
            except ConnectionRefusedError:
                refused += 1
                continue
            except Ended:
                renewed += 1
                continue
            except Status as status:
                statuses[str(status)] += 1
                break
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
                      "statuses": statuses, "refused": refused, "renewed": renewed, "failed": failed, "errors": errors}), flush=True)


if __name__ == "__main__":
    main()
