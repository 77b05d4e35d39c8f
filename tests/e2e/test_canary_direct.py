"""A canary of a service on the direct lane: programs in the kernel split the connections and see the answers."""
import pytest

import rules
from canaries import canary
from sandbox import wait_for
from versions import Load, Versions

HOST = "content-ranking-svc"
NAME = "content-ranking-v47"
STAGES = [(10, 2), (50, 3), (100, 0)]


@pytest.fixture
def split(mesh):
    """Weights that count connections, behind one address that clients dial as ever."""
    mesh.to = (mesh.block[1], 8080)
    addresses = {"v45": [mesh.block[101], mesh.block[102]], "v47": [mesh.block[103]]}
    mesh.versions = mesh.cleanup.owns(Versions(addresses))
    mesh.write("service.yaml", rules.service_entry(HOST, mesh.to[0], addresses))
    mesh.write("policy.yaml", rules.destination_rule(HOST, addresses, lb="RANDOM"))
    mesh.write("rule.yaml", rules.virtual_service(HOST, {"v45": 100, "v47": 0}))
    return mesh


def run_canary(mesh, gates):
    """The canary at its end, and what clients counted until then."""
    one = canary(stages=STAGES, gates=gates)
    del one["spec"]["route"]
    mesh.write("canary.yaml", one)
    mesh.start()
    (port,) = mesh.get("/v1/services")
    assert port["lane"] == "direct", port
    load = mesh.cleanup.owns(Load(mesh.to, HOST, rate=400, reuse=False, cgroup=mesh.clients))
    wait_for(lambda: mesh.metrics().sum("istio_requests_total") > 50, "traffic", 20, 0.1)
    mesh.sluice("canary", "start", NAME)

    def ended():
        (now,) = mesh.get(f"/v1/canaries?name={NAME}")
        return now if now["state"] in ("promoted", "aborted") else None
    return wait_for(ended, "the canary's end", 60, 0.1), load.stop()


def test_a_good_challenger_is_promoted_connection_by_connection(split):
    end, counts = run_canary(split, [{"name": "errors", "errorRate": {"max": 0.5}},
                                     {"name": "tail", "latency": {"quantile": 90, "regression": 15}}])
    assert end["state"] == "promoted", end
    assert {gate["gate"] for gate in end["gates"]} == {"errors", "tail"}
    assert not [why for why in counts if not why.startswith("200 ")], counts
    rule = (split.config / "rule.yaml").read_text()
    assert "weight: 100" in rule and rule.index("subset: v47") < rule.index("weight: 100"), rule


@pytest.mark.parametrize("behaviour,gate", [({"errors_percent": 5}, "errors"), ({"low_ms": 60, "high_ms": 180}, "tail")],
                         ids=["errors", "slower"])
def test_what_the_programs_see_of_a_bad_one_rolls_it_back(split, behaviour, gate):
    split.versions.behave(v47=behaviour)
    before = (split.config / "rule.yaml").read_text()
    end, _ = run_canary(split, [{"name": "errors", "errorRate": {"max": 0.5}},
                                {"name": "tail", "latency": {"quantile": 90, "regression": 15}}])
    assert end["state"] == "aborted" and gate in end["reason"], end
    assert (split.config / "rule.yaml").read_text() == before
