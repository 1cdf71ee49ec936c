# shellcheck shell=bash
# Building with Bazel and finding what it built. Sourced by ./winnow after packages.sh; uses $root, $state_dir and
# $on_terminal.

# Runs Bazel in the project. Its standard input is empty: that of this script belongs to the program it runs.
bazel_in_root() { # bazel_in_root COMMAND FLAG...
  local command=$1 ui=()
  shift
  [[ -n $on_terminal ]] || ui=(--curses=no --color=no --show_progress_rate_limit=30 --noshow_loading_progress)
  (cd "$root" && exec bazel "$command" "${ui[@]}" "$@") </dev/null
}

# One line that changes with any input of a build: name, inode, size and times of every source file, and of dpkg's record
# of installed packages. The time of the last status change cannot be set back, so no edit goes unseen.
source_fingerprint() {
  (cd "$root" && find WORKSPACE BUILD .bazelrc winnow bazel third_party proto kernels model scheduler server client \
    /var/lib/dpkg/status -printf '%p %i %s %T@ %C@\n' 2>/dev/null || true) | LC_ALL=C sort | cksum
}

binaries_fingerprint() { # binaries_fingerprint BIN_DIR LABEL...
  local bin_dir=$1 label
  shift
  for label; do stat -c '%n %i %s %Y %Z' "$bin_dir/$(path_of "$label")" 2>/dev/null || return 1; done | cksum
}

path_of() { # path_of //folder:name
  local path=${1#//}
  printf '%s' "${path/:/\/}"
}

binary_of() { # binary_of //folder:name, after build_for
  printf '%s/%s' "$bin_dir" "$(path_of "$1")"
}

# System headers are no inputs of Bazel's actions: when a package changes its version, what was built with it must go.
forget_outputs_of_old_packages() {
  local known=$state_dir/package_versions now gone
  # shellcheck disable=SC2016 # the format is dpkg-query's
  now=$(packages_of test | cut -d'|' -f1 | xargs dpkg-query -W -f='${Package} ${Version}\n' 2>/dev/null || true)
  if [[ -f $known ]] && gone=$(grep -vxFf <(printf '%s\n' "$now") "$known"); then
    say "Building anew, since packages have changed that the last build used: ${gone//$'\n'/, }"
    bazel_in_root clean --ui_event_filters=-info
  fi
  mkdir -p "$state_dir"
  printf '%s\n' "$now" >"$known"
}

# Installs what a verb needs and builds its labels, optimized; sets $bin_dir. When neither sources nor binaries have
# changed since the last time it does not even start Bazel, whose server takes seconds to come up.
build_for() { # build_for VERB LABEL...
  local verb=$1 stamp=$state_dir/$1.stamp sources built_from='' built=''
  shift
  bin_dir=''
  if [[ -f $stamp ]]; then
    { read -r built_from && read -r built && read -r bin_dir; } <"$stamp" || true
    if [[ $(source_fingerprint) == "$built_from" && $(binaries_fingerprint "$bin_dir" "$@") == "$built" ]]; then return; fi
  fi
  require_packages "$verb"
  forget_outputs_of_old_packages
  sources=$(source_fingerprint)
  say "Building $* (minutes the first time)"
  bazel_in_root build -c opt --ui_event_filters=-info --show_result=0 "$@" ||
    die "$exit_build" "the build failed; Bazel's messages are above"
  bin_dir=$(bazel_in_root info -c opt bazel-bin 2>/dev/null)
  printf '%s\n' "$sources" "$(binaries_fingerprint "$bin_dir" "$@")" "$bin_dir" >"$stamp"
}
