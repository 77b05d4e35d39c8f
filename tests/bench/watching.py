"""What watching HTTP answers costs: the same keep-alive traffic with --observe on, off, and without mesh.

Two agents side by side, each on a cgroup of its own, so that blocks alternate within a minute. BPF time is read in runs
of its own, because timing it costs too: the kernel's clock is measured on programs that do nothing (empty.bpf.c), in turn
with ours, and BPF times are given gross and net of it.
"""
import json
import pathlib
import statistics

import generate
from place import Agent, BPFTOOL, bpf_stats, program_counts, ratios
from sandbox import BpfMount, Cgroup, end, run

PORT = 9001
CONNECTIONS = (1, 32, 256)
BODIES = (1024, 1_000_000)
PACKETS = ("sl_egress", "sl_ingress")


def rules():
    """One HTTP service with two versions, split by connection."""
    return generate.service_objects(0, 2).replace("name: tcp, protocol: TCP, targetPort: 9000",
                                                  f"name: http, protocol: HTTP, targetPort: {PORT}").replace(
        "metadata: {name: model-0, namespace: bench}",
        'metadata: {name: model-0, namespace: bench, annotations: {sluice.dev/split: connection}}').replace("  tcp:\n", "  http:\n")


def cpu_seconds(process):
    """User and system time of a process so far."""
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


class Empty:
    """Programs that do nothing on the packets of a cgroup of their own."""

    def __init__(self, bench):
        self.cgroup = bench.cleanup.owns(Cgroup.create("sl-bench-empty"))
        bpffs = bench.cleanup.owns(BpfMount(bench.folder / "empty-bpf"))
        run(BPFTOOL, "prog", "loadall", bench.build / "bench/empty.bpf.o", bpffs.path / "empty")
        self.pins = {name: bpffs.path / "empty" / name for name in PACKETS}
        for name, pin in self.pins.items():
            run(BPFTOOL, "cgroup", "attach", self.cgroup.path, f"cgroup_inet_{name.removeprefix('sl_')}", "pinned", pin)

    def counts(self):
        shown = {name: json.loads(run(BPFTOOL, "-j", "prog", "show", "pinned", pin).stdout) for name, pin in self.pins.items()}
        return {name: (one.get("run_cnt", 0), one.get("run_time_ns", 0)) for name, one in shown.items()}


class Traffic:
    def __init__(self, bench, server, cgroups, empty):
        self.bench, self.server, self.empty = bench, server, empty
        self.cgroups = cgroups | {"empty": empty.cgroup}

    def counts(self, place):
        """{program: (runs, nanoseconds)} of the packet programs on that cgroup."""
        return self.empty.counts() if place == "empty" else program_counts(self.cgroups[place])

    def block(self, place, connections, body, seconds):
        direct = place in ("none", "unmeshed", "empty")
        to = f"{generate.endpoint(0, 0, 2)}:{PORT}" if direct else f"{generate.vip(0)}:{generate.SERVICE_PORT}"
        before = cpu_seconds(self.server)
        got = self.bench.ask("http_ask", self.cgroups[place], "--to", to, "--connections", connections, "--bytes", body,
                             "--seconds", seconds)
        got["cpu_us"] += (cpu_seconds(self.server) - before) * 1e6 / got["requests"]
        return got


def bpf_cost(traffic, place, connections, body, seconds):
    """Runs and nanoseconds of the packet programs, a request."""
    with bpf_stats():
        traffic.block(place, connections, body, 0.3)
        before = traffic.counts(place)
        got = traffic.block(place, connections, body, seconds)
        after = traffic.counts(place)
    cost = {}
    for name in PACKETS:
        runs, ns = (after[name][i] - before[name][i] for i in (0, 1))
        cost[name] = {"runs": runs / got["requests"], "ns_a_run": ns / runs if runs else 0, "ns": ns / got["requests"]}
    return {"requests": got["requests"], "total_ns": sum(one["ns"] for one in cost.values()), "programs": cost}


