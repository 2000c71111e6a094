"""`run.py convert --to bvh trc c3d`, read back by bvhio, trc-data-reader and c3d."""

import re
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from command_line import ROOT, call, files
from predictions_folder import CLIP, FPS, STANDING, clip_folder, photo_folder, pose_of
from scipy.spatial.transform import Rotation

from utils.formats.bvh import BVH_BONES, angles, text, with_rest_lengths
from utils.formats.people import Person
from utils.formats.sequences import UP, filled
from utils.predictions.prediction_files import load_predictions, save_metas, save_predictions
from utils.transform import H36M, H36M_SLOTS

MOTION_CAPTURE = ROOT.parent / "shared/data/cmu_h36m_layout"
NAMES = [f"clip_person{number}" for number in (0, 1)]


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    pytest.importorskip("ezc3d", reason="pip install ezc3d")
    folder = clip_folder(tmp_path_factory.mktemp("clip"))
    result = call("run", "convert", "--data_dir", folder, "--to", "bvh", "trc", "c3d")
    warnings = result.warnings()
    assert len(warnings) == 3
    assert "bvh: 1 frame without a pose between a person's first and last: filled linearly" in warnings[0]
    assert "trc: 1 frame without a pose between a person's first and last: left as gaps" in warnings[1]
    return folder / "converted"


def test_one_file_per_person(converted):
    assert files(converted) == sorted(f"{name}.{kind}" for name in NAMES for kind in ("bvh", "trc", "c3d"))


def expected(track, frame):
    """mm, y up."""
    return pose_of(track, frame).double().numpy() @ UP


# ------------------------------------------------------------------------------------------ BVH
def person(poses, rate=FPS):
    """A person with poses (T, 17, 3) mm in camera coordinates."""
    count = len(poses)
    rows = np.arange(count)
    return Person("a", ("a",) * count, "a", 0, rows, rows / rate, rate, poses=np.asarray(poses, np.float64))


def random_poses(count, seed=0):
    """(count, 17, 3) mm: every bone in any direction, 100 to 300 mm long throughout; the hips walk."""
    generator = np.random.default_rng(seed)
    poses = np.zeros((count, len(H36M), 3))
    poses[:, 0] = generator.normal(size=(count, 3)).cumsum(axis=0) * 50
    for number, (a, b) in enumerate(H36M.bone_indices):
        vectors = Rotation.random(count, rng=generator).apply([100 + 12 * number, 0, 0])
        poses[:, b] = poses[:, a] + vectors
    return poses


def positions_by_bvhio(path):
    """(T, 17, 3) mm of the file's joints and end sites, in the order of `H36M`."""
    bvhio = pytest.importorskip("bvhio", reason="pip install bvhio")
    content = bvhio.readAsBvh(str(path))
    tips = {joint.Name: np.linalg.norm(list(joint.EndSite)) for joint, *_ in content.Root.layout()}
    root = bvhio.convertBvhToHierarchy(content.Root)
    joints = {joint.Name: joint for joint, *_ in root.layout()}
    found = np.full((content.FrameCount, len(H36M), 3), np.nan)
    for frame in range(content.FrameCount):
        root.loadPose(frame, recursive=True)
        for bone in BVH_BONES:
            joint = joints[bone.name]
            found[frame, H36M.index(bone.start)] = list(joint.PositionWorld)
            if not joint.Children:  # bvhio's joints have their y along the bone
                tip = np.array(list(joint.PositionWorld)) + tips[bone.name] * np.array(list(joint.UpWorld))
                found[frame, H36M.index(bone.end)] = tip
    return 10 * found


def test_positions_come_back(tmp_path):
    poses = random_poses(12)
    (tmp_path / "a.bvh").write_text(text(person(poses)))
    np.testing.assert_allclose(positions_by_bvhio(tmp_path / "a.bvh"), poses @ UP, atol=0.1)


