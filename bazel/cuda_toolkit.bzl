"""The CUDA toolkit of this machine as the repository @cuda, where there is one.

    load("//bazel:cuda_toolkit.bzl", "cuda_toolkit")

    cuda_toolkit(name = "cuda")

looks for nvcc in $CUDA_HOME/bin, on the PATH, then in /usr/local/cuda/bin. @cuda//:defs.bzl says whether it was found
(HAVE_NVCC) and where (NVCC); @cuda//:headers and @cuda//:cudart are the toolkit's headers and its runtime, linked
statically. Without a toolkit both are empty libraries that nothing compatible depends on; see cuda.bzl.
"""

_HEADERS = """
cc_library(
    name = "headers",
    hdrs = glob(["include/*.h", "include/*.hpp", "include/crt/*"]),
    includes = ["include"],
)

cc_library(
    name = "cudart",
    srcs = ["lib64/libcudart_static.a"],
    linkopts = ["-ldl", "-lrt", "-lpthread"],
    deps = [":headers"],
)
"""

_NOTHING = """
cc_library(name = "headers")

cc_library(name = "cudart")
"""

def _find_nvcc(ctx):
    home = ctx.os.environ.get("CUDA_HOME", "")
    found = ctx.which("nvcc")
    for nvcc in [home + "/bin/nvcc" if home else None, found, "/usr/local/cuda/bin/nvcc"]:
        if nvcc and ctx.path(str(nvcc)).exists:
            return ctx.path(str(nvcc)).realpath
    return None

def _cuda_toolkit_impl(ctx):
    nvcc = _find_nvcc(ctx)
    if nvcc:
        home = nvcc.dirname.dirname
        ctx.symlink(home.get_child("include"), "include")
        ctx.symlink(home.get_child("lib64"), "lib64")
    ctx.file("defs.bzl", "HAVE_NVCC = %s\nNVCC = %r\nHOST_COMPILER = %r\n" % (
        bool(nvcc),
        str(nvcc) if nvcc else "",
        str(ctx.which("g++") or "g++"),
    ))
    ctx.file(
        "BUILD",
        "package(default_visibility = [\"//visibility:public\"])\n" + (_HEADERS if nvcc else _NOTHING),
    )

cuda_toolkit = repository_rule(
    implementation = _cuda_toolkit_impl,
    configure = True,
    environ = ["CUDA_HOME", "PATH"],
    local = True,
)
