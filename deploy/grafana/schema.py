"""Grafana's JSON model, as far as the boards need it: panels, variables, a board (schema version 41, Grafana 12; 10.4 and later read it)."""

RATE = "$__rate_interval"

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
KINDS = {"lines": ("timeseries", 0, "none"), "stacked": ("timeseries", 25, "normal"), "number": ("stat", 0, ""),
         "bars": ("bargauge", 0, ""), "states": ("state-timeline", 70, ""), "table": ("table", 0, "")}


def options(kind):
    legend = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}
    reduce = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    return {"timeseries": {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}},
            "stat": {"reduceOptions": reduce, "colorMode": "value", "graphMode": "area", "justifyMode": "auto",
                     "orientation": "auto", "textMode": "auto"},
            "bargauge": {"reduceOptions": reduce, "displayMode": "basic", "orientation": "horizontal", "showUnfilled": True,
                         "valueMode": "color", "minVizHeight": 10, "minVizWidth": 0},
            "state-timeline": {"legend": legend, "tooltip": {"mode": "single", "sort": "none"}, "mergeValues": True,
                               "showValue": "never", "alignValue": "left", "rowHeight": 0.9},
            "table": {"showHeader": True, "cellHeight": "sm", "footer": {"show": False, "reducer": ["sum"], "fields": ""}}}[kind]


def panel(title, kind, unit, queries, description="", limits=()):
    """`limits`: values from which it is yellow and red."""
    shape, fill, stacking = KINDS[kind]
    steps = [{"color": "green", "value": None}] + [{"color": c, "value": v} for c, v in zip(("yellow", "red"), limits)]
    custom = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": fill, "showPoints": "never", "spanNulls": False,
              "lineInterpolation": "linear", "stacking": {"group": "A", "mode": stacking}} if shape == "timeseries" else {}
    if kind == "states":
        custom = {"fillOpacity": fill, "lineWidth": 0}
        steps = [{"color": "transparent", "value": None}, {"color": "blue", "value": 1}]
    made = {"title": title, "type": shape, "datasource": DATASOURCE, "options": options(shape),
            "fieldConfig": {"defaults": {"unit": unit, "custom": custom, "color": {"mode": "thresholds" if limits or kind == "states" else
                                                                                  "palette-classic"},
                                         "thresholds": {"mode": "absolute", "steps": steps}}, "overrides": []},
            "targets": []}
    if description:
        made["description"] = description
    if unit == "percentunit":
        made["fieldConfig"]["defaults"] |= {"min": 0, "max": 1} if kind in ("bars", "stacked") else {"min": 0}
    for number, (expression, legend) in enumerate(queries):
        target = {"refId": chr(ord("A") + number), "datasource": DATASOURCE, "expr": expression, "editorMode": "code",
                  "legendFormat": legend, "range": kind not in ("number", "bars", "table"), "instant": kind in ("number", "bars", "table")}
        made["targets"].append(target | ({"format": "table"} if kind == "table" else {}))
    if kind == "table" and len(queries) > 1:
        # One row a service: the queries side by side, named after their legends.
        names = {f"Value #{target['refId']}": target["legendFormat"] for target in made["targets"]}
        made["transformations"] = [{"id": "merge", "options": {}},
                                   {"id": "organize", "options": {"excludeByName": {"Time": True}, "renameByName": names}}]
    return made


def dashed(made, pattern):
    """Series of that legend are what was set, not what was seen."""
    made["fieldConfig"]["overrides"].append(
        {"matcher": {"id": "byRegexp", "options": pattern},
         "properties": [{"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [10, 10]}},
                        {"id": "custom.lineInterpolation", "value": "stepAfter"}, {"id": "custom.fillOpacity", "value": 0}]})
    return made


def coloured(made, **colour_of):
    """Rows of a state timeline whose name ends with that word."""
    for word, colour in colour_of.items():
        steps = [{"color": "transparent", "value": None}, {"color": colour, "value": 1}]
        made["fieldConfig"]["overrides"].append({"matcher": {"id": "byRegexp", "options": f".*{word.replace('_', ' ')}$"},
                                                 "properties": [{"id": "thresholds", "value": {"mode": "absolute", "steps": steps}}]})
    return made


def units(made, **unit_of):
    """Columns of a table with units of their own."""
    for column, unit in unit_of.items():
        made["fieldConfig"]["overrides"].append({"matcher": {"id": "byName", "options": column.replace("_", " ")},
                                                 "properties": [{"id": "unit", "value": unit}]})
    return made


def variable(name, query, label, many=True):
    return {"name": name, "label": label, "type": "query", "datasource": DATASOURCE, "definition": query,
            "query": {"query": query, "refId": name, "qryType": 1}, "refresh": 2, "sort": 1, "multi": many, "includeAll": many,
            **({"allValue": ".*"} if many else {}), "current": {}, "options": [], "regex": "", "hide": 0, "skipUrlSync": False}


def board(uid, title, description, variables, rows):
    """`rows`: (title, [(width, height, panel), …]); a collapsed row is (title, panels, True)."""
    source = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "current": {}, "hide": 0,
              "includeAll": False, "multi": False, "options": [], "refresh": 1, "regex": "", "skipUrlSync": False}
    changes = {"name": "Rules changed", "datasource": DATASOURCE, "enable": True, "hide": False, "iconColor": "purple",
               "expr": f"sum by (instance) (changes(sluice_generation[{RATE}])) > 0", "titleFormat": "rules changed",
               "textFormat": "{{instance}}", "step": "10s"}
    panels, top, number = [], 0, 1
    for name, content in rows:
        panels.append({"type": "row", "title": name, "collapsed": False, "panels": [], "id": number,
                       "gridPos": {"x": 0, "y": top, "w": 24, "h": 1}})
        number, top, left, tallest = number + 1, top + 1, 0, 0
        for width, height, made in content:
            if left + width > 24:
                top, left, tallest = top + tallest, 0, 0
            panels.append(made | {"id": number, "gridPos": {"x": left, "y": top, "w": width, "h": height}})
            number, left, tallest = number + 1, left + width, max(tallest, height)
        top += tallest
    return {"uid": uid, "title": title, "description": description, "tags": ["sluice"], "schemaVersion": 41, "version": 1,
            "editable": True, "graphTooltip": 1, "refresh": "10s", "timezone": "browser", "time": {"from": "now-1h", "to": "now"},
            "timepicker": {}, "fiscalYearStartMonth": 0, "weekStart": "", "liveNow": False, "id": None,
            "links": [{"title": "Sluice", "type": "dashboards", "tags": ["sluice"], "asDropdown": True, "includeVars": True,
                       "keepTime": True, "targetBlank": False, "icon": "external link", "tooltip": "", "url": ""}],
            "annotations": {"list": [changes]}, "templating": {"list": [source, *variables]}, "panels": panels}
