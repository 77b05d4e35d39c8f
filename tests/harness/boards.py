"""What deploy/ asks of Prometheus: every query of every board and rule, with its place."""
import json
import pathlib
import re

import yaml

DEPLOY = pathlib.Path(__file__).resolve().parents[2] / "deploy"
BOARDS = sorted((DEPLOY / "grafana").glob("*.json"))
RULES = [DEPLOY / "prometheus" / name for name in ("recording.yaml", "alerts.yaml")]
# What Grafana itself puts in; a test's own values go over them.
BUILT_IN = {"__rate_interval": "1m", "__interval": "15s", "__range": "1h"}


def panels(board):
    for panel in board["panels"]:
        yield panel
        yield from panel.get("panels", [])


def fill(query, values):
    """The query with its variables' values in place."""
    known = BUILT_IN | values
    return re.sub(r"\$(?:\{(\w+)\}|([A-Za-z_]\w*))", lambda m: known[m[1] or m[2]], query)


def board_queries(path):
    """(place, query with variables) of all panels, annotations and variables."""
    board = json.loads(path.read_text())
    for panel in panels(board):
        for target in panel.get("targets", []):
            yield f"{path.stem}: {panel['title']} {target['refId']}", target["expr"]
    for annotation in board["annotations"]["list"]:
        yield f"{path.stem}: annotation {annotation['name']}", annotation["expr"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            # label_values(SELECTOR, LABEL) is Grafana's own; what it asks is the selector.
            selector = re.fullmatch(r"label_values\((.*), \w+\)", variable["query"]["query"])[1]
            yield f"{path.stem}: variable {variable['name']}", selector


def rules(path):
    """Every rule of a file of Prometheus."""
    for group in yaml.safe_load(path.read_text())["groups"]:
        yield from group["rules"]


def rule_queries(path):
    for rule in rules(path):
        yield f"{path.stem}: {rule.get('record') or rule['alert']}", rule["expr"]


def everything(values):
    """(place, query) of all boards and rules."""
    found = [(place, fill(query, values)) for path in BOARDS for place, query in board_queries(path)]
    return found + [row for path in RULES for row in rule_queries(path)]


def names(query):
    """Metrics and recorded series that a query names."""
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', query)
    bare = re.sub(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", bare)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", lambda m: "{}" if m[0][0] == "{" else " ", bare)
    words = re.findall(r"[a-zA-Z_:][\w:]*(?!\w|\s*\()", bare)
    return {word for word in words if not re.fullmatch(r"and|or|unless|offset|bool|by|without|on|ignoring|group_left|group_right|\d*[smhd]", word)}


def selectors(query):
    """Metrics and recorded series that a query names, each with its matchers."""
    known = names(query)
    found = re.findall(r'([a-zA-Z_:][\w:]*)(\{(?:[^}"]|"(?:[^"\\]|\\.)*")*\})?', query)
    return sorted({name + matchers for name, matchers in found if name in known})
