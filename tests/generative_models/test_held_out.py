"""Which poses the GAN is trained on and which are held out."""

import pytest
import torch

from generative_models.held_out import EVERY, load_split, name_of
from utils.human36m.actions import ACTIONS, TRAIN_SUBJECTS
from utils.human36m.files import find_sequences
from utils.osutils import UserError


def names(part) -> set[tuple[int, str]]:
    return {(part.sequences[i].subject, part.sequences[i].name) for i in part.sequence.unique().tolist()}


def test_people_are_s9_and_s11(tiny_h36m):
    training, held_out = load_split(find_sequences(tiny_h36m), ACTIONS, "people")
    assert {subject for subject, _ in names(training)} == set(TRAIN_SUBJECTS)
    assert {subject for subject, _ in names(held_out)} == {9, 11}


def test_clips_are_every_fourth_sequence_of_the_training_people(tiny_h36m):
    files = find_sequences(tiny_h36m)
    everything, _ = load_split(files, ACTIONS, "people")
    training, held_out = load_split(files, ACTIONS, "clips")
    assert names(training) | names(held_out) == names(everything)
    assert not names(training) & names(held_out)
    assert len(names(held_out)) == -(len(everything.sequences) // -EVERY)
    held_out_of = {subject: {name for who, name in names(held_out) if who == subject} for subject in TRAIN_SUBJECTS}
    assert len(set(map(frozenset, held_out_of.values()))) > 1  # other actions of other people
    both = torch.cat([training.world, held_out.world])
    assert both.sum(dtype=torch.float64) == pytest.approx(everything.world.sum(dtype=torch.float64).item())
    assert len(training.row) == len(training.world) == len(training.first_camera)


def test_too_few_sequences_to_hold_out_a_fourth(tiny_h36m, tmp_path):
    (tmp_path / "S1" / "MyPoses").mkdir(parents=True)
    (tmp_path / "S1" / "MyPoses" / "3D_positions").symlink_to(tiny_h36m / "S1" / "MyPoses" / "3D_positions")
    (tmp_path / "cameras.h5").symlink_to(tiny_h36m / "cameras.h5")
    with pytest.raises(UserError, match="--held_out clips: 2 training sequences"):
        load_split(find_sequences(tmp_path), ["Walking"], "clips")


def test_the_split_is_described_in_words():
    assert name_of("people") == "S9, S11"
    assert name_of("clips") == "every fourth sequence of the training people"
