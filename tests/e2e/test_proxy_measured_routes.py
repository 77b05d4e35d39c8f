"""The lines of the measured reference that decide where a request goes, on real traffic; a test carries its line's
number. Where Sluice differs the test says so."""
import collections

import pytest

import rules
from backends import Client, value
from dialling import chi_squared_p
from lane import Lane
from proxied import Proxied


def only(rule, *more):
    """A VirtualService's list: one rule with v47 as its answer, then `more`."""
    return lambda s: [rule | {"route": [s.to("v47")]}, *(m(s) for m in more)]


def otherwise(s):
    return {"route": [s.to("v45")]}


def went(service, target="/", **options):
    """The version that a request reached; its status when it reached none."""
    service.forget()
    reply = service.ask(target, **options)
    seen = service.seen()
    assert len(seen) == (1 if reply.status == 200 else 0)
    return seen[0].version if seen else reply.status


def shares(service, count=300):
    """How many of `count` requests came to what: a version, or the status of the proxy's own answer."""
    seen = collections.Counter()
    with service.lane.client() as client:
        for _ in range(count):
            reply = service.ask(client=client)
            seen[reply.body[13:16].decode() if reply.status == 200 else reply.status] += 1
    return seen


def test_4_a_single_destination_of_weight_0_gets_everything(lane):
    service = lane.service(lambda s: [{"route": [s.to("v45", 0)]}])
    assert shares(service, 20) == {"v45": 20}


@pytest.mark.parametrize("weights, expected", [((1, 2), {"v45": 1, "v47": 2}), ((100, 50), {"v45": 2, "v47": 1}),
                                               ((1, None), {"v45": 1})])
def test_8_weights_count_against_their_sum_and_a_missing_one_is_0(lane, weights, expected):
    service = lane.service(lambda s: [{"route": [s.to("v45", weights[0]), s.to("v47", weights[1])]}])
    seen = shares(service)
    assert set(seen) == set(expected)
    assert len(expected) == 1 or chi_squared_p(seen, expected) > 1e-5, seen


@pytest.mark.parametrize("missing", [{"subset": "nobody"}, {"host": "nowhere"}, {"port": 9}])
def test_9_a_destination_that_does_not_exist_is_503_without_body_for_its_share(lane, missing):
    service = lane.service(lambda s: [{"route": [s.to("v45", 1), s.to(weight=1, **missing)],
                                       "retries": {"attempts": 5, "retryOn": "5xx"}}])
    seen = shares(service)
    assert set(seen) == {"v45", 503}
    assert chi_squared_p(seen, {"v45": 1, 503: 1}) > 1e-5, seen
    with lane.client() as client:
        while (reply := service.ask(client=client)).status == 200:
            pass
    assert reply.body == b""


def test_10_a_declared_subset_without_endpoints_is_503_no_healthy_upstream(lane):
    service = lane.service(lambda s: [{"route": [s.to("empty")]}])
    reply = service.ask()
    assert (reply.status, reply.body) == (503, b"no healthy upstream")


def test_11_a_retry_stays_with_the_destination_that_was_drawn(lane):
    service = lane.service(lambda s: [{"route": [s.to("v45", 1), s.to("v47", 1)],
                                       "retries": {"attempts": 4, "retryOn": "5xx"}}])
    lane.backends.behave = lambda r: 503 if r.version == "v45" else None
    seen = shares(service, 120)
    assert set(seen) == {"v47", 503}
    assert chi_squared_p(seen, {"v47": 1, 503: 1}) > 1e-5, seen


@pytest.mark.parametrize("kind", ["header", "query", "method", "authority", "uri"])
def test_14_a_regex_is_of_the_whole_value(lane, kind):
    pattern = {"regex": "[a-z/]+1"}
    match = {"header": {"headers": {"x-it": pattern}},
             "query": {"queryParams": {"it": pattern}}}.get(kind, {kind: pattern})
    if kind == "method":
        match = {"method": {"regex": "P[A-Z]T"}}
    service = lane.service(only({"match": [match]}, otherwise), name=f"name-{kind}")
    if kind == "authority":
        service.apply([{"match": [{"authority": {"regex": "n[a-z-]+"}}], "route": [service.to("v47")]},
                       otherwise(service)])
    yes, no = {"header": ({"fields": {"x-it": "ab1"}}, {"fields": {"x-it": "ab12"}}),
               "query": ({"target": "/?it=a1"}, {"target": "/?it=a1b"}),
               "method": ({"method": "PUT"}, {"method": "PUTT"}),
               "authority": ({}, {"host": f"{service.name}:8080"}),
               "uri": ({"target": "/a1?b=2"}, {"target": "/a1/"})}[kind]
    if kind == "method":
        no = {"method": "POST"}
    assert (went(service, **yes), went(service, **no)) == ("v47", "v45")


