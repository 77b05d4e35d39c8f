#!/usr/bin/python3
"""Writes a directory of rules: `generate.py DIRECTORY SERVICES ENDPOINTS_A_SERVICE`.

Service i is dialled at vip(i):8080 and has its endpoints at port 9000 in two versions, v1 with weight 90 and v2 with 10;
one file a hundred services, three objects a service: ServiceEntry, DestinationRule, VirtualService. All addresses lie in
127.0.0.0/8. Endpoint j of service i is of v1 when j is even.
"""
import ipaddress
import pathlib
import sys

VIPS = int(ipaddress.ip_address("127.128.0.1"))
ENDPOINTS = int(ipaddress.ip_address("127.16.0.1"))
SERVICE_PORT, ENDPOINT_PORT = 8080, 9000
NAMESPACE = "bench"


def vip(service):
    return str(ipaddress.ip_address(VIPS + service))


def endpoint(service, number, endpoints):
    return str(ipaddress.ip_address(ENDPOINTS + service * endpoints + number))


def version_of(address, endpoints):
    """v1 or v2, from an endpoint's address."""
    return "v1" if (int(ipaddress.ip_address(address)) - ENDPOINTS) % endpoints % 2 == 0 else "v2"


def virtual_service(service, weights):
    routes = "".join(
        f"    - destination: {{host: model-{service}.{NAMESPACE}.svc.cluster.local, subset: {subset}}}\n      weight: {weight}\n"
        for subset, weight in weights.items())
    return f"""---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: model-{service}, namespace: {NAMESPACE}}}
spec:
  hosts: [model-{service}.{NAMESPACE}.svc.cluster.local]
  tcp:
  - route:
{routes}"""


def service_objects(service, endpoints):
    inline = "".join(f"  - {{address: {endpoint(service, number, endpoints)}, labels: {{version: v{1 + number % 2}}}}}\n"
                     for number in range(endpoints))
    return f"""---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: model-{service}, namespace: {NAMESPACE}}}
spec:
  hosts: [model-{service}.{NAMESPACE}.svc.cluster.local]
  addresses: [{vip(service)}]
  ports:
  - {{number: {SERVICE_PORT}, name: tcp, protocol: TCP, targetPort: {ENDPOINT_PORT}}}
  resolution: STATIC
  endpoints:
{inline}---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: model-{service}, namespace: {NAMESPACE}}}
spec:
  host: model-{service}.{NAMESPACE}.svc.cluster.local
  subsets:
  - {{name: v1, labels: {{version: v1}}}}
  - {{name: v2, labels: {{version: v2}}}}
""" + virtual_service(service, {"v1": 90, "v2": 10})


def generate(directory, services, endpoints):
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    for first in range(0, services, 100):
        text = "".join(service_objects(service, endpoints) for service in range(first, min(first + 100, services)))
        (directory / f"models-{first // 100:04}.yaml").write_text(text)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    generate(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
