"""Istio objects as dicts, and as YAML."""
import yaml

NS = "ml-serving"


class _Plain(yaml.SafeDumper):
    """Writes values out that stand at several places: rules have no anchors."""

    def ignore_aliases(self, data):
        return True


def text(*objects):
    return yaml.dump_all(objects, Dumper=_Plain, sort_keys=False)


def _object(version, kind, name, ns, spec, annotations=None):
    metadata = {"name": name, "namespace": ns}
    if annotations:
        metadata["annotations"] = annotations
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


def service_entry(name, address, endpoints, port=8080, target_port=8080, ns=NS, protocol="HTTP", export_to=None):
    """`endpoints`: {version: [address, ...]}; an address may carry a port as (address, port)."""
    inline = []
    for version, addresses in endpoints.items():
        for one in addresses:
            host, its_port = one if isinstance(one, tuple) else (one, target_port)
            inline.append({"address": host, "ports": {"http": its_port},
                           "labels": {"app": name, "version": version, "model-version": version}})
    spec = {"hosts": [f"{name}.{ns}.svc.cluster.local"],
            "addresses": [address] if isinstance(address, str) else list(address),
            "ports": [{"number": port, "name": "http", "protocol": protocol}],
            "resolution": "STATIC", "endpoints": inline}
    if export_to:
        spec["exportTo"] = export_to
    return _object("networking.istio.io/v1", "ServiceEntry", name, ns, spec)


def destination_rule(name, versions, ns=NS, lb="ROUND_ROBIN", outlier=None, pool=None, export_to=None, annotations=None):
    policy = {"loadBalancer": {"simple": lb}}
    if outlier:
        policy["outlierDetection"] = outlier
    if pool:
        policy["connectionPool"] = pool
    spec = {"host": name, "trafficPolicy": policy,
            "subsets": [{"name": v, "labels": {"model-version": v}} for v in versions]}
    if export_to:
        spec["exportTo"] = export_to
    return _object("networking.istio.io/v1", "DestinationRule", name, ns, spec, annotations)


def virtual_service(name, weights, ns=NS, host=None, export_to=None, annotations=None, rule_name=None):
    """`weights`: {subset: weight}; a list of pairs keeps repeated subsets."""
    host = host or name
    pairs = weights.items() if isinstance(weights, dict) else weights
    spec = {"hosts": [host],
            "http": [{"route": [{"destination": {"host": host, "subset": s}, "weight": w} for s, w in pairs]}]}
    if export_to:
        spec["exportTo"] = export_to
    return _object("networking.istio.io/v1", "VirtualService", rule_name or name, ns, spec,
                   {"sluice.dev/split": "connection", **(annotations or {})})


def client(name, cgroup, ns=NS, labels=None):
    """A workload that asks: processes in `cgroup` (sandbox.Cgroup)."""
    return _object("networking.istio.io/v1", "WorkloadEntry", name, ns,
                   {"labels": {"app": name, "version": "v1", **(labels or {})}},
                   {"sluice.dev/cgroup": cgroup.relative()})
