"""A Prometheus of the test's own that scrapes one agent."""
import http.client
import json
import pathlib
import subprocess
import urllib.parse

from sandbox import end, spawn, wait_for

CONFIG = """\
global: {{scrape_interval: {interval}, scrape_timeout: {interval}, evaluation_interval: {interval}}}
rule_files: {rules}
scrape_configs:
  - {{job_name: sluiced, static_configs: [{{targets: ["{target}"]}}]}}
"""


class Prometheus:
    """Listens at (host, port), keeps its data below `directory`. `rules`: files of rules."""

    def __init__(self, directory, address, target, interval="500ms", rules=()):
        directory = pathlib.Path(directory)
        self.address = address
        config = directory / "prometheus.yml"
        config.write_text(CONFIG.format(interval=interval, target=target, rules=json.dumps([str(path) for path in rules])))
        self.log = open(directory / "prometheus.log", "wb")
        self.process = spawn(
            ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={directory / 'tsdb'}",
             "--storage.tsdb.retention.time=1h", f"--web.listen-address={address[0]}:{address[1]}", "--log.level=warn"],
            stdout=self.log, stderr=subprocess.STDOUT)
        wait_for(self._ready, "prometheus: ready", 30)

    def _get(self, path):
        connection = http.client.HTTPConnection(*self.address, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def _ready(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"prometheus: exit {self.process.returncode}: {self.log.name}")
        try:
            return self._get("/-/ready")[0] == 200
        except OSError:
            return False

    def query(self, text, at=None):
        """Rows of an instant query: {labels, value} or {labels, values}."""
        parameters = {"query": text} | ({"time": f"{at:.3f}"} if at else {})
        status, body = self._get("/api/v1/query?" + urllib.parse.urlencode(parameters))
        assert status == 200, body
        return json.loads(body)["data"]["result"]

    def by(self, label, text, at=None):
        """{label's value: number} of an instant query."""
        return {row["metric"].get(label, ""): float(row["value"][1]) for row in self.query(text, at)}

    def remove(self):
        end(self.process)
        self.log.close()
