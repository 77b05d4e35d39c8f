"""Model servers with known latencies and errors, and a client with a known rate: a process each.

  versions.py serve VERSION=ADDR:PORT,ADDR:PORT…   prints "ready"; lines of JSON on stdin change how versions answer
  versions.py ask ADDR:PORT HOST RATE SHARE REUSE  asks until stdin ends, then prints its counts as JSON
"""
import asyncio
import collections
import json
import random
import subprocess
import sys
import time

from sandbox import end, spawn

# Seconds; upper bounds of inference_latency_seconds.
BOUNDS = (0.01, 0.02, 0.04, 0.06, 0.08, 0.09, 0.1, 0.11, 0.12, 0.13, 0.14, 0.16, 0.2, 0.5, 1)


class Behaviour:
    """Latencies are uniform from low_ms to high_ms, so the p99 is known: a percent of the span below high_ms."""

    def __init__(self, low_ms=40.0, high_ms=120.0, errors_percent=0.0, metrics=True):
        self.low_ms, self.high_ms, self.errors_percent, self.metrics = low_ms, high_ms, errors_percent, metrics


class _Version:
    """What the servers of one version share."""

    def __init__(self, name):
        self.name, self.behaviour = name, Behaviour()
        self.counts, self.total = collections.Counter(), 0.0

    def count(self, wait):
        self.total += wait
        self.counts[next((b for b in BOUNDS if wait <= b), float("inf"))] += 1

    def metrics(self):
        if not self.behaviour.metrics:
            return "# nothing to tell\n"
        lines, below = ["# TYPE inference_latency_seconds histogram"], 0
        for bound in (*BOUNDS, float("inf")):
            below += self.counts[bound]
            text = "+Inf" if bound == float("inf") else str(bound)
            lines.append(f'inference_latency_seconds_bucket{{model_version="{self.name}",le="{text}"}} {below}')
        lines.append(f'inference_latency_seconds_sum{{model_version="{self.name}"}} {self.total}')
        lines.append(f'inference_latency_seconds_count{{model_version="{self.name}"}} {below}')
        return "\n".join(lines) + "\n"


class _Server(asyncio.Protocol):
    def __init__(self, version):
        self.version = version

    def connection_made(self, transport):
        self.transport, self.data = transport, b""

    def data_received(self, data):
        self.data += data
        while b"\r\n\r\n" in self.data:
            head, self.data = self.data.split(b"\r\n\r\n", 1)
            if head.startswith(b"GET /metrics "):
                self.answer(200, self.version.metrics().encode(), b"text/plain; version=0.0.4")
                continue
            now = self.version.behaviour
            wait = random.uniform(now.low_ms, now.high_ms) / 1000
            status = 500 if random.uniform(0, 100) < now.errors_percent else 200
            self.version.count(wait)
            body = json.dumps({"version": self.version.name}).encode()
            asyncio.get_running_loop().call_later(wait, self.answer, status, body, b"application/json")

    def answer(self, status, body, kind):
        if not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 %d Status\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n%s" %
                                 (status, kind, len(body), body))


async def _serve(arguments):
    loop, versions = asyncio.get_running_loop(), {}
    for argument in arguments:
        name, addresses = argument.split("=")
        version = versions[name] = _Version(name)
        for address in addresses.split(","):
            host, port = address.rsplit(":", 1)
            await loop.create_server(lambda version=version: _Server(version), host, int(port), backlog=4096)
    ended = asyncio.Event()

    def command():
        line = sys.stdin.readline()
        if not line:
            ended.set()
            return
        for name, behaviour in json.loads(line).items():
            versions[name].behaviour = Behaviour(**behaviour)
        print("done", flush=True)
    loop.add_reader(sys.stdin, command)
    print("ready", flush=True)
    await ended.wait()


async def _ask(address, host, rate, premium, reuse):
    counts, ended = collections.Counter(), asyncio.Event()
    where, port = address.rsplit(":", 1)
    free = []

    async def one():
        fields = "x-user-segment: premium\r\n" if random.random() < premium else ""
        try:
            reader, writer = free.pop() if free else await asyncio.open_connection(where, int(port))
            writer.write(f"GET /v1/models/m:predict HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = int(head.split("content-length:", 1)[1].split("\r\n", 1)[0])
            body = await reader.readexactly(length)
            status = int(head.split(" ", 2)[1])
            counts[f"{status} {json.loads(body)['version'] if status in (200, 500) and body[:1] == b'{' else ''}"] += 1
            if not reuse or "connection: close" in head:
                writer.close()
            else:
                free.append((reader, writer))
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            counts[f"failed {type(error).__name__}"] += 1

    asyncio.get_running_loop().add_reader(sys.stdin, ended.set)
    tasks, due = set(), time.monotonic()
    while not ended.is_set():
        due += 1 / rate
        if (wait := due - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        elif wait < -0.5:
            due = time.monotonic()  # the machine stood still: what is lost is not made up for
        if len(tasks) < 500:
            tasks.add(task := asyncio.create_task(one()))
            task.add_done_callback(tasks.discard)
    if tasks:
        await asyncio.wait(tasks, timeout=5)
    print(json.dumps(counts), flush=True)


class Versions:
    """Servers of all versions in one process, so that what holds up the machine holds up all of them alike."""

    def __init__(self, addresses, port=8080):
        """`addresses`: {version: [address, ...]}."""
        texts = [f"{version}=" + ",".join(f"{a}:{port}" for a in own) for version, own in addresses.items()]
        self.process = spawn([sys.executable, __file__, "serve", *texts], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n", texts

    def behave(self, **versions):
        """version={"low_ms": …}: as Behaviour, from now on."""
        self.process.stdin.write(json.dumps(versions) + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def remove(self):
        end(self.process)


class Load:
    """`rate` requests a second, a part of them (`premium`) with x-user-segment: premium; without `reuse` each on a
    connection of its own. Ends with the test."""

    def __init__(self, to, host, rate=300, premium=0.0, reuse=True, cgroup=None):
        self.process = spawn([sys.executable, __file__, "ask", "%s:%d" % to, host, rate, premium, int(reuse)],
                             cgroup=cgroup, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def stop(self):
        """{"STATUS VERSION": answers, "failed WHY": requests without one}."""
        out, _ = self.process.communicate(timeout=20)
        return json.loads(out)

    def remove(self):
        end(self.process)


if __name__ == "__main__":
    job, *rest = sys.argv[1:]
    try:
        asyncio.run(_serve(rest) if job == "serve"
                    else _ask(rest[0], rest[1], float(rest[2]), float(rest[3]), rest[4] == "1"))
    except KeyboardInterrupt:
        pass
