"""What the dashboard and the manifests ask Prometheus, for the tests beside this file.

    metric_names.py dashboard_rules DASHBOARD       the queries as a file of rules, for promtool
    metric_names.py dashboard_layout DASHBOARD      checks ids and places of panels
    metric_names.py unknown METRICS_MD FILE...      prints metrics in FILEs that METRICS_MD does not list
"""

import json
import re
import sys

# Series of a histogram, by what they add to its name.
SUFFIXES = ("_bucket", "_count", "_sum")
# A name that a rule records has colons, and is no metric of the server's.
NAME = re.compile(r"(?<![\w:])(?:winnow|process)_[a-z0-9_]+(?![\w:])")


def panels_of(dashboard):
    with open(dashboard, encoding="utf-8") as file:
        return json.load(file)["panels"]


def dashboard_rules(dashboard):
    rules = []
    for panel in panels_of(dashboard):
        for target in panel.get("targets", []):
            query = target["expr"].replace("$__rate_interval", "1m").replace("$job", "winnow")
            query = query.replace("$instance", ".*")
            rules.append({"record": f"panel:{panel['id']}:{target['refId']}", "expr": query})
    # JSON is YAML.
    print(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))


def dashboard_layout(dashboard):
    """Panels have ids of their own and titles, lie within 24 columns, and do not cover each other."""
    panels, covered = panels_of(dashboard), {}
    if len({p["id"] for p in panels}) != len(panels):
        sys.exit("two panels have one id")
    for panel in panels:
        if not panel["title"]:
            sys.exit(f"panel {panel['id']} has no title")
        place = panel["gridPos"]
        if place["x"] + place["w"] > 24:
            sys.exit(f"{panel['title']} is wider than the dashboard")
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                other = covered.setdefault((x, y), panel["title"])
                if other != panel["title"]:
                    sys.exit(f"{panel['title']} lies over {other}")


def unknown(metrics_md, *files):
    with open(metrics_md, encoding="utf-8") as file:
        known = set(NAME.findall(file.read()))
    for path in files:
        with open(path, encoding="utf-8") as file:
            for name in sorted(set(NAME.findall(file.read()))):
                stems = {name} | {name.removesuffix(s) for s in SUFFIXES}
                if not stems & known:
                    print(f"{path}: {name}")


if __name__ == "__main__":
    {"dashboard_rules": dashboard_rules, "dashboard_layout": dashboard_layout, "unknown": unknown}[sys.argv[1]](*sys.argv[2:])
