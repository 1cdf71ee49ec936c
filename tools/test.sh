# shellcheck shell=bash
# ./winnow test: Bazel runs the test targets, this counts their test cases. Sourced by ./winnow after build.sh.
#
# A pass is one run of Bazel: a configuration and a filter by tags. A target that dies, times out, does not build, or
# fails without naming a failed case (a leak found at exit) counts as one failed case.

total_passed=0 total_failed=0 total_skipped=0
failures=() # "pass: target case", for the end of the output
passes=()   # "pass: counts in seconds"

add_failure() { # add_failure PASS TEXT
  pass_failed=$((pass_failed + 1))
  failures+=("$1: $2")
}

# Adds up the cases of one run of one test target.
count_target() { # count_target PASS LABEL STATUS XML
  local pass=$1 label=$2 status=$3 xml=$4 counts=(0 0 0) names=() case_name
  if [[ -r $xml ]]; then
    { read -ra counts && mapfile -t names; } < <(awk -f "$root/tools/count_cases.awk" "$xml")
  fi
  pass_passed=$((pass_passed + counts[0]))
  pass_skipped=$((pass_skipped + counts[2]))
  for case_name in "${names[@]}"; do add_failure "$pass" "$label $case_name"; done
  if [[ $status != PASSED && ${#names[@]} -eq 0 ]]; then add_failure "$pass" "$label ($status)"; fi
}

# Reads Bazel's build events, one JSON object a line: "result LABEL STATUS XML" and "broken LABEL" for each that tells.
# What this configuration cannot be built for (CUDA under a sanitizer) is skipped, not broken.
read_events() { # read_events FILE
  awk '
    function field(pattern,    text) {
      if (!match($0, pattern)) return "-"
      text = substr($0, RSTART, RLENGTH)
      sub(/"$/, "", text)
      sub(/^.*"/, "", text)
      return text
    }
    /^\{"id":\{"testResult"/ {
      xml = field("\"name\":\"test.xml\",\"uri\":\"file://[^\"]*\"")
      sub(/^file:\/\//, "", xml)
      print "result", field("\"label\":\"[^\"]*\""), field("\"status\":\"[A-Z_]*\""), xml
    }
    /^\{"id":\{"targetCompleted"/ && !/"completed":\{"success":true/ && !/"reason":"SKIPPED"/ {
      print "broken", field("\"label\":\"[^\"]*\"")
    }' "$1"
}

run_pass() { # run_pass NAME BAZEL_FLAG_OR_TARGET...
  local name=$1 events rc=0 kind label status xml start=$SECONDS
  local pass_passed=0 pass_failed=0 pass_skipped=0
  shift
  events=$state_dir/$name.events
  rm -f "$events"
  say "Tests: $name"
  bazel_in_root test --keep_going --build_event_json_file="$events" "$@" //... >&2 || rc=$?
  if [[ -f $events ]]; then
    while read -r kind label status xml; do
      case $kind in
        result) count_target "$name" "$label" "$status" "$xml" ;;
        broken) add_failure "$name" "$label (does not build)" ;;
      esac
    done < <(read_events "$events")
  fi
  # 3: tests failed, 4: the filter left none. Anything else that no target explains is a failure of its own.
  if ((rc != 0 && rc != 4 && pass_failed == 0)); then add_failure "$name" "bazel test (exit code $rc)"; fi
  total_passed=$((total_passed + pass_passed))
  total_failed=$((total_failed + pass_failed))
  total_skipped=$((total_skipped + pass_skipped))
  passes+=("$(printf '%-12s %s, %d s' "$name" "$(counts $pass_passed $pass_failed $pass_skipped)" $((SECONDS - start)))")
}

counts() { # counts PASSED FAILED SKIPPED
  printf '%d passed, %d failed' "$1" "$2"
  if (($3 > 0)); then printf ', %d skipped' "$3"; fi
}

# The closing lines, on stdout: the passes, what failed, and last the sum.
report() { # report COMMAND
  printf '\n%s on %s: %s, %d cores, %s\n\n' "$1" "$(date -u +%Y-%m-%d)" \
    "$(sed -n 's/^PRETTY_NAME="\(.*\)"/\1/p' /etc/os-release)" "$(nproc)" "$(g++ -dumpfullversion | sed 's/^/g++ /')"
  printf '    %s\n' "${passes[@]}"
  if ((${#failures[@]} > 0)); then
    printf '\nFailed:\n'
    printf '    %s\n' "${failures[@]}"
  fi
  printf '\n%s\n' "$(counts $total_passed $total_failed $total_skipped)"
}

# Tags of test targets: "san" (memory-critical and quick: under ASan and UBSan in every run), "long" (soaks, fuzzing),
# "nosan" (timing: no sanitizer), "notsan" (not under TSan), "manual" (only when named, as the fuzzers are).
run_tests() { # run_tests [--long]
  local long=''
  case "${1:-} $#" in
    ' 0') ;;
    '--long 1') long=1 ;;
    *) die "$exit_usage" "usage: ./winnow test [--long]" ;;
  esac
  require_packages test
  forget_outputs_of_old_packages
  mkdir -p "$state_dir"
  if [[ -z $long ]]; then
    run_pass opt -c opt --test_tag_filters=-long,-manual
    run_pass asan_ubsan --config=asan_ubsan --build_tests_only --test_tag_filters=san,-long,-manual
  else
    run_pass opt -c opt --test_tag_filters=-manual
    run_pass asan_ubsan --config=asan_ubsan --build_tests_only --test_tag_filters=-nosan,-manual
    run_pass tsan --config=tsan --build_tests_only --test_tag_filters=-nosan,-notsan,-manual
    run_pass fuzz --config=fuzz --build_tests_only --test_tag_filters=fuzz //tests/fuzz:fuzzers
  fi
  report "./winnow test${long:+ --long}"
  ((total_failed == 0 && total_passed > 0))
}
