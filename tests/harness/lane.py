"""One agent of the proxy lane and any number of services behind it, all on the same recording servers: Host picks."""
import itertools

import rules
from backends import Backends, Client
from proxied import Proxied

VERSIONS = {"v45": 2, "v47": 2}


class Service:
    """A host with its rules. `http`: the VirtualService's list; None: a plain service."""

    def __init__(self, lane, name, versions):
        self.lane, self.name, self.versions = lane, name, versions
        self.backends = lane.backends

    def ask(self, target="/", method="GET", fields=(), body=None, host=None, client=None):
        if client:
            return client.ask(target, method, host or self.name, fields, body)
        with self.lane.client() as own:
            return own.ask(target, method, host or self.name, fields, body)

    def to(self, subset=None, weight=None, port=None, host=None):
        """An element of `route`."""
        destination = {"host": host or self.name}
        if subset:
            destination["subset"] = subset
        if port:
            destination["port"] = {"number": port}
        return {"destination": destination} | ({} if weight is None else {"weight": weight})

    def apply(self, http, **spec):
        self.lane.mesh.apply(_virtual_service(self.name, http, **spec))

    def policy(self, traffic=None, subsets=None):
        """A DestinationRule; `subsets`: {name: trafficPolicy or None} beside the versions'."""
        all_subsets = {version: None for version in self.versions} | {"empty": None} | (subsets or {})
        spec = {"host": self.name, "subsets": []}
        for name, policy in all_subsets.items():
            spec["subsets"].append({"name": name, "labels": {"model-version": name}} |
                                   ({"trafficPolicy": policy} if policy else {}))
        if traffic:
            spec["trafficPolicy"] = traffic
        self.lane.mesh.apply({"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
                              "metadata": {"name": self.name, "namespace": rules.NS}, "spec": spec})

    def seen(self):
        """What reached servers since the test began."""
        return self.backends.requests()

    def forget(self):
        self.backends.forget()


def _virtual_service(name, http, **spec):
    return {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {"name": name, "namespace": rules.NS}, "spec": {"hosts": [name], "http": http} | spec}


class Lane:
    def __init__(self, directory, versions=None, *extra, mesh=Proxied, **options):
        self.mesh = mesh(directory, host="dialled", **options)
        try:
            hosts = itertools.count(101)
            self.versions = {version: [self.mesh.block[next(hosts)] for _ in range(count)]
                             for version, count in (versions or VERSIONS).items()}
            self.backends = self.mesh.cleanup.owns(Backends(self.versions))
            self.number = itertools.count(1)
            self.mesh.write("dialled.yaml", self.entry("dialled", self.versions))
            self.mesh.start("--references", "warn", *extra)
        except BaseException:
            self.mesh.remove()
            raise

    def entry(self, name, versions, ports=(8080,)):
        entry = rules.service_entry(name, [], versions)
        del entry["spec"]["addresses"]
        entry["spec"]["ports"] = [{"number": port, "name": f"http-{port}", "protocol": "HTTP", "targetPort": 8080}
                                  for port in ports]
        for endpoint in entry["spec"]["endpoints"]:
            del endpoint["ports"]
        return entry

    def service(self, http=None, traffic=None, subsets=None, versions=None, name=None, ports=(8080,), **spec):
        """A new service. `http` may be a function that makes the list from the service."""
        self.backends.clear()
        versions = versions or self.versions
        made = Service(self, name or f"ranker-{next(self.number)}", versions)
        self.mesh.apply(self.entry(made.name, versions, ports))
        made.policy(traffic, subsets)
        if http is not None:
            made.apply(http(made) if callable(http) else http, **spec)
        return made

    def client(self, to=None, **options):
        return Client(to or self.mesh.to, **options)

    def remove(self):
        self.mesh.remove()
