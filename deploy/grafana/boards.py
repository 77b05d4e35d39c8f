#!/usr/bin/python3
"""Writes the boards beside it: boards.py [DIRECTORY]. What they show stands here; the JSON is what Grafana imports.

A row is (title, [(width, height, panel), …]) of 24 columns; a panel's queries are (PromQL, legend). A board of one service
asks the metrics themselves, the overview the recorded series of deploy/prometheus/recording.yaml.
"""
import json
import pathlib
import sys

sys.dont_write_bytecode = True

from schema import RATE, board, coloured, dashed, panel, units, variable  # noqa: E402

SOURCE = '{reporter="source", destination_service=~"$service", destination_service_namespace=~"$namespace"}'
TRIES = SOURCE.replace("source", "destination", 1)
SERVICE = '{service=~"$service"}'
AGENT = '{instance=~"$instance"}'
ARM = '{experiment=~"$experiment", namespace=~"$namespace"}'
FAILED = 'response_code=~"5..|0", response_flags!="DC"'
ITS_CANARIES = 'and on (canary, namespace) sluice_canary_state{service=~"$service", namespace=~"$namespace"}'
REQUESTS, DURATION = "istio_requests_total", "istio_request_duration_milliseconds"
VERSION = "{{destination_version}}"
Q = '"'
STATES = {"aborted": "red", "paused": "orange", "promoted": "green"}

NAMESPACE = variable("namespace", "label_values(istio_requests_total, destination_service_namespace)", "Namespace")
ONE_SERVICE = variable("service", 'label_values(istio_requests_total{destination_service_namespace=~"$namespace"}, '
                       "destination_service)", "Service", many=False)
EXPERIMENT = variable("experiment", 'label_values(sluice_experiment_requests_total{namespace=~"$namespace"}, experiment)',
                      "Experiment", many=False)
INSTANCE = variable("instance", "label_values(sluice_generation, instance)", "Agent")


def only(selector, extra):
    return selector[:-1] + ", " + extra + "}"


def rate(labels, metric, selector):
    return f"sum by ({labels}) (rate({metric}{selector}[{RATE}]))"


def total(metric, selector):
    return f"sum(rate({metric}{selector}[{RATE}]))"


def quantile(q, labels, metric, selector):
    return f"histogram_quantile({q}, {rate(', '.join(filter(None, (labels, 'le'))), metric + '_bucket', selector)})"


def share(labels, metric, selector, of):
    """The part that `selector` has of `of`; 0 where it has none."""
    whole = rate(labels, metric, of)
    return f"({rate(labels, metric, selector)} or {whole} * 0) / ({whole} > 0)"


def quantiles(labels, metric, selector, unit, legend):
    return [(8, 8, panel(f"p{name}", "lines", unit, [(quantile(q, labels, metric, selector), legend)]))
            for name, q in (("50", 0.5), ("90", 0.9), ("99", 0.99))]


