"""Which of Human3.6M's poses the GAN is trained on, and which are held out to measure it.

"people" holds out S9 and S11, as everybody does. Where they move in other ways than the training people, even a
perfect model of these is far from those, hardly nearer than a crude one. "clips" then tells models apart: every
fourth sequence of the training people is held out, poses that were not seen of people that were.
"""

from collections.abc import Sequence

from utils.human36m.actions import TEST_SUBJECTS, TRAIN_SUBJECTS
from utils.human36m.files import Human36mFiles
from utils.human36m_dataset import PoseSet, load_pose_set
from utils.osutils import UserError

KINDS = ("people", "clips")
EVERY = 4  # a subject has 30 sequences: a divisor of 30 would hold out the same actions of everybody


def load_split(files: Human36mFiles, actions: Sequence[str], held_out: str) -> tuple[PoseSet, PoseSet]:
    """Training and held-out poses.

    Raises UserError: a part has no sequence of these actions.
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
    """In words for the user."""
    return "S9, S11" if held_out == "people" else "every fourth sequence of the training people"
