#!/usr/bin/env bash
# What Kubernetes gets to see: rendered by the kubectl of Debian 12 (1.20) and by a current one, held against each other,
# against itself and against published schemas. The tools that Debian's packages cannot bring beside others' are fetched
# here; where that is not possible their cases are skipped.
# shellcheck disable=SC2317 # run_cases calls the cases
set -euo pipefail

# shellcheck source=tests/deploy/cases.sh
. tests/deploy/cases.sh

work=$TEST_TMPDIR
kustomizations=(base overlays/cpu overlays/gpu overlays/keda monitoring examples/inference-pool examples/kserve)

minor_version() { # minor_version KUBECTL
  "$1" version --client 2>/dev/null | sed -n 's/.*v1\.\([0-9]*\)\..*/\1/p;q'
}

# Debian's kubectl: the installed one, or from the package without installing it, since other packages own /usr/bin/kubectl
# on some machines. Prints its path.
debian_kubectl() {
  local installed
  installed=$(command -v kubectl || true)
  if [[ -n $installed && $(minor_version "$installed") == 20 ]]; then
    printf '%s' "$installed"
    return
  fi
  (cd "$work" && apt-get -qq download kubernetes-client && dpkg-deb -x kubernetes-client_*.deb debian) >"$work/apt.log" 2>&1 ||
    return 1
  printf '%s' "$work/debian/usr/bin/kubectl"
}

# A kubectl with kustomize 5, which is what users have.
current_kubectl() {
  local installed
  installed=$(command -v kubectl) && (($(minor_version "$installed") >= 27)) && printf '%s' "$installed"
}

# Where kustomize reads: it follows links, and then finds the files outside of the folder that it may read.
copy_manifests() {
  mkdir -p "$work/deploy"
  cp -rL deploy/k8s deploy/grafana deploy/prometheus "$work/deploy/"
}

rendering() { # rendering TOOL KUSTOMIZATION: the file that has it
  printf '%s' "$work/$1/${2//\//_}.yaml"
}

render() { # render TOOL KUBECTL
  local folder
  mkdir -p "$work/$1"
  for folder in "${kustomizations[@]}"; do
    "$2" kustomize "$work/deploy/k8s/$folder" >"$(rendering "$1" "$folder")" 2>"$work/$1/log" ||
      fail "$2 cannot render $folder: $(cat "$work/$1/log")"
  done
}

debian_renders() {
  local kubectl
  kubectl=$(debian_kubectl) || skip "no kubectl 1.20, and Debian's package is not to be had: $(tail -n 1 "$work/apt.log")"
  [[ $(minor_version "$kubectl") == 20 ]] || fail "$kubectl is not 1.20"
  render debian "$kubectl"
}

current_renders() {
  local kubectl
  kubectl=$(current_kubectl) || skip "no kubectl of 1.27 or later on this machine"
  render current "$kubectl"
}

both_render_the_same() {
  local folder
  [[ -d $work/debian && -d $work/current ]] || skip "only one of the two renders here"
  for folder in "${kustomizations[@]}"; do
    manifests same "$(rendering debian "$folder")" "$(rendering current "$folder")"
  done
}

manifests() { # manifests CHECK FILE...
  "${python:-/usr/bin/python3}" tests/deploy/manifests.py "$@"
}

# Whichever tool has rendered: they do the same.
need_renderings() {
  local tool
  for tool in current debian; do
    files=("$work/$tool"/*_*.yaml "$work/$tool/base.yaml" "$work/$tool/monitoring.yaml")
    if [[ -f ${files[0]} ]]; then return; fi
  done
  skip "nothing could be rendered"
}

pods_are_confined() { need_renderings && manifests security "${files[@]}"; }
resources_fit_flags() { need_renderings && manifests resources "${files[@]}"; }
grace_covers_the_drain() { need_renderings && manifests shutdown "${files[@]}"; }
ports_agree() { need_renderings && manifests ports "${files[@]}"; }
selectors_select() { need_renderings && manifests selectors "${files[@]}"; }
scaling_fits() { need_renderings && manifests scaling "${files[@]}"; }

images_have_the_server_version() {
  local version
  need_renderings
  version=$(server/winnow-server --version)
  manifests tag "${version##* }" "${files[@]}"
}

# Kubernetes' own kinds, strictly; and those of the operators that have published types in Python.
schemas_hold() {
  need_renderings
  need_from_pypi PyYAML kubernetes-validate==1.37.0 cloudcoil-models-keda==2.16.1.0 \
    cloudcoil-models-prometheus-operator==0.80.1.0
  local file own=("$work/pods.yaml")
  manifests print_pods "${files[@]}" >"$work/pods.yaml"
  for file in "${files[@]}"; do
    [[ $file == *examples* ]] || own+=("$file")
  done
  # The oldest version whose probes know gRPC without a feature gate, and the newest that the package knows.
  "$work/venv/bin/kubernetes-validate" --strict --no-warn --quiet -k 1.27 "${own[@]}"
  "$work/venv/bin/kubernetes-validate" --strict --no-warn --quiet "${own[@]}"
  python=$work/venv/bin/python manifests custom "${files[@]}"
}

yaml_is_tidy() {
  need yamllint yamllint
  yamllint --strict -c tests/deploy/yamllint.yaml "$work/deploy"
}

copy_manifests
run_cases debian_renders current_renders both_render_the_same pods_are_confined resources_fit_flags grace_covers_the_drain \
  ports_agree selectors_select scaling_fits images_have_the_server_version schemas_hold yaml_is_tidy
