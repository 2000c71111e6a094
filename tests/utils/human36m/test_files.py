import importlib.util
import sys
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch

from utils.camera_utils import CAMERA_NAMES, Camera, write_cameras_h5
from utils.human36m.actions import ACTIONS, SUBJECTS, TEST_SUBJECTS
from utils.human36m.files import (
    JOINTS,
    detection_path,
    find_sequences,
    frame_path,
    load_detections,
    load_motions,
    parse_name,
    write_positions,
)
from utils.human36m.report import report, table
from utils.osutils import UserError
from utils.transform import H36M_SLOTS

CMU = Path("../shared/data/cmu_h36m_layout")
SAMPLE = Path("../shared/data/h36m_sample")


def some_positions(frames=5, seed=0):
    """(frames, 32, 3) mm: joints strewn through a body's box at some place in the room."""
    random = np.random.default_rng(seed)
    place = random.uniform(-2000, 2000, (frames, 1, 3))
    return (place + random.uniform(-600, 600, (frames, JOINTS, 3))).astype(np.float32)


def h5_path(folder, subject, name):
    return folder / f"S{subject}" / "MyPoses" / "3D_positions" / f"{name}.h5"


def a_camera(name):
    f = torch.tensor([1000.0, 1000.0], dtype=torch.float64)
    zeros = torch.zeros(3, dtype=torch.float64)
    return Camera(torch.eye(3, dtype=torch.float64), zeros, f, f, zeros, zeros[:2], name)


def write_table(folder, subjects=SUBJECTS, without=()):
    keys = [(s, n) for s in subjects for n in (1, 2, 3, 4) if (s, n) not in without]
    write_cameras_h5(folder / "cameras.h5", {key: a_camera(CAMERA_NAMES[key[1] - 1]) for key in keys})


@pytest.fixture
def folder(tmp_path):
    """S1 with both takes of Walking and Sitting and one of SittingDown; S9 with one WalkDog."""
    names = [(1, "Walking 1"), (1, "Walking"), (1, "Sitting 1"), (1, "Sitting 2"), (1, "SittingDown"), (9, "WalkDog 1")]
    for seed, (subject, name) in enumerate(names):
        write_positions(h5_path(tmp_path, subject, name), some_positions(4 + seed, seed))
    write_table(tmp_path)
    return tmp_path


@pytest.fixture
def cmu():
    if not CMU.is_dir():
        pytest.skip("../shared/data is not here")
    return CMU


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


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
    spoilt, others = some_positions(9, 5), some_positions(6, 2)
    spoilt[0, 3], spoilt[4, 3, 1] = np.nan, np.inf
    spoilt[6, 31] = np.nan  # a slot that does not move, which nothing looks at
    others[5, 0, 2] = np.nan
    write_positions(h5_path(folder, 9, "WalkDog 1"), spoilt)
    write_positions(h5_path(folder, 1, "Sitting 1"), others)
    motions = load_motions(find_sequences(folder).sequences, H36M_SLOTS)
    assert capsys.readouterr().err.splitlines() == [
        "warning: 3 frames with NaN dropped, in 2 of 6 sequences: S1 Sitting 1, S9 WalkDog 1"
    ]
    last = motions[-1]
    assert last.sequence.frames == 9
    assert last.frames.tolist() == [1, 2, 3, 5, 6, 7, 8]
    np.testing.assert_array_equal(last.positions, spoilt[last.frames][:, H36M_SLOTS])
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


# nothing there, cameras, report


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
    files = find_sequences(folder)
    assert set(files.cameras()) == {(s, n) for s in (1, 9) for n in (1, 2, 3, 4)}
    write_table(folder, without=[(9, 3), (5, 1)])
    with pytest.raises(UserError, match=r"cameras\.h5: no camera 3 of subject S9") as error:
        files.cameras()
    one_line(error)
    (folder / "cameras.h5").unlink()
    with pytest.raises(
        UserError, match=r"no camera table beside the positions; scripts/convert_h36m\.py writes cameras\.h5"
    ):
        find_sequences(folder).cameras()


