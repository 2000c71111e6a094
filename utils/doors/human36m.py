"""What scripts on Human3.6M's poses do first."""

from argparse import Namespace

from utils.human36m.actions import select_actions
from utils.human36m.files import Human36mFiles, find_sequences
from utils.human36m.report import report


def chosen_sequences(options: Namespace) -> tuple[Human36mFiles, tuple[str, ...]]:
    """The sequences in `--data_dir`, after a printed report of them, and the actions that `--action` names.

    Raises UserError for an unknown action, and for a folder without Human3.6M poses.
    """
    actions, files = select_actions(options.action), find_sequences(options.data_dir)
    print(report(files))
    return files, actions
