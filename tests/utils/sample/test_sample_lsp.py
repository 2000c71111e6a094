"""The sample in LSP's form: the people of the MPII sample, read by the loader of the real files."""

import json

import numpy as np
import pytest

from stacked_hourglass.annotations.lsp import load_lsp
from stacked_hourglass.annotations.mpii import load_mpii
from utils.sample.lsp import make_lsp
from utils.sample.sample_data import MAKERS, SampleMaker, ensure_sample, make_mpii
from utils.transform import LSP, MPII, joint_map


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("sample")
    make_mpii(root / "mpii", training=20, validation=8)
    make_lsp(root / "lsp", root / "mpii")
    return root / "lsp", root / "mpii"


def test_the_people_are_those_of_the_mpii_sample(folders):
    lsp, mpii = folders
    of_mpii = {
        path.read_bytes(): (people.joints[row], people.annotated[row], people.visible[row])
        for people in load_mpii(mpii)
        for row, path in enumerate(people.image_paths)
    }
    order = joint_map(MPII, LSP)
    training, validation = load_lsp(lsp)
    for people in (training, validation):
        for row, path in enumerate(people.image_paths):
            joints, annotated, visible = (values[order] for values in of_mpii[path.read_bytes()])
            np.testing.assert_array_equal(people.annotated[row], annotated)
            np.testing.assert_allclose(people.joints[row][annotated], joints[annotated], atol=1e-3)
            if people is validation:
                np.testing.assert_array_equal(people.visible[row], visible)


def test_the_parts_are_those_of_the_mpii_sample(folders):
    lsp, mpii = folders
    training, validation = load_lsp(lsp)
    entries = json.loads((mpii / "mpii_annotations.json").read_text())
    alone = [entry for entry in entries if entry["numOtherPeople"] == 0]
    pictures = {(mpii / "images" / entry["img_paths"]).read_bytes(): entry["isValidation"] for entry in alone}
    assert [pictures[path.read_bytes()] for path in training.image_paths] == [0.0] * len(training)
    assert [pictures[path.read_bytes()] for path in validation.image_paths] == [1.0] * len(validation)
    assert len(training) == sum(entry["isValidation"] == 0 for entry in alone)
    assert 4 <= len(validation) <= sum(entry["isValidation"] == 1 for entry in alone)
    assert validation.annotated.all()
    assert {path.parents[1].name for path in training.image_paths} == {"lsp", "lspet"}


def test_made_from_the_mpii_sample_which_is_made_first(monkeypatch, tmp_path, capsys):
    def make(folder, training, validation, seed, workers):
        make_mpii(folder, training, validation, seed, workers=1)

    monkeypatch.setitem(MAKERS, "mpii", SampleMaker(make, version=7, training=4, validation=2))
    folder = ensure_sample("lsp", tmp_path / "data")
    assert folder == tmp_path / "data" / "lsp"
    assert len(load_lsp(folder)[1]) == 1
    rendering, arranging = capsys.readouterr().out.splitlines()
    assert rendering.startswith(f"rendering sample data into {tmp_path / 'data' / 'mpii'}")
    assert arranging.startswith(f"arranging sample data in {folder}: the people of {tmp_path / 'data' / 'mpii'} ... ")
    assert ensure_sample("lsp", tmp_path / "data") == folder
    assert capsys.readouterr().out == ""
