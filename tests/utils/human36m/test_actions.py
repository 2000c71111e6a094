"""Names of subjects and actions, and what `--action` takes."""

import argparse

import pytest

from utils.human36m.actions import ACTIONS, TEST_SUBJECTS, TRAIN_SUBJECTS, action_names, select_actions
from utils.osutils import UserError


def test_subjects_and_actions():
    assert (TRAIN_SUBJECTS, TEST_SUBJECTS) == ((1, 5, 6, 7, 8), (9, 11))
    assert len(ACTIONS) == len(set(ACTIONS)) == 15


def test_actions_are_selected_by_exact_name():
    assert select_actions("Sitting") == ("Sitting",)
    assert select_actions("Walking, Sitting") == ("Sitting", "Walking")
    assert select_actions("All") == select_actions("all") == ACTIONS


@pytest.mark.parametrize(
    ("text", "near"), [("Sittin", "Sitting"), ("walking", "Walking"), ("Walking,Wating", "Waiting")]
)
def test_an_unknown_action_gets_the_nearest_name(text, near):
    with pytest.raises(UserError, match=f"did you mean {near}"):
        select_actions(text)


@pytest.mark.parametrize("text", ["", "All,Walking", "Walking,", "Walking 1"])
def test_other_text_is_no_action(text):
    with pytest.raises(UserError, match="no such action"):
        select_actions(text)


def test_the_argument_type_takes_the_same_text_and_gives_it_unchanged():
    assert action_names("Walking, Sitting") == "Walking, Sitting"
    with pytest.raises(argparse.ArgumentTypeError, match=r"^'Wating': no such action, did you mean Waiting\?"):
        action_names("Wating")
