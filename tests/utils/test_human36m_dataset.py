"""Human3.6M as one tensor: which sample is which, projection by the sample's camera, detections, real data."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from pose_sets import all_poses

from utils.camera_utils import CAMERA_NAMES, read_cameras_h5, stack_cameras, write_cameras_h5
from utils.data_utils import HIP, OrthogonalAugmentation
from utils.human36m.actions import ACTIONS, TEST_SUBJECTS, TRAIN_SUBJECTS
from utils.human36m.files import POSITIONS_H5, Sequence, find_sequences, write_positions
from utils.human36m_dataset import PoseSet, load_pose_set
from utils.osutils import UserError
from utils.sample.human36m import all_slots, random_cameras, sequence_motion
from utils.transform import H36M, H36M_2D, H36M_SLOTS, MPII

DATA = Path("../shared/data")
# (subject, action, take): 4, 6 and 8 frames or so.
SEQUENCES = ((1, "Walking", 1), (1, "Walking", 2), (5, "Sitting", 1), (9, "Walking", 1), (11, "Sitting", 2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "h36m"
    for subject, action, take in SEQUENCES:
        name = action if take == 1 else f"{action} {take - 1}"
        path = folder / POSITIONS_H5.format(subject=subject) / f"{name}.h5"
        write_positions(path, all_slots(sequence_motion(0, subject, action, take, frames=6)))
    write_cameras_h5(folder / "cameras.h5", random_cameras(0))
    return folder


@pytest.fixture
def copy(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "h36m")
    return tmp_path / "h36m"


@pytest.fixture
def training(folder):
    return load_pose_set(find_sequences(folder), TRAIN_SUBJECTS, ACTIONS)


def real(name):
    if not (DATA / name).is_dir():
        pytest.skip("../shared/data is not here")
    return DATA / name


def project_with_numpy(camera, point):
    """Px and camera coordinates of one point in the world, by the formula of the release's own code."""
    R, T, f, c, k, p = (getattr(camera, name).double().numpy() for name in ("R", "T", "f", "c", "k", "p"))
    seen = R @ (point - T)
    x, y = seen[:2] / seen[2]
    r2 = x * x + y * y
    factor = 1 + k[0] * r2 + k[1] * r2**2 + k[2] * r2**3 + p[0] * y + p[1] * x
    return f * np.array([x * factor + p[1] * r2, y * factor + p[0] * r2]) + c, seen


# ------------------------------------------------------------------------------------------ samples


