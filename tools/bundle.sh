# shellcheck shell=bash
# ./winnow bundle: programs, libraries and data in one folder that runs on a machine without this project's packages.
# Sourced by ./winnow after build.sh.
#
# Layout: the programs, lib/ (found through the programs' rpath), and beside them what run-gpu-tests and the demo read,
# as this project's root has it. glibc, the driver and cuBLASLt are the machine's own.

readonly max_bundle_mib=60 max_archive_mib=30

have_nvcc() { # as bazel/cuda_toolkit.bzl looks for it
  [[ -n ${CUDA_HOME:-} && -x $CUDA_HOME/bin/nvcc ]] || command -v nvcc >/dev/null || [[ -x /usr/local/cuda/bin/nvcc ]]
}

# Libraries that the programs load, but for glibc's own.
libraries_of() { # libraries_of PROGRAM...
  local program
  for program; do ldd "$program"; done | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u |
    grep -vE '/(libc|libm|libdl|librt|libpthread|libresolv|ld-linux[^/]*)\.so[^/]*$'
}

# ICU's data are 30 MiB, of which the tokenizers need one table beyond what its code holds: that of compatibility
# normalization. Makes libicudata.so with nothing else in it.
small_icu_data() { # small_icu_data LIB_DIR
  local out=$1 work name version
  version=$(find "$out" -name 'libicudata.so.*' -printf '%f\n' | sed 's/.*\.so\.//')
  work=$(mktemp -d)
  name=icudt${version}l
  (
    cd "$work"
    mkdir all small
    ar p "$(gcc -print-file-name=libicudata.a)" "${name}_dat.o" >data.o
    objcopy -O binary -j .rodata data.o "all/$name.dat"
    echo nfkc.nrm >items.txt
    icupkg -d . -x items.txt "all/$name.dat"
    icupkg -tl -s . -a items.txt new "small/$name.dat"
    genccode -a gcc -e "icudt$version" -d . "small/$name.dat" >/dev/null
    gcc -shared -Wl,-soname,"libicudata.so.$version" -o "$out/libicudata.so.$version" "${name}_dat.S"
  )
  rm -r "$work"
}

mib_of() { # mib_of FILE_OR_FOLDER, rounded up
  du -sb "$1" | awk '{ print int(($1 + 1048575) / 1048576) }'
}

check_size() { # check_size FILE_OR_FOLDER MOST
  local mib
  mib=$(mib_of "$1")
  ((mib <= $2)) || die $exit_build "$1 has $mib MiB, more than the $2 MiB that it may"
}

bundle() { # bundle [DIR]
  local out labels label programs=()
  labels=(//server:winnow-server //client:winnow-client //client/load:winnow-load //tools:random_checkpoint)
  out=$(realpath -m -- "${1:-$root/.winnow/bundle}")
  if have_nvcc; then
    labels+=(//tests/gpu:run-gpu-tests //tests/bench/gpu:gpu-bench)
  else
    say "No nvcc: the bundle runs on CPUs only."
  fi
  require_packages bundle
  say "Building ${labels[*]} (minutes the first time)"
  bazel_in_root build --config=bundle --ui_event_filters=-info --show_result=0 "${labels[@]}" ||
    die $exit_build "the build failed; Bazel's messages are above"
  bin_dir=$(bazel_in_root info --config=bundle bazel-bin 2>/dev/null)

  rm -rf "$out" "$out.tgz"
  mkdir -p "$out"/{lib,deploy,tests/data,tests/bench}
  for label in "${labels[@]}"; do
    install -m 755 "$(binary_of "$label")" "$out/"
    programs+=("$out/${label##*:}")
  done
  strip "${programs[@]}"
  libraries_of "${programs[@]}" | xargs -d '\n' cp -L -t "$out/lib"
  chmod -R u+w "$out"
  small_icu_data "$out/lib"
  cp -r "$root/deploy/demo-model" "$out/deploy/"
  cp -r "$root/tests/golden" "$out/tests/"
  cp -r "$root/tests/bench/configs" "$out/tests/bench/"
  cp "$root/tests/data/demo_samples.json" "$out/tests/data/"
  tar -C "$(dirname "$out")" -czf "$out.tgz" "$(basename "$out")"
  check_size "$out" $max_bundle_mib
  check_size "$out.tgz" $max_archive_mib
  say "$out: $(mib_of "$out") MiB; $out.tgz: $(mib_of "$out.tgz") MiB"
}
