"""The split of Human3.6M's poses into training and held-out poses.

"people" holds out S9 and S11, the usual split. If these people move differently from the training people, even a
perfect model of the training poses scores little better than a crude one. "clips" holds out every fourth sequence of
the training people instead: unseen poses of seen people.
"""

from collections.abc import Sequence

from utils.human36m.actions import TEST_SUBJECTS, TRAIN_SUBJECTS
from utils.human36m.files import Human36mFiles
from utils.human36m_dataset import PoseSet, load_pose_set
from utils.osutils import UserError

HELD_OUT_KINDS = ("people", "clips")
EVERY = 4  # not a divisor of 30, the sequences per subject: it would hold out the same actions for everyone


def load_split(files: Human36mFiles, actions: Sequence[str], held_out: str) -> tuple[PoseSet, PoseSet]:
    """Load training and held-out poses.

    Raises UserError if a part has no sequence of these actions.
    """
    training = load_pose_set(files, TRAIN_SUBJECTS, actions)
    if held_out == "people":
        return training, load_pose_set(files, TEST_SUBJECTS, actions)
    if len(training.sequences) < EVERY:
        raise UserError(
            f"--held_out clips: {len(training.sequences)} training sequences, and every fourth is held out; choose "
            "more with --action, or leave the option out"
        )
    chosen = training.sequence % EVERY == 0
    return training.frames(~chosen), training.frames(chosen)


def name_of(held_out: str) -> str:
    """The held-out poses in words, for messages."""
    return "S9, S11" if held_out == "people" else "every fourth sequence of the training people"
