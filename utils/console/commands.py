"""Commands of this project as a user can paste them into a shell."""

import shlex
from collections.abc import Mapping
from typing import Any


def shell_command(entry: str, script: str, options: Mapping[str, Any]) -> str:
    """`python viz.py 2d_overlay --img_dir 'my photos'` for ("viz", "2d_overlay", {"img_dir": "my photos"}).

    A list or tuple gives an option several values; True gives a switch.
    """
    words = ["python", f"{entry}.py", script]
    for name, value in options.items():
        values = [] if value is True else value if isinstance(value, (list, tuple)) else [value]
        words += [f"--{name}", *map(str, values)]
    return shlex.join(words)
