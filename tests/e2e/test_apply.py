"""sluice apply: in force when it returns, and back into the files without touching another byte."""
import os
import threading

import rules
from sandbox import run, wait_for

COMMENTED = """# Header of the file: owned by the ranking team.

apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: content-ranking, namespace: ml-serving}}   # flow style stays
spec:
  host: content-ranking
  subsets:
  - {{name: v45, labels: {{model-version: "v45"}}}}  # champion
  - name: 'v47'
    labels:
       model-version: v47
---
# The split.
{split}---
# Not the split: ümlauts, trailing blanks   \r
{other}
# {last}
"""


def split(weights):
    return rules.text(rules.virtual_service("content-ranking", weights))


def commented(mesh, weights, last="last words"):
    """A file with rules, comments and odd formatting; the split in the middle."""
    other = rules.service_entry("other", mesh.block[2], {"v45": [mesh.block[100]]})
    return COMMENTED.format(split=split(weights), other=rules.text(other), last=last)


def one_file(mesh, weights):
    """Rules in one file with comments instead of the fixture's; its path."""
    for name in ("policy.yaml", "split.yaml"):
        (mesh.config / name).unlink()
    mesh.write("routing.yaml", commented(mesh, weights))
    return mesh.config / "routing.yaml"


def test_apply_keeps_comments_and_bytes(ranking):
    service = ranking()
    mesh = service.mesh
    file = one_file(mesh, {"v45": 1})
    mesh.start()
    before = file.read_bytes()
    others = {p: p.read_bytes() for p in mesh.config.iterdir() if p != file and p.is_file()}
    old, new = split({"v45": 1}).encode(), split({"v47": 3, "v45": 0}).encode()
    assert before.count(old) == 1
    (mesh.directory / "new.yaml").write_bytes(new)
    done = mesh.sluice("apply", mesh.directory / "new.yaml")
    assert "VirtualService" in done.stdout
    assert dict(service.dial(count=50).versions) == {"v47": 50}
    assert file.read_bytes() == before.replace(old, new)
    assert {p: p.read_bytes() for p in others} == others
    # The watch sees its own write and has nothing to do: the generation stays.
    generation = mesh.generation()
    os.utime(file)
    assert dict(service.dial(count=200, rate=400).versions) == {"v47": 200}
    assert mesh.generation() == generation


def test_a_new_object_gets_its_own_file(ranking):
    service = ranking()
    mesh = service.mesh
    mesh.start()
    files = set(mesh.config.iterdir())
    mesh.apply(rules.service_entry("extra", mesh.block[3], {"v45": service.servers["v45"]}))
    made = [p for p in set(mesh.config.iterdir()) - files if not p.name.startswith(".")]
    assert len(made) == 1 and "extra" in made[0].read_text()
    assert not mesh.dial(f"{mesh.block[3]}:8080", count=20).failures


def test_a_refused_apply_changes_neither_kernel_nor_files(ranking):
    service = ranking(weights={"v45": 1})
    mesh = service.mesh
    mesh.start()
    files = {p: p.read_bytes() for p in mesh.config.iterdir() if p.is_file()}
    generation = mesh.generation()
    status, answer = mesh.api("/v1/apply", "POST", split({"v48": 1}))
    assert status == 422 and answer["errors"]
    # One bad document of two: neither is taken.
    status, answer = mesh.api("/v1/apply", "POST", split({"v47": 1}) + "---\n" + rules.text(
        rules.virtual_service("nobody", {"v1": 1})))
    assert status == 422
    assert mesh.generation() == generation
    assert {p: p.read_bytes() for p in mesh.config.iterdir() if p.is_file()} == files
    assert dict(service.dial(count=50).versions) == {"v45": 50}
    (mesh.directory / "bad.yaml").write_text(split({"v48": 1}))
    done = mesh.sluice("apply", mesh.directory / "bad.yaml", check=False)
    assert done.returncode == 1 and "v48" in done.stdout + done.stderr


def test_dry_run_and_diff_change_nothing(ranking):
    service = ranking(weights={"v45": 1})
    mesh = service.mesh
    mesh.start()
    generation, text = mesh.generation(), (mesh.config / "split.yaml").read_bytes()
    (mesh.directory / "new.yaml").write_text(split({"v47": 1}))
    status, answer = mesh.api("/v1/apply?dry_run=1", "POST", split({"v47": 1}))
    assert status == 200 and answer["changes"]
    assert "v47" in mesh.sluice("diff", mesh.directory / "new.yaml").stdout
    assert (mesh.generation(), (mesh.config / "split.yaml").read_bytes()) == (generation, text)
    assert dict(service.dial(count=50).versions) == {"v45": 50}