@pytest.mark.skipif(not MOTION_CAPTURE.is_dir(), reason="no motion capture in ../shared/data")
def test_positions_of_motion_capture_come_back_to_1_mm(tmp_path):
    """Once bones have one length. z is up in these files."""
    import h5py

    for path in sorted(MOTION_CAPTURE.glob("S9/MyPoses/3D_positions/*.h5"))[:4]:
        with h5py.File(path) as file:
            poses = file["3D_positions"][:, ::25].T.reshape(-1, 32, 3)[:, list(H36M_SLOTS)]
        poses = poses[..., [0, 2, 1]] * (1, -1, 1)  # y down
        (tmp_path / "a.bvh").write_text(text(person(poses)))
        found = positions_by_bvhio(tmp_path / "a.bvh")
        assert np.abs(found - with_rest_lengths(poses) @ UP).max() < 1


def test_changing_lengths_become_their_median(tmp_path):
    poses = np.stack([pose_of(0, 0).numpy() * size for size in (0.9, 1, 1.3)])
    (tmp_path / "a.bvh").write_text(text(person(poses)))
    found = positions_by_bvhio(tmp_path / "a.bvh")
    shape = (poses[1] - poses[1, :1]) @ UP
    np.testing.assert_allclose(found - found[:, :1], np.broadcast_to(shape, found.shape), atol=0.1)
    np.testing.assert_allclose(found[:, 0], poses[:, 0] @ UP, atol=0.1)


def test_a_t_pose_has_no_rotations():
    """A T pose facing the camera; only the head leans forward."""
    standing = pose_of(0, 0).numpy()[None]
    found = dict(zip((bone.name for bone in BVH_BONES), angles(filled(standing) @ UP), strict=True))
    for name, degrees in found.items():
        if name not in ("Neck", "Head"):
            np.testing.assert_allclose(degrees, 0, atol=1e-6, err_msg=name)
    assert found["Neck"][0] == pytest.approx([0, np.rad2deg(np.arctan2(80, 100)), 0])


def test_a_turning_person_does_not_spin_back():
    turns = Rotation.from_euler("y", np.arange(0, 720, 20)[:, None], degrees=True)
    poses = STANDING.numpy() @ turns.as_matrix().swapaxes(1, 2)
    hips = angles(poses @ UP)[0]
    assert np.abs(np.diff(hips, axis=0)).max() == pytest.approx(20)


def test_the_file_has_what_blenders_importer_expects(converted):
    """One root, known channel names in any order, and one row of all channel values per frame."""
    content = (converted / f"{NAMES[0]}.bvh").read_text()
    assert content.count("ROOT ") == 1
    channels = [line.split()[1:] for line in content.splitlines() if "CHANNELS" in line]
    assert channels[0] == ["6", "Xposition", "Yposition", "Zposition", "Zrotation", "Xrotation", "Yrotation"]
    assert all(one == ["3", "Zrotation", "Xrotation", "Yrotation"] for one in channels[1:])
    motion = content.partition("MOTION\n")[2].splitlines()
    assert motion[:2] == ["Frames: 4", "Frame Time: 0.04000000"]
    assert {len(row.split()) for row in motion[2:]} == {6 + 3 * (len(channels) - 1)}
    assert len(motion) == 6
    assert content.count("{") == content.count("}") == len(BVH_BONES) + content.count("End Site")
    names = re.findall(r"(?:ROOT|JOINT) (\w+)", content)
    assert sorted(names) == sorted({bone.name for bone in BVH_BONES})


def test_missing_frames_are_filled_linearly():
    poses = random_poses(5)
    holes = poses.copy()
    holes[[0, 2]], holes[4, 3, 1] = np.nan, np.nan
    found = filled(holes)
    np.testing.assert_allclose(found, [poses[1], poses[1], (poses[1] + poses[3]) / 2, poses[3], poses[3]])


# ------------------------------------------------------------------------------------------ TRC and C3D
@pytest.mark.parametrize("track", [0, 1])
def test_trc(converted, track):
    trc = pytest.importorskip("trc", reason="pip install trc-data-reader")
    content = trc.TRCData()
    content.load(str(converted / f"{NAMES[track]}.trc"))
    assert content["Markers"] == list(H36M.joints)
    assert (content["DataRate"], content["Units"], content["NumFrames"]) == (FPS, "mm", 4)
    assert content["Time"] == pytest.approx([0, 0.04, 0.08, 0.12])
    found = np.array([content[joint] for joint in H36M.joints]).swapaxes(0, 1)
    for frame in CLIP:
        here = track in CLIP[frame]
        np.testing.assert_allclose(found[frame], expected(track, frame) if here else np.nan, atol=1e-3)