def service():
    versions = "destination_version"
    now = [
        (4, 4, panel("Requests", "number", "reqps", [(total(REQUESTS, SOURCE), "requests")])),
        (4, 4, panel("Failed", "number", "percentunit", [(
            f"({total(REQUESTS, only(SOURCE, FAILED))} or vector(0)) / ({total(REQUESTS, SOURCE)} > 0)", "failed")],
            "5xx, or nobody answered; what the client gave up is not.", (0.01, 0.05))),
        (4, 4, panel("p99", "number", "ms", [(quantile(0.99, "", DURATION, SOURCE), "p99")])),
        (4, 4, panel("Tries a request", "number", "none", [(
            f"{total(REQUESTS, TRIES)} / ({total(REQUESTS, only(SOURCE, 'destination_workload!=' + Q + 'unknown' + Q))} > 0)", "tries")],
            "Retries make it more than 1. Of the proxy lane; the direct lane tries nothing again.", (1.1, 1.5))),
        (4, 4, panel("Endpoints out", "number", "none", [(f"sum(sluice_endpoints_ejected{SERVICE})", "out")], "", (1, 2))),
        (4, 4, panel("Challenger's share", "number", "percent", [(f"max by (canary) (sluice_canary_weight {ITS_CANARIES})", "{{canary}}")],
                     "Of what champion and challenger have together, as its canary set it.")),
    ]
    traffic = [
        (12, 9, dashed(panel("Shares: set and observed", "lines", "percentunit", [
            (f"avg by (route, subset) (sluice_route_weight{{destination_service=~\"$service\"}})", "set {{route}} {{subset}}"),
            (f"{rate(versions, REQUESTS, SOURCE)} / ignoring (destination_version) group_left () ({total(REQUESTS, SOURCE)} > 0)",
             "observed " + VERSION)],
            "Dashed: the weights of each rule, by subset. Solid: of all requests, by the servers' version label."), "^set .*")),
        (12, 9, panel("Requests a second", "stacked", "reqps", [(rate(versions, REQUESTS, SOURCE), VERSION)])),
        (12, 8, panel("Failed", "lines", "percentunit", [(share(versions, REQUESTS, only(SOURCE, FAILED), SOURCE), VERSION)])),
        (12, 8, panel("Answers that are not 200", "stacked", "reqps", [(
            rate(f"{versions}, response_code, response_flags", REQUESTS, only(SOURCE, 'response_code!="200"')),
            VERSION + " {{response_code}} {{response_flags}}")], "Flags are Envoy's: UH no healthy endpoint, UF connect failed, "
            "UT timed out, URX tries used up, UO limit, DC client left.")),
        *quantiles(versions, DURATION, SOURCE, "ms", VERSION),
        (12, 8, panel("First byte, p99", "lines", "s", [(quantile(0.99, versions, "sluice_request_first_byte_seconds",
                                                               '{destination_service=~"$service"}'), VERSION)])),
        (12, 8, panel("Who asks", "stacked", "reqps", [(rate("source_workload", REQUESTS, SOURCE), "{{source_workload}}")])),
    ]
    health = [
        (8, 8, panel("Endpoints out", "lines", "none", [(f"sum by (subset) (sluice_endpoints_ejected{SERVICE})", "{{subset}}")])),
        (8, 8, panel("Ejections", "lines", "none", [
            (f"sum by (subset) (increase(sluice_ejections_total{SERVICE}[{RATE}]))", "{{subset}}"),
            (f"sum by (subset) (increase(sluice_ejections_overflow_total{SERVICE}[{RATE}]))", "{{subset}} not allowed")],
            "Not allowed: maxEjectionPercent was reached.")),
        (8, 8, panel("Retries", "lines", "reqps", [(
            f"clamp_min({rate(versions, REQUESTS, TRIES)} - {rate(versions, REQUESTS, SOURCE)}, 0)", VERSION)],
            "Tries beyond the requests that ended with that version. Of the proxy lane.")),
        (8, 8, panel("Connects that failed", "lines", "cps", [
            (rate("subset, reason", "sluice_outcomes_total", only(SERVICE, 'reason!="established"')), "{{subset}} {{reason}}")],
            "Of the direct lane.")),
        (8, 8, panel("Open connections", "stacked", "none", [(f"sum by (subset) (sluice_active_connections{SERVICE})", "{{subset}}")])),
        (8, 8, panel("Connections not watched", "lines", "cps", [
            (rate("version, reason", "sluice_unobserved_connections_total", SERVICE), "{{version}} {{reason}}")],
            "Of the direct lane: their requests are in no metric.")),
    ]
    mirror = [
        (8, 8, panel("Copies a second", "stacked", "reqps", [
            (rate("version, response_code", "sluice_mirror_requests_total", SERVICE), "{{version}} {{response_code}}")])),
        (8, 8, panel("Copies: p50 and p99", "lines", "s", [
            (quantile(0.5, "version", "sluice_mirror_duration_seconds", SERVICE), "{{version}} p50"),
            (quantile(0.99, "version", "sluice_mirror_duration_seconds", SERVICE), "{{version}} p99")])),
        (8, 8, panel("Copies not sent", "lines", "reqps", [
            (rate("subset, reason", "sluice_mirror_skipped_total", SERVICE), "{{subset}} {{reason}}")])),
    ]
    canary = [
        (12, 7, coloured(panel("State", "states", "none", [(
            'max by (canary, state) (sluice_canary_state{service=~"$service", namespace=~"$namespace"})', "{{canary}} {{state}}")]), **STATES)),
        (12, 7, coloured(panel("Gates", "states", "none", [(
            f"max by (canary, gate, verdict) (sluice_canary_gate {ITS_CANARIES})", "{{canary}} {{gate}}: {{verdict}}")],
            "What each gate said at the last look."), fail="red", no_data="orange", **{"pass": "green"})),
        (8, 7, panel("Stage", "lines", "none", [(f"max by (canary) (sluice_canary_stage {ITS_CANARIES})", "{{canary}}")], "0: none.")),
        (8, 7, panel("Challenger's share", "lines", "percent", [(f"max by (canary) (sluice_canary_weight {ITS_CANARIES})", "{{canary}}")])),
        (8, 7, panel("Steps", "lines", "none", [(
            f"sum by (canary, to) (increase(sluice_canary_transitions_total[{RATE}]) {ITS_CANARIES})", "{{canary}} to {{to}}")])),
    ]
    return board("sluice-service", "Sluice / Service", "One service: its versions' shares, requests, latencies, health, mirror, canary.",
                 [NAMESPACE, ONE_SERVICE],
                 [("Now", now), ("Traffic by version", traffic), ("Health", health), ("Mirror", mirror), ("Canary", canary)])


