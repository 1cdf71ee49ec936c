"""Fuzz targets: a function of bytes, run over a kept corpus by every test run and by libFuzzer for long.

    load("//tests/fuzz:fuzz.bzl", "fuzz_target")

    fuzz_target(
        name = "stop_scanner",
        srcs = ["stop_scanner_target.cc"],
        deps = [...],
    )

makes two tests of the LLVMFuzzerTestOneInput in srcs:

  stop_scanner_corpus_test  replays corpus/stop_scanner/, then damages it at random for a few seconds; in any
                            configuration
  stop_scanner_fuzzer       libFuzzer, from that corpus on, for ten minutes; with --config=fuzz alone, hence "manual"
"""

# So that what UndefinedBehaviorSanitizer finds is caught like the rest, with its input.
_ENV = {"UBSAN_OPTIONS": "abort_on_error=1"}

def fuzz_target(name, srcs, deps, dictionary = None):
    corpus = native.glob(["corpus/%s/*" % name])
    folder = "tests/fuzz/corpus/" + name
    native.cc_library(
        name = name + "_target",
        testonly = True,
        srcs = srcs,
        deps = deps + [":target"],
        alwayslink = True,
    )
    native.cc_test(
        name = name + "_corpus_test",
        size = "medium",
        args = ["--corpus=" + folder],
        data = corpus,
        env = _ENV,
        tags = ["san"],
        deps = [
            ":%s_target" % name,
            ":corpus_test_lib",
        ],
    )
    native.cc_test(
        name = name + "_fuzzer",
        size = "enormous",
        args = [folder] + (["-dict=tests/fuzz/" + dictionary] if dictionary else []),
        data = corpus + ([dictionary] if dictionary else []),
        env = _ENV,
        tags = [
            "fuzz",
            "manual",
        ],
        deps = [
            ":%s_target" % name,
            ":fuzzer_lib",
        ],
    )
