"""One agent with everything of its own: binaries, cgroup, bpffs, addresses, directories."""
import http.client
import json
import os
import pathlib
import signal
import subprocess

import rules
from dialling import Dialler, dial
from metrics import Metrics
from sandbox import AddressBlock, BpfMount, Cgroup, Cleanup, end, run, spawn, wait_for
from servers import ModelServer, unix_request

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
VERSIONS = {"v45": 3, "v47": 3, "v43": 2}


class Mesh:
    """Addresses: block[1..99] for services, block[100..] for servers, block[250] for the agent's HTTP."""

    def __init__(self, directory, binaries=None):
        self.directory = pathlib.Path(directory)
        self.binaries = pathlib.Path(binaries or os.environ.get("SLUICE_BIN", REPOSITORY / "build/asan/bin"))
        self.cleanup = Cleanup()
        self.agent = None
        self.models = {}  # version -> its ModelServers
        try:
            self.block = self.cleanup.owns(AddressBlock())
            self.cgroup = self.cleanup.owns(Cgroup.create())
            self.clients = self.cgroup.child("clients")
            self.bpffs = self.cleanup.owns(BpfMount(self.directory / "bpf"))
            for name in ("config", "state", "run"):
                (self.directory / name).mkdir()
            self.config, self.state, self.run_dir = (self.directory / n for n in ("config", "state", "run"))
            self.cleanup.add(self._uninstall)
        except BaseException:
            self.cleanup.run()
            raise
        self.http_address = (self.block[250], 15000)

    # -- rules
    def write(self, name, *objects):
        """Puts a file into the directory by rename, as an editor does. Strings are taken as they are."""
        text = "".join(o if isinstance(o, str) else "---\n" + rules.text(o) for o in objects)
        temporary = self.directory / f"new-{name}"
        temporary.write_text(text)
        os.rename(temporary, self.config / name)

    def serve_versions(self, versions=None, netns=None):
        """Starts servers, one process a version; {version: [address, ...]}."""
        endpoints, host = {}, 100
        for version, count in (versions or VERSIONS).items():
            endpoints[version] = [self.block[host + i] for i in range(count)]
            host += count
            self.serve(version, endpoints[version], netns)
        return endpoints

    def serve(self, version, addresses, netns=None):
        texts = [a if ":" in a else f"{a}:8080" for a in addresses]
        server = self.cleanup.owns(ModelServer(self.directory, version, texts, netns))
        self.models.setdefault(version, []).append(server)
        return server

    # -- the agent
    def arguments(self):
        host, port = self.http_address
        return ["--config", self.config, "--state", self.state, "--run", self.run_dir, "--http", f"{host}:{port}",
                "--cgroup", self.cgroup.path, "--bpffs", self.bpffs.path]

    def launch(self, *extra):
        """Starts the agent without waiting for it."""
        self.log = open(self.directory / "sluiced.log", "ab")
        self.agent = spawn([self.binaries / "sluiced", *self.arguments(), *extra], stdout=self.log,
                           stderr=subprocess.STDOUT)

    def start(self, *extra, seconds=20):
        self.launch(*extra)
        self.wait_ready(seconds)
        return self

    def wait_ready(self, seconds=20):
        def ready():
            if self.agent.poll() is not None:
                raise RuntimeError(f"sluiced: exit {self.agent.returncode}\n{self.log_text()}")
            try:
                return self.http("/readyz")[0] == 200
            except OSError:
                return False
        try:
            wait_for(ready, "sluiced: /readyz", seconds)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.log_text()}") from None

    def log_text(self):
        return (self.directory / "sluiced.log").read_text(errors="replace")

    def take_over(self):
        """Starts a second agent; returns the first one's exit status, once it has ended."""
        first = self.agent
        self.launch("--takeover")
        status = first.wait(60)
        self.wait_ready()
        assert self.get("/v1/status")["pid"] == self.agent.pid
        return status

    def stop(self, sig=signal.SIGTERM):
        """Ends the agent; its exit status (negative: the signal)."""
        if self.agent is None:
            return None
        status = end(self.agent, sig)
        self.agent = None
        self.log.close()
        return status

    def kill(self):
        return self.stop(signal.SIGKILL)

    def _uninstall(self):
        self.stop()
        if (self.binaries / "sluiced").exists():
            run(self.binaries / "sluiced", *self.arguments(), "--uninstall", check=False)

    def remove(self):
        self.cleanup.run()

    # -- asking it
    def http(self, path, method="GET", body=None):
        connection = http.client.HTTPConnection(*self.http_address, timeout=10)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def api(self, path, method="GET", body=None):
        """(status, value) over the Unix socket."""
        status, body = unix_request(self.run_dir / "sluiced.sock", method, path, body, timeout=30)
        return status, json.loads(body) if body else None

    def get(self, path):
        status, value = self.api(path)
        assert status == 200, (path, status, value)
        return value

    def metrics(self):
        return Metrics(self.http("/metrics")[1])

    def sluice(self, *arguments, check=True):
        return run(self.binaries / "sluice", *arguments, "--run", self.run_dir, check=check)

    def generation(self):
        return self.get("/v1/status")["generation"]

    def wait_generation(self, above, seconds=10):
        return wait_for(lambda: (g := self.generation()) > above and g, f"a generation above {above}", seconds)

    def apply(self, *objects):
        """Applies through the admin socket; the answer's value. Fails unless it was taken."""
        status, value = self.api("/v1/apply", "POST", rules.text(*objects))
        assert status == 200, value
        return value

    # -- traffic
    def dial(self, to, cgroup=None, **options):
        return dial(to, cgroup or self.clients, **options)

    def dialler(self, to, cgroup=None, **options):
        return self.cleanup.owns(Dialler(to, cgroup or self.clients, **options))

    def control(self, to, **options):
        """Without programs nobody answers there: what makes every verified answer mean something."""
        unrouted = self.dial(to, count=3, timeout_ms=500, **options)
        assert len(unrouted) == 3 and not unrouted.ok, f"{to} answers without the mesh: {unrouted.records}"

    def endpoints(self, **columns):
        """Rows of `sluice get endpoints` with these values."""
        return [row for row in self.get("/v1/endpoints") if all(row[k] == v for k, v in columns.items())]

    def ejected(self):
        """Endpoints that are out now, as ADDR:PORT."""
        return sorted(row["endpoint"] for row in self.endpoints(state="ejected"))

    def active(self):
        """Connections that the kernel holds open now, over all endpoints and over all subsets: two views."""
        return (sum(row["active"] for row in self.get("/v1/endpoints")),
                sum(row["active"] for row in self.get("/v1/subsets")))