def test_the_report_shows_what_is_there_and_what_is_missing(folder):
    lines = report(find_sequences(folder)).splitlines()
    assert lines[0] == f"{folder}: 6 sequences, 39 frames, h5 format"
    rows = {line.split()[0]: line.split()[1:] for line in lines[1:18]}
    assert rows["action"] == ["S1", "S5", "S6", "S7", "S8", "S9", "S11"]
    assert rows["Walking"] == ["9", "-", "-", "-", "-", "-", "-"]
    assert rows["Sitting"][0] == "13"
    assert rows["SittingDown"][:2] == ["8", "(1)"]
    assert rows["all"] == ["30", "0", "0", "0", "0", "9", "0"]
    assert lines[19].startswith("missing 204 of 210 sequences: S1: Directions, ")
    assert "one SittingDown" in lines[19]
    assert "S5: everything; S6: everything" in lines[19]
    assert "convert_h36m.py" in lines[20]
    assert lines[21] == f"cameras: 8 from {folder / 'cameras.h5'}"


def test_a_complete_folder_is_reported_in_one_line(tmp_path):
    for subject, action, take in product(SUBJECTS, ACTIONS, (1, 2)):
        write_positions(h5_path(tmp_path, subject, f"{action} {take}"), some_positions(2))
    write_table(tmp_path)
    line = f"Human3.6M in {tmp_path}: 7 subjects, 15 actions, 210 sequences, 420 frames"
    assert report(find_sequences(tmp_path)) == line
    h5_path(tmp_path, 11, "Directions 2").unlink()
    shorter = line.replace("210 sequences, 420", "209 sequences, 418")
    assert report(find_sequences(tmp_path)) == f"{shorter}; missing: one of S11's two Directions, as in many copies"
    (tmp_path / "cameras.h5").unlink()
    text = report(find_sequences(tmp_path))
    assert "no camera table" in text.splitlines()[-1]
    assert len(text.splitlines()) > 15


# detected 2D poses


def write_detections(folder, subject, file_name, poses):
    path = folder / f"S{subject}" / "StackedHourglass" / file_name
    path.parent.mkdir(exist_ok=True)
    with h5py.File(path, "w") as file:
        file["poses"] = poses


@pytest.mark.parametrize("file_name", ["WalkDog 1.54138969.h5", "WalkDog_1.54138969.h5", "WalkingDog_1.54138969.h5"])
def test_detections_are_found_by_sequence_and_camera(folder, file_name):
    poses = np.random.default_rng(0).uniform(0, 1000, (9, 16, 2))
    write_detections(folder, 9, file_name, poses)
    files = find_sequences(folder)
    sequence = files.select([9])[0]
    assert detection_path(files, sequence, "55011271") is None
    detections = load_detections(files, sequence, "54138969")
    assert detections.dtype == np.float32
    np.testing.assert_array_equal(detections, poses.astype(np.float32))
    with pytest.raises(UserError, match=r"WalkDog 1\.55011271\.h5: no detected 2D poses of S9 WalkDog 1"):
        load_detections(files, sequence, "55011271")


@pytest.mark.parametrize("poses", [np.ones((8, 16, 2)), np.ones((9, 17, 2)), np.ones((9, 32))])
def test_detections_of_another_shape_are_refused(folder, poses):
    write_detections(folder, 9, "WalkDog 1.54138969.h5", poses)
    files = find_sequences(folder)
    with pytest.raises(UserError, match="not 9 frames × 16 × 2"):
        load_detections(files, files.select([9])[0], "54138969")


# real files


def test_the_real_layout_is_complete_and_counts_agree(cmu):
    files = find_sequences(cmu)
    assert len(files.sequences) == 210
    counts = {s: sum(one.frames for one in files.select([s])) for s in SUBJECTS}
    assert counts == {1: 13_269, 5: 12_179, 6: 12_038, 7: 5_275, 8: 3_674, 9: 5_526, 11: 6_001}
    assert {one.name for one in files.select([7], ["Walking"])} == {"Walking", "Walking 1"}
    line = f"Human3.6M in {cmu}: 7 subjects, 15 actions, 210 sequences, 57,962 frames"
    assert report(files) == line
    text = table(files)
    assert "complete: 7 subjects × 15 actions × 2" in text
    assert "210 sequences, 57,962 frames" in text
    assert "cameras: 28" in text


def test_the_real_layout_loads_whole(cmu):
    motions = load_motions(find_sequences(cmu).sequences, H36M_SLOTS)
    assert sum(len(motion.positions) for motion in motions) == 57_962
    assert all(motion.positions.shape[1:] == (17, 3) and motion.positions.dtype == np.float32 for motion in motions)
    # The hip is where people are: a metre above the floor, z up.
    assert 700 < np.median(np.concatenate([motion.positions[:, 0, 2] for motion in motions])) < 1200


