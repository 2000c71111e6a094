"""Human3.6M's positions and cameras, read from HDF5 and npz files."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from h36m_folders import h5_path, one_line, some_positions, write_table

from utils.human36m.actions import TEST_SUBJECTS
from utils.human36m.files import find_sequences, frame_path, load_motions, parse_name, write_positions
from utils.osutils import UserError
from utils.transform import H36M_SLOTS

SAMPLE = Path("../shared/data/h36m_sample")


# names


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        ("Walking 1", ("Walking", "Walking 1")),
        ("SittingDown", ("SittingDown", "SittingDown")),
        ("TakingPhoto 1", ("Photo", "Photo 1")),
        ("WalkingDog", ("WalkDog", "WalkDog")),
        ("_ALL 1", None),
        ("Walking one", None),
        ("Jumping", None),
    ],
)
def test_names_of_files(name, parsed):
    assert parse_name(name) == parsed


def test_frame_path():
    expected = Path("images/S9/Walking 1/54138969/000007.jpg")
    assert frame_path("images", 9, "Walking 1", "54138969", 7) == expected


def test_frames_of_the_real_sample_are_found():
    if not SAMPLE.is_dir():
        pytest.skip("../shared/data is not here")
    poses = np.load(SAMPLE / "poses.npz")
    fields = (poses[key].tolist() for key in ("subject", "action", "camera", "frame"))
    assert all(frame_path(SAMPLE / "images", *one).is_file() for one in zip(*fields, strict=True))


# the h5 form


def test_sequences_of_h5_files(folder):
    files = find_sequences(folder)
    found = [(one.subject, one.action, one.take, one.name, one.frames) for one in files.sequences]
    assert found == [
        (1, "Sitting", 1, "Sitting 1", 6),
        (1, "Sitting", 2, "Sitting 2", 7),
        (1, "SittingDown", 1, "SittingDown", 8),
        (1, "Walking", 1, "Walking", 5),
        (1, "Walking", 2, "Walking 1", 4),
        (9, "WalkDog", 1, "WalkDog 1", 9),
    ]
    assert (files.form, files.subjects, files.camera_table) == ("h5", (1, 9), folder / "cameras.h5")
    assert [one.name for one in files.select(actions=["Sitting"])] == ["Sitting 1", "Sitting 2"]
    assert [one.name for one in files.select(actions=["Walking"])] == ["Walking", "Walking 1"]
    assert [one.label for one in files.select(TEST_SUBJECTS)] == ["S9 WalkDog 1"]
    with pytest.raises(UserError, match="no sequence of S11 in Eating"):
        files.select([11], ["Eating"])


def test_positions_come_out_frame_by_joint_in_mm(folder):
    sequence = find_sequences(folder).select([9])[0]
    positions = load_motions([sequence])[0].positions
    assert (positions.shape, positions.dtype) == ((9, 32, 3), np.float32)
    np.testing.assert_array_equal(positions, some_positions(9, 5))
    with h5py.File(sequence.path) as file:
        assert file["3D_positions"].shape == (96, 9)
        assert file["3D_positions"][3 * 5 + 1, 2] == positions[2, 5, 1]


def test_a_subfolder_h36m_is_looked_into(folder, tmp_path_factory):
    outer = tmp_path_factory.mktemp("outer")
    (outer / "h36m").symlink_to(folder.resolve())
    assert len(find_sequences(outer).sequences) == 6


def test_frames_by_96_are_read_too(folder):
    path = h5_path(folder, 9, "WalkDog 1")
    with h5py.File(path, "w") as file:
        file["3D_positions"] = some_positions(9, 5).reshape(9, 96).astype(np.float64)
    np.testing.assert_array_equal(
        load_motions([find_sequences(folder).select([9])[0]])[0].positions, some_positions(9, 5)
    )


@pytest.mark.parametrize("shape", [(9, 17, 3), (51, 9), (96,), (96, 0), ()])
def test_another_shape_is_refused(folder, shape):
    with h5py.File(h5_path(folder, 9, "WalkDog 1"), "w") as file:
        file["3D_positions"] = np.ones(shape)
    with pytest.raises(UserError, match=r"WalkDog 1\.h5: 3D_positions has shape .*, not 96 × frames") as error:
        find_sequences(folder)
    one_line(error)


def test_a_file_without_positions_or_truncated_is_refused(folder):
    path = h5_path(folder, 9, "WalkDog 1")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"WalkDog 1\.h5: not a readable HDF5 file") as error:
        find_sequences(folder)
    one_line(error)
    with h5py.File(path, "w") as file:
        file["poses"] = np.ones(3)
    with pytest.raises(UserError, match="no dataset 3D_positions; it has poses"):
        find_sequences(folder)


@pytest.mark.parametrize(("scale", "said"), [(1e-3, "these are metres"), (0.1, "these are cm"), (100, "unit is wrong")])
def test_positions_in_another_unit_are_refused(folder, scale, said):
    write_positions(h5_path(folder, 9, "WalkDog 1"), scale * some_positions())
    with pytest.raises(UserError, match=rf"WalkDog 1\.h5: S9 WalkDog 1: .* expected mm: .*{said}") as error:
        load_motions(find_sequences(folder).sequences)
    one_line(error)


def test_frames_with_nan_are_dropped_and_counted_once(folder, capsys):
    damaged, others = some_positions(9, 5), some_positions(6, 2)
    damaged[0, 3], damaged[4, 3, 1] = np.nan, np.inf
    damaged[6, 31] = np.nan  # a slot that does not move, which nothing looks at
    others[5, 0, 2] = np.nan
    write_positions(h5_path(folder, 9, "WalkDog 1"), damaged)
    write_positions(h5_path(folder, 1, "Sitting 1"), others)
    motions = load_motions(find_sequences(folder).sequences, H36M_SLOTS)
    assert capsys.readouterr().err.splitlines() == [
        "warning: 3 frames with NaN dropped, in 2 of 6 sequences: S1 Sitting 1, S9 WalkDog 1"
    ]
    last = motions[-1]
    assert last.sequence.frames == 9
    assert last.frames.tolist() == [1, 2, 3, 5, 6, 7, 8]
    np.testing.assert_array_equal(last.positions, damaged[last.frames][:, H36M_SLOTS])
    assert motions[1].frames.tolist() == list(range(7))


def test_a_sequence_of_nan_alone_is_refused(folder):
    write_positions(h5_path(folder, 9, "WalkDog 1"), np.full((3, 32, 3), np.nan))
    with pytest.raises(UserError, match="S9 WalkDog 1 has no frame without NaN"):
        load_motions(find_sequences(folder).sequences)


def test_files_of_other_actions_are_named_and_left_out(folder, capsys):
    for name in ("Jumping", "_ALL 1"):
        write_positions(h5_path(folder, 1, name), some_positions())
    assert len(find_sequences(folder).sequences) == 6
    assert "not among the 15 actions: Jumping, _ALL 1" in capsys.readouterr().err


def test_one_sequence_under_two_spellings_is_refused(folder):
    write_positions(h5_path(folder, 9, "WalkingDog 1"), some_positions())
    with pytest.raises(UserError, match="S9 WalkDog 1 exists under two spellings"):
        find_sequences(folder)


# the npz form


def write_npz(folder, scale=1e-3, **changes):
    poses = {"S1": {"Walking 1": some_positions(4, 1) * scale, "TakingPhoto": some_positions(6, 2) * scale}, "S9": {}}
    np.savez_compressed(folder / "data_3d_h36m.npz", positions_3d=poses | changes)


def test_the_npz_form_becomes_mm(tmp_path):
    write_npz(tmp_path)
    write_table(tmp_path)
    files = find_sequences(tmp_path)
    assert [(one.label, one.frames) for one in files.sequences] == [("S1 Photo", 6), ("S1 Walking 1", 4)]
    positions = load_motions([files.sequences[1]])[0].positions
    assert (positions.shape, positions.dtype) == ((4, 32, 3), np.float32)
    np.testing.assert_allclose(positions, some_positions(4, 1), rtol=1e-5)
    assert len(files.cameras()) == 4


def test_an_npz_in_mm_is_refused(tmp_path):
    write_npz(tmp_path, scale=1)
    with pytest.raises(UserError, match="expected metres: these are mm") as error:
        load_motions(find_sequences(tmp_path).sequences)
    one_line(error)


@pytest.mark.parametrize(
    "odd", [{"Walking": np.ones((5, 17, 3))}, {"Walking": [1, 2]}, {"Walking": np.ones((5, 32, 3), int)}]
)
def test_an_npz_of_another_shape_is_refused(tmp_path, odd):
    write_npz(tmp_path, S5=odd)
    with pytest.raises(UserError, match=r"S5 Walking is .*, not frames × 32 × 3"):
        find_sequences(tmp_path)


def test_an_npz_of_something_else_is_refused(tmp_path):
    np.savez(tmp_path / "data_3d_h36m.npz", positions_3d=np.eye(3))
    with pytest.raises(UserError, match="holds no subject → action"):
        find_sequences(tmp_path)
    np.savez(tmp_path / "data_3d_h36m.npz", positions_2d=np.eye(3))
    with pytest.raises(UserError, match="no positions_3d; it has positions_2d"):
        find_sequences(tmp_path)


def test_an_npz_that_brings_code_is_refused(tmp_path):
    np.savez(tmp_path / "data_3d_h36m.npz", positions_3d={"S1": {"Walking": Path("a")}})
    with pytest.raises(UserError, match="positions_3d is not plain data: it asks for pathlib"):
        find_sequences(tmp_path)


# nothing there, cameras


def test_an_empty_or_missing_folder_says_how_to_get_the_data(tmp_path):
    with pytest.raises(
        UserError, match=r"no Human3\.6M poses; looked for .*vision\.imar\.ro.*--data_dir sample"
    ) as error:
        find_sequences(tmp_path)
    one_line(error)
    with pytest.raises(UserError, match="no such folder"):
        find_sequences(tmp_path / "nowhere")


def test_the_official_release_is_sent_to_the_converter(tmp_path):
    path = tmp_path / "S1" / "MyPoseFeatures" / "D3_Positions" / "Walking.cdf"
    path.parent.mkdir(parents=True)
    path.touch()
    with pytest.raises(UserError, match=r"python scripts/convert_h36m\.py"):
        find_sequences(tmp_path)


def test_a_missing_camera_or_table_is_named(folder):
    assert set(find_sequences(folder).cameras()) == {(s, n) for s in (1, 9) for n in (1, 2, 3, 4)}
    write_table(folder, without=[(9, 3), (5, 1)])
    with pytest.raises(UserError, match=r"cameras\.h5: no camera 3 of subject S9") as error:
        find_sequences(folder).cameras()
    one_line(error)
    (folder / "cameras.h5").unlink()
    with pytest.raises(
        UserError, match=r"no camera table beside the positions; scripts/convert_h36m\.py writes cameras\.h5"
    ):
        find_sequences(folder).cameras()


def test_the_real_layout_loads_whole(cmu):
    motions = load_motions(find_sequences(cmu).sequences, H36M_SLOTS)
    assert sum(len(motion.positions) for motion in motions) == 57_962
    assert all(motion.positions.shape[1:] == (17, 3) and motion.positions.dtype == np.float32 for motion in motions)
    # The hip is where people are: a metre above the floor, z up.
    assert 700 < np.median(np.concatenate([motion.positions[:, 0, 2] for motion in motions])) < 1200
