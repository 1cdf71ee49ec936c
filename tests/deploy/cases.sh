# shellcheck shell=bash
# Test cases in shell: each is a function, run in a subshell that ends at the first command that fails. Sourced by the
# tests of this folder, which end with `run_cases FUNCTION...`. Results go to Bazel's test.xml, a case each.

readonly skip_code=77

# Ends a case that cannot be run here; the reason appears in the output.
skip() { # skip REASON
  printf 'SKIPPED: %s\n' "$*"
  exit $skip_code
}

fail() { # fail MESSAGE
  printf '%s\n' "$*" >&2
  exit 1
}

# Ends a case where a program is missing that tools/packages.sh installs.
need() { # need PROGRAM PACKAGE
  command -v "$1" >/dev/null || fail "there is no $1; Debian's package $2 has it"
}

# Ends a case that needs packages from PyPI where they are not to be had; else they are in $TEST_TMPDIR/venv/bin.
need_from_pypi() { # need_from_pypi PACKAGE==VERSION...
  local venv=$TEST_TMPDIR/venv log=$TEST_TMPDIR/pip.log
  { /usr/bin/python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --retries 1 --timeout 20 "$@"; } >"$log" 2>&1 ||
    skip "not to be had from PyPI: $*: $(tail -n 1 "$log")"
}

run_cases() { # run_cases FUNCTION...
  local name rc failed=0 xml=''
  for name; do
    printf '[ RUN  ] %s\n' "$name"
    # Not as a condition: that would switch errexit off within the case.
    set +e
    (set -euo pipefail && "$name")
    rc=$?
    set -e
    case $rc in
      0) printf '[ OK   ] %s\n' "$name" && xml+="<testcase name=\"$name\" status=\"run\" />"$'\n' ;;
      "$skip_code") xml+="<testcase name=\"$name\" status=\"notrun\" />"$'\n' ;;
      *)
        printf '[ FAIL ] %s\n' "$name"
        xml+="<testcase name=\"$name\" status=\"run\"><failure message=\"exit code $rc\" /></testcase>"$'\n'
        failed=1
        ;;
    esac
  done
  printf '<testsuites>\n<testsuite name="%s">\n%s</testsuite>\n</testsuites>\n' "${0##*/}" "$xml" \
    >"${XML_OUTPUT_FILE:-/dev/null}"
  exit $failed
}
