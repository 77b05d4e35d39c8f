"""Where a benchmark runs: a network namespace and cgroups of its own, agents, and what the kernel says of their cost."""
import contextlib
import json
import pathlib
import signal
import statistics
import subprocess
import sys
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "harness")]

import generate  # noqa: E402
from sandbox import BpfMount, Cgroup, Cleanup, Netns, end, run, spawn, wait_for  # noqa: E402
from servers import unix_request  # noqa: E402

STATS = pathlib.Path("/proc/sys/kernel/bpf_stats_enabled")
BPFTOOL = "/usr/sbin/bpftool"


class Bench:
    """The servers and the places where clients run."""

    def __init__(self, build, folder):
        self.build, self.folder = build, folder
        self.cleanup = Cleanup()
        try:
            self.netns = self.cleanup.owns(Netns())
            self.cgroup = self.cleanup.owns(Cgroup.create("sl-bench"))
            self.outside = self.cleanup.owns(Cgroup.create("sl-bench-outside"))
            self.serve("answer", generate.ENDPOINT_PORT, 2)
        except BaseException:
            self.cleanup.run()
            raise

    def serve(self, program, *arguments):
        """Starts a server outside the mesh; it listens on every address of the namespace."""
        server = spawn([self.build / "bench" / program, *arguments], self.outside, self.netns, stdout=subprocess.PIPE, text=True)
        self.cleanup.add(lambda: end(server, signal.SIGKILL))
        if server.stdout.readline() != "listening\n":
            raise RuntimeError(f"{program} does not listen")
        return server

    def client_of(self, command, cgroup):
        return spawn(command, cgroup, self.netns, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def client(self, program, cgroup, *arguments):
        return spawn([self.build / "bench" / program, *arguments], cgroup, self.netns, stdout=subprocess.PIPE, text=True)

    def ask(self, program, cgroup, *arguments, seconds=120):
        """What a client printed when it was done."""
        process = self.client(program, cgroup, *arguments)
        text, _ = process.communicate(timeout=seconds)
        if process.returncode:
            raise RuntimeError(f"{program}: exit {process.returncode}: {text}")
        return json.loads(text)

    def connect(self, cgroup, *arguments):
        return self.ask("connect", cgroup, *arguments)


class Agent:
    """One sluiced in a folder of its own; its rules go into `config` before start()."""

    def __init__(self, bench, name, cgroup, *extra):
        self.bench = bench
        self.folder = bench.folder / name
        for part in ("config", "state", "run"):
            (self.folder / part).mkdir(parents=True)
        self.config = self.folder / "config"
        self.bpffs = BpfMount(self.folder / "bpf")
        self.log = open(self.folder / "sluiced.log", "wb")
        self.arguments = ["--config", self.folder / "config", "--state", self.folder / "state", "--run", self.folder / "run",
                          "--http", "127.0.0.1:0", "--cgroup", cgroup.path, "--bpffs", self.bpffs.path, *extra]
        self.process = None

    def launch(self):
        self.process = spawn([self.bench.build / "sluiced", *self.arguments], stdout=self.log, stderr=subprocess.STDOUT)

    def wait_ready(self):
        wait_for(self.answers, "the agent's admin API", 30)

    def start(self, last):
        """Milliseconds from the start of the process to the end of the first connection that it placed, to `last`."""
        early = self.bench.connect(self.bench.cgroup, "--to", last, "--seconds", "0.05")
        if early["connections"]:
            raise RuntimeError(f"{last} answers without the mesh")
        started = time.monotonic_ns()
        self.launch()
        first = self.bench.connect(self.bench.cgroup, "--to", last, "--seconds", "60", "--until-first")
        if first["connections"] != 1:
            raise RuntimeError("no connection was placed:\n" + (self.folder / "sluiced.log").read_text())
        self.wait_ready()
        return (first["last_end_ns"] - started) / 1e6

    def answers(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"sluiced: exit {self.process.returncode}\n{(self.folder / 'sluiced.log').read_text()}")
        try:
            return unix_request(self.folder / "run/sluiced.sock", "GET", "/v1/status")[0] == 200
        except OSError:
            return False

    def apply(self, text):
        status, body = unix_request(self.folder / "run/sluiced.sock", "POST", "/v1/apply", text, timeout=30)
        if status != 200:
            raise RuntimeError(f"apply: {status} {body}")

    def memory(self):
        """MB: resident and peak of the process, its maps in the kernel, and both without counting mapped maps twice."""
        pid = self.process.pid
        status = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
        kb = {name: int(status[name].split()[0]) for name in ("VmRSS", "VmHWM")}
        mapped = maps = 0
        inside = False
        for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
            if "-" in line.split(" ", 1)[0]:
                inside = "bpf-map" in line
            elif inside and line.startswith("Rss:"):
                mapped += int(line.split()[1])
        seen = {}
        for info in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
            fields = dict(line.split(":", 1) for line in info.read_text().splitlines() if ":" in line)
            if "map_id" in fields and "memlock" in fields:
                seen[fields["map_id"].strip()] = int(fields["memlock"])
        maps = sum(seen.values()) / 1024
        mb = {"rss": kb["VmRSS"], "peak_rss": kb["VmHWM"], "maps": maps, "rss_of_mapped_maps": mapped,
              "steady": kb["VmRSS"] - mapped + maps, "peak": kb["VmHWM"] - mapped + maps}
        return {name: round(value / 1024, 1) for name, value in mb.items()}

    def stop(self):
        if self.process:
            end(self.process)
        run(self.bench.build / "sluiced", *self.arguments, "--uninstall", check=False)
        self.log.close()
        self.bpffs.remove()


def spread(values):
    ordered = sorted(values)
    return {"median": statistics.median(ordered), "low": ordered[0], "high": ordered[-1], "pairs": len(ordered)}


def program_counts(cgroup):
    """{program: (runs, nanoseconds)} of what is attached to this cgroup."""
    links = json.loads(run(BPFTOOL, "-j", "link", "show").stdout)
    ours = {link["prog_id"] for link in links if link.get("cgroup_id") == cgroup.path.stat().st_ino}
    programs = json.loads(run(BPFTOOL, "-j", "prog", "show").stdout)
    return {p["name"]: (p.get("run_cnt", 0), p.get("run_time_ns", 0)) for p in programs if p["id"] in ours}


@contextlib.contextmanager
def bpf_stats():
    """Programs are timed inside; the sysctl is as it was afterwards."""
    was = STATS.read_text()
    try:
        STATS.write_text("1")
        yield
    finally:
        STATS.write_text(was)


def ratios(runs, of, a, b):
    """A B B A blocks, as (name, result) in order: b over a pair by pair, and a over a of neighbours."""
    pairs = []
    for first in range(0, len(runs), 4):
        a1, b1, b2, a2 = (got for _, got in runs[first:first + 4])
        pairs += [(a1, b1), (a2, b2)]
    alone = [got for name, got in runs if name == a]
    return {"ratio": spread([of(y) / of(x) for x, y in pairs]), "noise": spread([of(y) / of(x) for x, y in zip(alone, alone[1:])]),
            a: statistics.median(of(got) for got in alone), b: statistics.median(of(got) for name, got in runs if name == b)}
