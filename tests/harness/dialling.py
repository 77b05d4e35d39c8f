"""Clients that count only verified answers: tests/harness/dial.c, built on first use, and what it logged."""
import collections
import fcntl
import math
import os
import pathlib
import subprocess
import tempfile

from sandbox import end, run, spawn

SOURCE = pathlib.Path(__file__).with_name("dial.c")
BUILD = pathlib.Path(os.environ.get("SLUICE_BUILD", SOURCE.parents[2] / "build")) / "harness"


def program(source=SOURCE, compiler=("gcc", "-std=c17", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread"), uses=()):
    """The helper built from `source`, compiled when it is older than that or a file that it uses; safe when many tests ask
    at once."""
    BUILD.mkdir(parents=True, exist_ok=True)
    target = BUILD / source.stem
    with open(BUILD / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        newest = max(path.stat().st_mtime for path in (source, *uses))
        if not target.exists() or target.stat().st_mtime < newest:
            run(*compiler, source, "-o", f"{target}.new")
            os.rename(f"{target}.new", target)
    return target


Record = collections.namedtuple("Record", "start_ns end_ns thread result version server")


class Dialled:
    """What came of a run of connections, in the order in which they began."""

    def __init__(self, records):
        self.records = sorted(records, key=lambda r: r.start_ns)

    @classmethod
    def read(cls, path):
        records = []
        with open(path) as log:
            for line in log:
                start, stop, thread, result, version, server = line.split()
                records.append(Record(int(start), int(stop), int(thread), result, version, server))
        return cls(records)

    def __len__(self):
        return len(self.records)

    @property
    def ok(self):
        return [r for r in self.records if r.result == "ok"]

    @property
    def failures(self):
        """Results other than ok, with their number."""
        return collections.Counter(r.result for r in self.records if r.result != "ok")

    @property
    def versions(self):
        return collections.Counter(r.version for r in self.ok)

    @property
    def servers(self):
        return collections.Counter(r.server for r in self.ok)

    def between(self, start_ns=0, end_ns=math.inf):
        """Connections that began in that time."""
        return Dialled([r for r in self.records if start_ns <= r.start_ns < end_ns])


class Dialler:
    """A running client; `result` waits for its end, `stop` ends it early."""

    def __init__(self, to, cgroup, netns=None, **options):
        handle, self.log = tempfile.mkstemp(prefix="sluice-dial-")
        os.close(handle)
        command = [program(), "--to", to, "--log", self.log]
        for name, value in options.items():
            command += [f"--{name.replace('_', '-')}"] + ([] if value is True else [str(value)])
        self.process = spawn(command, cgroup=cgroup, netns=netns, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "dialling\n":
            raise RuntimeError(f"dial: did not start: {command}")

    def running(self):
        return self.process.poll() is None

    def result(self, seconds=130):
        try:
            status = self.process.wait(seconds)
            self.process.stdout.close()
            if status != 0:
                raise RuntimeError(f"dial: exit {status}")
            return Dialled.read(self.log)
        finally:
            self.remove()

    def stop(self):
        self.process.terminate()
        return self.result()

    def remove(self):
        end(self.process)
        pathlib.Path(self.log).unlink(missing_ok=True)


def dial(to, cgroup, netns=None, **options):
    return Dialler(to, cgroup, netns, **options).result()


def chi_squared_p(observed, weights):
    """Probability of a split at least this far from `weights` (dicts by version); zero weights must be absent in both."""
    total, weight_sum = sum(observed.values()), sum(weights.values())
    x = sum((observed.get(v, 0) - total * w / weight_sum) ** 2 / (total * w / weight_sum) for v, w in weights.items())
    # Upper incomplete gamma for integer and half-integer arguments: Q(a+1,x) = Q(a,x) + x^a e^-x / Gamma(a+1).
    df, half = len(weights) - 1, x / 2
    a, q = (0.5, math.erfc(math.sqrt(half))) if df % 2 else (1.0, math.exp(-half))
    while a < df / 2:
        q += math.exp(a * math.log(half) - half - math.lgamma(a + 1)) if half else 0
        a += 1
    return q


def runs_z(sequence):
    """Wald-Wolfowitz: how many standard deviations the number of runs is from that of independent draws."""
    n1 = sum(sequence)
    n2 = len(sequence) - n1
    runs = 1 + sum(a != b for a, b in zip(sequence, sequence[1:]))
    mean = 2 * n1 * n2 / (n1 + n2) + 1
    variance = (mean - 1) * (mean - 2) / (n1 + n2 - 1)
    return (runs - mean) / math.sqrt(variance)
