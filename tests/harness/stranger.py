"""Somebody else's BPF programs (stranger.bpf.c), loaded, pinned and attached with bpftool."""
import json
import os
import pathlib

from dialling import program
from sandbox import run

SOURCE = pathlib.Path(__file__).with_name("stranger.bpf.c")
CLANG = ("clang", "-target", "bpf", "-mcpu=v3", "-O2", "-g", f"-I/usr/include/{os.uname().machine}-linux-gnu", "-c")


class Stranger:
    """Pins below `bpffs` (sandbox.BpfMount); `remove` detaches and unpins."""

    def __init__(self, bpffs):
        self.pins = bpffs.path / "stranger"
        run("bpftool", "prog", "loadall", program(SOURCE, CLANG), self.pins, "pinmaps", self.pins)
        self.attached = []

    def attach(self, cgroup, hook, name):
        run("bpftool", "cgroup", "attach", cgroup.path, hook, "pinned", self.pins / name, "multi")
        self.attached.append((cgroup.path, hook, name))

    def rtt_callbacks(self):
        row = json.loads(run("bpftool", "-j", "map", "dump", "pinned", self.pins / "rtt_callbacks").stdout)[0]
        return row.get("formatted", row)["value"]

    def remove(self):
        for path, hook, name in self.attached:
            run("bpftool", "cgroup", "detach", path, hook, "pinned", self.pins / name)
        self.attached = []
        for pin in list(self.pins.iterdir()):
            pin.unlink()
        self.pins.rmdir()
