"""The sluice command: what it prints, and its exit codes (0 done, 1 no, 2 usage, 3 agent unreachable)."""
import json

import pytest
import yaml

import rules
from sandbox import run
from stranger import Stranger

HOST = "content-ranking.ml-serving.svc.cluster.local"


@pytest.fixture
def service(ranking):
    made = ranking()
    made.mesh.start()
    made.dial(count=50)
    return made


def test_get_in_every_format(service):
    mesh = service.mesh
    for what in ("services", "routes", "subsets", "endpoints"):
        table = mesh.sluice("get", what).stdout
        rows = json.loads(mesh.sluice("get", what, "-o", "json").stdout)
        assert yaml.safe_load(mesh.sluice("get", what, "-o", "yaml").stdout) == rows and rows
        assert len(table.strip().splitlines()) == len(rows) + 1
    endpoints = json.loads(mesh.sluice("get", "endpoints", "-o", "json").stdout)
    assert {(r["subset"], r["endpoint"]) for r in endpoints} == {
        (v, f"{a}:8080") for v, addresses in service.servers.items() for a in addresses}
    assert sum(r["picks"] for r in endpoints) == 50
    shares = {r["destination"].split("/")[-1]: r["share"] for r in json.loads(
        mesh.sluice("get", "routes", "-o", "json").stdout)}
    assert sorted(shares.values()) == [0.05, 0.1, 0.85]


def test_status_says_what_is_in_force(service):
    mesh = service.mesh
    value = json.loads(mesh.sluice("status", "-o", "json").stdout)
    assert value["generation"] >= 1 and value["services"] == 1 and value["ejected"] == 0
    assert value["config"]["last_error"] == [] and value["config"]["dir"] == str(mesh.config)
    assert any(lane["name"] == "direct" and lane["available"] for lane in value["lanes"])
    assert "generation" in mesh.sluice("status").stdout


def test_explain_names_lane_reason_and_rule(service):
    mesh = service.mesh
    done = mesh.sluice("explain", f"{HOST}:8080", "-o", "json")
    value = json.loads(done.stdout)
    assert value["lane"] == "direct" and value["reasons"]
    assert value["rule"]["file"].endswith("split.yaml") and value["rule"]["line"] >= 1
    assert [d["weight"] for d in value["destinations"]] == [85, 10, 5]
    assert mesh.sluice("explain", "nobody:1", check=False).returncode == 1


def test_explain_and_get_work_offline(service):
    mesh = service.mesh
    mesh.stop()
    done = run(mesh.binaries / "sluice", "explain", f"{HOST}:8080", "--config", mesh.config, "-o", "json")
    assert json.loads(done.stdout)["lane"] == "direct"
    done = run(mesh.binaries / "sluice", "get", "services", "--config", mesh.config, "-o", "json")
    assert [r["port"] for r in json.loads(done.stdout)] == [8080]


def test_explain_shows_the_rules_of_the_proxy_lane_in_order(service, tmp_path):
    (tmp_path / "rules.yaml").write_text("""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ranker, namespace: ml}
spec:
  hosts: [ranker.ml.svc.cluster.local]
  addresses: [127.0.0.1]
  ports: [{number: 8080, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 127.0.0.2}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ranker, namespace: ml}
spec:
  hosts: [ranker]
  http:
  - name: premium
    match: [{headers: {x-user-tier: {exact: premium}}}]
    route: [{destination: {host: ranker}}]
    timeout: 200ms
    retries: {attempts: 2, perTryTimeout: 80ms, retryOn: 5xx}
  - route: [{destination: {host: ranker}}]
    mirror: {host: ranker}
    mirrorPercentage: {value: 10}
""")
    sluice = service.mesh.binaries / "sluice"
    value = json.loads(run(sluice, "explain", "ranker:8080", "--config", tmp_path, "-o", "json").stdout)
    assert value["lane"] == "proxy" and "spec.http[0].match" in value["reasons"][0]
    assert [rule["name"] for rule in value["rules"]] == ["premium", ""]
    assert value["rules"][0]["when"] == ['header x-user-tier = "premium"']
    assert value["rules"][0]["does"] == ["time-out 200ms", "2 retries on 5xx, each try 80ms"]
    assert value["rules"][1]["does"] == ["mirrors 10% to ranker"]
    text = run(sluice, "explain", "ranker:8080", "--config", tmp_path).stdout
    assert text.index("premium") < text.index("every request") < text.index("mirrors 10%")
    assert run(sluice, "validate", tmp_path).stdout.strip().endswith("2 service ports")


