"""A service of the proxy lane whose clients are captured: no change in them, no --listen."""
import http.client
import json

import rules
from sandbox import inside

NAME = "content-ranking"
PREMIUM = {"x-user-tier": "premium"}


def premium_route(name=NAME, fault=None, host=None, export_to=None, rule_name=None):
    """x-user-tier: premium goes to v47, all others to v45; with `fault` those may not go without the proxy."""
    def to(version):
        return {"route": [{"destination": {"host": host or name, "subset": version}}]}
    spec = {"hosts": [host or name],
            "http": [{"match": [{"headers": {"x-user-tier": {"exact": "premium"}}}], **to("v47")},
                     {**to("v45"), **({"fault": fault} if fault else {})}]}
    if export_to:
        spec["exportTo"] = export_to
    return {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {"name": rule_name or name, "namespace": rules.NS}, "spec": spec}


def ask(to, headers=None, host=NAME, count=1, timeout=5):
    """Requests on one connection: the versions that answered; a number is another status, "refused" no connection."""
    address, port = to
    connection = http.client.HTTPConnection(address, port, timeout=timeout)
    seen = []
    try:
        for nonce in range(count):
            connection.request("GET", f"/v1/models/m:predict?nonce={nonce}", headers={"Host": host, **(headers or {})})
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                seen.append(answer.status)
                continue
            value = json.loads(body)
            assert value["nonce"] == str(nonce), value
            seen.append(value["version"])
    except ConnectionRefusedError:
        seen.append("refused")
    finally:
        connection.close()
    return seen


class Captured:
    """`netns`: where servers and clients live; None: where the agent does."""

    def __init__(self, mesh, netns=None):
        self.mesh, self.netns = mesh, netns
        self.to = (mesh.block[1], 8080)
        self.servers = mesh.serve_versions({"v45": 1, "v47": 1}, netns)
        mesh.write("service.yaml", rules.service_entry(NAME, mesh.block[1], self.servers))
        mesh.write("policy.yaml", rules.destination_rule(NAME, self.servers))
        mesh.write("routes.yaml", premium_route())

    def ask(self, headers=None, cgroup=None, **options):
        return inside(lambda: ask(self.to, headers, **options), cgroup or self.mesh.clients, self.netns)

    def capture(self):
        """Status of capture."""
        (lane,) = [lane for lane in self.mesh.get("/v1/status")["lanes"] if lane["name"] == "proxy"]
        return lane["capture"]

    def counted(self, reason):
        """How often programs counted that reason."""
        return int(dict(line.split() for line in self.mesh.get("/v1/maps/counters")["rows"])[reason])
