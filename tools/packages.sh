# shellcheck shell=bash
# Debian packages: which a verb needs, which are missing, and their installation. Sourced by ./winnow, whose say, die,
# $on_terminal, $state_dir and $exit_packages it uses.

# Lines "package|what for". The C++ libraries are those of third_party/.
packages_of() { # packages_of demo|serve|ask|load|eval|evidence|test|bundle
  cat <<'EOF'
bazel-bootstrap|the build tool, Bazel 4.2
g++|the C++ compiler
libabsl-dev|C++ base library
libcli11-dev|command lines
libgrpc++-dev|gRPC
libprotobuf-dev|wire format
nlohmann-json3-dev|JSON
protobuf-compiler|code from .proto files
protobuf-compiler-grpc|code from .proto files, services
EOF
  [[ $1 == ask || $1 == load || $1 == eval ]] || cat <<'EOF'
libdnnl-dev|matrix products
libhwy-dev|vector code
libicu-dev|tokenizer: Unicode normalization
libpcre2-dev|tokenizer: regular expressions
libspdlog-dev|logging
libssl-dev|certificates and hashes, for TLS and tokens
libyaml-dev|flags from files
prometheus-cpp-dev|metrics
EOF
  [[ $1 != bundle ]] || cat <<'EOF'
icu-devtools|the bundle: ICU's data made small
EOF
  [[ $1 != test && $1 != bundle ]] || cat <<'EOF'
libbenchmark-dev|benchmarks
libfuzzer-14-dev|fuzzing
libgmock-dev|tests
libgtest-dev|tests
EOF
  [[ $1 != test ]] || cat <<'EOF'
bubblewrap|tests: namespaces in the place of containers
prometheus|tests: prometheus and promtool, for metrics and alerts
python3-venv|tests: schemas of Kubernetes' objects, from PyPI
python3-yaml|tests: what is in a manifest
yamllint|tests: YAML files
EOF
}

# The lines of standard input whose package is not installed.
missing_packages() {
  local package why
  while IFS='|' read -r package why; do
    # shellcheck disable=SC2016 # the format is dpkg-query's
    case $(dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null || true) in
      ii* | hi*) ;;
      *) printf '%s|%s\n' "$package" "$why" ;;
    esac
  done
}

as_root() {
  if ((EUID == 0)); then
    "$@"
  elif [[ -n $on_terminal ]]; then
    sudo "$@" # asks for the password on the terminal
  else
    sudo -n "$@"
  fi
}

may_become_root() {
  ((EUID == 0)) || { command -v sudo >/dev/null && { [[ -n $on_terminal ]] || sudo -n true 2>/dev/null; }; }
}

# Makes one line of progress of apt's status lines, on a terminal; anything else it reads goes to the log.
show_apt_progress() {
  local line what
  while IFS= read -r line; do
    if [[ $line =~ ^(dl|pm)status:[^:]*:([0-9]+)[^:]*:(.*)$ ]]; then
      what=${BASH_REMATCH[3]}
      if [[ ${BASH_REMATCH[1]} == dl ]]; then what="Downloading: $what"; fi
      if [[ -n $on_terminal ]]; then printf '\r    %3d%%  %-70.70s' "${BASH_REMATCH[2]}" "$what" >&2; fi
    else
      printf '%s\n' "$line" >>"$state_dir/apt.log"
    fi
  done
  if [[ -n $on_terminal ]]; then printf '\r%82s\r' '' >&2; fi
}

# Output goes to the log. The status lines take the way of standard error, which sudo passes on; they get a descriptor of
# their own there, because apt makes it non-blocking and packages' scripts fail when their output then blocks.
apt() { # apt update | apt install PACKAGE...
  # shellcheck disable=SC2016 # the inner shell expands it
  as_root env DEBIAN_FRONTEND=noninteractive LC_ALL=C sh -c 'exec apt-get "$@" 3>&2 2>&1' apt-get -y -q \
    -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 -o APT::Status-Fd=3 --no-install-recommends "$@" \
    </dev/null 2>&1 >>"$state_dir/apt.log" | show_apt_progress
}

apt_update() {
  say "Updating apt's lists of packages"
  apt update
}

# Is there a package that apt's lists do not offer? Fresh containers ship without lists.
lists_incomplete() { # lists_incomplete PACKAGE...
  (($(LC_ALL=C apt-cache policy "$@" 2>/dev/null | grep -c '^  Candidate: [^(]') < $#))
}

apt_failed() { # apt_failed PACKAGE...
  grep -E '^(Err:|E:|W:|dpkg: error)' "$state_dir/apt.log" | tail -n 15 >&2 || tail -n 15 "$state_dir/apt.log" >&2
  die "$exit_packages" "apt-get could not install the packages (all it said: .winnow/apt.log). By hand:
  apt-get update && apt-get install --no-install-recommends $*"
}

install_packages() { # install_packages PACKAGE...
  mkdir -p "$state_dir"
  : >"$state_dir/apt.log"
  local updated=''
  if lists_incomplete "$@"; then
    apt_update || apt_failed "$@"
    updated=1
  fi
  say "Installing $# packages and what they need"
  apt install "$@" && return
  # Old lists name files that the mirror has since replaced.
  [[ -z $updated ]] && apt_update && apt install "$@" && return
  apt_failed "$@"
}

# Installs what a verb needs and this machine lacks; says what and why.
require_packages() { # require_packages VERB
  local missing names
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    die "$exit_packages" "this is not a Debian system (no dpkg-query or apt-get); Winnow builds on Debian 12 with:
$(packages_of "$1" | sed 's/^\([^|]*\)|\(.*\)$/  \1  (\2)/')"
  fi
  missing=$(packages_of "$1" | missing_packages)
  [[ -n $missing ]] || return 0
  mapfile -t names < <(cut -d'|' -f1 <<<"$missing")
  say "'$1' needs Debian packages that are not installed:"
  while IFS='|' read -r name why; do printf '      %-24s %s\n' "$name" "$why"; done <<<"$missing" >&2
  may_become_root || die "$exit_packages" "installing packages takes root, and sudo does not give it here. As root:
  apt-get update && apt-get install --no-install-recommends ${names[*]}"
  install_packages "${names[@]}"
}