def bpf_costs(traffic, connections, body, seconds, rounds):
    """Medians of each place's cost, measured in turn; `net_ns` is without what as many runs of an empty program take."""
    places = {"bpf": "on", "unmeshed": "unmeshed", "empty": "empty"}
    taken = {what: [] for what in places}
    for _ in range(rounds):
        for what, place in places.items():
            taken[what].append(bpf_cost(traffic, place, connections, body, seconds))
    costs = {}
    for what, rows in taken.items():
        programs = {name: {key: statistics.median(row["programs"][name][key] for row in rows) for key in ("runs", "ns_a_run", "ns")}
                    for name in PACKETS}
        costs[what] = {"requests": sum(row["requests"] for row in rows), "programs": programs,
                       "total_ns": statistics.median(row["total_ns"] for row in rows)}
    clock = {name: one["ns_a_run"] for name, one in costs["empty"]["programs"].items()}
    for cost in (costs["bpf"], costs["unmeshed"]):
        cost["net_ns"] = cost["total_ns"] - sum(one["runs"] * clock[name] for name, one in cost["programs"].items())
    return costs


def measure(bench, seconds, rounds):
    server = bench.serve("http_answer", PORT, 2)
    cgroups = {"none": bench.outside, "on": bench.cgroup, "unmeshed": bench.cgroup,
               "off": bench.cleanup.owns(Cgroup.create("sl-bench-off"))}
    agents = []
    rows = []
    try:
        for name in ("on", "off"):
            agent = Agent(bench, f"observe-{name}", cgroups[name], "--observe", name)
            agents.append(agent)
            (agent.config / "rules.yaml").write_text(rules())
            agent.launch()
            agent.wait_ready()
        traffic = Traffic(bench, server, cgroups, Empty(bench))
        measures = {"throughput": lambda got: got["requests"] / got["seconds"], "cpu": lambda got: got["cpu_us"],
                    "latency_p50": lambda got: got["latency_us"]["p50"]}
        for body in BODIES:
            for connections in CONNECTIONS:
                print(f"watching: {connections} connections, {body} octets …", flush=True)
                for place in cgroups:
                    traffic.block(place, connections, body, 0.3)  # warm
                runs = [(place, traffic.block(place, connections, body, seconds))
                        for _ in range(rounds) for place in ("off", "on", "on", "off")]
                alone = traffic.block("none", connections, body, seconds)
                rows.append({"connections": connections, "body": body,
                             "measures": {name: {**ratios(runs, of, "off", "on"), "none": of(alone)} for name, of in measures.items()},
                             **bpf_costs(traffic, connections, body, seconds / 2, rounds)})
    finally:
        for agent in agents:
            agent.stop()
        end(server)
    return rows


def show(rows):
    print("\nwatching on / off: median ratio [lowest, highest] of pairs; beside it off / off")
    print(f"{'conns':>6} {'octets':>8} {'measure':<12} {'no mesh':>10} {'off':>10} {'on':>10}   {'on / off':<24} {'off / off':<24}")
    for row in rows:
        for name, got in row["measures"].items():
            texts = ["{median:.3f} [{low:.3f}, {high:.3f}]".format(**got[key]) for key in ("ratio", "noise")]
            print(f"{row['connections']:>6} {row['body']:>8} {name:<12} {got['none']:>10.1f} {got['off']:>10.1f} {got['on']:>10.1f}"
                  f"   {texts[0]:<24} {texts[1]:<24}")
    print("(throughput: requests a second; cpu: microseconds of client and server a request; latency: microseconds)")
    print("\nBPF time of packets a request, ns (bpf_stats on): gross, and net of what the runs of an empty program take; medians")
    print(f"{'conns':>6} {'octets':>8} {'packets':<9} {'gross':>9} {'net':>9}")
    for row in rows:
        for what in ("bpf", "unmeshed", "empty"):
            got = row[what]
            programs = ", ".join(f"{name} {one['ns']:.0f} ({one['runs']:.1f} runs of {one['ns_a_run']:.0f})"
                                 for name, one in got["programs"].items())
            net = f"{got['net_ns']:.0f}" if "net_ns" in got else ""
            print(f"{row['connections']:>6} {row['body']:>8} {'watched' if what == 'bpf' else what:<9} {got['total_ns']:>9.0f} {net:>9}: {programs}")