def test_sample_i_is_frame_i_div_4_and_camera_i_mod_4(folder, training):
    """Some samples against loops over files, frames and joints."""
    table = read_cameras_h5(folder / "cameras.h5")
    frames = []
    for subject, action, take in SEQUENCES[:3]:
        name = action if take == 1 else f"{action} {take - 1}"
        with h5py.File(folder / POSITIONS_H5.format(subject=subject) / f"{name}.h5") as file:
            frames += [(subject, column.reshape(32, 3)) for column in file["3D_positions"][:].T]
    assert len(training) == 4 * len(frames)
    for sample in (0, 1, 2, 3, 4 * len(frames) // 2 + 2, len(training) - 3, len(training) - 1):
        subject, slots = frames[sample // 4]
        camera = table[subject, sample % 4 + 1]
        poses_2d, poses_3d = training.poses(torch.tensor([sample]))
        hip = project_with_numpy(camera, slots[0].astype(float))[1]
        for joint, name in enumerate(H36M.joints):
            pixel, seen = project_with_numpy(camera, slots[H36M_SLOTS[joint]].astype(float))
            assert poses_3d[0, joint].numpy() == pytest.approx(seen - hip, abs=0.01)
            if name != "nose":
                assert poses_2d[0, H36M_2D.index(name)].numpy() == pytest.approx(pixel, abs=0.01)


def test_shapes_types_and_order(training):
    poses_2d, poses_3d = training.poses(torch.tensor([7, 2, 2]))
    assert (poses_2d.shape, poses_3d.shape) == ((3, 16, 2), (3, 17, 3))
    assert poses_2d.dtype == poses_3d.dtype == torch.float32
    assert not poses_3d[:, HIP].any()
    assert torch.equal(poses_2d[1], poses_2d[2])
    all_2d, all_3d = all_poses(training)
    assert len(all_2d) == len(all_3d) == len(training)
    torch.testing.assert_close(all_2d[[7, 2, 2]], poses_2d)
    torch.testing.assert_close(all_3d[[7, 2, 2]], poses_3d)


def test_all_poses_in_parts(training, monkeypatch):
    whole = all_poses(training)
    monkeypatch.setattr("utils.human36m_dataset.SAMPLES_AT_ONCE", 5)
    for part, expected in zip(all_poses(training), whole, strict=True):
        torch.testing.assert_close(part, expected)


def test_clips_cover_every_sample_once(training):
    clips = dict(training.clips())
    assert sorted(torch.cat(list(clips.values())).tolist()) == list(range(len(training)))
    names = [f"S1/Walking/{c}" for c in CAMERA_NAMES] + [f"S1/Walking 1/{c}" for c in CAMERA_NAMES]
    assert list(clips) == names + [f"S5/Sitting/{c}" for c in CAMERA_NAMES]
    for name, index in clips.items():
        subject, sequence, camera = name.split("/")
        assert set((index % 4).tolist()) == {CAMERA_NAMES.index(camera)}
        frames = index // 4
        assert training.row[frames].tolist() == list(range(len(index)))
        assert {training.sequences[i].label for i in training.sequence[frames].tolist()} == {f"{subject} {sequence}"}


def test_subjects_and_actions_are_selected(folder):
    files = find_sequences(folder)
    test = load_pose_set(files, TEST_SUBJECTS, ["Sitting"])
    assert [(one.subject, one.action) for one in test.sequences] == [(11, "Sitting")]
    with pytest.raises(UserError, match="no sequence of S9, S11"):
        load_pose_set(files, TEST_SUBJECTS, ["Posing"])


def test_every_subject_has_its_own_cameras(training):
    table = random_cameras(0)
    for frame in (0, len(training.world) - 1):
        subject = training.sequences[training.sequence[frame]].subject
        places = training.cameras.T[training.first_camera[frame] + torch.arange(4)]
        expected = torch.stack([table[subject, number].T for number in (1, 2, 3, 4)])
        torch.testing.assert_close(places, expected.float())


# ------------------------------------------------------------------------------------------ augmentation


def test_augmented_poses_are_projected_again_by_their_camera(training):
    index = torch.arange(len(training))
    augmentation = OrthogonalAugmentation()
    poses_2d, poses_3d = training.poses(index, augmentation, torch.Generator().manual_seed(4))
    world = augmentation(training.world[index // 4], torch.Generator().manual_seed(4))
    cameras = training.cameras[training.first_camera[index // 4] + index % 4]
    seen = cameras.world_to_camera(world)
    torch.testing.assert_close(poses_3d, seen - seen[:, :1])
    torch.testing.assert_close(poses_2d, cameras.project(seen)[:, H36M.indices(H36M_2D.joints)])
    plain_2d, plain_3d = training.poses(index)
    torch.testing.assert_close(poses_2d[:, 0], plain_2d[:, 0], rtol=0, atol=0.01)  # the hip stays
    assert (poses_3d - plain_3d).abs().amax((1, 2)).min() > 1  # each is turned


# ------------------------------------------------------------------------------------------ what tells sets apart


def test_the_digest_is_of_the_content(folder, training):
    again = load_pose_set(find_sequences(folder), TRAIN_SUBJECTS, ACTIONS)
    assert again.digest() == training.digest() == training.to(torch.device("cpu")).digest()
    assert load_pose_set(find_sequences(folder), TEST_SUBJECTS, ACTIONS).digest() != training.digest()


# ------------------------------------------------------------------------------------------ detections and bad input


def write_detections(folder, frames_off=0):
    """Detection `joint` of frame f in camera c is at (100 c + joint, f)."""
    for sequence in find_sequences(folder).sequences:
        for number, camera in enumerate(CAMERA_NAMES):
            poses = np.zeros((sequence.frames + frames_off, 16, 2), np.float32)
            poses[..., 0] = 100 * number + np.arange(16)
            poses[..., 1] = np.arange(len(poses))[:, None]
            path = folder / f"S{sequence.subject}/StackedHourglass/{sequence.name.replace(' ', '_')}.{camera}.h5"
            path.parent.mkdir(exist_ok=True)
            with h5py.File(path, "w") as file:
                file["poses"] = poses


def test_detections_take_the_place_of_projections(copy, training):
    write_detections(copy)
    detected = load_pose_set(find_sequences(copy), TRAIN_SUBJECTS, ACTIONS, use_detections=True)
    index = torch.arange(len(detected))
    poses_2d, poses_3d = detected.poses(index)
    torch.testing.assert_close(poses_3d, training.poses(index)[1])
    names = {"spine": "thorax", "thorax": "upper_neck"}  # MPII's names for the two places
    expected = [MPII.index(names.get(joint, joint)) for joint in H36M_2D.joints]
    assert torch.equal(poses_2d[..., 0], 100 * (index % 4)[:, None] + torch.tensor(expected))
    assert torch.equal(poses_2d[..., 1], detected.row[index // 4].float()[:, None].expand(-1, 16))
    assert detected.digest() != training.digest()
    assert torch.equal(detected.to(torch.device("cpu")).detections, detected.detections)


def test_dropped_frames_keep_detections_and_rows_in_step(copy, capsys):
    write_detections(copy)
    path = copy / POSITIONS_H5.format(subject=1) / "Walking.h5"
    with h5py.File(path, "r+") as file:
        file["3D_positions"][:, 1] = np.nan
    detected = load_pose_set(find_sequences(copy), [1], ["Walking"], use_detections=True)
    assert "1 frames with NaN dropped" in capsys.readouterr().err
    clips = dict(detected.clips())
    index = clips[f"S1/Walking/{CAMERA_NAMES[1]}"]
    rows = detected.row[index // 4].tolist()
    assert rows == [0, *range(2, len(rows) + 1)]
    assert detected.poses(index)[0][:, 0, 1].tolist() == rows
    assert detected.world.isfinite().all()


def test_missing_or_other_detections_are_refused(copy):
    files = find_sequences(copy)
    with pytest.raises(UserError, match="no detected 2D poses"):
        load_pose_set(files, TRAIN_SUBJECTS, ACTIONS, use_detections=True)
    write_detections(copy, frames_off=1)
    with pytest.raises(UserError, match="frames × 16 × 2"):
        load_pose_set(files, TRAIN_SUBJECTS, ACTIONS, use_detections=True)


def test_a_missing_camera_is_refused(copy):
    table = random_cameras(0)
    del table[5, 3]
    write_cameras_h5(copy / "cameras.h5", table)
    with pytest.raises(UserError, match="no camera 3 of subject S5"):
        load_pose_set(find_sequences(copy), TRAIN_SUBJECTS, ACTIONS)


def test_metres_are_refused(copy):
    path = copy / POSITIONS_H5.format(subject=1) / "Walking.h5"
    with h5py.File(path, "r+") as file:
        file["3D_positions"][:] /= 1000
    with pytest.raises(UserError, match="these are metres"):
        load_pose_set(find_sequences(copy), TRAIN_SUBJECTS, ACTIONS)


# ------------------------------------------------------------------------------------------ real data


def test_real_frames_project_onto_their_2d_truth():
    folder = real("h36m_sample")
    stored = np.load(folder / "poses.npz")
    table = read_cameras_h5(folder / "cameras.h5")
    subjects = sorted({int(subject) for subject in stored["subject"]})
    count = len(stored["subject"])
    poses = PoseSet(
        sequences=tuple(Sequence(subject, "Walking", 1, "Walking", folder, 1) for subject in subjects),
        world=torch.from_numpy(stored["joints_3d_world_mm"]).float(),
        sequence=torch.tensor([subjects.index(int(subject)) for subject in stored["subject"]]),
        row=torch.arange(count),
        cameras=stack_cameras(table[s, n] for s in subjects for n in (1, 2, 3, 4)).to(torch.float32),
        first_camera=torch.tensor([4 * subjects.index(int(subject)) for subject in stored["subject"]]),
    )
    index = 4 * torch.arange(count) + torch.tensor([CAMERA_NAMES.index(str(name)) for name in stored["camera"]])
    poses_2d, poses_3d = poses.poses(index)
    truth = torch.from_numpy(stored["joints_2d"]).float()[:, H36M.indices(H36M_2D.joints)]
    assert (poses_2d - truth).norm(dim=-1).max() < 1  # px
    seen = torch.from_numpy(stored["joints_3d_camera_mm"]).float()
    assert (poses_3d - (seen - seen[:, :1])).norm(dim=-1).max() < 1  # mm


def test_real_motion_has_the_stated_number_of_samples():
    files = find_sequences(real("cmu_h36m_layout"))
    for subjects, count in ((TRAIN_SUBJECTS, 185_740), (TEST_SUBJECTS, 46_108)):
        poses = load_pose_set(files, subjects, ACTIONS)
        assert len(poses) == count
        assert poses.poses(torch.arange(0, count, 997))[0].isfinite().all()
