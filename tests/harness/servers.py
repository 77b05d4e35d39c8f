"""Model servers of examples/model-server as the tests and the demo run them."""
import http.client
import json
import pathlib
import socket
import subprocess

from sandbox import end, spawn

PROGRAM = pathlib.Path(__file__).resolve().parents[2] / "examples/model-server/model_server.py"


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=10):
        super().__init__("unix", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def unix_request(path, method, target, body=None, timeout=10):
    """(status, body text) of one HTTP request over a Unix socket."""
    connection = UnixConnection(path, timeout)
    try:
        connection.request(method, target, body)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


class ModelServer:
    """One process, one version, one or more addresses."""

    def __init__(self, directory, version, addresses, netns=None):
        self.version, self.addresses, self.netns = version, list(addresses), netns
        self.control = pathlib.Path(directory) / f"{addresses[0].replace('[', '').replace(']', '')}.sock"
        self.process = None
        self.start()

    def start(self):
        self.control.unlink(missing_ok=True)
        self.process = spawn([PROGRAM, "--version", self.version, "--control", self.control, *self.addresses],
                             netns=self.netns, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("ready"):
            raise RuntimeError(f"model server {self.version} {self.addresses}: did not start")

    def stop(self):
        if self.process:
            end(self.process)
            self.process = None

    remove = stop

    def fault(self, mode, **query):
        text = "&".join(f"{key}={value}" for key, value in query.items())
        status, body = unix_request(self.control, "POST", f"/fault/{mode}?{text}")
        assert status == 200, body

    def stats(self):
        return json.loads(unix_request(self.control, "GET", "/stats")[1])
