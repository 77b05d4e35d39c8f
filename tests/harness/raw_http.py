"""Servers and clients that know what they did: raw_server.c and raw_client.c, and curl, Python and Node asking."""
import collections
import itertools
import json
import os
import pathlib
import random
import struct
import subprocess
import sys
import tempfile

from dialling import program
from sandbox import end, spawn

HERE = pathlib.Path(__file__).parent
# Upper bounds of Istio's histograms, of milliseconds and of octets; above the last is +Inf.
BOUNDS = (0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000)

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() resets

Asked = collections.namedtuple("Asked", "status version method sent received first_ms ms result")


class RawServer:
    """One process, one version, one or more addresses ADDR4:PORT."""

    def __init__(self, version, addresses, late_ms=0):
        self.version = version
        self.process = spawn([program(HERE / "raw_server.c"), "--version", version, "--late", late_ms, *addresses],
                             stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            self.remove()
            raise RuntimeError(f"raw_server {version} {addresses}: did not start")

    def remove(self):
        end(self.process)


def read_log(path):
    rows = []
    with open(path) as log:
        for line in log:
            status, version, method, sent, received, first, last, result = line.split()
            rows.append(Asked(int(status), version, method, int(sent), int(received), int(first) / 1e6,
                              int(last) / 1e6, result))
    return rows


class Asking:
    """A client that runs; `result` waits for its end, `stop` asks for it."""

    def __init__(self, command, cgroup, netns=None):
        handle, self.log = tempfile.mkstemp(prefix="sluice-ask-")
        os.close(handle)
        self.process = spawn([*command, self.log], cgroup=cgroup, netns=netns, stdout=subprocess.DEVNULL)

    def result(self, seconds=110):
        try:
            status = self.process.wait(seconds)
            if status != 0:
                raise RuntimeError(f"{self.process.args}: exit {status}")
            return read_log(self.log)
        finally:
            self.remove()

    def stop(self):
        self.process.terminate()
        return self.result()

    def remove(self):
        end(self.process)
        pathlib.Path(self.log).unlink(missing_ok=True)


def raw(to, cgroup, count, netns=None, **options):
    extra = [word for name, value in options.items() for word in (f"--{name}", value)]
    return Asking([program(HERE / "raw_client.c"), "--to", to, "--count", count, *extra, "--log"], cgroup, netns)


def python(to, cgroup, count, seed=1, waits=(0,)):
    return Asking([sys.executable, HERE / "ask_python.py", to, count, seed, json.dumps(waits)], cgroup)


def node(to, cgroup, count, seed=1, waits=(0,)):
    return Asking(["node", HERE / "ask_node.js", to, count, seed, json.dumps(waits)], cgroup)


def chunk_framing(size):
    """Octets that raw_server adds to a chunked body of `size`."""
    octets, sizes = len("0\r\n\r\n"), itertools.cycle((1, 2, 15, 16, 255, 4096, 70000))
    while size:
        now = min(size, next(sizes))
        octets += len(f"{now:x}\r\n\r\n")
        size -= now
    return octets


class Curl:
    """One curl with a list of requests, over one connection after the other. It does not count the framing of chunks:
    that is added; and it takes an interim head for the first octet of the answer: then the end is as near as it knows,
    and with several `waits` there are none."""
    WRITE_OUT = ("%{http_code} %header{x-version} %{method} %{size_request} %{size_upload} %{size_header} "
                 "%{size_download} %{time_pretransfer} %{time_starttransfer} %{time_total} %{exitcode}\\n")

    def __init__(self, to, cgroup, count, directory, seed=1, waits=(0,)):
        draw = random.Random(seed)
        upload = pathlib.Path(directory) / "upload"
        upload.write_bytes(b"x" * 3000)
        entries, self.hidden = [], []
        timed = len(waits) > 1
        for i in range(count):
            status, frame = draw.choice((200, 200, 204, 304, 404, 500, 503)), draw.choice(("length", "chunked", "close"))
            method = draw.choice(("get", "head") if timed else ("get", "get", "head", "put"))
            size, interim = draw.choice((0, 1, 100, 20000, 200000)), 0 if timed else draw.choice((0, 0, 1))
            chunks = frame == "chunked" and method != "head" and status not in (204, 304)
            self.hidden.append((chunk_framing(size) if chunks else 0, interim or method == "put"))
            entries.append(f'url = "http://{to}/?status={status}&frame={frame}&size={size}&interim={interim}'
                           f'&wait={waits[i % len(waits)]}"\n'
                           f'output = "/dev/null"\nwrite-out = "{self.WRITE_OUT}"\nsilent\nmax-time = 20\n'
                           + {"head": "head\n", "put": f'upload-file = "{upload}"\n', "get": ""}[method])
        config = pathlib.Path(directory) / "curl.config"
        config.write_text("next\n".join(entries))
        self.process = spawn(["curl", "--disable", "--config", config], cgroup=cgroup, stdout=subprocess.PIPE, text=True)

    def result(self, seconds=110):
        try:
            rows = []
            out = self.process.communicate(timeout=seconds)[0]
            for line, (framing, interim) in zip(out.splitlines(), self.hidden):
                code, version, method, request, upload, head, body, began, first, last, status = line.split()
                began, last = float(began), float(last)
                first = last if interim else float(first)
                rows.append(Asked(int(code), version, method, int(request) + int(upload), int(head) + int(body) + framing,
                                  (first - began) * 1e3, (last - began) * 1e3, "ok" if status == "0" else "broken"))
            return rows
        finally:
            self.remove()

    def remove(self):
        end(self.process)


def bucket(value):
    """Index of the first bound that is not below `value`; len(BOUNDS): above all."""
    return next((i for i, bound in enumerate(BOUNDS) if value <= bound), len(BOUNDS))