def overview():
    where = '{destination_service_namespace=~"$namespace"}'
    name = "{{destination_service}}"
    now = [
        (4, 4, panel("Agents", "number", "none", [('sum(up{job="sluiced"})', "up")])),
        (4, 4, panel("Services asked", "number", "none", [(f"count(service:istio_requests:rate5m{where} > 0)", "services")])),
        (4, 4, panel("Requests", "number", "reqps", [(f"sum(service:istio_requests:rate5m{where})", "requests")])),
        (4, 4, panel("Failed", "number", "percentunit", [(
            f"sum(service_version:istio_request_errors:rate5m{where}) / (sum(service:istio_requests:rate5m{where}) > 0)", "failed")],
            "", (0.01, 0.05))),
        (4, 4, panel("Endpoints out", "number", "none", [("sum(sluice_endpoints_ejected)", "out")], "", (1, 5))),
        (4, 4, panel("Canaries under way", "number", "none", [(
            'sum(max by (canary, namespace) (sluice_canary_state{namespace=~"$namespace", state=~"mirror|stage|paused"}))', "canaries")])),
    ]
    services = [
        (24, 10, units(panel("Services", "table", "none", [
            (f"sum by (destination_service) (service:istio_requests:rate5m{where})", "Requests"),
            (f"max by (destination_service) (service:istio_request_errors:ratio_rate5m{where})", "Failed"),
            (f"max by (destination_service) (service:istio_request_duration_milliseconds:p99_rate5m{where})", "p99"),
            (f"max by (destination_service) (service:istio_request_retries:ratio_rate5m{where})", "Retries"),
            ('sum by (destination_service) (label_replace(sluice_endpoints_ejected, "destination_service", "$1", "service", "(.*)"))',
             "Out")]), Requests="reqps", Failed="percentunit", p99="ms", Retries="percentunit")),
        (12, 9, panel("Requests a second", "stacked", "reqps", [(f"service:istio_requests:rate5m{where}", name)])),
        (12, 9, panel("Failed", "lines", "percentunit", [(f"service:istio_request_errors:ratio_rate5m{where}", name)])),
        (12, 9, panel("p99", "lines", "ms", [(f"service:istio_request_duration_milliseconds:p99_rate5m{where}", name)])),
        (12, 9, panel("Shares of versions", "lines", "percentunit", [
            (f"service_version:istio_requests:share_rate5m{where}", name + " " + VERSION)])),
    ]
    rollout = [
        (12, 8, coloured(panel("Canaries", "states", "none", [(
            'max by (namespace, canary, state) (sluice_canary_state{namespace=~"$namespace"})', "{{namespace}}/{{canary}} {{state}}")]),
            **STATES)),
        (12, 8, panel("Alerts that fire", "table", "none", [(
            'sum by (alertname, severity, instance, destination_service, destination_version, service, subset, canary) '
            '(ALERTS{alertname=~"Sluice.*", alertstate="firing"})', "")])),
    ]
    return board("sluice-overview", "Sluice / Overview", "All services. Asks the recorded series of deploy/prometheus/recording.yaml.",
                 [NAMESPACE], [("Now", now), ("Services", services), ("Rollout", rollout)])


