"""What watching HTTP answers costs: the same keep-alive traffic with --observe on, off, and without mesh.

Two agents side by side, each on a cgroup of its own, so that blocks alternate within a minute. BPF time is read in runs
of its own, because timing it costs too.
"""
import pathlib

import generate
from place import Agent, bpf_stats, program_counts, ratios
from sandbox import Cgroup, end

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


class Traffic:
    def __init__(self, bench, server, cgroups):
        self.bench, self.server, self.cgroups = bench, server, cgroups

    def block(self, place, connections, body, seconds):
        to = f"{generate.endpoint(0, 0, 2)}:{PORT}" if place in ("none", "unmeshed") else f"{generate.vip(0)}:{generate.SERVICE_PORT}"
        before = cpu_seconds(self.server)
        got = self.bench.ask("http_ask", self.cgroups[place], "--to", to, "--connections", connections, "--bytes", body,
                             "--seconds", seconds)
        got["cpu_us"] += (cpu_seconds(self.server) - before) * 1e6 / got["requests"]
        return got


def bpf_cost(traffic, place, connections, body, seconds):
    """Runs and nanoseconds of the packet programs, a request."""
    with bpf_stats():
        cgroup = traffic.cgroups[place]
        traffic.block(place, connections, body, 0.3)
        before = program_counts(cgroup)
        got = traffic.block(place, connections, body, seconds)
        after = program_counts(cgroup)
    cost = {}
    for name in PACKETS:
        runs, ns = (after[name][i] - before[name][i] for i in (0, 1))
        cost[name] = {"runs": runs / got["requests"], "ns_a_run": ns / runs if runs else 0, "ns": ns / got["requests"]}
    return {"requests": got["requests"], "total_ns": sum(one["ns"] for one in cost.values()), "programs": cost}


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
        traffic = Traffic(bench, server, cgroups)
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
                             "bpf": bpf_cost(traffic, "on", connections, body, seconds),
                             "unmeshed": bpf_cost(traffic, "unmeshed", connections, body, seconds)})
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
    print("\nBPF time of packets a request, ns (bpf_stats on)")
    for row in rows:
        for what in ("bpf", "unmeshed"):
            got = row[what]
            programs = ", ".join(f"{name} {one['ns']:.0f} ({one['runs']:.1f} runs of {one['ns_a_run']:.0f})"
                                 for name, one in got["programs"].items())
            print(f"{row['connections']:>6} {row['body']:>8} {'watched' if what == 'bpf' else what:<9} {got['total_ns']:>9.0f}: {programs}")
