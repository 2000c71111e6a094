"""Names of Human3.6M's subjects and actions. No heavy imports: the command line checks `--action` with it."""

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
    """Parse action names, e.g. "Walking,Sitting", or "All" for all 15. Raises UserError for an unknown name."""
    try:
        return _selected(text)
    except ValueError as error:
        raise UserError(f"--action {error}") from None


def action_names(text: str) -> str:
    """Argument type for `--action`: returns `text` unchanged, and refuses an unknown name while parsing."""
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