def experiments():
    requests, duration = "sluice_experiment_requests_total", "sluice_experiment_duration_seconds"
    failed = only(ARM, 'response_code=~"5.."')
    arms = [
        (12, 9, panel("Requests a second", "stacked", "reqps", [(rate("arm", requests, ARM), "{{arm}}")])),
        (12, 9, panel("Shares", "lines", "percentunit", [
            (f"{rate('arm', requests, ARM)} / ignoring (arm) group_left () ({total(requests, ARM)} > 0)", "{{arm}}")],
            "Of requests. Users who ask more weigh more; the shares of users are the arms' weights.")),
        (24, 8, panel("Failed", "lines", "percentunit", [(share("arm", requests, failed, ARM), "{{arm}}")])),
        *quantiles("arm", duration, ARM, "s", "{{arm}}"),
    ]
    exposures = [
        (12, 8, panel("Lines of the exposure log a second", "lines", "none", [(rate("arm", "sluice_exposures_total", ARM), "{{arm}}")])),
        (12, 8, panel("Lines lost a second", "lines", "none", [("sum by (reason) (rate(sluice_exposures_dropped_total[" + RATE + "]))", "{{reason}}")],
                      "Of all experiments.")),
    ]
    return board("sluice-experiments", "Sluice / Experiment", "One sticky A/B test, arm by arm.", [NAMESPACE, EXPERIMENT],
                 [("Arms", arms), ("Exposures", exposures)])


