"""Clients that keep their connections (keep_client.py), and what they logged."""
import collections
import os
import pathlib
import subprocess
import tempfile
import time

from dialling import Dialled
from sandbox import end, spawn

PROGRAM = pathlib.Path(__file__).with_name("keep_client.py")


class Keepers:
    """Running clients; `stop` ends them after their last answer and returns their attempts."""

    def __init__(self, to, cgroup, threads=8, pause_ms=0, netns=None):
        handle, self.log = tempfile.mkstemp(prefix="sluice-keep-")
        os.close(handle)
        self.process = spawn([PROGRAM, to, threads, pause_ms, self.log], cgroup=cgroup, netns=netns,
                             stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "asking\n":
            raise RuntimeError("keep_client: did not start")

    def stop(self):
        try:
            status = end(self.process, seconds=20)
            if status != 0:
                raise RuntimeError(f"keep_client: exit {status}")
            return Kept(Dialled.read(self.log).records)
        finally:
            self.remove()

    def remove(self):
        end(self.process)
        pathlib.Path(self.log).unlink(missing_ok=True)


class Kept(Dialled):
    """Attempts, each a request."""

    @property
    def broken(self):
        """What no client should see: anything but answers, and connections that ended before one."""
        return collections.Counter(r.result for r in self.records if r.result not in ("ok", "again"))

    def longest_wait(self):
        """Seconds between two answers of one client at most."""
        last, longest = {}, 0
        for record in sorted(self.ok, key=lambda r: r.end_ns):
            longest = max(longest, record.end_ns - last.get(record.thread, record.end_ns))
            last[record.thread] = record.end_ns
        return longest / 1e9


def now_ns():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)
