"""A second agent takes over from the first: no request fails, and no connection is refused."""
import http.client
import json
import signal
import threading
import time

import pytest

from captured import PREMIUM, Captured
from proxied import Proxied
from sandbox import end, inside, wait_for
import rules

SECONDS = 5


def keep_asking(to, host, seconds, threads=8, rate=2000):
    """`rate` requests a second over kept-alive connections, again and again; (answered, connections, failures)."""
    counts, failures, lock = [0, 0], [], threading.Lock()
    begin = time.monotonic()

    def one(number):
        connection, due = None, begin
        while due < begin + seconds:
            due += threads / rate
            time.sleep(max(0, due - time.monotonic()))
            nonce = f"{number}-{due:.6f}"
            try:
                if connection is None:
                    connection = http.client.HTTPConnection(*to, timeout=10)
                    counts[1] += 1
                connection.request("GET", f"/v1/models/m:predict?nonce={nonce}", headers={"Host": host})
                answer = connection.getresponse()
                value = json.loads(answer.read())
                assert answer.status == 200 and value["nonce"] == nonce, (answer.status, value)
                if answer.will_close:
                    connection.close()
                    connection = None
                with lock:
                    counts[0] += 1
            except Exception as error:
                with lock:
                    failures.append(f"{time.monotonic() - begin:.3f} s: {error!r}")
                connection = None

    all_of_them = [threading.Thread(target=one, args=(number,)) for number in range(threads)]
    for thread in all_of_them:
        thread.start()
    for thread in all_of_them:
        thread.join()
    return counts[0], counts[1], failures


class Listening(Proxied):
    """An agent on --listen whose options may change from start to start."""

    def __init__(self, directory):
        self.changed = {}
        super().__init__(directory)

    def arguments(self):
        out = super().arguments()
        for option, value in self.changed.items():
            out[out.index(option) + 1] = value
        return out


class Asking(threading.Thread):
    """keep_asking() in a process of its own, in the clients' cgroup."""

    def __init__(self, cgroup, to, host, **options):
        super().__init__()
        self.result, self.job = None, lambda: keep_asking(to, host, SECONDS, **options)
        self.cgroup = cgroup
        self.start()

    def run(self):
        self.result = inside(self.job, self.cgroup)

    def end(self):
        self.join()
        return self.result


@pytest.fixture
def listening(tmp_path):
    mesh = Listening(tmp_path)
    try:
        servers = mesh.serve_versions({"v45": 2})
        mesh.write("service.yaml", rules.service_entry(mesh.host, mesh.block[2], servers))
        yield mesh.start()
    finally:
        mesh.remove()


@pytest.mark.parametrize("workers", ["1", "2", "3"])
def test_listen_addresses_are_handed_on_without_a_failed_request(listening, workers):
    mesh = listening
    asking = Asking(mesh.clients, mesh.to, mesh.host)
    time.sleep(1)  # traffic before, during and after: its time is the test's length
    mesh.changed["--workers"] = workers
    assert mesh.take_over() == 0
    answered, connections, failures = asking.end()
    assert failures == []
    assert answered > 1000 * SECONDS, "the load itself"
    assert 8 < connections < 100, "each connection was ended once, by an answer that said so"


def test_captured_connections_are_handed_on_without_a_failed_request(mesh):
    service = Captured(mesh)
    mesh.start()
    assert service.ask(PREMIUM) == ["v47"]
    asking = Asking(mesh.clients, service.to, "content-ranking", rate=1000)
    time.sleep(1)
    assert mesh.take_over() == 0
    answered, _, failures = asking.end()
    assert failures == [] and answered > 500 * SECONDS
    assert service.counted("capture_fallback") == 0
    assert service.ask(PREMIUM) == ["v47"]


def test_a_successor_that_fails_leaves_everything_as_it_was(listening):
    mesh = listening
    first, socket = mesh.agent, mesh.run_dir / "sluiced.sock"
    before = mesh.get("/v1/status")["pid"]
    mesh.changed["--http"] = "192.0.2.1:1"  # no address of this machine
    mesh.launch("--takeover")
    mesh.changed.clear()
    second, mesh.agent = mesh.agent, first
    assert second.wait(30) == 1
    wait_for(socket.exists, "the admin API again")
    wait_for(lambda: mesh.get("/v1/status")["pid"] == before, "the first agent's API")
    assert mesh.ask()[0] == 200
    assert mesh.take_over() == 0
    assert mesh.ask()[0] == 200


def test_without_a_predecessor_it_is_a_plain_start(listening):
    mesh = listening
    assert mesh.stop() == 0
    mesh.start("--takeover")
    assert mesh.ask()[0] == 200


def test_a_second_agent_that_was_not_told_to_take_over_is_refused(listening):
    mesh = listening
    first = mesh.agent
    mesh.launch()
    second, mesh.agent = mesh.agent, first
    assert second.wait(30) == 1
    assert mesh.ask()[0] == 200 and end(first, signal.SIGTERM) == 0
