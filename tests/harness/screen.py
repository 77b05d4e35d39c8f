"""A terminal for programs that draw on one: a pty, and what its screen shows (xterm's sequences, as ncurses uses them)."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time

from sandbox import spawn, wait_for

SEQUENCE = re.compile(rb"\x1b(?:\[([0-9;?>]*)([@-~])|[()]([A-Z0-9])|([78=>DMEc]))|\x1b\[?[0-9;?>]*$|\x1b[()]?$")


class Screen:
    """Characters by row and column; knows no colours. `wrapped`: a line was longer than the screen is wide."""

    def __init__(self, columns, rows):
        self.rest = b""
        self.wrapped = False
        self.resize(columns, rows)

    def resize(self, columns, rows):
        self.columns, self.rows = columns, rows
        self.row = self.column = 0
        self.top, self.bottom = 0, rows - 1
        self.cells = [[" "] * columns for _ in range(rows)]
        self.last = " "

    def lines(self):
        return ["".join(cells).rstrip() for cells in self.cells]

    def text(self):
        return "\n".join(self.lines())

    def feed(self, data):
        data, self.rest = self.rest + data, b""
        at = 0
        while at < len(data):
            if data[at] == 0x1b:
                found = SEQUENCE.match(data, at)
                assert found, f"a sequence that is not known: {data[at:at + 20]!r}"
                if found.end() == len(data) and not (found.group(2) or found.group(3) or found.group(4)):
                    self.rest = data[at:]
                    return
                self._sequence(found)
                at = found.end()
            else:
                self._character(data[at])
                at += 1

    def _character(self, byte):
        if byte == 0x0d:
            self.column = 0
        elif byte == 0x0a:
            self._down()
        elif byte == 0x08:
            self.column = max(0, self.column - 1)
        elif byte >= 0x20:
            if self.column >= self.columns:
                self.wrapped = True
                self.column = 0
                self._down()
            self.last = chr(byte)
            self.cells[self.row][self.column] = self.last
            self.column += 1

    def _down(self):
        if self.row == self.bottom:
            self._scroll(1)
        else:
            self.row = min(self.rows - 1, self.row + 1)

    def _scroll(self, count, first=None):
        first = self.top if first is None else first
        for _ in range(abs(count)):
            gone, new = (first, self.bottom) if count > 0 else (self.bottom, first)
            del self.cells[gone]
            self.cells.insert(new, [" "] * self.columns)

    def _sequence(self, found):
        if found.group(4) == b"M":
            self.row = max(0, self.row - 1) if self.row != self.top else self._scroll(-1) or self.row
        if not found.group(2) or found.group(1)[:1] in (b"?", b">"):
            return
        numbers = [int(n or 0) for n in found.group(1).split(b";")]
        first, what = max(1, numbers[0]), found.group(2).decode()
        here = self.cells[self.row]
        if what in "Hf":
            self.row = min(self.rows, first) - 1
            self.column = min(self.columns, max(1, numbers[1] if len(numbers) > 1 else 1)) - 1
        elif what in "ABCD":
            self.row = min(self.rows - 1, max(0, self.row + {"A": -first, "B": first}.get(what, 0)))
            self.column = min(self.columns - 1, max(0, self.column + {"C": first, "D": -first}.get(what, 0)))
        elif what == "G":
            self.column = first - 1
        elif what == "d":
            self.row = first - 1
        elif what == "K":
            begin, end = {0: (self.column, self.columns), 1: (0, self.column + 1), 2: (0, self.columns)}[numbers[0]]
            here[begin:end] = " " * (end - begin)
        elif what == "J":
            if numbers[0] == 0:
                here[self.column:] = " " * (self.columns - self.column)
            for row in range(self.row + 1 if numbers[0] == 0 else 0, self.rows):
                self.cells[row] = [" "] * self.columns
        elif what == "X":
            end = min(self.columns, self.column + first)
            here[self.column:end] = " " * (end - self.column)
        elif what == "b":
            for _ in range(first):
                self._character(ord(self.last))
        elif what == "P":
            del here[self.column:self.column + first]
            here.extend(" " * (self.columns - len(here)))
        elif what == "@":
            here[self.column:self.column] = " " * first
            del here[self.columns:]
        elif what in "LM":
            self._scroll(first if what == "M" else -first, self.row)
        elif what in "ST":
            self._scroll(first if what == "S" else -first)
        elif what == "r":
            self.top, self.bottom = first - 1, (numbers[1] if len(numbers) > 1 else self.rows) - 1
            self.row = self.column = 0
        elif what not in "mhlt":
            raise AssertionError(f"a sequence that is not known: {found.group(0)!r}")


class Terminal:
    """A process on a pty of its own, as the leader of its session: keys in, a screen out."""

    def __init__(self, command, columns, rows, **kwargs):
        self.screen = Screen(columns, rows)
        self.master, slave = pty.openpty()
        self._size(columns, rows)
        self.before = termios.tcgetattr(slave)
        self.process = spawn(["setsid", "--ctty", *command], stdin=slave, stdout=slave, stderr=slave,
                             env={**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8"}, **kwargs)
        self.slave = slave  # kept, to see what the program left behind

    def _size(self, columns, rows):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, columns, rows):
        self.screen.resize(columns, rows)
        self._size(columns, rows)  # the kernel sends SIGWINCH

    def press(self, keys):
        os.write(self.master, keys if isinstance(keys, bytes) else keys.encode())

    def read(self):
        while select.select([self.master], [], [], 0.02)[0]:
            self.screen.feed(os.read(self.master, 65536))
        return self.screen

    def wait(self, condition, what, seconds=10):
        """Until `condition(text of the screen)` holds; the text."""
        try:
            return wait_for(lambda: condition(self.read().text()) and self.screen.text(), what, seconds)
        except TimeoutError as error:
            raise TimeoutError(f"{error}; the screen:\n{self.screen.text()}") from None

    def wait_end(self, seconds=10):
        """The exit status; what was still written is read."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < deadline:
            self.read()
        self.read()
        assert self.process.poll() is not None, f"still running; the screen:\n{self.screen.text()}"
        return self.process.returncode

    def restored(self):
        """Whether the terminal's modes are as they were."""
        return termios.tcgetattr(self.slave) == self.before

    def remove(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        os.close(self.slave)
        os.close(self.master)
