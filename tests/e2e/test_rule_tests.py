"""`sluice test` and `sluice explain --request` say what a real agent's proxy then does with real requests."""
import collections
import concurrent.futures
import json
import random
import time
import xml.etree.ElementTree as ElementTree

import pytest

from backends import Backends, Client, values
from dialling import chi_squared_p
from proxied import EXAMPLES, Proxied

HOST = "content-ranking-svc"
REQUESTS = 300
# What depends on the moment.
MOMENT = {"x-request-id", "x-envoy-expected-rq-timeout-ms"}

# What the source text does not use.
BEYOND = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: content-ranking-vs, namespace: ml-serving}
spec:
  hosts: [content-ranking-svc]
  http:
  - name: moved
    match: [{uri: {prefix: /old/}, method: {exact: GET}}]
    redirect: {uri: /v1/new, redirectCode: 302}
  - name: health
    match: [{uri: {exact: /healthz}}]
    directResponse: {status: 204}
  - name: team
    match:
    - {name: label, sourceLabels: {app: web}, uri: {prefix: /v1/}}
    - {name: query, queryParams: {team: {exact: web}}}
    rewrite: {uri: /api/}
    headers: {request: {set: {x-team: "%REQ(x-user-id)%"}, remove: [x-user-segment]}}
    route: [{destination: {host: content-ranking-svc, subset: v43-legacy}}]
  - name: models
    match:
    - uri: {regex: "/v1/models/[a-z-]+:predict"}
      withoutHeaders: {x-ab-bucket: {}}
    - uri: {prefix: /V2}
      ignoreUriCase: true
    timeout: 2s
    route:
    - destination: {host: content-ranking-svc, subset: v45}
      weight: 60
      headers: {request: {add: {x-version: v45}}}
    - destination: {host: content-ranking-svc, subset: v47}
      weight: 40
      headers: {request: {add: {x-version: v47}}}
  - match: [{headers: {x-ab-bucket: {regex: "[0-7]?[0-9]"}}}]
    route: [{destination: {host: content-ranking-svc, subset: v45}}]
