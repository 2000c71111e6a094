"""Format commands of this project for pasting into a shell."""

import shlex
from collections.abc import Mapping
from typing import Any


def shell_command(entry: str, script: str, values: Mapping[str, Any]) -> str:
    """`python viz.py 2d_overlay --img_dir 'my photos'` for ("viz", "2d_overlay", {"img_dir": "my photos"}).

    A list or tuple becomes several words; True becomes a flag without a value.
    """
    words = ["python", f"{entry}.py", script]
    for name, value in values.items():
        several = value if isinstance(value, (list, tuple)) else [value]
        words += [f"--{name}", *(() if value is True else map(str, several))]
    return shlex.join(words)
