"""The lines of the measured reference on rewrites, redirects, direct answers and headers; a test carries its line's
number."""
import pytest

from backends import value, values


def rewriting(lane, match, rewrite, more=None):
    return lane.service(lambda s: [({"match": [match]} if match else {}) | {"rewrite": rewrite, "route": [s.to()]} |
                                   (more or {})])


def target(service, sent, **options):
    """What the one server saw as target."""
    service.forget()
    assert service.ask(sent, **options).status == 200
    [request] = service.seen()
    return request.target


@pytest.mark.parametrize("match, uri, cases", [
    ({"uri": {"prefix": "/noslash"}}, "/", {"/noslash/a": "//a", "/noslashes": "/es", "/noslash?q=1": "/?q=1"}),
    ({"uri": {"prefix": "/a/"}}, "/b/", {"/a/c?x=/a/": "/b/c?x=/a/"}),
    ({"uri": {"exact": "/whole"}}, "/new", {"/whole?q=1": "/new?q=1"}),
    ({"uri": {"regex": "/r[0-9]+"}}, "/new", {"/r12?q=1": "/new?q=1"}),
    (None, "/all", {"/any": "/allany", "/": "/all", "/?q": "/all?q"})])
def test_33_rewrites_of_uri(lane, match, uri, cases):
    service = rewriting(lane, match, {"uri": uri})
    assert {sent: target(service, sent) for sent in cases} == cases


def test_34_a_regex_rewrite_replaces_every_occurrence_in_the_path_only(lane):
    service = rewriting(lane, None, {"uriRegexRewrite": {"match": "a([0-9])", "rewrite": r"<\1>"}})
    assert target(service, "/a1/b/a2?q=a3") == "/<1>/b/<2>?q=a3"


def test_35_what_was_rewritten_is_told(lane):
    service = rewriting(lane, None, {"uri": "/x/", "authority": "else.where"})
    target(service, "/p?q=1")
    [request] = service.seen()
    assert values(request, "host") == ["else.where"]
    assert value(request, "x-envoy-original-path") == "/p?q=1"
    assert value(request, "x-envoy-original-host") == service.name
    service = rewriting(lane, None, {"uriRegexRewrite": {"match": "none", "rewrite": "x"}})
    assert target(service, "/same") == "/same"
    assert value(service.seen()[0], "x-envoy-original-path") == "/same"
    service = lane.service(lambda s: [{"route": [s.to()], "headers": {"request": {"set": {"host": "by.header"}}}}])
    target(service, "/")
    [request] = service.seen()
    assert (value(request, "host"), value(request, "x-envoy-original-host")) == ("by.header", service.name)
    assert value(request, "x-envoy-original-path") is None


def location(lane, redirect, sent="/old/path?q=1", match=None, host=None, fields=()):
    service = lane.service([({"match": [match]} if match else {}) | {"redirect": redirect}])
    reply = service.ask(sent, host=host and host.replace("ranker", service.name), fields=fields)
    assert 300 <= reply.status < 400 and service.seen() == []
    return reply.status, value(reply, "location").replace(service.name, "ranker")


def test_36_a_redirect_replaces_the_whole_path(lane):
    prefix = {"uri": {"prefix": "/old"}}
    assert location(lane, {"uri": "/new"}, match=prefix) == (301, "http://ranker/new?q=1")
    assert location(lane, {"uri": "/new?own=1"}, match=prefix) == (301, "http://ranker/new?own=1")
    assert location(lane, {"uri": "/%PREFIX()%/x", "redirectCode": 308}, match=prefix) == (
        308, "http://ranker/%PREFIX()%/x?q=1")


@pytest.mark.parametrize("redirect, host, expected", [
    ({"scheme": "https"}, "ranker:80", "https://ranker/p"),
    ({"scheme": "https"}, "ranker:8080", "https://ranker:8080/p"),
    ({"authority": "new.example"}, "ranker:8080", "http://new.example/p"),
    ({"scheme": "https", "derivePort": "FROM_REQUEST_PORT"}, "ranker", "https://ranker:8080/p"),
    ({"derivePort": "FROM_PROTOCOL_DEFAULT"}, "ranker:8080", "http://ranker:8080/p"),
    ({"derivePort": "FROM_PROTOCOL_DEFAULT", "authority": "new.example"}, "ranker", "http://new.example/p"),
    ({"port": 9090}, "ranker:8080", "http://ranker:9090/p")])
