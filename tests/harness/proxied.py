"""An agent whose services are asked through its proxy: `--cgroup none --listen`, so nothing of the kernel is needed."""
import http.client
import os
import pathlib

from mesh import Mesh

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"


class Proxied(Mesh):
    """`to` is where requests for `host`:8080 go: (address, port)."""

    def __init__(self, directory, host="content-ranking-svc", client="ml-serving", binaries=None, workers=2, io=None):
        super().__init__(directory, binaries)
        self.host, self.client, self.workers = host, client, workers
        self.io = io or os.environ.get("SLUICE_IO", "auto")
        self.to = (self.block[1], 8080)

    def arguments(self):
        host, port = self.http_address
        return ["--config", self.config, "--state", self.state, "--run", self.run_dir, "--http", f"{host}:{port}",
                "--cgroup", "none", "--listen", "%s:%d=%s:8080" % (*self.to, self.host), "--client", self.client,
                "--io", self.io, "--workers", str(self.workers)]

    def _uninstall(self):
        self.stop()

    def example(self, *parts, addresses=None):
        """Puts files of examples/source-text into the directory, with the block's addresses for its own."""
        for part in parts:
            source = EXAMPLES / "source-text" / part
            for file in sorted(source.glob("*.yaml")) if source.is_dir() else [source]:
                text = file.read_text()
                for theirs, ours in (addresses or {}).items():
                    text = text.replace(theirs, ours)
                self.write(file.name, text)

    def ask(self, path="/v1/models/content-ranking:predict?nonce=1", method="GET", body=None, headers=None, host=None,
            connection=None, timeout=10):
        """(status, headers in lower case, body) of one request."""
        made = connection or http.client.HTTPConnection(*self.to, timeout=timeout)
        try:
            made.request(method, path, body, {"Host": host or self.host, **(headers or {})})
            answer = made.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            if connection is None:
                made.close()
