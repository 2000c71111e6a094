"""List the imports of a pickle without unpickling it, for precise error messages. Imports no torch."""

import pickletools
import zipfile
from pathlib import Path
from typing import BinaryIO

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle in files of torch.save before PyTorch 1.6
PICKLES_BEFORE_CONTENT = 3  # magic number, protocol, system
MEMOIZE, STACK_GLOBAL = "MEMOIZE", "STACK_GLOBAL"


def pickled_names(path: str | Path) -> list[str] | None:
    """Classes and functions that unpickling the file would import, e.g. ["posix.system"], in order.

    Supports files of torch.save, new (zip) and old, and plain pickles of every protocol. Returns None for other and
    truncated files.
    """
    try:
        with open(path, "rb") as file:
            if not zipfile.is_zipfile(file):
                file.seek(0)
                return _names_of_stream(file)
            with zipfile.ZipFile(file) as archive:
                name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
                return _names(archive.open(name))[0]
    except Exception:  # damaged bytes can raise any exception
        return None


def unsafe_name(names: list[str]) -> str | None:
    """The first name that a plain state dict does not need."""
    return next((name for name in names if not _is_of_tensors(name)), None)


def is_plain_pickle(path: str | Path) -> bool:
    """Whether the file is a complete pickle not written by torch.save but e.g. by pickle.dump."""
    try:
        with open(path, "rb") as file:
            return not zipfile.is_zipfile(file) and file.seek(0) == 0 and LEGACY_MAGIC not in _names(file)[1]
    except Exception:  # damaged bytes can raise any exception
        return False


def _is_of_tensors(name: str) -> bool:
    return name == "collections.OrderedDict" or name.startswith("torch._utils.") or name.endswith("Storage")


def _names_of_stream(file: BinaryIO) -> list[str]:
    names, values = _names(file)
    if LEGACY_MAGIC in values:
        for _ in range(PICKLES_BEFORE_CONTENT):
            names, _ = _names(file)
    return names


def _names(file: BinaryIO) -> tuple[list[str], list]:
    """The names that a pickle imports, and its plain values. Raises ValueError if it is truncated."""
    names, values, memo = [], [], []
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name in ("GLOBAL", "INST"):
            names.append(argument.replace(" ", "."))
        elif opcode.name == STACK_GLOBAL:  # takes module and name from the stack
            names.append(".".join(map(str, values[-2:])))
        elif opcode.name == MEMOIZE:
            memo.append(values[-1] if values else None)
        elif opcode.name in ("BINGET", "LONG_BINGET") and argument < len(memo):
            values.append(memo[argument])
        elif argument is not None:
            values.append(argument)
    return names, values
