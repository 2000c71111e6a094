"""What a file's pickle would import, read without unpickling it: a refusal can then say the truth. Imports no torch."""

import pickletools
import zipfile
from pathlib import Path
from typing import BinaryIO

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of what torch.save wrote before PyTorch 1.6
PICKLES_BEFORE_CONTENT = 3  # magic number, protocol, system
MEMOIZE, STACK_GLOBAL = "MEMOIZE", "STACK_GLOBAL"


def pickled_names(path: str | Path) -> list[str] | None:
    """Classes and functions that the file's content is rebuilt from, e.g. ["posix.system"], in order.

    Takes files of torch.save, new (zip) and old, and plain pickles of every protocol. None where there is no whole
    pickle: another kind of file, or a truncated one.
    """
    try:
        with open(path, "rb") as file:
            if not zipfile.is_zipfile(file):
                file.seek(0)
                return _names_of_stream(file)
            with zipfile.ZipFile(file) as archive:
                name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
                return _names(archive.open(name))[0]
    except Exception:  # damaged bytes raise anything
        return None


def unsafe_name(names: list[str]) -> str | None:
    """The first name that a plain state dict has no use for."""
    return next((name for name in names if not _is_of_tensors(name)), None)


def is_plain_pickle(path: str | Path) -> bool:
    """Whether the file is a whole pickle that torch.save did not write, but e.g. pickle.dump."""
    try:
        with open(path, "rb") as file:
            return not zipfile.is_zipfile(file) and file.seek(0) == 0 and LEGACY_MAGIC not in _names(file)[1]
    except Exception:  # damaged bytes raise anything
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
    """Names that one pickle imports, and the plain values in it. ValueError where it does not end."""
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
