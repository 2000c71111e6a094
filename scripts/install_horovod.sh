#!/usr/bin/env bash
# Builds Horovod 0.28.1 against the PyTorch of an environment and installs it there, for `--use_horovod`.
#
#   scripts/install_horovod.sh [--cpu | --gpu] [--cache FOLDER] [PYTHON]
#
# PYTHON is the environment's interpreter (default: $PYTHON, else .venv/bin/python). Without --cpu or --gpu, the GPU
# operations (NCCL) are built where nvcc and NCCL are found and PyTorch has CUDA. The wheel stays in FOLDER (default:
# $HOROVOD_CACHE, else .cache/horovod) and serves the next environment with the same PyTorch. Does nothing where a
# working Horovod is there already. Needs a C++20 compiler, make and a package index; fetches cmake if it is missing.
#
# It is the published release but for the lines in `patch_sources`: PyTorch's headers are C++20 by now, and a build
# for the CPU must not insist on a CUDA toolkit because PyTorch happens to have CUDA.
set -euo pipefail

version=0.28.1
sha256=92a43f5a94c43907a56805bad15f19700c62ffc83b7ca483f9e104e229f67ef0
repository=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-$repository/.venv/bin/python}
cache=${HOROVOD_CACHE:-$repository/.cache/horovod}
kind=auto

say() { printf '== %s\n' "$*"; }
fail() { printf 'install_horovod.sh: error: %s\n' "$*" >&2; exit 2; }

# ------------------------------------------------------------------------------------------ what is there
# Whether the Horovod of $python works with its PyTorch and has the operations wanted; $fault says what is wrong.
works() {
    fault=$("$python" - "$version" "$1" <<'PYTHON' 2> /dev/null
import json, os, sys
def end(fault):
    print(fault)
    sys.exit(1)
try:
    import torch, horovod, horovod.torch as hvd
except Exception as error:
    end((str(error) or type(error).__name__).splitlines()[0])
with open(os.path.join(os.path.dirname(horovod.__file__), "metadata.json")) as file:
    built_for = json.load(file).get("pytorch")
if horovod.__version__ != sys.argv[1]:
    end(f"it is Horovod {horovod.__version__}")
if built_for != torch.__version__:
    end(f"it was built for PyTorch {built_for}")
if sys.argv[2] == "gpu" and not hvd.nccl_built():
    end("it has no GPU operations")
PYTHON
)
}

# Whether GPU operations can be built, with $cuda_home and $nccl_home; $fault says what is missing.
find_gpu_tools() {
    local nvcc toolkit folder
    nvcc=${HOROVOD_CUDA_HOME:+$HOROVOD_CUDA_HOME/bin/}nvcc
    nccl_home=${HOROVOD_NCCL_HOME:-}
    fault="this PyTorch has no CUDA"
    [ "$torch_cuda" != None ] || return 1
    fault="no nvcc; install the CUDA toolkit, or set HOROVOD_CUDA_HOME"
    command -v "$nvcc" > /dev/null || return 1
    # nvcc may be a script that starts the real one, so it is asked where it lives.
    cuda_home=$(cd "$("$nvcc" --dryrun -x cu -E /dev/null 2>&1 | sed -n 's/^#\$ _HERE_=//p')/.." && pwd)
    toolkit=$("$nvcc" --version | sed -n 's/.*release \([0-9]*\).*/\1/p')
    fault="nvcc is of CUDA $toolkit, PyTorch of $torch_cuda"
    [ "$toolkit" = "${torch_cuda%%.*}" ] || return 1
    for folder in "$cuda_home" /usr /usr/local; do
        if [ -z "$nccl_home" ] && [ -e "$folder/include/nccl.h" ]; then nccl_home=$folder; fi
    done
    [ -z "$nccl_home" ] || return 0
    # PyTorch's own packages bring NCCL too, though without the name that a linker looks for.
    fault="no NCCL (nccl.h); install it, or set HOROVOD_NCCL_HOME"
    [ -e "$site/nvidia/nccl/include/nccl.h" ] || return 1
    nccl_home=$work/nccl
    mkdir -p "$nccl_home/lib"
    ln -s "$site/nvidia/nccl/include" "$nccl_home/include"
    ln -s "$site/nvidia/nccl/lib/libnccl.so.2" "$nccl_home/lib/libnccl.so"
}

