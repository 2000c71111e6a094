"""Leeds Sports Pose and its extended set: layouts, halves, flags and crops."""

from pathlib import Path

import numpy as np
import pytest
from lsp_files import make
from scipy.io import savemat

from stacked_hourglass.annotations.lsp import load_lsp
from stacked_hourglass.annotations.mpii import load_mpii
from utils.osutils import UserError
from utils.transform import LSP

SHARED = Path(__file__).parents[3].parent / "shared" / "data"


def names(people):
    return [path.name for path in people.image_paths]


def test_lsp_alone(tmp_path, capsys):
    flags = np.zeros((14, 4))
    flags[LSP.index("r_knee"), 3] = 1  # occluded
    training, validation = load_lsp(make(tmp_path, 4, extended=False, flags=flags))
    assert names(training) == ["im0001.jpg", "im0002.jpg"]
    assert names(validation) == ["im0003.jpg", "im0004.jpg"]
    assert validation.annotated.all()
    assert np.argwhere(~validation.visible).tolist() == [[1, LSP.index("r_knee")]]
    np.testing.assert_array_equal(validation.joints[0, :2], [[20, 0], [21, 2]])  # zero-based
    # Joints span 13 × 26 px about (26.5, 13).
    np.testing.assert_allclose(validation.center[0], [26.5, 13])
    np.testing.assert_allclose(validation.side, 1.25 * 1.05 * 26)
    np.testing.assert_allclose(validation.head_size, np.sqrt(1 + 4))  # neck to head top
    assert validation.source == (tmp_path / "joints.mat",)
    assert capsys.readouterr().err == ""


def test_extended_alone_has_a_split_of_its_own(tmp_path, capsys):
    flags = np.ones((14, 31))
    flags[LSP.index("neck"), 1] = 0
    training, validation = load_lsp(make(tmp_path, 31, extended=True, flags=flags))
    assert names(validation) == ["im00001.jpg", "im00016.jpg", "im00031.jpg"]
    assert len(training) == 28
    assert not set(names(training)) & set(names(validation))
    assert capsys.readouterr().err.count("not a published split") == 1
    assert np.flatnonzero(~training.annotated[0]).tolist() == [LSP.index("neck")]
    np.testing.assert_array_equal(training.visible, training.annotated)
    assert np.isnan(training.head_size[0])
    assert np.isfinite(training.head_size[1:]).all()


@pytest.mark.parametrize(("first", "second"), [("lsp", "lspet"), ("z_original", "a_extended")])
def test_both_together(tmp_path, capsys, first, second):
    make(tmp_path / first, 4, extended=False)
    make(tmp_path / second, 3, extended=True)
    training, validation = load_lsp(tmp_path)
    assert names(training) == ["im0001.jpg", "im0002.jpg", "im00001.jpg", "im00002.jpg", "im00003.jpg"]
    assert names(validation) == ["im0003.jpg", "im0004.jpg"]
    assert len(training.joints) == len(training.side) == len(training.annotated) == 5
    assert set(training.source) == {tmp_path / first / "joints.mat", tmp_path / second / "joints.mat"}
    assert capsys.readouterr().err == ""


def test_joints_that_are_not_annotated_do_not_change_the_crop(tmp_path):
    flags = np.ones((14, 3))
    flags[0] = 0
    folder = make(tmp_path, 3, extended=True, flags=flags)
    plain = load_lsp(folder)[0]
    j, n = np.meshgrid(np.arange(14.0), np.arange(3), indexing="ij")
    values = np.stack([10 * n + j + 1, 2 * j + 1, flags], axis=1)
    values[0, :2] = np.nan
    savemat(folder / "joints.mat", {"joints": values})
    training = load_lsp(folder)[0]
    np.testing.assert_array_equal(training.side, plain.side)
    np.testing.assert_array_equal(training.center, plain.center)


def test_photos_without_a_crop_are_dropped(tmp_path, capsys):
    flags = np.ones((14, 32))
    flags[:, 1] = 0  # nothing annotated
    flags[1:, 2] = 0  # one joint
    training, _ = load_lsp(make(tmp_path, 32, extended=True, flags=flags))
    assert names(training)[0] == "im00004.jpg"
    assert "2 of 29 training photos dropped" in capsys.readouterr().err


def test_absent_photos(tmp_path, capsys):
    make(tmp_path, 4, extended=False)
    (tmp_path / "images" / "im0001.jpg").unlink()
    (tmp_path / "images" / "im0004.jpg").unlink()
    training, validation = load_lsp(tmp_path)
    assert names(training) == ["im0002.jpg"]
    assert len(validation) == 2
    errors = capsys.readouterr().err
    assert "1 of 2 training people dropped" in errors
    assert "1 of 2 validation people have no photo" in errors
    for path in (tmp_path / "images").iterdir():
        path.unlink()
    with pytest.raises(UserError, match="none of the photos"):
        load_lsp(tmp_path)


def test_bad_input(tmp_path):
    with pytest.raises(UserError, match="nowhere: no such folder"):
        load_lsp(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"no joints\.mat"):
        load_lsp(tmp_path)
    path = tmp_path / "joints.mat"
    path.write_bytes(b"not MATLAB at all")
    with pytest.raises(UserError, match="no readable array 'joints'"):
        load_lsp(tmp_path)
    savemat(path, {"other": np.zeros(3)})
    with pytest.raises(UserError, match="no readable array 'joints'"):
        load_lsp(tmp_path)
    savemat(path, {"joints": np.zeros((16, 3, 5))})
    with pytest.raises(UserError, match="joints is 16 × 3 × 5; expected 3 × 14"):
        load_lsp(tmp_path)
    values = np.ones((3, 14, 5))
    values[0, 3, 2] = np.inf
    savemat(path, {"joints": values})
    with pytest.raises(UserError, match=r"photo 3 \(from 1\)"):
        load_lsp(tmp_path)


def test_the_same_set_twice(tmp_path):
    make(tmp_path / "lsp", 2, extended=False)
    make(tmp_path / "lsp_small", 2, extended=False)
    with pytest.raises(UserError, match="LSP exists twice"):
        load_lsp(tmp_path)


def test_crops_reproduce_those_of_the_same_photos_in_mpii_form():
    if not (SHARED / "lspet").is_dir():
        pytest.skip("../shared/data is not here")

    def crops(parts):
        rows = zip(
            [path.name for people in parts for path in people.image_paths],
            np.concatenate([np.column_stack([people.center, people.side]) for people in parts]),
            strict=True,
        )
        return np.stack([crop for _, crop in sorted(rows, key=lambda row: row[0])])

    ours, theirs = crops(load_lsp(SHARED / "lspet")), crops(load_mpii(SHARED / "lspet_as_mpii"))
    assert ours.shape == theirs.shape == (6000, 3)
    np.testing.assert_allclose(ours[:, :2], theirs[:, :2], atol=0.002)
    np.testing.assert_allclose(ours[:, 2], theirs[:, 2], atol=0.013)  # the scale there has 4 decimals: × 250 px
