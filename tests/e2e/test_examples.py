"""Every example is valid, passes its own rule tests, and those tests reach every rule."""
import json
import os
import pathlib
import re
import shutil

import pytest

from sandbox import run

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
SLUICE = pathlib.Path(os.environ.get("SLUICE_BIN", ROOT / "build/asan/bin")) / "sluice"
TESTED = sorted({path.parent for path in EXAMPLES.rglob("*.test.yaml")})
DIRECTORIES = sorted({path.parent for path in EXAMPLES.rglob("*.yaml") if path.parent.name == "rules"})


def sluice(*arguments, **kwargs):
    return run(SLUICE, *arguments, check=False, **kwargs)


def name(path):
    return str(path.relative_to(EXAMPLES))


def test_every_kind_of_example_is_there():
    wanted = {"five-models", "canary", "ab-test", "shadow", "circuit-breaker"}
    assert wanted <= {path.name for path in TESTED}
    assert wanted | {"content-ranking"} <= {path.parent.name for path in DIRECTORIES}
    models = {path.name.removesuffix(".yaml") for path in (EXAMPLES / "five-models/rules").iterdir()}
    assert models == {"content-ranking", "user-affinity", "session-context", "diversity-reranker", "freshness-booster"}


@pytest.mark.parametrize("directory", DIRECTORIES, ids=name)
def test_the_rules_are_valid_and_as_advised(directory):
    done = sluice("validate", directory)
    assert done.returncode == 0, done.stdout + done.stderr
    # That shares of connections are coarse is what a split by connection costs, and said in the pages.
    assert set(re.findall(r"\[(SL\d+)\]", done.stdout + done.stderr)) <= {"SL109"}, done.stdout


@pytest.mark.parametrize("directory", TESTED, ids=name)
def test_the_rule_tests_pass_and_reach_every_rule(directory):
    files = sorted(directory.glob("*.test.yaml"))
    done = sluice("-o", "json", "test", *files, "--min-coverage", 100)
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout)
    assert said["passed"] == len(said["tests"]) > 0 and said["failed"] == 0, said
    assert said["coverage"]["percent"] == 100 and said["coverage"]["elements"] > 0, said["coverage"]


@pytest.mark.parametrize("directory", TESTED, ids=name)
def test_the_rule_tests_notice_a_rule_that_is_gone(directory, tmp_path):
    """Without its routing an example's tests fail: they say something."""
    shutil.copytree(directory, tmp_path / "copy")
    for path in (tmp_path / "copy/rules").iterdir():
        kept = [part for part in re.split(r"(?m)^---\n", path.read_text()) if "kind: VirtualService" not in part
                and "sluice.dev/v1" not in part]
        path.write_text("---\n".join(kept))
    for file in sorted((tmp_path / "copy").glob("*.test.yaml")):
        assert sluice("test", file).returncode == 1, file


def test_the_canary_with_prometheus_is_valid_in_place_of_the_other(tmp_path):
    shutil.copytree(EXAMPLES / "canary/rules", tmp_path / "rules")
    shutil.copy(EXAMPLES / "canary/with-prometheus.yaml", tmp_path / "rules/canary.yaml")
    done = sluice("validate", tmp_path / "rules")
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_the_readmes_say_to_run_is_there():
    """Commands of the examples' pages name files and verbs that exist."""
    for page in sorted(EXAMPLES.glob("*/README.md")):
        for line in page.read_text().splitlines():
            for path in re.findall(r"\bexamples/[\w./*-]+", line):
                assert list(ROOT.glob(path)), f"{page}: {path}"
            for verb in re.findall(r"^    build/sluice (?:--config \S+ )?(\w+)", line):
                assert sluice(verb, "--help").returncode == 0, f"{page}: sluice {verb}"