def test_the_real_layout_without_a_directions_names_the_known_gap(cmu, tmp_path):
    for subject in SUBJECTS:
        source = h5_path(cmu, subject, "x").parent.resolve()
        target = h5_path(tmp_path, subject, "x").parent
        target.mkdir(parents=True)
        for path in source.iterdir():
            if (subject, path.stem) != (11, "Directions"):
                (target / path.name).symlink_to(path)
    (tmp_path / "cameras.h5").symlink_to((cmu / "cameras.h5").resolve())
    files = find_sequences(tmp_path)
    assert [one.name for one in files.select([11], ["Directions"])] == ["Directions 1"]
    assert report(files).endswith("frames; missing: one of S11's two Directions, as in many copies")
    assert "complete except one of S11's two Directions" in table(files)


# the converter


@pytest.fixture
def converter():
    specification = importlib.util.spec_from_file_location("convert_h36m", "scripts/convert_h36m.py")
    module = importlib.util.module_from_spec(specification)
    path = list(sys.path)
    specification.loader.exec_module(module)
    sys.path[:] = path
    return module


@pytest.fixture
def release(tmp_path):
    """A folder laid out like the release; `.cdf` files are .npy of the variable Pose, which a stand-in reads."""
    release = tmp_path / "release"
    for number, (subject, name) in enumerate([(1, "TakingPhoto 1"), (1, "_ALL"), (9, "Walking"), (2, "Eating")]):
        for kind in ("D3_Positions", "D3_Positions_mono"):
            path = release / f"S{subject}" / "MyPoseFeatures" / kind / f"{name}.cdf"
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                np.save(file, some_positions(4 + number, number).reshape(1, -1, 96))
    numbers = [0, 0, 0, 1, 2, 3] * 44 + [1100, 1100, 500, 500, 0.1, 0.2, 0.3, 0.4, 0.5] * 4
    (release / "metadata.xml").write_text(f"<a><w0>[{' '.join(map(str, numbers))}]</w0></a>")
    return release


class CDF:
    """Stands in for `cdflib.CDF`."""

    def __init__(self, path):
        self.path = path

    def varget(self, name):
        assert name == "Pose"
        return np.load(self.path)


def run(converter, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["convert_h36m.py", *map(str, arguments)])
    converter.main()


def test_the_release_is_converted(converter, release, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cdflib", SimpleNamespace(CDF=CDF))
    run(converter, monkeypatch, release, "--output_dir", tmp_path / "h36m")
    written = capsys.readouterr()
    assert "2 sequences, 10 frames and 28 cameras" in written.out
    assert "2 files left out" in written.err
    files = find_sequences(tmp_path / "h36m")
    assert [one.label for one in files.sequences] == ["S1 Photo 1", "S9 Walking"]
    np.testing.assert_array_equal(load_motions([files.sequences[0]])[0].positions, some_positions(4, 0))
    assert files.cameras()[9, 4].T.tolist() == [1, 2, 3]


def test_the_converter_ends_in_one_line(converter, release, tmp_path, monkeypatch, capsys):
    def error(*arguments):
        with pytest.raises(SystemExit) as stop:
            run(converter, monkeypatch, *arguments, "--output_dir", tmp_path / "h36m")
        assert stop.value.code == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        return lines[0]

    monkeypatch.setitem(sys.modules, "cdflib", None)
    assert "pip install cdflib" in error(release)
    monkeypatch.setitem(sys.modules, "cdflib", SimpleNamespace(CDF=CDF))
    (release / "S1" / "MyPoseFeatures" / "D3_Positions" / "TakingPhoto 1.cdf").write_bytes(b"")
    assert "TakingPhoto 1.cdf: no readable Pose" in error(release)
    assert "no S*/MyPoseFeatures/D3_Positions" in error(tmp_path / "empty", "--metadata", release / "metadata.xml")
    assert not (tmp_path / "h36m").exists()


def test_real_cdf_files_are_read(converter, tmp_path):
    cdflib = pytest.importorskip("cdflib")
    path = tmp_path / "Walking.cdf"
    writer = cdflib.cdfwrite.CDF(path)
    specification = {"Variable": "Pose", "Data_Type": 21, "Num_Elements": 1, "Rec_Vary": True, "Dim_Sizes": [5, 96]}
    writer.write_var(specification, var_data=some_positions().reshape(1, 5, 96))
    writer.close()
    np.testing.assert_array_equal(converter.read_cdf(path), some_positions())
