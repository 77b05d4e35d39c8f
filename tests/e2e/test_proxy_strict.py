"""Malformed HTTP/1 (tests/golden/http1) on real connections: a message is refused, or what the proxy makes of it is
read in one and the same way by llhttp, nginx and HAProxy. Never are two messages made of one."""
import pathlib
import re
import socket

import pytest

from backends import Broken, Client
from lane import Lane
from readers import LAST, Readers, Tap

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "golden/http1"
REFUSALS = {400, 414, 431, 501, 505}
# Good messages that the proxy refuses all the same: it is no tunnel, and no path has an escaped NUL.
POLICY = {"line_connect.ok": 403, "line_connect_v6.ok": 403, "line_encoded_nul.ok": 400}
# What is wrong comes behind an answer that is whole: that is passed on, and no other request hears of the rest.
BEHIND_THE_ANSWER = {"cl_more_than_length.too_early_end", "no_content_body.malformed", "second_bad.malformed"}


def corpus(folder):
    return sorted((GOLDEN / folder).iterdir())


class Judged:
    """The proxy in front of a tap, and the judges beside it."""

    def __init__(self, directory):
        self.lane = Lane(directory, workers=1)
        block, cleanup = self.lane.mesh.block, self.lane.mesh.cleanup
        self.tap = cleanup.owns(Tap((block[150], 8080)))
        self.readers = Readers(directory, cleanup, block[160])
        # Every Host that no service has goes to the service that was dialled.
        self.lane.mesh.apply(self.lane.entry("dialled", {"v1": [block[150]]}))

    def client(self):
        return Client(self.lane.mesh.to, timeout=5)


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    made = Judged(tmp_path_factory.mktemp("strict"))
    yield made
    made.lane.remove()


def through(judged, octets, whole):
    """Sends a client's octets; (statuses of final answers, those of the tap, its whole messages, its partial ones)."""
    judged.tap.take()
    with judged.client() as client:
        client.send(octets)
        client.sock.shutdown(socket.SHUT_WR)
        said = client.closed() if whole else b""
    def settled():
        with judged.client() as client:
            return client.ask("/second", host="dialled").body == b"second"
    assert settled(), "the proxy goes on serving others"
    statuses = [int(s) for s in re.findall(rb"(?:^|\n|tapped)HTTP/1\.1 ([2-9]\d\d) ", said)]
    seen, partial = judged.tap.take()
    seen = [one for one in seen if b" /second " not in one[1].split(b"\r\n")[0]]
    return statuses, said.count(b"\r\nx-tap: 1"), seen, partial


@pytest.mark.parametrize("outcome", ["ok", "more", "malformed", "bad_framing", "bad_host", "bad_method", "bad_version",
                                     "bad_coding", "too_many_fields"])
def test_requests_are_refused_or_read_alike_by_all(judged, outcome):
    cases = [path for path in corpus("requests") if path.suffix == f".{outcome}"]
    wrong, refused_by_judges = [], 0
    for path in cases:
        octets = path.read_bytes()
        statuses, taps, whole, partial = through(judged, octets, True)
        said = (path.name, statuses, taps, whole, partial)
        if taps != len(whole):
            wrong.append(("an answer is not its request's", said))
        if outcome not in ("ok", "more") and (not statuses or statuses[-1] not in REFUSALS):
            wrong.append(("not refused", said))
        if outcome == "ok" and (partial or set(statuses) - {POLICY.get(path.name, 200)}):
            wrong.append(("not taken", said))
        for complete, stream in [(True, b"".join(o for _, o in whole))] + [(False, o) for o in partial]:
            methods = [m for m, _ in whole] if complete else []
            if not stream:
                continue
            # After an upgrade comes another protocol: no request may follow for the judges to see.
            upgrade = b"\r\nupgrade: " in stream.lower()
            read = judged.readers.requests(stream, methods, "end" if not complete else "wait" if upgrade else "last")
            full = [r for r in read.values() if "refused" not in r]
            refused_by_judges += len(read) - len(full)
            expected = len(whole) + (not upgrade)
            if complete and any(len(r) != expected or r != full[0] or not upgrade and r[-1] != LAST for r in full):
                wrong.append(("read differently", path.name, stream, read))
            if not complete and any(full):
                wrong.append(("a broken message was read as a whole one", path.name, stream, read))
    print(f"{outcome}: {len(cases)} inputs, {refused_by_judges} refused by a judge")
    assert not wrong, "\n".join(map(str, wrong))


def test_answers_are_refused_or_read_alike_by_all(judged):
    wrong = []
    for path in corpus("answers"):
        judged.tap.octets = path.read_bytes()
        judged.tap.take()
        second = None
        with judged.client() as client:
            client.send(b"GET /answer HTTP/1.1\r\nHost: dialled\r\n\r\n")
            try:
                reply = client.wire.reply()
            except (Broken, OSError, ValueError):
                reply = None
            if reply is not None:
                try:
                    second = client.ask("/second", host="dialled")
                except (Broken, OSError):
                    second = None
                if second is not None and second.body != b"second" and second.status != 503:
                    wrong.append(("an answer for another request", path.name, reply, second))
        judged.tap.octets = path.read_bytes()
        with judged.client() as client:
            client.send(b"GET /answer HTTP/1.1\r\nHost: dialled\r\nConnection: close\r\n\r\n")
            said = client.closed()
        read = judged.readers.answers(said)
        refused = path.suffix != ".ok"
        status = reply.status if reply else None
        if path.name in BEHIND_THE_ANSWER:
            refused = False
        if refused and status not in (None, 502, 503) or not refused and (reply is None or status in (502, 503)):
            wrong.append(("not as its name says", path.name, reply))
        ours = None if reply is None else (reply.status, reply.body)
        for judge, theirs in read.items():
            if theirs != ours and not (theirs is None or ours is None and theirs[0] == 502):
                wrong.append(("read differently", path.name, judge, said, ours, theirs))
            if theirs is None and ours is not None and judge == "llhttp":
                wrong.append(("not read", path.name, judge, said, ours))
    judged.tap.octets = None
    assert not wrong, "\n".join(map(str, wrong))
