"""Servers that do to a connection what a test says, and whose octets are compared with what the client got."""
import socket
import threading


class Peer:
    """Listens at ADDR4:PORT; `serve(sock)` runs in a thread a connection, which is closed after it."""

    def __init__(self, address, serve):
        host, port = address.rsplit(":", 1)
        self.serve = serve
        self.listener = socket.create_server((host, int(port)), backlog=64)
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._run, args=(sock,), daemon=True).start()

    def _run(self, sock):
        with sock:
            sock.settimeout(20)
            try:
                self.serve(sock)
            except OSError:
                pass  # the client went away

    def remove(self):
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self.listener.close()
        self.thread.join()


def echo(sock):
    while data := sock.recv(65536):
        sock.sendall(data)


def read_exactly(sock, count):
    got = b""
    while len(got) < count:
        data = sock.recv(count - len(got))
        if not data:
            raise ConnectionError(f"ended after {len(got)} of {count}")
        got += data
    return got


def read_head(sock):
    """One head with its end, read octet by octet so that nothing behind it is taken."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += read_exactly(sock, 1)
    return head
