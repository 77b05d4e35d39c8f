"""Many requests while servers fail, endpoints are ejected and rules change: each gets its own answer, once, or a
visible failure; and memory stays. SLUICE_SOAK=N asks N requests in place of 20,000: a million with release binaries, a
tenth of that with sanitizers. SLUICE_BIN=build/tsan/bin: ThreadSanitizer looks at all threads of the agent meanwhile."""
import json
import os
import subprocess
import threading

import pytest

import rules
from dialling import SOURCE, program
from proxied import Proxied
from sandbox import spawn, wait_for

REPOSITORY = SOURCE.parents[2]
SOAK = SOURCE.with_name("soak.cc")
REQUESTS = int(os.environ.get("SLUICE_SOAK", 20_000))
COMPILER = ("g++", "-std=c++20", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-I", REPOSITORY)
TRIES = 3


def resident(process):
    """Octets."""
    with open(f"/proc/{process.pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def split(weights):
    made = rules.virtual_service("soaked", weights)
    del made["metadata"]["annotations"]
    made["spec"]["http"][0]["retries"] = {"attempts": TRIES - 1, "retryOn": "5xx,reset", "perTryTimeout": "5s",
                                         "backoff": "5ms"}
    return made


@pytest.mark.parametrize("io", ["epoll", "io_uring"])
def test_every_answer_is_its_requests_and_memory_stays(tmp_path, io, monkeypatch):
    # Freed memory that AddressSanitizer holds back would look like a leak.
    monkeypatch.setenv("ASAN_OPTIONS", os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=8")
    mesh = Proxied(tmp_path, host="soaked", io=io)
    try:
        servers = {"v45": [mesh.block[100 + i] for i in range(4)], "v47": [mesh.block[110 + i] for i in range(4)]}
        mesh.write("service.yaml", rules.service_entry("soaked", mesh.block[2], servers))
        mesh.write("policy.yaml", rules.destination_rule("soaked", servers, lb="LEAST_REQUEST", outlier={
            "consecutive5xxErrors": 5, "interval": "0.5s", "baseEjectionTime": "0.5s", "maxEjectionPercent": 50}))
        mesh.write("split.yaml", split({"v45": 50, "v47": 50}))
        count = REQUESTS // 2
        addresses = [f"{one}:8080" for version in servers.values() for one in version]
        soak = spawn([program(SOAK, COMPILER, [SOAK.with_name("soak_servers.h")]), "--to", "%s:%d" % mesh.to,
                      "--host", "soaked", "--requests", count, "--connections", 64, "--tries", TRIES, *addresses],
                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        mesh.cleanup.add(soak.kill)
        assert soak.stdout.readline() == "ready\n"
        mesh.start()
        over, reloads, ejected = threading.Event(), [], set()

        def reload():
            while not over.wait(0.2):
                share = 10 + 7 * len(reloads) % 80
                mesh.sluice("apply", write(share))
                reloads.append(share)
                ejected.update(mesh.ejected())

        def write(share):
            path = tmp_path / "next.yaml"
            path.write_text(rules.text(split({"v45": share, "v47": 100 - share})))
            return path
        reloader = threading.Thread(target=reload)
        reloader.start()
        memory = []
        try:
            soak.stdin.write("\n")
            soak.stdin.flush()
            while (line := soak.stdout.readline()).startswith("done"):
                memory.append(resident(mesh.agent))
        finally:
            over.set()
            reloader.join()
        told = json.loads(line)
        print(told, f"reloads {len(reloads)}, ejected at times {len(ejected)}, MiB {[m >> 20 for m in memory]}")
        assert told["wrong"] == 0 and told["requests"] == count, told
        assert told["ok"] > 0.9 * count and told["broken"] and told["retried"] > 0.02 * count, told
        assert len(reloads) > 3 and ejected
        assert mesh.agent.poll() is None
        warm = max(memory[4:8])
        assert memory[-1] < warm * 1.1 + (16 << 20), [m >> 20 for m in memory]
        wait_for(lambda: mesh.active()[0] == 0, "no request is counted as under way at the end")
        status = mesh.stop()
        assert status == 0 and "Sanitizer" not in mesh.log_text(), (status, mesh.log_text()[-20_000:])
    finally:
        mesh.remove()