def test_14_a_prefix_is_of_characters(lane):
    service = lane.service(only({"match": [{"uri": {"prefix": "/pre"}}]}, otherwise))
    assert [went(service, t) for t in ("/pre", "/prefix", "/pre/x", "/pr")] == ["v47", "v47", "v47", "v45"]


@pytest.mark.parametrize("sent, path", [
    ("/a/../exact", "/exact"), ("/./exact", "/exact"), ("/a/%2e%2e/exact", "/exact"), ("/a/%2E%2e/exact", "/exact"),
    ("/%65xact", "/exact"), ("/exact#part", "/exact"), ("/exact?x=/../y#part", "/exact?x=/../y"),
    ("//exact", "//exact"), ("/dir//a", "/dir//a"), ("/a%20b", "/a%20b"), ("/../../exact", "/exact")])
def test_15_the_path_is_normalised_before_matching_and_servers_see_the_result(lane, sent, path):
    service = lane.service(only({"match": [{"uri": {"exact": "/exact"}}]}, otherwise))
    assert went(service, sent) == ("v47" if path.split("?")[0] == "/exact" else "v45")
    assert service.seen()[0].target == path


def test_16_ignore_uri_case_is_of_exact_and_prefix_only(lane):
    for kind, text, expected in (("exact", "/Abc", "v47"), ("prefix", "/aB", "v47"), ("regex", "/Abc", "v45")):
        service = lane.service(only({"match": [{"uri": {kind: text}, "ignoreUriCase": True}]}, otherwise))
        assert went(service, "/aBC") == expected, kind
    service = lane.service(lambda s: [{"match": [{"uri": {"prefix": "/aB/"}, "ignoreUriCase": True}],
                                       "rewrite": {"uri": "/"}, "route": [s.to("v47")]}])
    service.ask("/Ab/c")
    assert service.seen()[0].target == "/c"


def test_17_query_parameters_are_compared_as_sent_and_the_first_counts(lane):
    service = lane.service(only({"match": [{"queryParams": {"it": {"exact": "47"}}}]}, otherwise))
    for query, expected in (("it=47", "v47"), ("it=47&it=1", "v47"), ("it=1&it=47", "v45"), ("it=%347", "v45"),
                            ("%69t=47", "v45"), ("IT=47", "v45"), ("x=1;it=47", "v45"), ("x=1&it=47", "v47")):
        assert went(service, f"/?{query}") == expected, query
    service = lane.service(only({"match": [{"queryParams": {"debug": {"regex": ".*"}}}]}, otherwise))
    for query in ("debug", "debug=", "debug=0"):
        assert went(service, f"/?{query}") == "v47", query


def test_18_an_exact_match_is_of_one_line_of_a_header(lane):
    service = lane.service(only({"match": [{"headers": {"x-user": {"exact": "jason"}}}]}, otherwise))
    assert went(service, fields=[("x-user", "jason"), ("x-user", "mary")]) == "v47"
    assert went(service, fields=[("x-user", "mary"), ("X-User", "jason")]) == "v47"
    assert went(service, fields=[("x-user", "jason,mary")]) == "v45"


def test_19_an_empty_header_is_present_and_without_a_header_no_value_is_excluded(lane):
    service = lane.service(only({"match": [{"headers": {"x-a": {}}}]}, otherwise))
    assert [went(service, fields=f) for f in ([("x-a", "")], [])] == ["v47", "v45"]
    service = lane.service(only({"match": [{"withoutHeaders": {"x-a": {"exact": "1"}}}]}, otherwise))
    assert [went(service, fields=f) for f in ([], [("x-a", "2")], [("x-a", "1")])] == ["v47", "v47", "v45"]


def test_20_authority_is_compared_as_sent_but_the_host_is_found_without_case_port_and_dot(lane):
    service = lane.service(lambda s: [{"match": [{"authority": {"exact": s.name}}], "route": [s.to("v47")]},
                                      otherwise(s)])
    assert went(service) == "v47"
    for host in (service.name.upper(), f"{service.name}:8080", f"{service.name}.{rules.NS}.svc.cluster.local."):
        assert went(service, host=host) == "v45", host


def test_21_scheme_follows_the_client_and_an_absolute_target_replaces_host(lane):
    service = lane.service(only({"match": [{"scheme": {"exact": "https"}}]}, otherwise))
    assert went(service) == "v45"
    assert went(service, fields={"x-forwarded-proto": "https"}) == "v47"
    assert went(service, f"https://{service.name}/abs?q=1", host="somebody.else") == "v47"
    assert (service.seen()[0].target, value(service.seen()[0], "host")) == ("/abs?q=1", service.name)


