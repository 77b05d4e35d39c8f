"""A head may take a minute from its first octet to its last, however many octets come: the limit of the agent as it
ships, so this file waits for a minute."""
import select
import time

import pytest

from backends import value
from lane import Lane

MINUTE = 60


@pytest.fixture
def lanes(tmp_path):
    made = []
    try:
        for io in ("epoll", "io_uring"):
            (tmp_path / io).mkdir()
            made.append(Lane(tmp_path / io, io=io))
        yield made
    finally:
        for lane in made:
            lane.remove()


def test_heads_that_take_longer_than_a_minute_are_refused(lanes):
    slow = [lane.client(timeout=10) for lane in lanes for _ in range(20)]
    began = time.monotonic()
    for client in slow:
        client.send(b"GET / HTTP/1.1\r\nHost: dialled\r\nx: ")
    idle = [lane.client() for lane in lanes]
    while time.monotonic() - began < MINUTE - 3:
        ended = select.select([client.sock for client in slow + idle], [], [], 1)[0]
        assert not ended, "within the minute nobody is"
        for client in slow:
            client.send(b"y")
    for client in slow:
        client.sock.settimeout(10)
        reply = client.wire.reply()
        assert reply.status == 408 and value(reply, "connection") == "close"
        assert MINUTE - 1 < time.monotonic() - began < MINUTE + 8
    # A connection on which nothing was begun is no slow head.
    assert [client.ask(host="dialled").status for client in idle] == [200, 200]
    for lane in lanes:
        assert lane.service().ask().status == 200
        reasons = [labels["reason"] for labels, _ in lane.mesh.metrics().of("sluice_proxy_refused_total")]
        assert "header_timeout" in reasons, reasons
