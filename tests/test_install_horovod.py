"""What `scripts/install_horovod.sh` says before it builds anything; `test_distributed` uses what it builds."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts/install_horovod.sh"


def install(*argv: object, **environment: object) -> subprocess.CompletedProcess:
    names = {"PYTHON", "HOROVOD_CACHE", "CXX", "HOROVOD_CUDA_HOME", "HOROVOD_NCCL_HOME"}
    clean = {name: value for name, value in os.environ.items() if name not in names}
    return subprocess.run(
        [SCRIPT, *map(str, argv)], env=clean | {name: str(value) for name, value in environment.items()}, timeout=60,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def interpreter(folder: Path, *, horovod: bool = False, cuda: str = "None") -> Path:
    """A stand-in for a Python with PyTorch: it answers what the script asks."""
    path = folder / "python"
    path.write_text(
        f'#!/bin/sh\n[ "$1" = -c ] && echo "{folder} 2.99.0 {cuda} cpython-311" && exit\n'
        f"[ {int(horovod)} = 1 ] || {{ echo 'No module named horovod'; exit 1; }}\n"
    )
    path.chmod(0o755)
    return path


def test_help_tells_the_usage():
    done = install("--help")
    assert done.returncode == 0
    assert "scripts/install_horovod.sh [--cpu | --gpu] [--cache FOLDER] [PYTHON]" in done.stdout


def test_nothing_is_done_where_horovod_works(tmp_path):
    done = install(interpreter(tmp_path, horovod=True), "--cache", tmp_path / "cache")
    assert (done.returncode, done.stderr) == (0, "")
    assert "is there already" in done.stdout
    assert not (tmp_path / "cache").exists()


NO_COMPILER = "no C++ compiler (no_such_compiler); apt-get install build-essential"
OLD_COMPILER = "false knows no C++20, which PyTorch's headers need; GCC 11 or newer does"
NO_TOOLKIT = "--gpu: no nvcc; install the CUDA toolkit, or set HOROVOD_CUDA_HOME"


@pytest.mark.parametrize(
    ("argv", "environment", "fault"),
    [
        (["--mpi"], {}, "unknown option --mpi; see --help"),
        (["--cache"], {}, "--cache needs a folder"),
        (["nowhere/python"], {}, "nowhere/python is not there; run 'make env', or name the interpreter"),
        (["false"], {}, "false has no PyTorch; run 'make env', or name the interpreter that has it"),
        (["--cpu", "PYTHON"], {"CXX": "no_such_compiler"}, NO_COMPILER),
        (["--cpu", "PYTHON"], {"CXX": "false"}, OLD_COMPILER),
        (["--gpu", "PYTHON"], {}, "--gpu: this PyTorch has no CUDA"),
        (["--gpu", "CUDA"], {"HOROVOD_CUDA_HOME": "/no_toolkit"}, NO_TOOLKIT),
    ],
)
def test_missing_tools_are_named_in_one_line(argv, environment, fault, tmp_path):
    stand_in = interpreter(tmp_path, cuda="13.2" if "CUDA" in argv else "None")
    argv = [stand_in if argument in ("PYTHON", "CUDA") else argument for argument in argv]
    done = install(*argv, HOROVOD_CACHE=tmp_path / "cache", **environment)
    assert done.returncode == 2
    assert done.stderr == f"install_horovod.sh: error: {fault}\n"
    assert not (tmp_path / "cache").exists()
