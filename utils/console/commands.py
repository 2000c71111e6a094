"""Format commands of this project for pasting into a shell."""

import shlex
from collections.abc import Mapping
from typing import Any


def shell_command(entry: str, script: str, options: Mapping[str, Any]) -> str:
    """`python viz.py 2d_overlay --img_dir 'my photos'` for ("viz", "2d_overlay", {"img_dir": "my photos"}).

    A list or tuple becomes several values; True becomes a flag without a value.
    """
    words = ["python", f"{entry}.py", script]
    for name, value in options.items():
        values = [] if value is True else value if isinstance(value, (list, tuple)) else [value]
        words += [f"--{name}", *map(str, values)]
    return shlex.join(words)