def agent():
    def each(metric, selector=AGENT):
        return f"{metric}{selector}"

    def rates(labels, metric, selector=AGENT):
        return rate(labels, metric, selector)

    now = [
        (4, 4, panel("Heartbeat", "number", "s", [(f"max({each('sluice_heartbeat_age_seconds')})", "age")],
                     "Age of the last control tick.", (5, 10))),
        (4, 4, panel("Rules", "number", "bool_yes_no", [(f"min({each('sluice_config_last_load_success')})", "taken")], "The last load was taken.")),
        (4, 4, panel("Services", "number", "none", [(f"max({each('sluice_services')})", "service ports")])),
        (4, 4, panel("Endpoints", "number", "none", [(f"max({each('sluice_endpoints')})", "endpoints")])),
        (4, 4, panel("Fullest table", "number", "percentunit", [(f"max({each('sluice_table_used')} / {each('sluice_table_capacity')})", "used")],
                     "", (0.6, 0.8))),
        (4, 4, panel("Version", "number", "none", [(
            f"count by (tag) (istio_build{only(AGENT, 'component=' + Q + 'sluice' + Q)})", "{{tag}}")], "How many agents run it.")),
    ]
    rules = [
        (8, 8, panel("Generation", "lines", "none", [(each("sluice_generation"), "{{instance}}")])),
        (8, 8, panel("Changes", "lines", "none", [
            (f"sum by (result) (increase(sluice_applies_total{AGENT}[{RATE}]))", "apply {{result}}"),
            (f"sum(increase(sluice_config_load_errors_total{AGENT}[{RATE}]))", "loads refused")])),
        (8, 8, panel("Heartbeat", "lines", "s", [(each("sluice_heartbeat_age_seconds"), "{{instance}}")])),
    ]
    lanes = [
        (12, 8, panel("Lanes", "lines", "none", [
            (total("sluice_outcomes_total", only(AGENT, 'reason="established"')), "direct: connections a second"),
            (total("sluice_drops_total", only(AGENT, 'reason="captured"')), "captured for the proxy: connections a second"),
            (total(REQUESTS, only(AGENT, 'reporter="destination"')), "proxy: tries a second")])),
        (12, 8, panel("Open connections", "lines", "none", [(f"sum by (instance) ({each('sluice_active_connections')})", "{{instance}}")])),
        (12, 8, panel("Fallbacks and losses", "lines", "none", [(
            rates("reason", "sluice_drops_total", only(AGENT, 'reason!="captured"')), "{{reason}}")],
            "A second. All are 0 on a healthy node, but gated.")),
        (12, 8, panel("Connections not watched", "lines", "cps", [(rates("reason", "sluice_unobserved_connections_total"), "{{reason}}")])),
        (8, 8, panel("Requests turned away by the proxy", "lines", "reqps", [(rates("reason", "sluice_proxy_refused_total"), "{{reason}}")])),
        (8, 8, panel("Refused before the network", "lines", "cps", [(rates("reason", "sluice_refusals_total"), "{{reason}}")])),
        (8, 8, panel("Drained", "lines", "none", [
            (rates("mode", "sluice_drained_connections_total"), "{{mode}}"),
            (rates("reason", "sluice_drain_failures_total"), "failed: {{reason}}"),
            (f"sum({each('sluice_drain_waiting_connections')})", "waiting"),
            (f"sum({each('sluice_drain_unwatched_connections')})", "stay, not watched")])),
    ]
    tables = [
        (12, 9, panel("Tables", "bars", "percentunit", [(f"max by (table) ({each('sluice_table_used')} / {each('sluice_table_capacity')})", "{{table}}")],
                      "", (0.6, 0.8))),
        (12, 9, panel("Rows", "lines", "none", [(f"max by (table) ({each('sluice_table_used')})", "{{table}}")])),
        (8, 8, panel("Memory", "lines", "bytes", [(each("process_resident_memory_bytes", only(AGENT, 'job="sluiced"')), "{{instance}}")])),
        (8, 8, panel("Metric series", "lines", "none", [
            (each("sluice_metric_series"), "{{instance}}"),
            (f"sum(increase(sluice_metric_series_overflow_total{AGENT}[{RATE}]))", "without a place")])),
        (8, 8, panel("Said less than happened", "lines", "none", [
            (f"sum(rate(sluice_log_suppressed_total{AGENT}[{RATE}]))", "log lines a second"),
            (rates("reason", "sluice_access_log_dropped_total"), "access log: {{reason}}"),
            (rates("reason", "sluice_proxy_samples_lost_total"), "samples: {{reason}}"),
            (f"sum({each('sluice_clients_unresolved')})", "clients without cgroup")])),
        (24, 8, panel("Time in kernel programs", "stacked", "percentunit", [(rates("program", "sluice_program_run_seconds_total"), "{{program}}")],
                      "Of one CPU. Only with kernel.bpf_stats_enabled=1.")),
    ]
    return board("sluice-agent", "Sluice / Agent", "What the agents of the nodes do: rules, lanes, losses, tables.", [INSTANCE],
                 [("Now", now), ("Rules", rules), ("Lanes", lanes), ("Tables and memory", tables)])


def main():
    directory = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    for make in (overview, service, experiments, agent):
        (directory / f"{make.__name__}.json").write_text(json.dumps(make(), indent=1) + "\n")


if __name__ == "__main__":
    main()
