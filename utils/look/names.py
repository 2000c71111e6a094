"""Names of the styles and views of figures. Imports nothing heavy: the command line checks options with it."""

import argparse

STYLES = ("dark", "paper")
VIEW_NAMES = ("turned", "front", "side", "top")


def view_names(text: str) -> tuple[str, ...]:
    """Argument type for `--views`: names with commas between them, e.g. "front,side,top"."""
    names = tuple(name.strip() for name in text.split(","))
    unknown = [name for name in names if name not in VIEW_NAMES]
    if unknown or len(set(names)) < len(names):
        fault = f"{unknown[0]!r}: no such view" if unknown else f"{text!r}: names a view twice"
        raise argparse.ArgumentTypeError(f"{fault}; expected one or more of {','.join(VIEW_NAMES)}")
    return names
