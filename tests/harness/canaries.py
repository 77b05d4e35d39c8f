"""content-ranking with the rule of the source text, two versions behind it, a canary, and clients that keep asking."""
import json
import re
import subprocess
import time

import rules
from proxied import Proxied
from sandbox import end, spawn, wait_for
from versions import Load, Versions

HOST = "content-ranking-svc"
NAME = "content-ranking-v47"
# As the source text has it, with comments, a header route and retries; the weights are the ones that move.
RULE = """\
# VirtualService: traffic split between model versions
apiVersion: networking.istio.io/v1beta1
kind: VirtualService
metadata:
  name: content-ranking-vs
  namespace: ml-serving
spec:
  hosts:
    - content-ranking-svc
  http:
    # Route 1: Premium user segment to v47 (new model)
    - match:
        - headers:
            x-user-segment:
              exact: premium
      route:
        - destination:
            host: content-ranking-svc
            subset: v47
          weight: 100
    # Route 2: Default traffic split (canary deployment)
    - name: default-split
      route:
        - destination:
            host: content-ranking-svc
            subset: v45 # Production champion
          weight: 100
        - destination:
            host: content-ranking-svc
            subset: v47 # Canary
          weight: 0
      # Timeout and retry policies for this route
      timeout: 2s
      retries:
        attempts: 2
        perTryTimeout: 800ms
        retryOn: "5xx,gateway-error,connect-failure,retriable-4xx"
"""
WEIGHTS = re.compile(r"subset: (v45|v47) #.*\n\s+weight: (\d+)")
STAGES = (5, 10, 25, 50, 100)


def canary(stages=None, gates=None, name=NAME, **spec):
    """The source text's canary; holds in seconds. `stages`: (weight, hold)."""
    stages = stages or [(weight, 2) for weight in STAGES[:-1]] + [(100, 0)]
    return {"apiVersion": "sluice.dev/v1", "kind": "Canary", "metadata": {"name": name, "namespace": rules.NS},
            "spec": {"host": HOST, "route": "default-split", "champion": "v45", "challenger": "v47",
                     "stages": [{"weight": weight} | ({"hold": f"{hold}s"} if hold else {}) for weight, hold in stages],
                     "interval": "500ms", "minimumRequests": 30, "dataTimeout": "20s",
                     "gates": gates or [{"name": "errors", "errorRate": {"max": 0.3}},
                                        {"name": "tail", "latency": {"quantile": 99, "regression": 10}}]} | spec}


class Ranking(Proxied):
    """The agent is not started."""

    def __init__(self, directory, **options):
        super().__init__(directory, host=HOST, **options)
        try:
            self.addresses = {"v45": [self.block[101], self.block[102]], "v47": [self.block[103]]}
            self.versions = self.cleanup.owns(Versions(self.addresses))
            self.write("service.yaml", rules.service_entry(HOST, self.block[2], self.addresses))
            self.write("policy.yaml", rules.destination_rule(HOST, self.addresses, lb="RANDOM"))
            self.write("rule.yaml", RULE)
        except BaseException:
            self.remove()
            raise

    def load(self, **options):
        return self.cleanup.owns(Load(self.to, self.host, **options))

    def rule(self):
        return (self.config / "rule.yaml").read_text()

    def weights(self):
        """(champion, challenger) of the default route, as the file says."""
        found = dict(WEIGHTS.findall(self.rule()))
        return int(found["v45"]), int(found["v47"])

    # -- the canary
    def tell(self, *command, check=True):
        return self.sluice("canary", *command, check=check)

    def canary(self, name=NAME):
        (one,) = self.get(f"/v1/canaries?name={name}")
        return one

    def phase(self):
        return self.canary()["state"]

    def ended(self, seconds=90):
        """The canary when it is promoted or aborted."""
        def look():
            now = self.canary()
            return now if now["state"] in ("promoted", "aborted") else None
        try:
            return wait_for(look, "the canary's end", seconds, 0.1)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{json.dumps(self.canary(), indent=1)}\n{self.log_text()[-4000:]}") from None

    def wait_stage(self, stage, seconds=60):
        def look():
            now = self.canary()
            assert now["state"] not in ("aborted", "paused"), now
            return now["state"] == "stage" and now["stage"] >= stage and now
        return wait_for(look, f"stage {stage}", seconds, 0.05)

    def watch(self, *extra):
        return self.cleanup.owns(Watching(self, extra))


class Watching:
    """`sluice canary watch` in the background."""

    def __init__(self, mesh, extra):
        self.process = spawn([mesh.binaries / "sluice", "canary", "watch", NAME, "--run", mesh.run_dir, *extra],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def result(self, seconds=30):
        """(exit code, output)."""
        out, _ = self.process.communicate(timeout=seconds)
        return self.process.returncode, out

    def remove(self):
        end(self.process)


def slower(percent):
    """Behaviour of a version whose latencies, and so whose p99, are that much longer than the default's."""
    return {"low_ms": 40 * (1 + percent / 100), "high_ms": 120 * (1 + percent / 100)}


def pairs(stages=STAGES):
    """The weights that a canary of these stages may ever set."""
    return {(100, 0)} | {(100 - weight, weight) for weight in stages}


def keep_looking(mesh, seen, until):
    """Adds every pair of weights that the file shows to `seen`."""
    while not until():
        seen.add(mesh.weights())
        time.sleep(0.002)
