"""C++ code from .proto files with Debian's protoc.

    load("//bazel:proto.bzl", "cc_proto")

    cc_proto(
        name = "generation_cc_grpc",
        srcs = ["generation.proto"],
        grpc = True,
    )

makes one cc_library. Import paths inside .proto files start at the folder proto/ ("google/rpc/status.proto"); C++ code
includes the generated headers relative to the root ("proto/winnow/v1/generation.grpc.pb.h").

Bazel's own proto_library wants the sources of protobuf as a repository; this rule runs /usr/bin/protoc instead.
"""

_ROOT = "proto"
_PROTOC = "/usr/bin/protoc"
_GRPC_PLUGIN = "/usr/bin/grpc_cpp_plugin"

_ProtoFiles = provider(
    doc = "The .proto files that a generated library needs, imports included.",
    fields = {"transitive": "depset of File"},
)

def _codegen_impl(ctx):
    transitive = depset(
        ctx.files.srcs,
        transitive = [dep[_ProtoFiles].transitive for dep in ctx.attr.deps],
    )
    kinds = [".pb", ".grpc.pb"] if ctx.attr.grpc else [".pb"]
    headers = []
    sources = []
    for proto in ctx.files.srcs:
        stem = proto.basename[:-len(".proto")]
        for kind in kinds:
            headers.append(ctx.actions.declare_file(stem + kind + ".h", sibling = proto))
            sources.append(ctx.actions.declare_file(stem + kind + ".cc", sibling = proto))

    out = ctx.bin_dir.path + "/" + _ROOT
    args = ctx.actions.args()
    args.add("-I" + _ROOT)
    args.add("-I/usr/include")
    args.add("--cpp_out=" + out)
    if ctx.attr.grpc:
        args.add("--plugin=protoc-gen-grpc=" + _GRPC_PLUGIN)
        args.add("--grpc_out=" + out)
    args.add_all(ctx.files.srcs)
    ctx.actions.run(
        executable = _PROTOC,
        arguments = [args],
        inputs = transitive,
        outputs = headers + sources,
        mnemonic = "Protoc",
        progress_message = "Generating C++ from %s" % ctx.label,
    )
    return [
        DefaultInfo(files = depset(headers + sources)),
        OutputGroupInfo(headers = depset(headers), sources = depset(sources)),
        _ProtoFiles(transitive = transitive),
    ]

_codegen = rule(
    implementation = _codegen_impl,
    attrs = {
        "deps": attr.label_list(providers = [_ProtoFiles]),
        "grpc": attr.bool(),
        "srcs": attr.label_list(allow_files = [".proto"]),
    },
)

def cc_proto(name, srcs, deps = [], grpc = False, visibility = None):
    """A cc_library of the messages (and services) in some .proto files.

    Args:
      name: the cc_library's name.
      srcs: the .proto files, all below proto/.
      deps: other cc_proto targets, written "//package:name" or ":name", whose files these import.
      grpc: whether to generate services (.grpc.pb.h) as well.
      visibility: as everywhere.
    """
    codegen = name + "_codegen"
    _codegen(
        name = codegen,
        srcs = srcs,
        grpc = grpc,
        visibility = visibility,
        deps = [dep + "_codegen" for dep in deps],
    )
    for group in ["headers", "sources"]:
        native.filegroup(
            name = name + "_" + group,
            srcs = [":" + codegen],
            output_group = group,
        )
    native.cc_library(
        name = name,
        srcs = [":" + name + "_sources"],
        hdrs = [":" + name + "_headers"],
        visibility = visibility,
        deps = deps + [
            "//proto:import_root",
            "//third_party/grpc" if grpc else "//third_party/protobuf",
        ],
    )
