"""Kubernetes' own objects: Service and EndpointSlice, and what happens to an endpoint on its way out."""
import socket

from asking import ask, exchange
from sandbox import inside


def service(address):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "ranker", "namespace": "ml-serving"},
            "spec": {"clusterIP": address, "selector": {"app": "ranker"},
                     "ports": [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}]}}


def slice_of(conditions):
    """`conditions`: {address: {ready, serving, terminating}}."""
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "ranker-1", "namespace": "ml-serving",
                         "labels": {"kubernetes.io/service-name": "ranker"}},
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
            "endpoints": [{"addresses": [a], "conditions": dict(c)} for a, c in conditions.items()]}


READY = {"ready": True, "serving": True, "terminating": False}
TERMINATING = {"ready": False, "serving": True, "terminating": True}


def test_a_terminating_endpoint_keeps_its_connections_and_gets_no_new_one(mesh):
    stays, goes = servers = mesh.serve_versions({"v1": 2})["v1"]
    to = f"{mesh.block[1]}:80"
    mesh.write("service.yaml", service(mesh.block[1]))
    mesh.write("slice.yaml", slice_of({a: READY for a in servers}))
    mesh.control(to)
    mesh.start()

    def client():
        held = [socket.create_connection((mesh.block[1], 80), timeout=5) for _ in range(20)]
        before = [exchange(sock)[1] for sock in held]
        generation = mesh.generation()
        mesh.write("slice.yaml", slice_of({stays: READY, goes: TERMINATING}))
        mesh.wait_generation(generation)
        after = [exchange(sock)[1] for sock in held]
        return before, after, {ask((mesh.block[1], 80))["server"] for _ in range(60)}

    before, after, new = inside(client, mesh.clients)
    assert set(before) == {f"{stays}:8080", f"{goes}:8080"} and after == before
    assert new == {f"{stays}:8080"}
    assert {r["endpoint"]: r["state"] for r in mesh.endpoints()} == {f"{stays}:8080": "in", f"{goes}:8080": "draining"}


def test_an_endpoint_that_is_not_ready_gets_nothing(mesh):
    ready, unready = mesh.serve_versions({"v1": 2})["v1"]
    mesh.write("all.yaml", service(mesh.block[1]),
               slice_of({ready: READY, unready: {"ready": False, "serving": False, "terminating": False}}))
    mesh.control(f"{mesh.block[1]}:80")
    mesh.start()
    got = mesh.dial(f"{mesh.block[1]}:80", count=100)
    assert dict(got.servers) == {f"{ready}:8080": 100}
