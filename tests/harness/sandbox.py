"""What a test or the demo needs of the machine, made for it alone and taken away again: a cgroup, a bpffs, a block of
loopback addresses, a network namespace. Everything is named after its owner, so any number run side by side."""
import ctypes
import os
import pathlib
import pickle
import random
import signal
import socket
import subprocess
import time
import traceback

_libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


def wait_for(condition, what, seconds=10.0, step=0.01):
    """The first true value of `condition()`; TimeoutError names what did not come."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(step)


def run(*command, check=True, timeout=60, **kwargs):
    done = subprocess.run([str(c) for c in command], text=True, capture_output=True, timeout=timeout, **kwargs)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def unique(prefix):
    return f"{prefix}-{os.getpid()}-{random.randrange(1 << 32):08x}"


class Cgroup:
    """A cgroup of its own below the cgroup2 mount. `remove` kills what is left in it."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.path.mkdir()

    @staticmethod
    def mount():
        with open("/proc/self/mounts") as mounts:
            for line in mounts:
                fields = line.split()
                if fields[2] == "cgroup2":
                    return pathlib.Path(fields[1])
        raise RuntimeError("no cgroup2 mount")

    @classmethod
    def create(cls, prefix="sl-e2e"):
        return cls(cls.mount() / unique(prefix))

    def child(self, name):
        return Cgroup(self.path / name)

    def relative(self):
        """As sluice.dev/cgroup takes it: below the mount."""
        return str(self.path.relative_to(self.mount()))

    def enter(self):
        """Moves the calling process; for preexec, before anything else."""
        with open(self.path / "cgroup.procs", "w") as procs:
            procs.write("0")

    def remove(self):
        if not self.path.exists():
            return
        if (self.path / "cgroup.kill").exists():
            (self.path / "cgroup.kill").write_text("1")
        for child in sorted(self.path.rglob("*"), key=lambda p: len(p.parts), reverse=True):
            if child.is_dir():
                self._rmdir(child)
        self._rmdir(self.path)

    @staticmethod
    def _rmdir(path):
        def gone():
            try:
                path.rmdir()
            except FileNotFoundError:
                return True
            except OSError:
                return False
            return True
        wait_for(gone, f"rmdir {path}")


class BpfMount:
    """A bpffs of its own."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.path.mkdir()
        run("mount", "-t", "bpf", "bpf", self.path)

    def pins(self):
        return sorted(str(p.relative_to(self.path)) for p in self.path.rglob("*") if not p.name.endswith(".debug"))

    def remove(self):
        if os.path.ismount(self.path):
            run("umount", self.path)
        self.path.rmdir()


class AddressBlock:
    """256 loopback addresses 127.x.y.0/24 that no other test uses; the claim goes with the process."""

    def __init__(self):
        while True:
            name = f"127.{random.randrange(32, 100)}.{random.randrange(256)}"
            self._claim = socket.socket(socket.AF_UNIX)
            try:
                self._claim.bind(f"\0sluice-addresses-{name}")
            except OSError:
                self._claim.close()
                continue
            self.prefix = name
            return

    def __getitem__(self, host):
        return f"{self.prefix}.{host}"

    def remove(self):
        self._claim.close()


class Netns:
    """A network namespace with nothing but loopback and what `address` adds: no default route."""

    def __init__(self):
        self.name = unique("sl")
        run("ip", "netns", "add", self.name)
        self.command("ip", "link", "set", "lo", "up")

    def command(self, *command):
        return run("ip", "netns", "exec", self.name, *command)

    def address(self, text):
        self.command("ip", "addr", "add", text, "dev", "lo", *(["nodad"] if ":" in text else []))

    def enter(self):
        fd = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        try:
            if _libc.setns(fd, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(fd)

    def remove(self):
        run("ip", "netns", "del", self.name, check=False)


def spawn(command, cgroup=None, netns=None, **kwargs):
    """Starts a process; it is in its cgroup before anything else, then in its namespace (`ip netns exec` would remount
    /sys and hide cgroup2). It dies with us."""
    parent = os.getpid()

    def enter():
        if cgroup:
            cgroup.enter()
        if netns:
            netns.enter()
        _libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(1)

    return subprocess.Popen([str(c) for c in command], preexec_fn=enter, **kwargs)


def end(process, sig=signal.SIGTERM, seconds=10):
    """Ends a process that we started; its exit status."""
    if process.poll() is None:
        process.send_signal(sig)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(seconds)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            stream.close()
    return process.returncode


class Cleanup:
    """Steps to undo, last first; every step is tried, the first failure is raised at the end."""

    def __init__(self):
        self.steps = []

    def add(self, step):
        self.steps.append(step)

    def owns(self, thing):
        self.steps.append(thing.remove)
        return thing

    def run(self):
        failure = None
        while self.steps:
            try:
                self.steps.pop()()
            except Exception as error:  # the other steps still matter
                failure = failure or error
        if failure:
            raise failure


def inside(function, cgroup, netns=None, seconds=60):
    """Runs `function` in a forked child inside the cgroup (and namespace); returns its value or raises its failure."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(seconds)
            cgroup.enter()
            if netns:
                netns.enter()
            try:
                value = (True, function())
            except BaseException:
                value = (False, traceback.format_exc())
            with open(writer, "wb") as out:
                pickle.dump(value, out)
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with open(reader, "rb") as results:
        data = results.read()
    _, status = os.waitpid(child, 0)
    if not data:
        raise RuntimeError(f"the child ended with status {status}")
    good, value = pickle.loads(data)
    if not good:
        raise AssertionError(f"in the child: {value}")
    return value
