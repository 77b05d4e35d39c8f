"""Prometheus text as a scrape sees it."""
import re

from sandbox import run

_SAMPLE = re.compile(r'^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$')
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Metrics:
    def __init__(self, text):
        self.text = text
        self.samples = []
        for line in text.splitlines():
            if line and not line.startswith("#"):
                match = _SAMPLE.match(line)
                if not match:
                    raise ValueError(f"not a sample: {line}")
                self.samples.append((match[1], dict(_LABEL.findall(match[2] or "")), float(match[3])))

    def of(self, name, **labels):
        return [(have, value) for sample, have, value in self.samples
                if sample == name and all(have.get(k) == v for k, v in labels.items())]

    def sum(self, name, **labels):
        return sum(value for _, value in self.of(name, **labels))

    def by(self, label, name, **labels):
        """Sums by one label; zeros are left out."""
        sums = {}
        for have, value in self.of(name, **labels):
            sums[have.get(label, "")] = sums.get(have.get(label, ""), 0) + value
        return {key: value for key, value in sums.items() if value}


def promtool_findings(text):
    """What promtool has to say, but that Istio named a metric after milliseconds."""
    done = run("promtool", "check", "metrics", input=text, check=False)
    lines = (done.stdout + done.stderr).strip().splitlines()
    return [line for line in lines if line != 'istio_request_duration_milliseconds use base unit "seconds" instead of '
                                              '"milliseconds"']
