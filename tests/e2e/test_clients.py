"""Real applications, unchanged: curl, Python's and Node's HTTP clients."""
import json
import subprocess

import pytest

from sandbox import spawn

PYTHON = """
import json, sys, urllib.request
with urllib.request.urlopen(sys.argv[1], timeout=5) as answer:
    print(answer.read().decode())
"""
NODE = """
const http = require('http');
http.get(process.argv[1], {timeout: 5000}, (answer) => {
  let text = '';
  answer.on('data', (part) => text += part);
  answer.on('end', () => console.log(text));
}).on('error', (error) => { console.error(error.code); process.exit(1); });
"""
NODE_KEEP_ALIVE = """
const http = require('http');
const agent = new http.Agent({keepAlive: true, maxSockets: 1});
let left = 20;
const versions = new Set();
function next() {
  http.get(process.argv[1], {agent}, (answer) => {
    let text = '';
    answer.on('data', (part) => text += part);
    answer.on('end', () => {
      versions.add(JSON.parse(text).server);
      if (--left) setImmediate(next); else { console.log(JSON.stringify([...versions])); agent.destroy(); }
    });
  });
}
next();
"""
COMMANDS = {"curl": ["curl", "-sS", "-m", "5"], "python": ["/usr/bin/python3", "-c", PYTHON],
            "node": ["node", "-e", NODE]}


def ask(mesh, command, to, nonce):
    process = spawn([*command, f"http://{to}/v1/models/m:predict?nonce={nonce}"], cgroup=mesh.clients,
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out, _ = process.communicate(timeout=30)
    return process.returncode, out


@pytest.mark.parametrize("client", COMMANDS)
def test_http_clients(ranking, client):
    service = ranking()
    command = COMMANDS[client]
    assert ask(service.mesh, command, service.to, "n")[0] != 0, "the control run must fail"
    service.mesh.start()
    for i in range(5):
        status, out = ask(service.mesh, command, service.to, f"{client}-{i}")
        assert status == 0 and json.loads(out)["nonce"] == f"{client}-{i}"
        assert json.loads(out)["version"] in service.weights


def test_a_keep_alive_connection_stays_where_it_is(ranking):
    """split: connection means what it says: twenty requests on one connection are one draw."""
    service = ranking(weights={"v45": 1})
    service.mesh.start()
    process = spawn(["node", "-e", NODE_KEEP_ALIVE, f"http://{service.to}/v1/models/m:predict"],
                    cgroup=service.mesh.clients, stdout=subprocess.PIPE, text=True)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0 and len(json.loads(out)) == 1
    assert service.mesh.metrics().sum("istio_tcp_connections_opened_total") == 1
