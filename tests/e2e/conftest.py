"""Fixtures of the end-to-end tests: the real binaries, the real kernel, one mesh a test."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "harness"))

from lane import Lane  # noqa: E402
from mesh import Mesh  # noqa: E402
from sandbox import Netns  # noqa: E402
import rules  # noqa: E402


@pytest.fixture
def mesh(tmp_path):
    """A mesh that is not started yet: servers and rules first."""
    made = Mesh(tmp_path)
    try:
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="module")
def lane(tmp_path_factory):
    """The proxy lane with four recording servers; tests of a file share it, each with services of its own."""
    made = Lane(tmp_path_factory.mktemp("lane"))
    try:
        yield made
    finally:
        made.remove()


@pytest.fixture
def netns():
    """Makes network namespaces with nothing but loopback."""
    made = []

    def make():
        made.append(Netns())
        return made[-1]

    yield make
    for one in made:
        one.remove()


class Ranking:
    """content-ranking of the source text on a mesh: eight servers, one virtual address, 85/10/5."""

    def __init__(self, mesh, weights=None, versions=None, **policy):
        self.mesh = mesh
        self.to = f"{mesh.block[1]}:8080"
        self.weights = weights or {"v45": 85, "v47": 10, "v43": 5}
        self.servers = mesh.serve_versions(versions)
        mesh.write("service.yaml", rules.service_entry("content-ranking", mesh.block[1], self.servers))
        mesh.write("policy.yaml", rules.destination_rule("content-ranking", self.servers, **policy))
        mesh.write("split.yaml", rules.virtual_service("content-ranking", self.weights))
        mesh.control(self.to)

    def split(self, weights, **kwargs):
        return self.mesh.apply(rules.virtual_service("content-ranking", weights, **kwargs))

    def dial(self, **options):
        return self.mesh.dial(self.to, **options)


@pytest.fixture
def ranking(mesh):
    """The service with its rules written and its control run made; the agent is not started yet."""
    return lambda **kwargs: Ranking(mesh, **kwargs)