require_tools() {
    command -v "${CXX:-c++}" > /dev/null || fail "no C++ compiler (${CXX:-c++}); apt-get install build-essential"
    echo '#include <version>' | "${CXX:-c++}" -std=c++20 -fsyntax-only -x c++ - 2> /dev/null \
        || fail "${CXX:-c++} knows no C++20, which PyTorch's headers need; GCC 11 or newer does"
    command -v make > /dev/null || fail "no make; apt-get install build-essential"
}

# ------------------------------------------------------------------------------------------ building
# An environment of its own, that sees PyTorch: the tools of the build stay out of the user's, which may lack pip.
make_environment() {
    "$python" -m venv "$work/venv" > "$work/log" 2>&1 \
        || fail "$python can't make environments; apt-get install python3-venv"
    echo "$site" > "$(echo "$work"/venv/lib/python*/site-packages)/pytorch.pth"
    pip=("$work/venv/bin/python" -m pip)
}

# from_index WHAT COMMAND...: a command that needs the package index.
from_index() {
    local what=$1
    shift
    "$@" >> "$work/log" 2>&1 || {
        tail -n 3 "$work/log" >&2
        fail "$what could not be fetched; is a package index within reach?"
    }
}

fetch_tools() {
    local needs=("setuptools<81" wheel packaging cloudpickle psutil pyyaml cffi)
    echo "cmake_minimum_required(VERSION 3.18)" > "$work/recent.cmake"
    cmake=$(command -v cmake || true)
    if [ -z "$cmake" ] || ! "$cmake" -P "$work/recent.cmake" > /dev/null 2>&1; then
        needs+=("cmake>=3.18")
        cmake=$work/venv/bin/cmake
    fi
    from_index "${needs[*]}" "${pip[@]}" install --quiet "${needs[@]}"
}

fetch_sources() {
    echo "horovod==$version --hash=sha256:$sha256" > "$work/release.txt"
    from_index "Horovod $version" "${pip[@]}" download --quiet --no-deps --no-binary :all: --no-build-isolation \
        --dest "$work" --requirement "$work/release.txt"
    tar -xzf "$work/horovod-$version.tar.gz" -C "$work"
}

# replace FILE OLD NEW: all occurrences of a text, of which there must be one at least.
replace() {
    grep -qF "$2" "$1" || fail "$1 lacks '$2'; is this Horovod $version?"
    OLD=$2 NEW=$3 "$python" - "$1" <<'PYTHON'
import os, pathlib, sys
path = pathlib.Path(sys.argv[1])
path.write_text(path.read_text().replace(os.environ["OLD"], os.environ["NEW"]))
PYTHON
}

patch_sources() {
    local sources=$work/horovod-$version
    replace "$sources/CMakeLists.txt" "set(CMAKE_CXX_STANDARD 14)" "set(CMAKE_CXX_STANDARD 20)"
    replace "$sources/horovod/torch/CMakeLists.txt" "set(CMAKE_CXX_STANDARD 14)" "set(CMAKE_CXX_STANDARD 20)"
    if [ "$kind" = cpu ]; then
        # With a toolkit about, PyTorch's CUDA would be compiled against and linked to.
        replace "$sources/cmake/Modules/FindPytorch.cmake" "(CUDA_HOME is not None)" "False"
    else
        replace "$sources/horovod/common/ops/cuda/CMakeLists.txt" \
            "set(CMAKE_CUDA_STANDARD 11)" "set(CMAKE_CUDA_STANDARD 17)"
    fi
}

