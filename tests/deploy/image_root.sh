# shellcheck shell=bash
# A container's root folder without a container engine: the last stage of a Dockerfile, laid over what Debian's slim image
# has of glibc. Sourced after tools/bundle.sh.

# What ./winnow bundle makes, of the programs that Bazel has built for the test. Those have no rpath, so they need
# LD_LIBRARY_PATH; and ICU's data are whole.
make_bundle() { # make_bundle DIR SERVER CLIENT MODEL_DIR
  local out=$1 server=$2 client=$3 model=$4
  mkdir -p "$out"/{lib,deploy/demo-model}
  cp -L "$server" "$client" "$out/"
  libraries_of "$server" "$client" | xargs -d '\n' cp -L -t "$out/lib"
  cp -L "$model"/{config.json,model.safetensors,tokenizer.json} "$out/deploy/demo-model/"
}

last_stage() { # last_stage DOCKERFILE: its instructions, one a line
  awk '/^FROM / { text = "" } /^[A-Z]/ { text = text $0 "\n" } END { printf "%s", text }' "$1"
}

# The value of an instruction of the last stage, such as USER; of the last one if there are several.
instruction() { # instruction DOCKERFILE NAME
  last_stage "$1" | awk -v name="$2" '$1 == name { sub(/^[A-Z]+ */, ""); value = $0 } END { print value }'
}

# The words of an instruction in exec form, one a line.
words_of() { # words_of DOCKERFILE ENTRYPOINT|CMD
  instruction "$1" "$2" | sed 's/^\[ *"//; s/" *\]$//; s/" *, *"/\n/g'
}

# Follows the COPY instructions: those from the stage that bundles and, where the bundle is the context, those from there.
copy_stage() { # copy_stage DOCKERFILE BUNDLE ROOT
  local bundle=$2 root=$3 words source target
  while read -ra words; do
    case ${words[1]} in
      --from=build) words=("${words[@]:2}") ;;
      --from=*) continue ;; # another's image
      *) words=("${words[@]:1}") ;;
    esac
    target=$root${words[-1]}
    mkdir -p "$target"
    for source in "${words[@]::${#words[@]}-1}"; do
      source=$bundle/${source#/bundle/}
      if [[ -d $source ]]; then cp -r "$source/." "$target"; else cp "$source" "$target"; fi
    done
  done < <(last_stage "$1" | grep '^COPY ')
}

# Of Debian's image, only glibc: whoever serves from here needs nothing else of it.
copy_glibc() { # copy_glibc ROOT
  local root=$1 file
  while read -r file; do
    [[ -f $file && $file == *.so* ]] || continue
    mkdir -p "$root${file%/*}"
    cp -L "$file" "$root$file"
  done < <(dpkg -L libc6)
}

make_root() { # make_root DOCKERFILE BUNDLE ROOT
  mkdir -p "$3"/{proc,dev}
  copy_glibc "$3"
  copy_stage "$@"
}
