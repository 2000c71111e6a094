"""The long form of the reliability tests, some hours: `make torture`, or one part of it.

torture.py                           all parts
torture.py kills --kills 50          50 kills of each training
torture.py mutations --count 200     one part with its options; `torture.py mutations --help` lists them
torture.py fuzz --examples 100       100 files of each format that hypothesis damages

A part is a module beside this one with `main(argv) -> exit status`.
"""

import os
import sys
from importlib import import_module
from pathlib import Path

PARTS = ("kills", "mutations", "fuzz")
HERE = Path(__file__).resolve().parent

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

if __name__ == "__main__":
    parts, argv = (PARTS, []) if len(sys.argv) == 1 else (sys.argv[1:2], sys.argv[2:])
    if not set(parts) <= set(PARTS):
        sys.exit(f"torture.py: unknown part {parts[0]!r}; parts: {', '.join(PARTS)}")
    sys.exit(max(import_module(part).main(argv) for part in parts))
