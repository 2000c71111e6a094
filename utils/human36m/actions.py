"""The names of Human3.6M's subjects and actions. Imports nothing heavy: the command line checks `--action` with it."""

import argparse

from utils.osutils import UserError, suggestion

TRAIN_SUBJECTS = (1, 5, 6, 7, 8)
TEST_SUBJECTS = (9, 11)
SUBJECTS = TRAIN_SUBJECTS + TEST_SUBJECTS
ACTIONS = (
    "Directions", "Discussion", "Eating", "Greeting", "Phoning", "Photo", "Posing", "Purchases", "Sitting",
    "SittingDown", "Smoking", "Waiting", "WalkDog", "Walking", "WalkTogether",
)  # fmt: skip


def select_actions(text: str) -> tuple[str, ...]:
    """The actions of "Walking,Sitting" by their exact names, or all 15 for "All". Raises UserError for another name."""
    try:
        return _selected(text)
    except ValueError as error:
        raise UserError(f"--action {error}") from None


def action_names(text: str) -> str:
    """`text` unchanged: an argument type for `--action`, which refuses a wrong name before any work is done."""
    try:
        _selected(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _selected(text: str) -> tuple[str, ...]:
    names = [name.strip() for name in text.split(",")]
    if names in (["All"], ["all"]):
        return ACTIONS
    for name in names:
        if name not in ACTIONS:
            near = suggestion(name, ACTIONS)
            raise ValueError(f"{name!r}: no such action{near}; expected All, or one or more of {', '.join(ACTIONS)}")
    return tuple(action for action in ACTIONS if action in names)
