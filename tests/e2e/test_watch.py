"""What people see of running traffic: top, tail, get connections, status."""
import json
import re
import signal
import subprocess
import sys

import pytest

import rules
from keeping import Keepers
from sandbox import end, run, spawn, wait_for
from screen import Terminal

HOST = "content-ranking.ml-serving.svc.cluster.local"
SHORT = "content-ranking.ml-serving:8080"
CLIENTS = 8


class Busy:
    """85/10/5 on eight servers, asked by clients that keep their connections."""

    def __init__(self, service):
        self.service, self.mesh = service, service.mesh
        self.mesh.write("client.yaml", rules.client("frontend", self.mesh.clients, labels={}))
        self.mesh.start()
        wait_for(lambda: self.mesh.get("/v1/status")["clients"]["known"] == 1, "the client's cgroup")
        self.keepers = self.mesh.cleanup.owns(
            Keepers(service.to, self.mesh.clients, threads=CLIENTS, pause_ms=5))

    def json(self, *arguments):
        return json.loads(self.mesh.sluice(*arguments, "-o", "json").stdout)

    def requests(self):
        return sum(d["requests"] for d in self.mesh.get("/v1/top")["services"][0]["destinations"])

    def terminal(self, *arguments, size=(80, 24)):
        command = [self.mesh.binaries / "sluice", *arguments, "--run", self.mesh.run_dir]
        return self.mesh.cleanup.owns(Terminal(command, *size))

    def sluice(self, *arguments):
        return spawn([self.mesh.binaries / "sluice", *arguments, "--run", self.mesh.run_dir],
                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def busy(ranking):
    return Busy(ranking())


def test_connections_are_listed_with_names_and_what_they_did(busy):
    found = busy.json("get", "connections")
    assert found["total"] == found["shown"] == CLIENTS == len(found["connections"])
    for row in found["connections"]:
        assert (row["host"], row["port"], row["state"], row["older"]) == (HOST, 8080, "established", False)
        assert row["client"] == "ml-serving/frontend"
        assert row["endpoint"].rsplit(":", 1)[0] in busy.service.servers[row["subset"]]
        assert row["dialled"] == busy.service.to and row["local"].startswith("127.")
        assert row["watched"] == "yes" and row["gate"] in ("open", "busy")
        assert row["requests"] > 0 and row["age_s"] > 0 and row["sent_bytes"] >= 0
        assert row["generation"] == busy.mesh.generation()
    assert len({row["cookie"] for row in found["connections"]}) == CLIENTS
    table = busy.mesh.sluice("get", "connections", "content-ranking").stdout.splitlines()
    assert len(table) == CLIENTS + 1 and "WATCHED" in table[0]


def test_a_long_list_of_connections_is_cut_and_says_so(busy):
    done = busy.mesh.sluice("get", "connections", "--limit", "3")
    assert len(done.stdout.splitlines()) == 4 and f"shown 3 of {CLIENTS} connections" in done.stderr
    found = busy.json("get", "connections", "--limit", "3")
    assert (found["total"], found["shown"], len(found["connections"])) == (CLIENTS, 3, 3)
    assert busy.mesh.sluice("get", "connections", "nobody", check=False).returncode == 1
    assert busy.mesh.sluice("get", "connections", "--limit", "100001", check=False).returncode == 2


def test_connections_that_follow_older_weights_are_marked(busy):
    busy.service.split({"v45": 0, "v47": 100, "v43": 0})
    found = busy.json("get", "connections")
    assert found["total"] == CLIENTS and all(row["older"] for row in found["connections"])
    top = busy.mesh.get("/v1/top")["services"][0]
    assert top["older_generation_connections"] == CLIENTS
    busy.keepers.stop()
    wait_for(lambda: busy.json("get", "connections")["total"] == 0, "the end of all connections")


TLS_CLIENT = """
import socket, sys
host, port = sys.argv[1].rsplit(":", 1)
with socket.create_connection((host, int(port)), timeout=10) as sock:
    sock.sendall(bytes.fromhex("160301020001"))
    sys.stdin.read()
"""


def test_a_connection_that_cannot_be_watched_says_why(busy):
    client = spawn([sys.executable, "-c", TLS_CLIENT, busy.service.to], cgroup=busy.mesh.clients, stdin=subprocess.PIPE)
    try:
        row = wait_for(lambda: [r for r in busy.json("get", "connections")["connections"] if r["watched"] == "tls"],
                       "a connection that speaks TLS")[0]
        assert row["gate"] is None
        watching = busy.json("status")["watching"]
        assert watching["on"] and watching["connections_watched"] == CLIENTS
        assert watching["connections_unobserved"] == 1 and watching["unobserved_total"] == {"tls": 1}
        top = busy.mesh.get("/v1/top")["services"][0]
        assert sum(d["unobserved"] for d in top["destinations"]) == 1
    finally:
        end(client)


def test_tail_shows_each_finished_request(busy):
    fields = {"time", "client", "host", "port", "subset", "endpoint", "method", "status", "duration_ms",
              "first_byte_ms", "request_bytes", "response_bytes", "flag", "reason", "connection", "lane", "attempts", "route"}
    done = busy.mesh.sluice("tail", "content-ranking", "--limit", "50", "--duration", "10", "-o", "json")
    samples = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(samples) == 50 and re.search(r"^50 requests shown, 0 lost$", done.stderr, re.M)
    for sample in samples:
        assert set(sample) == fields
        assert (sample["client"], sample["method"], sample["status"]) == ("ml-serving/frontend", "POST", 200)
        assert 0 < sample["first_byte_ms"] <= sample["duration_ms"] < 5000
        assert sample["response_bytes"] > 100 and sample["flag"] == "-" and sample["reason"] is None
        assert sample["endpoint"].rsplit(":", 1)[0] in busy.service.servers[sample["subset"]]
    assert len({s["connection"] for s in samples}) > 1
    assert [s["time"] for s in samples] == sorted(s["time"] for s in samples)


def test_tail_misses_no_request_while_it_looks(busy):
    before = busy.requests()
    tail = busy.sluice("tail", "-o", "json", "--duration", "2")
    try:
        out, err = tail.communicate(timeout=20)
    finally:
        end(tail)
    shown = len(out.splitlines())
    assert tail.returncode == 0 and f"{shown} requests shown, 0 lost" in err
    by_connection = {}
    for line in out.splitlines():
        sample = json.loads(line)
        by_connection.setdefault(sample["connection"], []).append(sample)
    assert len(by_connection) == CLIENTS
    assert 0 < shown <= busy.requests() - before
    # A client asks 5 ms after its last answer, so a gap of many such times would be a missed request.
    assert shown > CLIENTS * 20


def test_tail_shows_errors_and_plain_lines_when_piped(busy):
    for model in busy.mesh.models["v45"]:
        model.fault("500")
    done = busy.mesh.sluice("tail", "--duration", "1")
    lines = done.stdout.splitlines()
    assert lines[0].split()[:3] == ["TIME", "CLIENT", "SERVICE"] and "\x1b" not in done.stdout
    assert any(re.search(r" v45 .* POST +500 ", line) for line in lines[1:]), done.stdout
    assert busy.mesh.sluice("tail", "nobody", check=False).returncode == 1


def test_tail_ends_cleanly_at_ctrl_c(busy):
    tail = busy.sluice("tail")
    try:
        for _ in range(5):
            assert tail.stdout.readline()
        tail.send_signal(signal.SIGINT)
        _, err = tail.communicate(timeout=10)
        assert tail.returncode == 0 and "requests shown" in err
    finally:
        end(tail)


def test_programs_report_requests_only_while_somebody_asks(busy):
    def used():
        return next(row["used"] for row in busy.mesh.get("/v1/maps") if row["name"] == "samples")

    busy.mesh.sluice("tail", "--limit", "1")
    wait_for(lambda: used() > 0, "samples that nobody fetches")
    settled = [used()]

    def stays():
        begun, size = busy.requests(), used()
        wait_for(lambda: busy.requests() > begun + 200, "200 requests")
        settled.append(used())
        return settled[-1] == size

    wait_for(stays, "an end of reports")


def test_top_prints_plain_blocks_when_piped(busy):
    done = busy.mesh.sluice("top", "-n", "2", "--interval", "0.5")
    assert "\x1b" not in done.stdout and done.stderr == ""
    blocks = done.stdout.split("\n\n")
    assert len(blocks) == 2
    for block in blocks:
        head, title, *rows = block.strip().splitlines()
        assert re.match(r"\d{4}-\d\d-\d\dT.*Z  generation \d+  ejected 0  1 of 1 services$", head)
        assert title.split() == ["SERVICE", "SET", "CONN", "REQ", "REQ/S", "OK", "P50", "P90", "P99", "OUT", "EJECT",
                                 "OPEN", "OLD", "UNOBS", "CONN/S"]
        assert [row.split()[0] for row in rows] == [SHORT, "v45", "v47", "v43"]
        assert [row.split()[1] for row in rows] == ["-", "85.0%", "10.0%", "5.0%"]
        assert float(rows[0].split()[4]) > 10 and rows[0].split()[5] == "100%"


def test_top_counts_what_the_clients_counted(busy):
    value = json.loads(busy.mesh.sluice("top", "--once", "--interval", "1", "-o", "json").stdout)
    service = value["services"][0]
    assert service["host"] == HOST and service["connections"] == CLIENTS and service["success"] == 1
    assert abs(sum(v["request_share"] or 0 for v in service["versions"]) - 1) < 1e-6
    assert abs(sum(v["rate"] for v in service["versions"]) - service["rate"]) < 1e-6
    assert 0 < service["p50_ms"] <= service["p90_ms"] <= service["p99_ms"]
    kept = busy.keepers.stop()
    assert len(kept.ok) == len(kept.records)
    wait_for(lambda: busy.requests() == len(kept.ok), f"{len(kept.ok)} requests counted")
    top = busy.mesh.get("/v1/top")["services"][0]
    for destination in top["destinations"]:
        assert destination["requests"] == sum(1 for r in kept.ok if r.version == destination["subset"])
        assert sum(destination["duration"]) == destination["requests"]


def test_top_shows_failures_and_ejections(mesh, ranking):
    service = ranking(weights={"v47": 1}, outlier={"consecutive5xxErrors": 3, "baseEjectionTime": "60s",
                                                   "interval": "1s", "maxEjectionPercent": 100})
    mesh.start()
    mesh.models["v47"][0].fault("500")
    service.dial(count=30)
    top = mesh.get("/v1/top")["services"][0]["destinations"][0]
    # Three servers answer three times each; then nobody is left, and each connect is refused.
    assert (top["ejected"], top["ejections"], top["requests"], top["failed"]) == (3, 3, 30, 30)
    block = mesh.sluice("top", "--once", "--interval", "0.2").stdout
    assert re.search(r"^  v47 .* 3/3 ", block, re.M), block


@pytest.mark.parametrize("size", [(40, 10), (80, 24), (200, 50)])
def test_the_live_screen_shows_the_rows_at_every_size(busy, size):
    top = busy.terminal("top", "--interval", "0.3", size=size)
    text = top.wait(lambda t: re.search(r"v43.*\n", t) and "100%" in t, "rates of the versions")
    lines = text.splitlines()
    title = next(line for line in lines if line.startswith("SERVICE"))
    assert all(word in title for word in ("SERVICE", "REQ/S", "OK", "P99")) and ("UNOBS" in title) == (size[0] == 200)
    assert any(line.startswith(SHORT[:10]) for line in lines)
    assert [line.split()[0] for line in lines if line.startswith("  v")] == ["v45", "v47", "v43"]
    assert not top.screen.wrapped
    top.press("q")
    assert top.wait_end() == 0 and top.restored()


def test_keys_drill_down_sort_pause_and_leave(busy):
    top = busy.terminal("top", "--interval", "0.3", size=(100, 20))
    top.wait(lambda t: "100%" in t, "the first rates")
    top.press("?")
    top.wait(lambda t: "requests a second" in t, "the help")
    top.press("x?")  # unknown keys do nothing
    top.wait(lambda t: "requests a second" not in t, "the screen again")
    top.press(">")
    top.wait(lambda t: "*OK" in t, "another column to sort by")
    top.press("\x1bOB\x1bOB\x1bOA\r")  # down, down, up: v45
    text = top.wait(lambda t: "ENDPOINT" in t and "CONN/S" in t and busy.service.servers["v45"][0] in t, "endpoints")
    assert text.startswith(f"{SHORT} > v45") and busy.service.servers["v47"][0] not in text
    top.press("\x7f")
    top.wait(lambda t: t.startswith(SHORT) and "v43" in t, "the versions")
    top.press("\x1b")
    top.wait(lambda t: t.startswith("sluice top"), "the services")
    top.press(" ")
    frozen = top.wait(lambda t: "PAUSED" in t, "a pause")
    begun = busy.requests()
    wait_for(lambda: busy.requests() > begun + 300, "more requests")
    assert top.read().text() == frozen
    top.press(" ")
    top.wait(lambda t: "PAUSED" not in t and t.splitlines()[2] != frozen.splitlines()[2], "new rates")
    top.press("\x03")
    assert top.wait_end() == 0 and top.restored()


def test_the_screen_follows_the_terminals_size(busy):
    top = busy.terminal("top", "--interval", "0.3", size=(120, 24))
    top.wait(lambda t: "UNOBS" in t and "v43" in t, "a wide screen")
    top.resize(40, 8)
    text = top.wait(lambda t: "SERVICE" in t and "v43" in t, "a narrow screen")
    assert "UNOBS" not in text and not top.screen.wrapped
    top.resize(10, 2)
    top.wait(lambda t: t.startswith("sluice to~"), "a tiny screen")
    top.resize(120, 24)
    top.wait(lambda t: "UNOBS" in t and "v43" in t, "a wide screen again")
    assert not top.screen.wrapped
    top.process.send_signal(signal.SIGTERM)
    assert top.wait_end() == 0 and top.restored()


def test_the_screen_outlives_the_agent(busy):
    top = busy.terminal("top", "--interval", "0.3", size=(120, 24))
    top.wait(lambda t: "100%" in t, "rates")
    busy.mesh.kill()
    text = top.wait(lambda t: "cannot reach the agent" in t, "word of the agent's end")
    assert "v45" in text, "the last figures stay"
    busy.mesh.start()
    top.wait(lambda t: "cannot reach" not in t and "100%" in t, "rates again")
    top.press("q")
    assert top.wait_end() == 0


def test_of_many_services_the_busiest_are_shown(busy):
    mesh = busy.mesh
    mesh.write("idle.yaml", *(rules.service_entry(f"a{n}", mesh.block[2 + n], busy.service.servers) for n in range(3)))
    wait_for(lambda: mesh.get("/v1/top")["total"] == 4, "four services")
    found = mesh.get("/v1/top?limit=1")
    assert [s["host"] for s in found["services"]] == [HOST] and (found["shown"], found["total"]) == (1, 4)
    assert [s["host"].split(".")[0] for s in mesh.get("/v1/top?host=a1")["services"]] == ["a1"]


def test_without_watching_connections_are_still_shown(ranking):
    service = ranking()
    service.mesh.start("--observe", "off")
    keepers = service.mesh.cleanup.owns(Keepers(service.to, service.mesh.clients, threads=4, pause_ms=5))
    mesh = service.mesh
    block = mesh.sluice("top", "--once", "--interval", "0.3").stdout
    assert "not watching answers" in block.splitlines()[0]
    row = next(line.split() for line in block.splitlines() if line.startswith(SHORT))
    assert row[4] == "0.0" and row[11] == "4"
    watching = mesh.get("/v1/status")["watching"]
    assert watching["on"] is False and watching["connections_watched"] == 0
    assert mesh.get("/v1/connections")["total"] == 4
    done = mesh.sluice("tail", "--duration", "0.5")
    assert len(done.stdout.splitlines()) == 1 and "0 requests shown" in done.stderr
    keepers.stop()


def test_asking_nobody_or_wrongly(mesh, ranking):
    ranking()
    for verb in ("top", "tail", "status"):
        assert mesh.sluice(verb, check=False).returncode == 3
    mesh.start()
    done = mesh.sluice("top", "nobody", "--once", check=False)
    assert done.returncode == 1 and "no service 'nobody'" in done.stderr
    assert mesh.sluice("top", "--interval", "0", check=False).returncode == 2
    assert mesh.sluice("top", "--once", "-n", "2", check=False).returncode == 2
    done = run(mesh.binaries / "sluice", "tail", "--config", mesh.config, check=False)
    assert done.returncode == 2 and "running agent" in done.stderr