"""


class Act:
    """Rules on an agent that listens, and servers that remember what they were asked."""

    def __init__(self, directory):
        self.mesh = Proxied(directory, client="ml-serving,app=web")
        block = self.mesh.block
        theirs = {"127.101.0.10": block[2], "127.101.45.1": block[101], "127.101.45.2": block[102],
                  "127.101.47.1": block[103], "127.101.47.2": block[104], "127.101.43.1": block[105]}
        self.addresses = theirs
        self.backends = Backends({"v45": [block[101], block[102]], "v47": [block[103], block[104]],
                                  "v43-legacy": [block[105]]})

    def start(self, act):
        if act == "beyond":
            self.mesh.example("servers.yaml", "mirror/content-ranking-destination-rule.yaml", addresses=self.addresses)
            self.mesh.write("beyond.yaml", BEYOND)
        else:
            self.mesh.example("servers.yaml", act, addresses=self.addresses)
        return self.mesh.start()

    def remove(self):
        self.mesh.remove()
        self.backends.remove()


@pytest.fixture
def act(tmp_path):
    made = Act(tmp_path)
    try:
        yield made
    finally:
        made.remove()


def some_requests(seed, count=REQUESTS):
    """Requests as a client of namespace ml-serving with app=web could send them."""
    choose = random.Random(seed)
    paths = ["/", "/v1/models/content-ranking:predict", "/v1/models/content-ranking:predict?team=web&x=%31", "/v1/",
             "/v1/../old/x", "/old/x?y=1", "/old/./x", "/healthz", "/healthz?x", "/v2/x", "/V2/%7Eme", "/%76%31/models/a:predict",
             "/v1//models/a:predict", "/x?team=web", "/x?team=WEB", "/a%2Fb;c?d=%00"]
    hosts = [HOST, f"{HOST}:8080", f"{HOST}.ml-serving", f"{HOST}.ml-serving.svc.cluster.local:8080", HOST.upper(),
             "nobody.example"]
    for _ in range(count):
        headers = []
        for name, some in {"x-user-segment": ["premium", "Premium", "gold", "", "premium,gold"],
                           "x-user-id": [f"{choose.getrandbits(64):016x}", "d1", "C3", "", f"user-{choose.randrange(99)}"],
                           "x-ab-bucket": [str(choose.randrange(120)), "08", ""], "X-Other": ["a b", "=;,"]}.items():
            for _ in range(choose.choice([0, 0, 1, 1, 1, 2]) if name == "x-user-segment" else choose.choice([0, 1])):
                headers.append((name, choose.choice(some)))
        names = [name for name, _ in headers]  # lines of one name stand together, as a test writes them
        headers.sort(key=lambda pair: names.index(pair[0]))
        yield {"method": choose.choice(["GET", "GET", "POST", "DELETE"]), "path": choose.choice(paths),
               "host": choose.choice(hosts), "headers": headers}


def as_test(number, request):
    """A test that can hardly fail: it is its answer that is wanted."""
    headers = collections.defaultdict(list)
    for name, text in [("host", request["host"]), *request["headers"]]:
        headers[name].append(text)
    return {"name": f"request {number}",
            "request": {"method": request["method"], "path": request["path"], "headers": dict(headers)},
            "expect": {"service": HOST}}


def foretold(act, requests):
    """The answers of `sluice test` to all of them, without the agent."""
    file = act.mesh.directory / "foretold.test.yaml"
    file.write_text(json.dumps({
        "rules": "config", "tests": [as_test(i, r) for i, r in enumerate(requests)],
        "defaults": {"host": HOST, "port": 8080, "client": {"namespace": "ml-serving", "labels": {"app": "web"}}}}))
    done = act.mesh.sluice("test", file, "-o", "json", check=False)
    assert done.stdout, done.stderr
    told = json.loads(done.stdout)
    assert told["failed"] == 0, [t for t in told["tests"] if not t["passed"]][:3]
    return [test["answer"] for test in told["tests"]]


def without_moment(pairs):
    return [(name.lower(), text) for name, text in pairs if name.lower() not in MOMENT]


def compare(act, requests, answers):
    """Each request on the real proxy, against its answer; the drawn ones by their shares."""
    drawn = collections.defaultdict(collections.Counter)
    with Client(act.mesh.to) as client:
        for request, answer in zip(requests, answers):
            act.backends.forget()
            reply = client.ask(request["path"], request["method"], request["host"], request["headers"])
            # A mirror's copy may come when the next request is under way.
            seen = [one for one in act.backends.requests() if not values(one, "x-envoy-internal")]
            if answer["status"] is not None:
                assert (reply.status, seen) == (answer["status"], []), (request, answer)
                assert values(reply, "location") == ([answer["location"]] if answer["location"] else []), (request, answer)
                continue
            shares = {row["destination"]: row["share"] for row in answer["destinations"]}
            assert reply.status == 200 and len(seen) >= 1, (request, answer, reply)
            assert shares.get(seen[0].version, 0) > 0, (request, answer, seen)
            assert seen[0].target == answer["target"], (request, answer, seen)
            if len(shares) == 1:
                assert without_moment(seen[0].fields) == without_moment(answer["headers"]), (request, answer, seen)
            else:
                drawn[tuple(sorted(shares.items()))][seen[0].version] += 1
    return drawn


@pytest.mark.parametrize("name", ["canary", "mirror", "ab-test", "sticky", "beyond"])
def test_what_is_foretold_of_random_requests_is_what_a_real_proxy_does(act, name):
    act.start(name)
    requests = list(some_requests(name))
    answers = foretold(act, requests)
    kinds = {(a["status"], a["route"], *(d["destination"] for d in a["destinations"])) for a in answers}
    mirrors = [{"destination": "v47", "share": 0.1}] if name == "mirror" else []
    assert all(a["mirrors"] == mirrors for a in answers)
    assert len(kinds) >= {"canary": 2, "mirror": 1, "ab-test": 2, "sticky": 3, "beyond": 6}[name], kinds
    for shares, seen in compare(act, requests, answers).items():
        assert chi_squared_p(seen, dict(shares)) > 1e-5, (shares, seen)


def test_the_agent_answers_for_one_request_as_the_directory_does(act):
    act.start("sticky")
    one = ["explain", f"{HOST}:8080", "--request", "POST /v1/rank?x=1", "--header", "x-user-id=user-7", "--client",
           "ml-serving", "-o", "json"]
    online = json.loads(act.mesh.sluice(*one).stdout)
    offline = json.loads(act.mesh.sluice(*one, "--config", act.mesh.config).stdout)
    assert online["experiment"]["name"] == "ranking-v47"
    assert online == offline
    status, _, body = act.mesh.ask("/v1/rank", headers={"x-user-id": "user-7"})
    assert status == 200 and json.loads(body)["version"] == online["experiment"]["arm"]
    # What is not in force yet is not told.
    text = (act.mesh.config / "content-ranking-ab-test.yaml").read_text()
    act.mesh.write("content-ranking-ab-test.yaml", text.replace("subset: v45", "subset: nowhere"))
    assert json.loads(act.mesh.sluice(*one).stdout) == online
    assert act.mesh.sluice("explain", HOST, "--request", "GET", check=False).returncode == 2
    refused = act.mesh.sluice("explain", "nobody:8080", "--request", "GET /", check=False)
    assert (refused.returncode, "no service" in refused.stderr) == (1, True), refused.stderr


def test_timeouts_are_compared_with_the_tail_that_the_agent_measured(act):
    act.mesh.example("servers.yaml", "mirror/content-ranking-destination-rule.yaml", addresses=act.addresses)
    act.mesh.write("rule.yaml", """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: content-ranking-vs, namespace: ml-serving}
