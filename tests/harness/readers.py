"""Other implementations of HTTP/1 as judges: how llhttp (in Node), nginx and HAProxy read octets that a proxy wrote."""
import json
import pathlib
import socket
import subprocess
import threading

from backends import Broken, Client, Wire, answer
from sandbox import end, spawn, wait_for

NODE_PROGRAM = pathlib.Path(__file__).with_name("echo_node.js")
NGINX = """daemon off; master_process off; pid {directory}/nginx.pid; error_log {directory}/nginx.log;
events {{ worker_connections 256; }}
http {{ access_log off; client_body_temp_path {directory}/body; proxy_temp_path {directory}/temp;
  fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
  merge_slashes off; ignore_invalid_headers off; underscores_in_headers on; client_max_body_size 0;
  server {{ listen {listen}; location / {{ proxy_pass http://{to}; proxy_http_version 1.1; proxy_buffering off;
    proxy_ignore_client_abort on; proxy_set_header Host $http_host; proxy_set_header Connection ""; }} }}
  server {{ listen {back}; location / {{ proxy_pass http://{answers}; proxy_http_version 1.1; proxy_buffering off; }} }} }}
"""
HAPROXY = """defaults
  mode http
  timeout connect 5s
  timeout client 20s
  timeout server 20s
frontend requests
  bind {listen}
  default_backend echo
backend echo
  server echo {to}
frontend answers
  bind {back}
  default_backend replay
backend replay
  retries 0
  server replay {answers}
"""


LAST = {"method": "GET", "target": "/last", "host": "last", "body": ""}


def said(method, target, host, body):
    return {"method": method, "target": target, "host": host, "body": body}


class Server:
    """Listens at `address`; `serve` has a thread for each connection, which ends with it."""

    def __init__(self, address):
        self.listener = socket.create_server(address, backlog=512)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._run, args=(sock,), daemon=True).start()

    def _run(self, sock):
        try:
            self.serve(sock)
        except (Broken, ValueError, OSError):
            pass
        finally:
            sock.close()

    def remove(self):
        self.listener.close()


class Echo(Server):
    """Answers each request with what it was, as Wire reads it; what nginx and HAProxy pass on ends here."""

    @staticmethod
    def serve(sock):
        wire = Wire(sock)
        while (head := wire.head()) is not None:
            method, target, _ = head[0].split(" ")
            if any(n.lower() == "expect" for n, _ in head[1]):
                sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            host = [v for n, v in head[1] if n.lower() == "host"]
            text = said(method, target, host[0] if host else None, wire.body(head[1]).decode("latin-1"))
            body = b"" if method == "HEAD" else json.dumps(text).encode()
            sock.sendall(answer(200, body))


class Replay(Server):
    """Answers the next request with `octets`, then ends the connection."""

    octets = b""

    def serve(self, sock):
        if Wire(sock).head() is not None:
            sock.sendall(self.octets)


class Tap(Server):
    """Keeps the octets of each request, and of those that did not come whole. Answers `octets`, but to /second."""

    def __init__(self, address):
        self.whole, self.partial = [], []  # (method, octets); octets
        self.octets = None                 # None: a good answer; else this, and the connection ends
        super().__init__(address)

    class Logged:
        """A socket whose octets are remembered until `message` takes them."""

        def __init__(self, sock):
            self.sock, self.log = sock, b""

        def recv(self, size):
            got = self.sock.recv(size)
            self.log += got
            return got

    def serve(self, sock):
        logged = self.Logged(sock)
        wire = Wire(logged)
        try:
            while (head := wire.head()) is not None:
                method, target, _ = head[0].split(" ")
                if any(n.lower() == "expect" for n, _ in head[1]):
                    sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                wire.body(head[1])
                used = len(logged.log) - len(wire.data)
                self.whole.append((method, logged.log[:used]))
                logged.log = logged.log[used:]
                if self.octets is not None and target != "/second":
                    sock.sendall(self.octets)
                    return
                body = b"" if method == "HEAD" else b"second" if target == "/second" else b"tapped"
                sock.sendall(answer(200, body, [("x-tap", "1")]))
        finally:
            if logged.log:
                self.partial.append(logged.log)

    def take(self):
        whole, partial, self.whole, self.partial = self.whole, self.partial, [], []
        return whole, partial


class Readers:
    """The three judges on addresses of a block; `requests` and `answers` ask them all."""

    def __init__(self, directory, cleanup, address):
        directory = pathlib.Path(directory)
        self.to = {"llhttp": (address, 9001), "nginx": (address, 9002), "haproxy": (address, 9003)}
        self.back = {"nginx": (address, 9012), "haproxy": (address, 9013)}
        echo, self.replay_at = (address, 9000), (address, 9010)
        cleanup.owns(Echo(echo))
        self.replay = cleanup.owns(Replay(self.replay_at))
        text = "{0[0]}:{0[1]}".format
        self.processes = [spawn(["node", NODE_PROGRAM, *map(str, self.to["llhttp"])], stdout=subprocess.DEVNULL)]
        for name, template in (("nginx", NGINX), ("haproxy", HAPROXY)):
            path = directory / f"{name}.conf"
            path.write_text(template.format(directory=directory, listen=text(self.to[name]), to=text(echo),
                                            back=text(self.back[name]), answers=text(self.replay_at)))
            command = ["nginx", "-c", path, "-e", directory / "nginx.log"] if name == "nginx" else ["haproxy", "-f", path]
            self.processes.append(spawn(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        cleanup.owns(self)
        for name, to in self.to.items():
            wait_for(lambda to=to: self._serves(to), f"{name} serves")

    @staticmethod
    def _serves(to):
        try:
            with Client(to, timeout=1) as client:
                return client.ask("/up", host="up").status == 200
        except (OSError, Broken):
            return False

    def requests(self, octets, methods, then):
        """{judge: [what it read, request by request]} of one connection's octets; "refused" ends a list. `methods`: of
        the requests that are in it. Behind them comes LAST, or nothing (`wait`: the answers are waited for), or the
        connection's `end`."""
        return {name: self._one(to, octets, methods, then) for name, to in self.to.items()}

    @staticmethod
    def _one(to, octets, methods, then):
        read = []
        last = b"GET /last HTTP/1.1\r\nHost: last\r\nConnection: close\r\n\r\n" if then == "last" else b""
        with Client(to, timeout=5) as client:
            try:
                client.send(octets + last)
                if then == "end":
                    client.sock.shutdown(socket.SHUT_WR)
                for method in methods if then == "wait" else [*methods, "GET", "GET"]:
                    reply = client.wire.reply(method)
                    if reply.status != 200:
                        read.append("refused")
                        break
                    read.append(json.loads(reply.body) if reply.body else {"method": "HEAD"})
            except (Broken, OSError):
                pass
        return read

    def answers(self, octets):
        """{judge: (status, body), or None where it saw that the answer is not whole}."""
        self.replay.octets = octets
        read = {}
        with Client(self.to["llhttp"], timeout=5) as client:
            told = json.loads(client.ask("/ask", "POST", "reader", body=b"%s:%d" % (self.replay_at[0].encode(),
                                                                                  self.replay_at[1])).body)
            read["llhttp"] = None if told.get("broken") else (told["status"], told["body"].encode("latin-1"))
        for name, to in self.back.items():
            with Client(to, timeout=5) as client:
                try:
                    reply = client.ask("/answer", host="answer")
                    read[name] = (reply.status, reply.body)
                except (Broken, OSError):
                    read[name] = None
        return read

    def remove(self):
        for process in self.processes:
            end(process)
