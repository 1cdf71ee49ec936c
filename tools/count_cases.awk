# Counts the test cases in one test.xml, as GoogleTest writes it or, for a test that wrote none, Bazel. Prints
#   passed failed skipped
# and then a line with the name of each failed case. A case that is open swallows whatever looks like XML in its messages.
function attribute(line, name,    rest) {
  if (!match(line, " " name "=\"[^\"]*\"")) return ""
  rest = substr(line, RSTART, RLENGTH)
  sub("^[^\"]*\"", "", rest)
  sub("\"$", "", rest)
  return rest
}
function close_case() {
  if (bad) { failed++; names = names (suite == "" ? "" : suite ".") name "\n" }
  else if (skip) skipped++
  else passed++
  open = 0
}
!open && /^ *<testcase / {
  open = 1
  bad = 0
  name = attribute($0, "name")
  suite = attribute($0, "classname")
  skip = attribute($0, "status") == "notrun" || attribute($0, "result") == "skipped"
  if ($0 ~ /<(failure|error)[ >]/) bad = 1
  if ($0 ~ /\/>$/ || $0 ~ /<\/testcase>$/) close_case()
  next
}
open && /^ *<(failure|error)[ >]/ { bad = 1 }
open && /^ *<\/testcase>/ { close_case() }
END {
  if (open) close_case()
  printf "%d %d %d\n%s", passed, failed, skipped, names
}
