"""scripts/figures.py: each committed picture has a recipe, and each command of a recipe exists."""

import pytest
from command_line import ROOT, load_script

from options import GROUPS, SCRIPTS

RECIPES = load_script("scripts", "figures").RECIPES


def test_each_committed_picture_has_a_recipe():
    committed = {path.name for path in (ROOT / "docs/images").iterdir()}
    assert committed == set(RECIPES), "a picture of README.md or docs/ is made by scripts/figures.py"


@pytest.mark.parametrize("name", RECIPES)
def test_commands_exist_and_take_their_options(name):
    for program, script, *arguments in RECIPES[name].commands:
        if program.startswith("scripts/"):
            assert (ROOT / program).is_file()
            continue
        taken = {option.name for _, option in SCRIPTS[program.removesuffix(".py")][script].options(GROUPS)}
        assert {word.removeprefix("--") for word in arguments if word.startswith("--")} <= taken
