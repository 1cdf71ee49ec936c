#!/usr/bin/env bash
# Alerts and dashboard: the rules are well formed and fire when they should, by Debian's promtool; both copies of them are
# one; every alert has its place in docs/operations.md; and every query of the dashboard is a query.
# shellcheck disable=SC2317 # run_cases calls the cases
set -euo pipefail

# shellcheck source=tests/deploy/cases.sh
. tests/deploy/cases.sh

prometheus=deploy/prometheus
rules=$prometheus/winnow.rules.yaml

rules_are_well_formed() {
  need promtool prometheus
  promtool check rules "$rules"
  promtool check config "$prometheus/prometheus.yaml"
}

alerts_fire_when_they_should() { promtool test rules "$prometheus/winnow.rules.test.yaml"; }

every_alert_is_tested() {
  local alert
  while read -r alert; do
    [[ $(grep -A 3 "alertname: $alert\$" "$prometheus/winnow.rules.test.yaml") == *exp_labels:* ]] ||
      fail "winnow.rules.test.yaml never sees $alert fire"
  done < <(sed -n 's/.*- alert: //p' "$rules")
}

operator_has_the_same_rules() {
  local rule=$prometheus/prometheus-rule.yaml
  diff -u <(sed '1,/^spec:/d' "$rule") <(sed 's/^./  &/' "$rules") ||
    fail "$rule lags behind; its first two lines say how it is made"
}

runbook_has_every_alert() {
  local anchor
  while read -r anchor; do
    grep -qix "### $anchor" docs/operations.md || fail "docs/operations.md has no section for $anchor"
  done < <(sed -n 's/.*runbook: docs\/operations.md#//p' "$rules")
  [[ $(grep -c 'alert: ' "$rules") == $(grep -c 'runbook: ' "$rules") ]] || fail "an alert names no section"
}

# Grafana's variables replaced, each query is the expression of a rule, which promtool reads.
dashboard_queries_parse() {
  python3 tests/deploy/metric_names.py dashboard_rules deploy/grafana/winnow.json >"$TEST_TMPDIR/dashboard.yaml"
  promtool check rules "$TEST_TMPDIR/dashboard.yaml"
}

dashboard_fits_grafana() { python3 tests/deploy/metric_names.py dashboard_layout deploy/grafana/winnow.json; }

run_cases rules_are_well_formed alerts_fire_when_they_should every_alert_is_tested operator_has_the_same_rules \
  runbook_has_every_alert dashboard_queries_parse dashboard_fits_grafana
