#!/usr/bin/python3
"""Clients that keep their connections: Python's own HTTP client in threads.

  keep_client.py ADDR:PORT THREADS PAUSE_MS LOG     until SIGTERM; prints "asking" when every thread has had an answer

A request whose connection ended before anything of an answer came is asked again on a new one, as clients do. One line
an attempt in LOG: start_ns end_ns thread result version server; result: ok, again (ended before an answer), refused, or
what went wrong once an answer had begun.
"""
import http.client
import json
import signal
import socket
import sys
import threading
import time

ATTEMPTS = 20


class Client(threading.Thread):
    def __init__(self, number, address, pause, log, stop):
        super().__init__()
        self.number, self.pause, self.log, self.stop = number, pause, log, stop
        self.connection = http.client.HTTPConnection(*address, timeout=10)
        self.answered = threading.Event()
        self.asked = 0

    def run(self):
        while not self.stop.is_set():
            for _ in range(ATTEMPTS):
                result = self.attempt()
                if result not in ("again", "refused"):
                    break
            self.answered.set()
            self.stop.wait(self.pause)
        self.connection.close()

    def attempt(self):
        self.asked += 1
        nonce = f"{self.number}-{self.asked}"
        began = time.monotonic_ns()
        version = server = "-"
        try:
            self.connection.request("POST", "/v1/models/m:predict", json.dumps({"nonce": nonce}))
            answer = self.connection.getresponse()
        except ConnectionRefusedError:
            result = "refused"
        except (ConnectionError, http.client.RemoteDisconnected):
            result = "again"
        except (OSError, http.client.HTTPException) as error:
            result = f"unanswered:{type(error).__name__}"
        else:
            result, version, server = self.read(answer, nonce)
        if result != "ok" and not result.isdigit():
            self.connection.close()
        self.log.append(f"{began} {time.monotonic_ns()} {self.number} {result} {version} {server}\n")
        return result

    def read(self, answer, nonce):
        try:
            body = answer.read()
            value = json.loads(body)
        except (OSError, ValueError, http.client.HTTPException) as error:
            return f"broken:{type(error).__name__}", "-", "-"
        if answer.status != 200:
            return str(answer.status), value.get("version", "-"), value.get("server", "-")
        return "ok" if value.get("nonce") == nonce else "stranger", value["version"], value["server"]


def main():
    host, _, port = sys.argv[1].rpartition(":")
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    socket.setdefaulttimeout(10)
    log = []  # a file's write would mix the threads
    clients = [Client(i, (host.strip("[]"), int(port)), float(sys.argv[3]) / 1000, log, stop)
               for i in range(int(sys.argv[2]))]
    for client in clients:
        client.start()
    for client in clients:
        client.answered.wait()
    print("asking", flush=True)
    for client in clients:
        client.join()
    with open(sys.argv[4], "w") as out:
        out.writelines(log)


if __name__ == "__main__":
    main()