@pytest.mark.filterwarnings("ignore:No analog data found")
@pytest.mark.parametrize("track", [0, 1])
def test_c3d(converted, track):
    c3d = pytest.importorskip("c3d", reason="pip install c3d")
    with (converted / f"{NAMES[track]}.c3d").open("rb") as file:
        reader = c3d.Reader(file)
        frames = [points for _, points, _ in reader.read_frames()]
        labels = [label.strip() for label in reader.point_labels]
    assert labels == list(H36M.joints)
    assert (reader.point_rate, len(frames)) == (FPS, 4)
    for frame, points in enumerate(frames):
        if track in CLIP[frame]:
            np.testing.assert_allclose(points[:, :3], expected(track, frame), atol=1e-3)
            assert (points[:, 3] >= 0).all()
        else:
            assert (points[:, 3] == -1).all()


# ------------------------------------------------------------------------------------------ left out, with a warning
def test_photos_are_files_of_one_frame(tmp_path):
    folder = photo_folder(tmp_path)
    assert call("run", "convert", "--data_dir", folder, "--to", "bvh", "trc").warnings() == []
    names = ("sub/one", "two_person0", "two_person1")
    assert files(folder / "converted") == [f"{name}.{kind}" for name in names for kind in ("bvh", "trc")]
    for name in names:
        assert "\nFrames: 1\n" in (folder / f"converted/{name}.bvh").read_text()


def test_a_sequence_needs_a_rate(tmp_path):
    save_predictions(tmp_path / "3d_pose_estimations.pt", {"walk": torch.stack([STANDING] * 3)})
    save_metas(tmp_path / "metas.pt", {"walk": {"entry": "frames"}})
    line = call("run", "convert", "--data_dir", tmp_path, "--to", "bvh").refusal()
    assert "--fps is required: 'walk' has 3 frames and no frame rate" in line
    assert not (tmp_path / "converted").exists()
    call("run", "convert", "--data_dir", tmp_path, "--to", "bvh", "--fps", 50).succeeded()
    assert "Frame Time: 0.02000000" in (tmp_path / "converted/walk.bvh").read_text()


def test_people_without_a_pose_are_left_out(tmp_path):
    folder = photo_folder(tmp_path)
    poses = load_predictions(folder / "3d_pose_estimations.pt")
    poses["two.jpg"][0, 4] = torch.nan
    save_predictions(folder / "3d_pose_estimations.pt", poses)
    [warning] = call("run", "convert", "--data_dir", folder, "--to", "bvh").warnings()
    assert "bvh: 1 person without a whole 3D pose, left out" in warning
    assert files(folder / "converted") == ["sub/one.bvh", "two_person1.bvh"]
    lost = {name: torch.full_like(values, torch.nan) for name, values in poses.items()}
    save_predictions(folder / "3d_pose_estimations.pt", lost)
    assert "no 3D pose has all its joints" in call("run", "convert", "--data_dir", folder, "--to", "trc").refusal()


def test_a_missing_package_is_named_before_anything_is_written(tmp_path, monkeypatch):
    folder = photo_folder(tmp_path)
    monkeypatch.setattr(
        "utils.formats.requirements.find_spec", lambda name: None if name == "ezc3d" else find_spec(name)
    )
    line = call("run", "convert", "--data_dir", folder, "--to", "csv", "c3d").refusal()
    assert "--to c3d: ezc3d is not installed: pip install ezc3d" in line
    assert not (folder / "converted").exists()


def test_names_never_lead_out_of_the_folder(tmp_path):
    save_predictions(tmp_path / "run/3d_pose_estimations.pt", {"../../a.jpg": STANDING[None]})
    line = call("run", "convert", "--data_dir", tmp_path / "run", "--to", "bvh").refusal()
    assert "leads out of the folder" in line
    assert files(tmp_path) == ["run/3d_pose_estimations.pt"]