spec:
  hosts: [content-ranking-svc]
  http: [{timeout: 60ms, retries: {attempts: 0}, route: [{destination: {host: content-ranking-svc, subset: v45}}]}]
""")
    act.mesh.start()

    def advised():
        told = json.loads(act.mesh.sluice("validate", act.mesh.config, "-o", "json").stdout)
        return [d["message"] for d in told["diagnostics"] if d["code"] == "SL102"]

    assert advised() == [], "nothing was measured yet"
    act.backends.behave = lambda request: time.sleep(0.045)

    def ask(_):
        with Client(act.mesh.to) as client:
            return [client.ask(host=HOST).status for _ in range(30)]

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        assert {200} <= {status for some in pool.map(ask, range(20)) for status in some} <= {200, 504}
    (message,) = advised()
    assert message.startswith("60ms is less than 1.5 times the p99 that was measured ("), message


def test_junit_is_xml_that_others_read(act, tmp_path):
    act.mesh.example("servers.yaml", "canary", addresses=act.addresses)
    file, report = tmp_path / "x.test.yaml", tmp_path / "report.xml"
    file.write_text(f"""
rules: config
defaults: {{host: {HOST}, client: {{namespace: ml-serving}}}}
tests:
- {{name: 'premium & "others" <1>', request: {{headers: {{x-user-segment: premium}}}}, expect: {{subset: v47}}}}
- {{name: split ❤, request: {{}}, expect: {{subsets: {{v45: 90, v47: 10}}, timeout: 200ms}}}}
- {{name: wrong, request: {{}}, expect: {{subset: v45, timeout: 1s}}}}
""")
    done = act.mesh.sluice("test", file, "--junit", report, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    root = ElementTree.parse(report).getroot()
    assert (root.tag, root.get("tests"), root.get("failures")) == ("testsuites", "3", "1")
    (suite,) = root
    assert suite.get("name") == str(file)
    assert [case.get("name") for case in suite] == ['premium & "others" <1>', "split ❤", "wrong"]
    assert all(float(case.get("time")) >= 0 for case in suite)
    (failure,) = suite.iter("failure")
    assert failure.get("message") == "subset: expected v45, found v45 90%, v47 10%"
    assert "timeout: expected 1s, found 200ms" in failure.text and "content-ranking-virtual-service.yaml:" in failure.text


def test_the_examples_get_the_advice_that_they_deserve_and_no_other(act, tmp_path):
    deserved = {"ab-test": {"SL106"}}
    for directory in sorted((EXAMPLES / "source-text").iterdir()):
        if not directory.is_dir():
            continue
        rules = tmp_path / directory.name
        rules.mkdir()
        for file in [EXAMPLES / "source-text" / "servers.yaml", *directory.glob("*.yaml")]:
            (rules / file.name).write_text(file.read_text())
        told = json.loads(act.mesh.sluice("validate", rules, "-o", "json").stdout)
        codes = {d["code"] for d in told["diagnostics"]} - {None, "SL203"}  # it uses h2UpgradePolicy
        assert codes == deserved.get(directory.name, set()), (directory, told["diagnostics"])
    for rules in sorted(EXAMPLES.glob("*/rules")):
        told = json.loads(act.mesh.sluice("validate", rules, "-o", "json").stdout)
        # Some are split by connection, and say so.
        assert {d["code"] for d in told["diagnostics"]} <= {"SL109"}, told["diagnostics"]