@pytest.fixture
def ports(tmp_path):
    """A lane with listeners for other ports than 8080: {port: (address, port)}."""
    made = {}

    class Many(Proxied):
        def arguments(self):
            made.update({port: (self.block[2], 10000 + port) for port in (80, 8081)})
            listen = ["%s:%d=dialled:%d" % (*to, port) for port, to in made.items()]
            return super().arguments() + [part for one in listen for part in ("--listen", one)]

    lane = Lane(tmp_path, mesh=Many)
    try:
        yield lane, made
    finally:
        lane.remove()


def test_12_22_28_the_port_is_the_one_connected_to(ports):
    lane, to = ports
    service = lane.service(lambda s: [{"match": [{"port": 8081}], "route": [s.to("v47")]}, otherwise(s)],
                           ports=(8080, 8081))
    lane.mesh.apply({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
                     "metadata": {"name": "outside", "namespace": rules.NS},
                     "spec": {"hosts": ["no.service.example"], "http": [
                         {"route": [service.to("v47", port=8080)]}]}})
    with Client(to[8081]) as client:
        assert went(service, client=client) == "v47"
        assert went(service, client=client, host=f"{service.name}:8080") == "v47", "the port in Host says nothing"
    with Client(lane.mesh.to) as client:
        assert went(service, client=client, host=f"{service.name}:8081") == "v45"
        # Rules of a host that no service has are refused, or warned about and without effect; Istio's work on port 80.
        assert {went(service, client=client, host="no.service.example") for _ in range(20)} == {"v45", "v47"}
    with Client(to[80]) as client:
        assert went(service, client=client, host="no.service.example") == 404, "see line 30: dialled has no port 80"


def test_24_no_matching_rule_is_404(lane):
    service = lane.service(only({"match": [{"uri": {"exact": "/this"}}]}))
    reply = service.ask("/other")
    assert (reply.status, reply.body, service.seen()) == (404, b"", [])


def test_29_short_names_of_a_host(lane):
    service = lane.service(only({}))
    for name in ("", f".{rules.NS}", f".{rules.NS}.svc", f".{rules.NS}.svc.cluster.local",
                 f".{rules.NS}.svc.cluster.local."):
        assert went(service, host=service.name + name) == "v47", name
    seen = {went(service, host=f"{service.name}.{rules.NS}.svc.cluster") for _ in range(30)}
    assert seen == {"v45", "v47"}, "not known: the service that was dialled answers, of all versions"


def test_30_an_unknown_host_gets_the_service_that_was_dialled(lane):
    """Istio sends it where it was going anyway, past all rules; here the dialled service's rules decide."""
    service = lane.service(only({}))
    lane.mesh.apply({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
                     "metadata": {"name": "dialled", "namespace": rules.NS}, "spec": {"hosts": ["dialled"], "http": [
                         {"match": [{"uri": {"prefix": "/direct"}}], "directResponse": {"status": 418}},
                         {"route": [{"destination": {"host": "dialled"}}]}]}})
    assert went(service, "/direct", host="nobody.example") == 418
    assert went(service, "/", host="nobody.example") in ("v45", "v47")
    assert value(service.seen()[0], "host") == "nobody.example"
    lane.mesh.sluice("delete", "virtualservice/dialled", check=False)


def test_31_subsets_of_a_rule_in_a_third_namespace_are_not_used(lane):
    service = lane.service(only({}))
    lane.mesh.apply({"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
                     "metadata": {"name": f"{service.name}-third", "namespace": "third"},
                     "spec": {"host": f"{service.name}.{rules.NS}.svc.cluster.local",
                              "subsets": [{"name": "foreign", "labels": {"model-version": "v45"}}]}})
    service.apply([{"match": [{"uri": {"prefix": "/foreign"}}], "route": [service.to("foreign")]},
                   {"match": [{"uri": {"prefix": "/merged"}}], "route": [service.to("merged")]}, otherwise(service)])
    reply = service.ask("/foreign")
    assert (reply.status, reply.body) == (503, b"")
    lane.mesh.apply({"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
                     "metadata": {"name": f"{service.name}-second", "namespace": rules.NS},
                     "spec": {"host": service.name,
                              "subsets": [{"name": "merged", "labels": {"model-version": "v47"}}]}})
    assert (went(service, "/merged"), went(service, "/")) == ("v47", "v45"), "two rules of one namespace merge subsets"
