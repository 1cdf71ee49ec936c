"""CUDA code: libraries with kernels in .cu files, and what only builds with a CUDA toolkit.

    load("//bazel:cuda.bzl", "CUDA_ONLY", "cuda_library")

    cuda_library(
        name = "dense_kernels",
        srcs = ["dense_kernels.cu"],
        hdrs = ["dense_kernels.h"],
        deps = ["//kernels/ops:dense"],
    )

makes one cc_library. nvcc is that of @cuda (cuda_toolkit.bzl). Where there is none, or with --//bazel:enable_cuda=false
(sanitizer builds), targets with `target_compatible_with = CUDA_ONLY` are skipped by wildcards; cuda_library has it.
"""

load("@cuda//:defs.bzl", "HAVE_NVCC", "HOST_COMPILER", "NVCC")

# For target_compatible_with.
CUDA_ONLY = select({
    "//bazel:cuda_disabled": ["//bazel:never"],
    "//conditions:default": [] if HAVE_NVCC else ["//bazel:never"],
})

def if_cuda(with_cuda, without_cuda):
    """A list that depends on whether this build has CUDA."""
    return select({
        "//bazel:cuda_disabled": without_cuda,
        "//conditions:default": with_cuda if HAVE_NVCC else without_cuda,
    })

# Hopper with its own instructions (wgmma, setmaxnreg).
_ARCHITECTURE = "arch=compute_90a,code=sm_90a"

_FLAGS = [
    "-x",
    "cu",
    "-c",
    "-std=c++20",
    "-O3",
    "-lineinfo",
    # A third of the size, line tables included; the driver unpacks it at start.
    "--compress-mode=size",
    # constexpr functions of plain headers (kernels/philox.h) may be called on the device.
    "--expt-relaxed-constexpr",
    "-Xcompiler=-fPIC,-Wall",
    "--threads=1",
]

def _cuda_objects_impl(ctx):
    contexts = [dep[CcInfo].compilation_context for dep in ctx.attr.deps]
    headers = depset(ctx.files.hdrs, transitive = [context.headers for context in contexts])
    objects = []
    for source in ctx.files.srcs:
        object = ctx.actions.declare_file(source.basename[:-len(".cu")] + ".pic.o")
        args = ctx.actions.args()
        args.add_all(_FLAGS)
        args.add("-ccbin", HOST_COMPILER)
        args.add("-gencode=" + _ARCHITECTURE)
        args.add_all([".", ctx.bin_dir.path], before_each = "-I")
        args.add("-o", object)
        args.add(source)
        ctx.actions.run(
            executable = NVCC,
            arguments = [args],
            inputs = depset([source], transitive = [headers]),
            outputs = [object],
            env = {"PATH": "/usr/bin:/bin"},
            mnemonic = "CudaCompile",
            progress_message = "Compiling %s for sm_90a" % source.short_path,
        )
        objects.append(object)
    return [DefaultInfo(files = depset(objects))]

_cuda_objects = rule(
    implementation = _cuda_objects_impl,
    attrs = {
        "deps": attr.label_list(providers = [CcInfo]),
        "hdrs": attr.label_list(allow_files = [".h", ".cuh"]),
        "srcs": attr.label_list(allow_files = [".cu"]),
    },
)

def cuda_library(name, srcs, hdrs = [], deps = [], visibility = None):
    """A cc_library of kernels and their host launchers.

    Args:
      name: the cc_library's name.
      srcs: .cu files, and .h or .cuh files for these only.
      hdrs: headers of the library; callers compile them with the C++ compiler.
      deps: C++ and CUDA libraries whose headers the .cu files include.
      visibility: as everywhere.
    """
    sources = [src for src in srcs if src.endswith(".cu")]
    private_headers = [src for src in srcs if not src.endswith(".cu")]
    _cuda_objects(
        name = name + "_objects",
        srcs = sources,
        hdrs = hdrs + private_headers,
        target_compatible_with = CUDA_ONLY,
        visibility = ["//visibility:private"],
        deps = deps,
    )
    native.cc_library(
        name = name,
        srcs = [":" + name + "_objects"],
        hdrs = hdrs,
        target_compatible_with = CUDA_ONLY,
        textual_hdrs = [header for header in private_headers if header.endswith(".cuh")],
        visibility = visibility,
        deps = deps + ["@cuda//:cudart"],
    )
