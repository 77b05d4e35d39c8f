"""sluice weight: one rule's numbers in its file and in force."""
import json

import yaml

import rules
from sandbox import run

SPLIT = """# Who gets what.
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: content-ranking
  namespace: ml-serving
  annotations: {sluice.dev/split: connection}
spec:
  hosts: [content-ranking]
  http:
  - name: default-split   # the canary's
    route:
    - destination: {host: content-ranking, subset: v45}   # champion
      weight: 1
    - destination:
        host: content-ranking
        subset: v47
        # no weight yet
# The end.
"""


def written(mesh, text=SPLIT):
    """The split in a file with comments, in place of the fixture's."""
    (mesh.config / "split.yaml").write_text(text)
    return mesh.config / "split.yaml"


def test_weights_move_in_the_file_and_in_force(ranking):
    service = ranking()
    mesh = service.mesh
    file = written(mesh)
    mesh.start()
    assert dict(service.dial(count=50).versions) == {"v45": 50}
    done = mesh.sluice("weight", "content-ranking", "v45=0", "v47=7", "-m", "all to v47")
    lines = done.stdout.splitlines()
    assert lines[0] == f"{file}:11: rule default-split of VirtualService ml-serving/content-ranking"
    assert lines[2].split() == ["v45", "1", "0"] and lines[3].split() == ["v47", "-", "7"], done.stdout
    assert f"generation {mesh.generation()} is in force" in done.stdout
    assert dict(service.dial(count=50).versions) == {"v47": 50}
    assert file.read_text() == SPLIT.replace("weight: 1\n", "weight: 0\n").replace(
        "subset: v47\n", "subset: v47\n      weight: 7\n")
    newest = json.loads(mesh.sluice("history", "-n", "1", "-o", "json").stdout)[0]
    assert (newest["source"], newest["message"]) == ("weight", "all to v47")
    assert newest["summary"] == "changed VirtualService ml-serving/content-ranking"
    # The watch sees the agent's own write and has nothing to do.
    generation = mesh.generation()
    assert dict(service.dial(count=100, rate=400).versions) == {"v47": 100}
    assert mesh.generation() == generation


def test_a_dry_run_and_a_refusal_change_nothing(ranking):
    service = ranking()
    mesh = service.mesh
    file = written(mesh)
    mesh.start()
    generation = mesh.generation()
    shown = mesh.sluice("weight", "content-ranking", "v45=9", "--dry-run").stdout
    assert "-       weight: 1\n+       weight: 9\n" in shown and "nothing was changed" in shown
    for wrong, said in ((["v46=5"], "has no v46, only v45, v47"), (["v45=0"], "add up to 0"),
                        (["v45=1", "--route", "other"], "no VirtualService has a rule with the name other")):
        refused = mesh.sluice("weight", "content-ranking", *wrong, check=False)
        assert refused.returncode == 1 and said in refused.stderr, refused.stderr
    assert mesh.sluice("weight", "content-ranking", "v45", check=False).returncode == 2
    assert file.read_text() == SPLIT and mesh.generation() == generation
    assert dict(service.dial(count=50).versions) == {"v45": 50}


def test_several_rules_that_fit_are_told_apart_by_route(ranking):
    service = ranking()
    mesh = service.mesh
    header = ("  - name: internal\n    match: [{port: 9999}]\n    route: [{destination: {host: content-ranking, "
              "subset: v45}}]\n")
    text = SPLIT.replace("  http:\n", "  http:\n" + header)
    file = written(mesh, text)
    mesh.start()
    refused = mesh.sluice("weight", "content-ranking", "v45=3", check=False)
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[:3] == [
        "several rules fit; say which with --route:",
        f"  rule internal of VirtualService ml-serving/content-ranking ({file}:11)",
        f"  rule default-split of VirtualService ml-serving/content-ranking ({file}:14)"]
    mesh.sluice("weight", "content-ranking", "v45=3", "--route", "default-split")
    assert file.read_text() == text.replace("weight: 1\n", "weight: 3\n")


def test_a_directory_without_agent_is_edited_in_place(mesh, tmp_path):
    (tmp_path / "rules").mkdir()
    service = rules.service_entry("content-ranking", mesh.block[1], {"v45": [mesh.block[2]], "v47": [mesh.block[3]]})
    policy = rules.destination_rule("content-ranking", ["v45", "v47"])
    (tmp_path / "rules/mesh.yaml").write_text(rules.text(service, policy) + "---\n" + SPLIT)
    done = run(mesh.binaries / "sluice", "--config", tmp_path / "rules", "weight", "content-ranking", "v47=3", "-o", "json")
    assert json.loads(done.stdout)["weights"] == [{"destination": "v45", "before": 1, "after": 1},
                                                   {"destination": "v47", "before": None, "after": 3}]
    text = (tmp_path / "rules/mesh.yaml").read_text()
    assert text == rules.text(service, policy) + "---\n" + SPLIT.replace("subset: v47\n", "subset: v47\n      weight: 3\n")
    assert len(list(yaml.safe_load_all(text))) == 3
