"""Checks the dashboard's structure and that rules and dashboard use only metrics and labels of docs/metrics.md.

usage: check.py QUERIES_FILE   (gets the dashboard's queries as recording rules, for promtool to parse)
"""
import json
import pathlib
import re
import sys

MONITORING = pathlib.Path("examples/monitoring")
DASHBOARD = MONITORING / "grafana/deja-dashboard.json"
ROWS = ["Overview", "Latency", "Redelivery", "Outbox", "Lanes & dependencies", "Process"]
VARIABLES = ["datasource", "group", "topic"]
SCRAPE_LABELS = {"job", "instance"}
METRIC = r"\b(?:deja|process)_[a-z_]+"
problems = []


def check(good, text):
    if not good:
        problems.append(text)


def documented_metrics():
    """Name -> labels. A histogram's series are added under their own names."""
    metrics = {}
    for line in pathlib.Path("docs/metrics.md").read_text().splitlines():
        row = re.match(r"\| `(\w+)` \| (\w+)[^|]*\| ([^|]+) \|", line)
        if not row:
            continue
        name, kind, labels = row[1], row[2], set(row[3].split(", "))
        if kind == "histogram":
            metrics[name + "_bucket"] = labels | {"le"}
            metrics[name + "_sum"] = metrics[name + "_count"] = labels
        else:
            metrics[name] = labels
    return metrics


def check_names(where, text, metrics, recorded):
    for name in set(re.findall(METRIC, text)):
        # Prose may name a histogram as a whole; a query has to name one of its series.
        mentioned = name + "_bucket" in metrics and not re.search(rf"\b{name}\s*[\[{{)]", text)
        check(name in metrics or mentioned, f"{where}: {name} is not in docs/metrics.md")
    for name in set(re.findall(r"\bdeja:\w+:\w+", text)):
        check(name in recorded, f"{where}: {name} is not recorded")
    for name, selector in re.findall(rf"({METRIC})\{{([^}}]*)\}}", text):
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", selector):
            check(label in metrics.get(name, {label}) | SCRAPE_LABELS, f"{where}: {name} has no label {label}")


def check_layout(panels):
    ids = [panel["id"] for panel in panels]
    check(len(ids) == len(set(ids)), "two panels share an id")
    taken = {}
    for panel in panels:
        place = panel["gridPos"]
        check(place["x"] + place["w"] <= 24, f"{panel['title']}: wider than the grid")
        for cell in ((x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])):
            check(cell not in taken, f"{panel['title']} lies over {taken.get(cell)}")
            taken[cell] = panel["title"]


def check_dashboard(dashboard):
    check(dashboard["title"] and dashboard["uid"] and dashboard["schemaVersion"] >= 36, "title, uid or schemaVersion is wrong")
    check(dashboard.get("id") is None, "the dashboard carries the id of one Grafana")
    check([variable["name"] for variable in dashboard["templating"]["list"]] == VARIABLES, f"variables are not {VARIABLES}")
    check([panel["title"] for panel in dashboard["panels"] if panel["type"] == "row"] == ROWS, f"rows are not {ROWS}")
    check_layout(dashboard["panels"])
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            continue
        check(panel["type"] in ("timeseries", "stat"), f"{panel['title']}: unexpected type {panel['type']}")
        check(panel.get("targets"), f"{panel['title']}: no query")
        check(len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]), f"{panel['title']}: two queries share a refId")
        for source in [panel["datasource"]] + [target["datasource"] for target in panel["targets"]]:
            check(source == {"type": "prometheus", "uid": "${datasource}"}, f"{panel['title']}: its data source is not the variable")


def queries_of(dashboard):
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for annotation in dashboard["annotations"]["list"]:
        if "expr" in annotation:
            yield annotation["name"], annotation["expr"]


def main(queries_file):
    metrics = documented_metrics()
    check(len(metrics) > 30, "docs/metrics.md has no table of metrics")
    rules = {path.name: path.read_text() for path in (MONITORING / "deja.rules.yml", MONITORING / "alerts.yml", MONITORING / "rules_test.yml")}
    recorded = set(re.findall(r"record: (\S+)", rules["deja.rules.yml"]))
    for name, text in rules.items():
        code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
        check_names(name, code, metrics, recorded)

    dashboard = json.loads(DASHBOARD.read_text())
    check_dashboard(dashboard)
    groups = ["groups:", "- name: dashboard", "  rules:"]
    for number, (title, query) in enumerate(queries_of(dashboard)):
        check_names(f"dashboard, {title}", query, metrics, recorded)
        for used in re.findall(r"\$(\w+)", query):
            check(used in VARIABLES + ["__rate_interval"], f"dashboard, {title}: no variable ${used}")
        plain = query.replace("$__rate_interval", "5m").replace("$group", ".*").replace("$topic", ".*")
        groups += [f"  - record: query{number}", f"    expr: {json.dumps(plain)}"]
    for variable in dashboard["templating"]["list"]:
        check_names(f"variable {variable['name']}", str(variable.get("definition", "")), metrics, recorded)
    pathlib.Path(queries_file).write_text("\n".join(groups) + "\n")

    for problem in problems:
        print(f"check.py: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
