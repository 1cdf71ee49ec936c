#!/usr/bin/env bash
# Dashboard, alerts, autoscaling and the inference gateway ask for metrics that the server has: those of docs/metrics.md.
# shellcheck disable=SC2317 # run_cases calls the cases
set -euo pipefail

# shellcheck source=tests/deploy/cases.sh
. tests/deploy/cases.sh

every_metric_is_documented() {
  local unknown
  unknown=$(python3 tests/deploy/metric_names.py unknown docs/metrics.md deploy/grafana/winnow.json \
    deploy/prometheus/winnow.rules.yaml deploy/k8s/overlays/keda/scaled-object.yaml \
    deploy/k8s/examples/inference-pool/endpoint-picker.yaml)
  [[ -z $unknown ]] || fail "not in docs/metrics.md: $unknown"
}

run_cases every_metric_is_documented