def test_map_list_and_dump(service):
    mesh = service.mesh
    listed = json.loads(mesh.sluice("map", "list", "-o", "json").stdout)
    assert len(listed) >= 8
    for row in listed:
        done = mesh.sluice("map", "dump", row["name"], check=False)
        # Storage of sockets and rings have nothing to list.
        has_rows = row["type"] not in ("sk_storage", "ringbuf")
        assert done.returncode == (0 if has_rows else 1) and (has_rows or row["name"] in done.stderr), row
    assert mesh.block[1] in mesh.sluice("map", "dump", "services").stdout
    assert mesh.sluice("map", "dump", "no-such-map", check=False).returncode == 1


def test_hosts_prints_lines_for_etc_hosts(service):
    lines = service.mesh.sluice("hosts").stdout.splitlines()
    assert any(line.split()[0] == service.mesh.block[1] and
               HOST in line.split() for line in lines)


def test_check_is_content_here(service):
    mesh = service.mesh
    done = run(mesh.binaries / "sluice", "check", "--run", mesh.run_dir, "--cgroup", mesh.cgroup.path, "--bpffs",
               mesh.bpffs.path, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(word in done.stdout.lower() for word in ("btf", "cgroup", "bpffs", "connect4", "sockops"))


def test_check_finds_a_program_that_runs_before_ours(service):
    """Another connect program on a child cgroup runs first: check says no and names it."""
    mesh = service.mesh
    stranger = mesh.cleanup.owns(Stranger(mesh.bpffs))
    check = [mesh.binaries / "sluice", "-o", "json", "check", "--cgroup", mesh.cgroup.path, "--bpffs", mesh.bpffs.path]
    order = {row["check"]: row for row in json.loads(run(*check).stdout)}["order of connect4"]
    assert order["ok"] and order["found"] == "ours runs first"
    stranger.attach(mesh.clients, "connect4", "other_connect4")
    done = run(*check, check=False)
    rows = {row["check"]: row for row in json.loads(done.stdout)}
    assert done.returncode == 1 and not rows["order of connect4"]["ok"]
    assert "other_connect4" in rows["order of connect4"]["found"] and rows["order of connect4"]["remedy"]


def test_exit_codes(service, tmp_path):
    mesh = service.mesh
    assert mesh.sluice("status", check=False).returncode == 0
    assert mesh.sluice("no-such-verb", check=False).returncode == 2
    assert mesh.sluice("get", "nonsense", check=False).returncode == 2
    assert mesh.sluice("apply", check=False).returncode == 2
    assert mesh.sluice("apply", mesh.directory / "no-such-file.yaml", check=False).returncode in (1, 2)
    (mesh.directory / "bad.yaml").write_text(rules.text(rules.virtual_service("content-ranking", {"v99": 1})))
    assert mesh.sluice("apply", mesh.directory / "bad.yaml", check=False).returncode == 1
    mesh.stop()
    for verb in (["status"], ["get", "services"], ["map", "list"], ["apply", mesh.directory / "bad.yaml"]):
        done = mesh.sluice(*verb, check=False)
        assert done.returncode == 3 and done.stderr.strip(), verb


def test_history_tells_who_did_what(service):
    service.split({"v47": 1})
    rows = service.mesh.get("/v1/history")
    applied = [r for r in rows if r["source"] == "apply"]
    assert applied and "VirtualService" in applied[0]["summary"] and str(applied[0]["actor"])
    assert any(r["source"] != "apply" for r in rows)
