#!/usr/bin/env bash
# The real server takes every flag that Dockerfiles and manifests give it: each is in its --help, and where flags come in a
# file, it prints the configuration that it read from there.
# shellcheck disable=SC2317 # run_cases calls the cases
set -euo pipefail

# shellcheck source=tests/deploy/cases.sh
. tests/deploy/cases.sh
# shellcheck source=tests/deploy/image_root.sh
. tests/deploy/image_root.sh

server=server/winnow-server
flags_file=deploy/k8s/base/winnow.yaml

# Flags of the server that a text names, without dashes.
flags_in_args() { sed -n 's/^ *- --\([a-z_]*\)=.*/\1/p' "$@"; }
flags_in_file() { sed -n 's/^\([a-z_]*\):.*/\1/p' "$flags_file"; }

check_known() { # check_known WHERE, flags on standard input
  local flag help
  help=$("$server" --help)
  while read -r flag; do
    grep -qE "^ *--$flag\b" <<<"$help" || fail "$1 has --$flag, which winnow-server does not know"
  done
}

dockerfiles_flags_are_known() {
  local dockerfile
  for dockerfile in deploy/Dockerfile deploy/Dockerfile.cuda; do
    { words_of "$dockerfile" ENTRYPOINT && words_of "$dockerfile" CMD; } | sed -n 's/^--\([a-z_]*\)=.*/\1/p' |
      check_known "$dockerfile"
  done
}

manifests_flags_are_known() {
  local file
  while read -r file; do
    flags_in_args "$file" | check_known "$file"
  done < <(grep -RlE '^ *- --config=|^ *- --model=' deploy/k8s)
}

flags_file_is_known() { flags_in_file | check_known "$flags_file"; }

# Values too, and that arguments go with it: what is printed is what would be served.
flags_file_is_read() {
  local printed flag value
  printed=$("$server" --config="$flags_file" --model=deploy/demo-model --max_sequences=64 --print_config)
  while IFS=': ' read -r flag value; do
    grep -qE "^\"?$flag\"?: *\"?$value\"?,?\$" <<<"$printed" || fail "$flag: $value has become: $(grep "$flag" <<<"$printed")"
  done < <(grep -E '^[a-z_]+:' "$flags_file")
}

run_cases dockerfiles_flags_are_known manifests_flags_are_known flags_file_is_known flags_file_is_read
