"""HTTP/1 servers in the test's own process: they remember every request as it came, and answer as the test says."""
import collections
import http.client
import json
import socket
import struct
import threading
import time

# `fields`: (name, value) in the order and case of the wire; `connection`: number of the connection at this server.
Request = collections.namedtuple("Request", "server version method target fields body connection at")
Reply = collections.namedtuple("Reply", "status fields body")


class Drop(Exception):
    """Raised by an answer function: the connection ends here, by RST or by FIN, after these octets."""

    def __init__(self, octets=b"", reset=False):
        super().__init__()
        self.octets, self.reset = octets, reset


def values(message, name):
    """Every value that the field has, in order; `message` is a Request or a Reply."""
    return [value for have, value in message.fields if have.lower() == name.lower()]


def value(message, name):
    """The one value that the field has; None: it is not there."""
    found = values(message, name)
    assert len(found) < 2, (name, found)
    return found[0] if found else None


class Broken(Exception):
    """The peer sent what is no message of HTTP/1, or left within one."""


class Wire:
    """Reads messages octet-exactly from a socket."""

    def __init__(self, sock, data=b""):
        self.sock, self.data = sock, data

    def more(self):
        got = self.sock.recv(262144)
        self.data += got
        return bool(got)

    def until(self, end):
        """What comes up to `end`, which is taken too; None: the peer ended before the first octet."""
        while end not in self.data:
            if not self.more():
                if not self.data:
                    return None
                raise Broken(f"ended within {self.data[:200]!r}")
        text, self.data = self.data.split(end, 1)
        return text

    def exactly(self, count):
        while len(self.data) < count:
            if not self.more():
                raise Broken(f"{len(self.data)} of {count} octets")
        text, self.data = self.data[:count], self.data[count:]
        return text

    def head(self):
        """(first line, [(name, value)]); None: the connection ended between messages."""
        text = self.until(b"\r\n\r\n")
        if text is None:
            return None
        first, *lines = text.decode("latin-1").split("\r\n")
        pairs = []
        for line in lines:
            name, colon, rest = line.partition(":")
            if not colon or not name or name != name.strip():
                raise Broken(f"field {line!r}")
            pairs.append((name, rest.strip(" \t")))
        return first, pairs

    def chunks(self):
        body = b""
        while True:
            line = self.until(b"\r\n")
            if line is None:
                raise Broken("ended before the last chunk")
            size = int(line.split(b";")[0], 16)
            if size == 0:
                while self.until(b"\r\n"):  # trailers
                    pass
                return body
            body += self.exactly(size)
            if self.exactly(2) != b"\r\n":
                raise Broken("a chunk without end")

    def body(self, pairs):
        """A request's body."""
        lengths = {v for n, v in pairs if n.lower() == "content-length"}
        codings = [v for n, v in pairs if n.lower() == "transfer-encoding"]
        if codings and lengths or len(lengths) > 1 or codings not in ([], ["chunked"]):
            raise Broken(f"framing {lengths} {codings}")
        if codings:
            return self.chunks()
        return self.exactly(int(lengths.pop())) if lengths else b""

    def reply(self, method="GET", interim=None):
        """The next final answer; heads of 1xx go to the list `interim`."""
        while True:
            head = self.head()
            if head is None:
                raise Broken("ended before an answer")
            line, pairs = head
            status = int(line.split(" ")[1])
            if status == 101 or status >= 200:
                break
            if interim is not None:
                interim.append((status, pairs))
        if method == "HEAD" or status in (101, 204, 304):
            return Reply(status, pairs, b"")
        if any(n.lower() in ("content-length", "transfer-encoding") for n, _ in pairs):
            return Reply(status, pairs, self.body(pairs))
        while self.more():
            pass
        body, self.data = self.data, b""
        return Reply(status, pairs, body)


def answer(status=200, body=b"", fields=(), reason=None):
    """Octets of an answer with a length."""
    head = [f"HTTP/1.1 {status} {reason or http.client.responses.get(status, 'Status')}"]
    head += [f"{n}: {v}" for n, v in fields]
    if status not in (204, 304):
        head.append(f"content-length: {len(body)}")
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


class Backends:
    """Servers of several versions, ADDR:PORT each. `behave` is asked for each request and gives None (the default: 200
    with who answers), a status, octets of a whole answer, or raises Drop; it may sleep, every connection has a thread.
    """

    def __init__(self, versions, port=8080):
        self.versions = versions
        self.behave = None
        self.broken = []  # what the proxy sent that is no request
        self._requests = []
        self._lock = threading.Lock()
        self._listeners = [self._listen(version, address, port) for version, addresses in versions.items()
                           for address in addresses]

    def _listen(self, version, address, port):
        listener = socket.create_server((address, port), backlog=4096)
        threading.Thread(target=self._accept, args=(listener, version, address), daemon=True).start()
        return listener

    def _accept(self, listener, version, address):
        number = 0
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            number += 1
            threading.Thread(target=self._serve, args=(sock, version, address, number), daemon=True).start()

    def _serve(self, sock, version, address, number):
        wire = Wire(sock)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while (head := wire.head()) is not None:
                method, target, _ = head[0].split(" ")
                if any(n.lower() == "expect" for n, _ in head[1]):
                    sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                request = Request(address, version, method, target, head[1], wire.body(head[1]), number,
                                  time.monotonic())
                with self._lock:
                    self._requests.append(request)
                self._answer(sock, request)
        except Drop as drop:
            if drop.octets:
                sock.sendall(drop.octets)
            if drop.reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except (Broken, ValueError) as error:
            self.broken.append((address, repr(error)))
        except OSError:
            pass
        finally:
            sock.close()

    def _answer(self, sock, request):
        said = self.behave(request) if self.behave else None
        if said is None or isinstance(said, int):
            body = json.dumps({"version": request.version, "server": request.server, "target": request.target}).encode()
            said = answer(said or 200, b"" if request.method == "HEAD" else body)
        sock.sendall(said)

    def requests(self, **columns):
        """What came so far, with these columns."""
        with self._lock:
            return [r for r in self._requests if all(getattr(r, k) == v for k, v in columns.items())]

    def forget(self):
        with self._lock:
            self._requests.clear()

    def clear(self):
        """For the next test: nothing has come, and answers are the default."""
        self.forget()
        self.behave = None

    def remove(self):
        for listener in self._listeners:
            try:
                listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            listener.close()


class Client:
    """One connection to the proxy that says exactly what it is told."""

    def __init__(self, to, timeout=10):
        self.sock = socket.create_connection(to, timeout=timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.wire = Wire(self.sock)

    def send(self, octets):
        self.sock.sendall(octets)

    def ask(self, target="/", method="GET", host="ranker", fields=(), body=None):
        lines = [f"{method} {target} HTTP/1.1"] + ([f"Host: {host}"] if host is not None else [])
        lines += [f"{n}: {v}" for n, v in (fields.items() if isinstance(fields, dict) else fields)]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b""))
        return self.wire.reply(method)

    def closed(self):
        """Waits for the proxy's end of the connection; what came before it."""
        try:
            while self.wire.more():
                pass
        except ConnectionResetError:
            pass
        return self.wire.data

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
