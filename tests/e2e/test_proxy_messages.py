"""What of a message passes the proxy and what stops at it: interim answers, trailers, answers without body, limits on
sizes, and what is held for a retry or a mirror."""
import pytest

from backends import answer, value, values
from sandbox import wait_for


@pytest.fixture
def service(lane):
    return lane.service()


def raw(lane, octets):
    """All that the proxy says until it ends the connection."""
    with lane.client() as client:
        client.send(octets)
        return client.closed()


def test_interim_answers_pass(lane, service):
    hints = b"HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n"
    lane.backends.behave = lambda r: hints + hints.replace(b"/a", b"/b") + answer(200, b"final")
    with lane.client() as client:
        interim = []
        client.send(f"GET / HTTP/1.1\r\nHost: {service.name}\r\n\r\n".encode())
        assert client.wire.reply("GET", interim).body == b"final"
        assert [(status, dict(fields)["link"][:4]) for status, fields in interim] == [(103, "</a>"), (103, "</b>")]
    said = raw(lane, f"GET / HTTP/1.0\r\nHost: {service.name}\r\n\r\n".encode())
    assert b" 103 " not in said and said.startswith(b"HTTP/1.1 200"), "HTTP/1.0 knows no interim answers"


def test_trailers_pass_both_ways(lane, service):
    lane.backends.behave = lambda r: (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n"
                                      b"2\r\nok\r\n0\r\nx-sum: 77\r\n\r\n")
    text = (f"POST / HTTP/1.1\r\nHost: {service.name}\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n"
            "Connection: close, te\r\n\r\n3\r\nabc\r\n0\r\nX-Check: 12\r\n\r\n")
    said = raw(lane, text.encode())
    assert said.endswith(b"2\r\nok\r\n0\r\nx-sum: 77\r\n\r\n"), said
    assert service.seen()[0].body == b"abc"


@pytest.mark.parametrize("status, method", [(200, "HEAD"), (304, "GET"), (204, "GET"), (204, "DELETE"), (404, "HEAD")])
def test_answers_without_body_keep_their_length_and_the_connection(lane, service, status, method):
    length = b"" if status == 204 else b"content-length: 1234\r\n"
    bare = b"HTTP/1.1 %d Said\r\netag: \"1\"\r\n%s\r\n" % (status, length)
    lane.backends.behave = lambda r: bare if r.target == "/bare" else None
    with lane.client() as client:
        for _ in range(3):
            reply = service.ask("/bare", method, client=client)
            assert (reply.status, value(reply, "content-length")) == (status, "1234" if length else None)
            assert values(reply, "transfer-encoding") == []
            assert service.ask("/full", client=client).status == 200, "the next answer is found where it begins"


def test_close_is_honoured(lane, service):
    said = raw(lane, f"GET / HTTP/1.1\r\nHost: {service.name}\r\nConnection: close\r\n\r\n".encode())
    assert b"\r\nconnection: close\r\n" in said.lower() and said.count(b"HTTP/1.1 ") == 1
    assert [values(r, "connection") for r in service.seen()] == [[]], "it is the client's connection that ends"


def test_fields_that_connection_names_stop_here(lane, service):
    service.ask(fields=[("Connection", "keep-alive, X-Secret"), ("X-Secret", "1"), ("Keep-Alive", "timeout=5"),
                        ("Proxy-Connection", "keep-alive"), ("TE", "gzip"), ("X-Stays", "1")])
    [request] = service.seen()
    for name in ("connection", "x-secret", "keep-alive", "proxy-connection", "te"):
        assert values(request, name) == [], name
    assert values(request, "X-Stays") == ["1"]


@pytest.mark.parametrize("head, status", [
    ("GET /" + "a" * 20_000 + " HTTP/1.1\r\nHost: {}\r\n\r\n", 414),
    ("GET / HTTP/1.1\r\nHost: {}\r\nx: " + "b" * 70_000 + "\r\n\r\n", 431),
    ("GET / HTTP/1.1\r\nHost: {}\r\n" + "".join(f"x-{i}: 1\r\n" for i in range(101)) + "\r\n", 431)])
def test_heads_beyond_the_limits_are_refused(lane, service, head, status):
    said = raw(lane, head.format(service.name).encode())
    assert said.startswith(f"HTTP/1.1 {status} ".encode()), said[:200]
    assert service.seen() == []


@pytest.mark.parametrize("head", [
    "GET /" + "a" * 15_000 + " HTTP/1.1\r\nHost: {}\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: {}\r\nx: " + "b" * 50_000 + "\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: {}\r\n" + "".join(f"x-{i}: 1\r\n" for i in range(95)) + "\r\n"])
def test_heads_within_the_limits_pass_octet_by_octet(lane, service, head):
    text = head.format(service.name).encode()
    with lane.client() as client:
        for at in range(0, len(text), max(1, len(text) // 300)):
            client.send(text[at:at + max(1, len(text) // 300)])
        assert client.wire.reply().status == 200
    [request] = service.seen()
    assert request.target == text.split(b" ")[1].decode()
    assert len(request.fields) >= text.count(b"\r\n") - 2


def test_a_body_is_kept_for_a_retry_up_to_its_limit(lane):
    service = lane.service(lambda s: [{"route": [s.to()], "retries": {"attempts": 2, "retryOn": "5xx"}}])
    lane.backends.behave = lambda r: 503
    for size, tries in ((1_000_000, 3), (1_200_000, 1)):
        service.forget()
        assert service.ask(method="POST", body=b"r" * size).status == 503
        assert [len(r.body) for r in service.seen()] == [size] * tries


def test_a_body_is_mirrored_up_to_its_limit_and_never_in_part(lane):
    service = lane.service(lambda s: [{"route": [s.to("v45")], "mirror": {"host": s.name, "subset": "v47"}}])
    size = 9 << 20
    assert service.ask(method="POST", body=b"m" * size).status == 200
    assert service.ask(method="POST", body=b"n" * 8_000_000).status == 200
    copies = wait_for(lambda: service.backends.requests(version="v47"), "the copy of the smaller one")
    assert [(len(r.body), r.body[:1]) for r in copies] == [(8_000_000, b"n")]
    assert [len(r.body) for r in service.backends.requests(version="v45")] == [size, 8_000_000]
    skipped = {labels["reason"]: count for labels, count in lane.mesh.metrics().of("sluice_mirror_skipped_total")
               if labels["service"].startswith(f"{service.name}.")}
    assert list(skipped.values()) == [1], skipped


@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_in_any_cut_arrive_as_they_were(lane, service, chunked):
    body = bytes(range(256)) * 40
    lane.backends.behave = lambda r: answer(200, r.body)
    with lane.client() as client:
        for step in (1, 7, 1000, 10240):
            head = f"PUT /{step} HTTP/1.1\r\nHost: {service.name}\r\n"
            if chunked:
                text = b"".join(b"%x\r\n%s\r\n" % (len(body[at:at + step]), body[at:at + step])
                                for at in range(0, len(body), step)) + b"0\r\n\r\n"
                head += "Transfer-Encoding: chunked\r\n\r\n"
            else:
                text, head = body, head + f"Content-Length: {len(body)}\r\n\r\n"
            for at in range(0, len(text), 997):
                client.send((head.encode() if at == 0 else b"") + text[at:at + 997])
            assert client.wire.reply("PUT").body == body