build_wheel() {
    local jobs memory
    jobs=$(nproc)
    memory=$(awk '/MemAvailable/ {print int($2 / 2500000)}' /proc/meminfo 2> /dev/null || echo 1)  # 2.5 GB a compiler
    [ "$memory" -ge "$jobs" ] || jobs=$((memory > 0 ? memory : 1))
    export MAKEFLAGS=-j$jobs HOROVOD_CMAKE=$cmake CMAKE_POLICY_VERSION_MINIMUM=3.5
    export HOROVOD_WITH_PYTORCH=1 HOROVOD_WITHOUT_TENSORFLOW=1 HOROVOD_WITHOUT_MXNET=1
    export HOROVOD_WITH_GLOO=1 HOROVOD_WITHOUT_MPI=1 HOROVOD_CPU_OPERATIONS=GLOO HOROVOD_WITHOUT_NVTX=1
    if [ "$kind" = gpu ]; then
        export HOROVOD_GPU_OPERATIONS=NCCL HOROVOD_CUDA_HOME=$cuda_home CUDA_HOME=$cuda_home
        export HOROVOD_NCCL_HOME=$nccl_home HOROVOD_NCCL_LINK=shared
        local here  # kernels for the GPUs of this machine if it has any, else for all kinds
        here=$("$python" -c 'import torch
kinds = {torch.cuda.get_device_capability(number) for number in range(torch.cuda.device_count())}
print(",".join(f"{major}{minor}" for major, minor in sorted(kinds)))')
        [ -z "$here" ] || export HOROVOD_BUILD_CUDA_CC_LIST=${HOROVOD_BUILD_CUDA_CC_LIST:-$here}
    fi
    "${pip[@]}" wheel --verbose --no-deps --no-build-isolation --wheel-dir "$work/wheels" "$work/horovod-$version" \
        > "$work/build.log" 2>&1 || {
        mkdir -p "$cache"
        cp "$work/build.log" "$cache/build.log"
        grep -iE "error" "$work/build.log" | head -n 5 >&2
        fail "the build failed; the whole log: $cache/build.log"
    }
    from_index "what Horovod needs" "${pip[@]}" wheel --quiet --wheel-dir "$work/wheels" "$work"/wheels/horovod-*.whl
    mkdir -p "$cache"
    rm -rf "$kept" "$kept.new"
    cp -r "$work/wheels" "$kept.new"
    mv "$kept.new" "$kept"  # whole, or not there
}

install_wheel() {
    "${pip[@]}" --python "$python" install --quiet --no-index --find-links "$kept" "$@" horovod > "$work/log" 2>&1 \
        || { tail -n 3 "$work/log" >&2; fail "the wheel in $kept could not be installed"; }
}

# ------------------------------------------------------------------------------------------ the way through
while [ $# -gt 0 ]; do
    case $1 in
        --cpu | --gpu) kind=${1#--} ;;
        --cache) [ $# -gt 1 ] || fail "--cache needs a folder"; cache=$2; shift ;;
        -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
        -*) fail "unknown option $1; see --help" ;;
        *) python=$1 ;;
    esac
    shift
done

command -v "$python" > /dev/null || fail "$python is not there; run 'make env', or name the interpreter"
if works "$kind"; then
    say "Horovod $version is there already and fits PyTorch ($python)"
    exit 0
fi
facts=$("$python" -c 'import sys, sysconfig, torch
print(sysconfig.get_path("purelib"), torch.__version__, torch.version.cuda, sys.implementation.cache_tag)' 2> /dev/null) \
    || fail "$python has no PyTorch; run 'make env', or name the interpreter that has it"
read -r site torch_version torch_cuda python_tag <<< "$facts"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ "$kind" != cpu ] && ! find_gpu_tools; then
    [ "$kind" = auto ] || fail "--gpu: $fault"
    say "without GPU operations: $fault"
    kind=cpu
fi
[ "$kind" = cpu ] || kind=gpu
kept=$cache/torch-$torch_version-$python_tag-$(uname -m)-$kind

SECONDS=0
if ls "$kept"/horovod-*.whl > /dev/null 2>&1; then
    say "installing the wheel in $kept"
    make_environment
else
    require_tools
    say "building Horovod $version for PyTorch $torch_version ($kind); this takes minutes"
    make_environment
    fetch_tools
    fetch_sources
    patch_sources
    build_wheel
fi
install_wheel --force-reinstall --no-deps
install_wheel
works "$kind" || fail "Horovod was installed and does not work ($fault); to build it anew delete $kept"
say "Horovod $version is installed ($kind operations, $SECONDS s); horovodrun -np 2 -H localhost:2 $python train.py …"
