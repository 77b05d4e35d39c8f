"""One inference request over a socket that the caller has made: for clients with their own ideas about sockets."""
import errno
import json
import os
import socket
import struct

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def exchange(sock):
    """(version, server) of a verified answer on a connected socket; the connection stays open."""
    nonce = os.urandom(8).hex()
    body = json.dumps({"nonce": nonce}).encode()
    sock.sendall(b"POST /v1/models/content-ranking:predict HTTP/1.1\r\nhost: x\r\ncontent-length: "
                 + str(len(body)).encode() + b"\r\n\r\n" + body)
    answer = b""
    while b"}" not in answer:
        data = sock.recv(65536)
        if not data:
            raise ConnectionError("ended early")
        answer += data
    value = json.loads(answer.split(b"\r\n\r\n", 1)[1])
    assert value["nonce"] == nonce, value
    return value["version"], value["server"]


def ask(address, family=socket.AF_INET, v6only=None, timeout=5):
    """{version, server, peer} or {error} (the errno's name) of one connection; closed by RST."""
    with socket.socket(family) as sock:
        sock.settimeout(timeout)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        if v6only is not None:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
        try:
            sock.connect(address)
            peer = sock.getpeername()[:2]
            version, server = exchange(sock)
        except OSError as error:
            return {"error": errno.errorcode.get(error.errno, type(error).__name__)}
        return {"version": version, "server": server, "peer": peer}