def test_37_the_port_of_a_redirect(lane, redirect, host, expected):
    assert location(lane, redirect, "/p", host=host) == (301, expected)


def test_38_direct_answers(lane):
    service = lane.service([{"match": [{"uri": {"prefix": "/typed"}}],
                             "directResponse": {"status": 299, "body": {"string": "{}"}},
                             "headers": {"response": {"set": {"content-type": "application/json"}}}},
                            {"match": [{"uri": {"prefix": "/away"}}], "redirect": {"uri": "/x"}},
                            {"directResponse": {"status": 503, "body": {"string": "later"}}}])
    reply = service.ask()
    assert (reply.status, reply.body, value(reply, "content-type")) == (503, b"later", "text/plain")
    assert value(reply, "connection") is None
    assert value(service.ask("/typed"), "content-type") == "application/json"
    with lane.client() as client:
        reply = service.ask(method="HEAD", client=client)
        assert (reply.status, value(reply, "content-length")) == (503, "5")
        assert service.ask("/typed", client=client).status == 299, "the connection goes on, without a body between"
    for path in ("/", "/away"):
        with lane.client() as client:
            reply = service.ask(path, "POST", body=b"12345", client=client)
            assert value(reply, "connection") == "close"
            assert client.closed() == b""


def operated(lane, rule, destination=None, fields=(), several=False):
    """(request as the server saw it, reply) under header operations of a rule and of a destination."""
    service = lane.service(lambda s: [{"route": [s.to("v45", 1) | ({"headers": destination} if destination else {})] +
                                       ([s.to("v47", 0)] if several else [])} | ({"headers": rule} if rule else {})])
    lane.backends.behave = lambda r: (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-it: backend\r\nx-away: 1\r\n\r\n")
    reply = service.ask(fields=fields)
    assert reply.status == 200
    return service.seen()[0], reply


ALL = {"remove": ["x-it"], "set": {"x-it": "set"}, "add": {"x-it": "add"}}


def test_39_remove_then_set_then_add(lane):
    request, reply = operated(lane, {"request": ALL, "response": ALL}, fields={"x-it": "mine"})
    assert values(request, "x-it") == values(reply, "x-it") == ["set", "add"]


def test_39_operations_of_the_destination(lane):
    rule = {"request": {"remove": ["x-gone"], "set": {"x-set": "rule"}, "add": {"x-add": "rule"}}}
    own = {"request": {"set": {"x-gone": "back", "x-set": "destination"}, "add": {"x-add": "destination"}}}
    request, _ = operated(lane, rule, own, fields={"x-gone": "mine"})
    assert values(request, "x-gone") == ["back"]
    assert values(request, "x-set") == ["destination"]
    assert values(request, "x-add") == ["rule", "destination"]


def test_40_operators_in_values(lane):
    request, _ = operated(lane, {"request": {
        "set": {"x-copy": "<%REQ(x-from)%>", "x-none": "%REQ(x-absent)%", "x-percent": "100%%",
                "x-or": "%REQ(x-absent?x-from)%", "x-cut": "%REQ(x-from):2%", "x-path": "%REQ(:path)%"}}},
        fields={"X-From": "there"})
    assert value(request, "x-copy") == "<there>"
    assert value(request, "x-none") is None
    assert value(request, "x-percent") == "100%"
    assert (value(request, "x-or"), value(request, "x-cut"), value(request, "x-path")) == ("there", "th", "/")


def test_41_a_client_cannot_steer_the_proxy(lane):
    service = lane.service(lambda s: [{"route": [s.to("v45")]}])
    lane.backends.behave = lambda r: 503
    sent = {"x-envoy-retry-on": "5xx", "x-envoy-max-retries": "5", "x-envoy-upstream-rq-timeout-ms": "1",
            "x-envoy-internal": "true", "x-envoy-attempt-count": "77", "x-forwarded-for": "10.0.0.1"}
    assert service.ask(fields=sent).status == 503
    [request] = service.seen()
    for name in sent:
        if name == "x-envoy-attempt-count":
            assert values(request, name) == ["1"]
        elif name != "x-forwarded-for":
            assert values(request, name) == [], name