def test_writes_are_refused_on_the_tcp_port(ranking):
    service = ranking(weights={"v45": 1})
    service.mesh.start()
    assert service.mesh.http("/v1/apply", "POST", split({"v47": 1}))[0] in (403, 404, 405)
    assert dict(service.dial(count=50).versions) == {"v45": 50}


def test_two_writers_at_once_lose_nothing(ranking):
    """An operator's applies and an editor's saves, to one file and to others, all end up in the files and in force."""
    service = ranking(weights={"v45": 1})
    mesh = service.mesh
    mesh.start()
    count, failures = 25, []

    def applies(start):
        for i in range(start, start + count):
            status, answer = mesh.api("/v1/apply", "POST", rules.text(
                rules.service_entry(f"s{i}", mesh.block[10 + i % 80], {"v45": service.servers["v45"]}, port=9000 + i)))
            if status not in (200,):
                failures.append((i, status, answer))

    def saves():
        for i in range(100, 100 + count):
            mesh.write(f"edited-{i}.yaml", rules.service_entry(f"s{i}", mesh.block[10 + i % 80],
                                                               {"v45": service.servers["v45"]}, port=9000 + i))
    writers = [threading.Thread(target=applies, args=(0,)), threading.Thread(target=applies, args=(40,)),
               threading.Thread(target=saves)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert not failures
    wanted = {f"s{i}" for start in (0, 40, 100) for i in range(start, start + count)}
    wait_for(lambda: wanted <= {row["host"].split(".")[0] for row in mesh.get("/v1/services")}, "all services", 15)
    # The files alone say the same: a fresh reader of the directory finds every one.
    in_files = "".join(p.read_text() for p in mesh.config.glob("*.yaml"))
    assert all(f"name: {name}\n" in in_files for name in wanted)
    assert mesh.sluice("validate", mesh.config).returncode == 0


def test_an_editor_and_apply_on_one_file(ranking):
    """Saves elsewhere in the file while applies replace the split: nothing is lost on either side."""
    mesh = ranking(weights={"v45": 1}).mesh
    file = one_file(mesh, {"v45": 1})
    mesh.start()
    weights = {"v45": 1}
    for i in range(10):
        mesh.write(file.name, commented(mesh, weights, f"save {i}"))  # the agent may not have seen it yet
        weights = {"v45": 10 + i, "v47": 1}

        def applied():
            status, answer = mesh.api("/v1/apply", "POST", split(weights))
            assert status in (200, 409), answer
            return status == 200
        wait_for(applied, "the apply")  # 409: the file changed under it, ask again
        assert file.read_bytes().decode() == commented(mesh, weights, f"save {i}")


def test_a_read_only_directory_refuses_with_the_reason(ranking):
    service = ranking(weights={"v45": 1})
    mesh = service.mesh
    run("mount", "--bind", mesh.config, mesh.config)
    mesh.cleanup.add(lambda: run("umount", mesh.config))
    run("mount", "-o", "remount,bind,ro", mesh.config)
    mesh.start()
    status, answer = mesh.api("/v1/apply", "POST", split({"v47": 1}))
    assert status in (409, 503) and "read-only" in answer["error"].lower()
    assert dict(service.dial(count=50).versions) == {"v45": 50}


def test_a_crash_at_any_moment_leaves_all_consistent(ranking):
    """kill -9 in the middle of applies: after the start, files, database and kernel say the same."""
    service = ranking(weights={"v45": 1})
    mesh = service.mesh
    mesh.start()
    for attempt in range(8):
        stop = threading.Event()

        def applies():
            i = 0
            while not stop.is_set():
                try:
                    mesh.api("/v1/apply", "POST", split({"v45" if i % 2 else "v47": 1 + i}))
                except (OSError, EOFError):
                    return
                except Exception:  # an answer cut short by the kill
                    return
                i += 1
        writer = threading.Thread(target=applies)
        writer.start()
        stop.wait(0.02 + attempt * 0.007)  # another moment each time
        mesh.kill()
        stop.set()
        writer.join(10)
        mesh.start()
        assert not mesh.get("/v1/status")["config"]["last_error"]
        text = (mesh.config / "split.yaml").read_text()
        version = "v45" if "subset: v45" in text else "v47"
        assert dict(service.dial(count=30).versions) == {version: 30}
        routes = [row for row in mesh.get("/v1/routes") if row["weight"]]
        assert [f"weight: {row['weight']}\n" in text for row in routes] == [True]
        assert mesh.sluice("validate", mesh.config).returncode == 0
        leftovers = [p.name for p in mesh.config.iterdir() if p.name.startswith(".") and p.name != ".sluice.lock"]
        assert len(leftovers) <= 1, leftovers  # removed by the next transaction
    service.split({"v45": 1})
    assert [p.name for p in mesh.config.iterdir() if p.name.startswith(".") and p.name != ".sluice.lock"] == []
