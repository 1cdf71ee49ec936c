#!/usr/bin/env bash
# The training code's tests, a case for each of their modules. WINNOW_TRAIN_PYTHON names a Python that has PyTorch, if
# python3 has not:
#
#     bazel test -c opt //tools/train:train_test --test_env=WINNOW_TRAIN_PYTHON=/path/to/python3
#
# shellcheck disable=SC2317 # run_cases calls the cases
set -euo pipefail

# shellcheck source=tests/deploy/cases.sh
. tests/deploy/cases.sh

python=${WINNOW_TRAIN_PYTHON:-python3}
export PYTHONDONTWRITEBYTECODE=1

need_torch() {
  "$python" -c 'import torch, tokenizers, safetensors' 2>/dev/null ||
    skip "$python has no torch, tokenizers and safetensors; WINNOW_TRAIN_PYTHON can name one that has"
}

tests_of() { # tests_of MODULE
  (cd tools && "$python" -m unittest "train.tests.$1")
}

world_is_the_clients() { tests_of world_test; }
data_is_right() { need_torch && tests_of data_test; }
model_equals_the_recurrence() { need_torch && tests_of model_test; }
chunk_operations_are_right() { need_torch && tests_of kernels_test; }
attention_skips_what_is_not_seen() { need_torch && tests_of attention_test; }
retention_keeps_and_learns() { need_torch && tests_of retention_test; }
schedule_ends_in_time() { need_torch && tests_of schedule_test; }
training_learns_and_resumes() { need_torch && tests_of trainer_test; }
variants_train_side_by_side() { need_torch && tests_of all_test; }

run_cases world_is_the_clients data_is_right model_equals_the_recurrence chunk_operations_are_right \
  attention_skips_what_is_not_seen retention_keeps_and_learns schedule_ends_in_time training_learns_and_resumes \
  variants_train_side_by_side
