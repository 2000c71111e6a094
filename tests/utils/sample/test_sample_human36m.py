"""Human3.6M's sample: its form on disk, bodies that move as bodies do, pictures that fit their truth."""

from collections import Counter

import cv2
import numpy as np
import pytest
import torch
from command_line import digests

from utils.camera_utils import CAMERA_NAMES
from utils.human36m.actions import ACTIONS, SUBJECTS, TEST_SUBJECTS, TRAIN_SUBJECTS
from utils.human36m.files import find_sequences, load_motions
from utils.human36m.report import report
from utils.sample.body import Pose, pose_body, random_pose
from utils.sample.human36m import (
    choose_pictures,
    make_h36m,
    random_cameras,
    sequence_motion,
    subject_body,
    undistorted_rays,
)
from utils.sample.sample_data import MAKERS, SampleMaker, ensure_sample
from utils.transform import H36M, H36M_SLOTS

FRAMES, TRAINING, VALIDATION = 6, 3, 1
UP = np.array([0.0, 0.0, 1.0])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample") / "h36m"
    make_h36m(folder, TRAINING, VALIDATION, seed=0, frames=FRAMES)
    return folder


@pytest.fixture(scope="module")
def files(folder):
    return find_sequences(folder)


@pytest.fixture(scope="module")
def joints(files):
    """{subject: (F, 17, 3)} mm, world."""
    motions = load_motions(files.sequences, H36M_SLOTS)
    return {s: np.concatenate([m.positions for m in motions if m.sequence.subject == s]) for s in SUBJECTS}


@pytest.fixture(scope="module")
def motions():
    """(F, 17, 3) mm, world, of some sequences of the usual length: name -> positions."""
    actions = ("Walking", "WalkDog", "Posing", "Sitting", "SittingDown")
    return {(s, a): sequence_motion(0, s, a, 1).joints(H36M) for s in (1, 9, 11) for a in actions}


def of(poses, joint):
    return poses[..., H36M.index(joint), :]


def forward(poses, joint="hip"):
    """(F, 3) directions in which the person faces: from right to left, crossed with up."""
    across = np.cross(of(poses, f"l_{joint}") - of(poses, f"r_{joint}"), UP)
    return across / np.linalg.norm(across, axis=-1, keepdims=True)


# On disk


def test_it_is_complete_in_the_h5_form(files):
    assert files.form == "h5"
    names = Counter((one.subject, one.action) for one in files.sequences)
    assert names == {(subject, action): 2 for subject in SUBJECTS for action in ACTIONS}
    assert {one.path.stem for one in files.sequences if one.action == "Walking"} == {"Walking", "Walking 1"}
    assert sum(one.frames for one in files.sequences) == 7 * 15 * 2 * FRAMES
    assert len({one.frames for one in files.sequences}) > 1
    assert "7 subjects, 15 actions, 210 sequences" in report(files)


def test_cameras_are_those_of_the_subjects_and_no_others(files):
    cameras = files.cameras()
    assert set(cameras) == {(subject, number) for subject in SUBJECTS for number in (1, 2, 3, 4)}
    assert [cameras[9, number].name for number in (1, 2, 3, 4)] == list(CAMERA_NAMES)
    for camera in cameras.values():
        np.testing.assert_allclose(camera.R @ camera.R.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(camera.R) > 0.999
        ahead = camera.world_to_camera(torch.tensor([0.0, 0.0, 900.0]))
        assert 4800 < ahead[2] < 5600
        assert camera.world_to_camera(torch.tensor([0.0, 0.0, 1700.0]))[1] < ahead[1]  # y is down
    assert len({tuple(camera.T.tolist()) for camera in cameras.values()}) == 28


def test_slots_that_do_not_move_copy_their_parent(files):
    positions = load_motions(files.select([7], ["Eating"]))[0].positions
    copies = {4: 3, 5: 3, 9: 8, 10: 8, 11: 0, 16: 13, 24: 13} | dict.fromkeys(range(20, 24), 19)
    copies |= dict.fromkeys(range(28, 32), 27)
    assert set(copies) | set(H36M_SLOTS) == set(range(32))
    for slot, parent in copies.items():
        np.testing.assert_array_equal(positions[:, slot], positions[:, parent])


@pytest.mark.long  # all of it is rendered twice more
def test_same_bytes_again_with_two_workers(folder, tmp_path):
    make_h36m(tmp_path / "again", TRAINING, VALIDATION, seed=0, workers=2, frames=FRAMES)
    assert digests(tmp_path / "again") == digests(folder)


def test_another_seed_moves_otherwise():
    first, second = (sequence_motion(seed, 1, "Eating", 1, FRAMES).positions for seed in (0, 1))
    assert np.abs(first - second).max() > 10


# Bodies


def test_bones_keep_their_length_and_subjects_differ(joints):
    rigid = [(a, b) for a, b in H36M.bone_indices if b != H36M.index("nose")]  # the neck turns within that one
    thighs = set()
    for poses in joints.values():
        lengths = np.stack([np.linalg.norm(poses[:, a] - poses[:, b], axis=-1) for a, b in rigid], -1)
        assert np.ptp(lengths, axis=0).max() < 0.01
        assert 50 < lengths.min() < lengths.max() < 600
        thighs.add(round(float(lengths[0, rigid.index((H36M.index("l_hip"), H36M.index("l_knee")))])))
    assert len(thighs) == len(SUBJECTS)


def test_noses_and_knees_point_forward(joints):
    poses = np.concatenate(list(joints.values()))
    nose = of(poses, "nose") - (of(poses, "thorax") + of(poses, "head_top")) / 2
    assert np.all(np.einsum("fa,fa->f", nose, forward(poses, "shoulder")) > 0)
    # Knees bend to the front: each lies before the middle of its hip and ankle.
    for side in ("l", "r"):
        knee = of(poses, f"{side}_knee") - (of(poses, f"{side}_hip") + of(poses, f"{side}_ankle")) / 2
        assert np.quantile(np.einsum("fa,fa->f", knee, forward(poses)), 0.1) > -5


def test_people_face_all_ways(joints):
    ahead = np.concatenate([forward(poses) for poses in joints.values()])
    for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        assert np.mean(ahead[:, 0] * x + ahead[:, 1] * y > np.sqrt(0.5)) > 0.12


def test_feet_are_on_the_floor_and_heads_above(joints):
    poses = np.concatenate(list(joints.values()))
    ankles = np.minimum(of(poses, "l_ankle"), of(poses, "r_ankle"))[:, 2]
    assert np.all((ankles > 40) & (ankles < 260))
    assert np.all(of(poses, "head_top")[:, 2] > of(poses, "pelvis")[:, 2] + 300)


def test_all_cameras_see_whole_people(files, joints):
    cameras = files.cameras()
    for (subject, _), camera in cameras.items():
        pixels = camera.project(camera.world_to_camera(torch.from_numpy(joints[subject]).double()))
        assert ((pixels > 0) & (pixels < 1000)).all(-1).double().mean() > 0.99


def test_motion_is_smooth(motions):
    for poses in motions.values():
        velocity = np.diff(poses, axis=0) * 25
        assert np.linalg.norm(velocity, axis=-1).max() < 9000
        jumps = np.linalg.norm(np.diff(velocity, axis=0), axis=-1) / 25
        assert np.median(jumps) < 20


def test_walks_go_where_the_walker_faces_on_feet_that_stand(motions):
    for (_, action), poses in motions.items():
        if action.startswith("Walk"):
            steps = np.diff(of(poses, "pelvis"), axis=0) * [1, 1, 0]
            along = np.einsum("fa,fa->f", steps, forward(poses)[1:]) * 25
            assert 500 < along.mean() < 2000
            feet = np.stack([of(poses, "l_ankle"), of(poses, "r_ankle")])
            slides = np.linalg.norm(np.diff(feet[..., :2], axis=1), axis=-1) * 25
            assert np.median(slides.min(0)) < 150
            lead = np.einsum("fa,fa->f", feet[0] - feet[1], forward(poses))
            assert lead.max() > 150
            assert lead.min() < -150


def test_sitting_people_sit(motions):
    for (subject, action), poses in motions.items():
        if action == "Sitting":
            thigh = np.linalg.norm(of(poses, "l_hip") - of(poses, "l_knee"), axis=-1)
            assert np.all(np.abs(of(poses, "l_hip") - of(poses, "l_knee"))[:, 2] < 0.5 * thigh)
            assert subject_body(0, subject).thigh == pytest.approx(thigh[0])


def test_a_motion_is_its_poses_one_by_one():
    rng = np.random.default_rng(3)
    body = subject_body(0, 5)
    poses = [random_pose(rng, body, stance=stance) for stance in ("walk", "crouch")]
    assert [pose.stance for pose in poses] == ["walk", "crouch"]
    motion = pose_body(body, Pose(np.stack([p.angles for p in poses]), np.array([p.facing for p in poses]), "motion"))
    for index, pose in enumerate(poses):
        one = pose_body(body, pose)
        np.testing.assert_allclose(motion.frame(index).positions, one.positions, atol=1e-9)
        np.testing.assert_allclose(motion.joints(H36M)[index], one.joints(H36M), atol=1e-9)
    turned = one.turned(np.pi / 2).joints(H36M)
    np.testing.assert_allclose(turned, one.joints(H36M)[:, [1, 0, 2]] * [-1, 1, 1], atol=1e-9)


# Pictures


def test_lens_distortion_is_undone():
    camera = random_cameras(0)[9, 2]
    rays = undistorted_rays(camera, 1000, 1002)
    pixels = camera.project(torch.from_numpy(np.pad(rays, ((0, 0), (0, 0), (0, 1)), constant_values=1.0))).numpy()
    columns, rows = np.meshgrid(np.arange(1000), np.arange(1002))
    assert np.abs(pixels - np.stack([columns, rows], -1)).max() < 0.01


def pictures_of(folder):
    """(path, subject, sequence name, camera name, row) of every picture."""
    paths = sorted((folder / "images").rglob("*.jpg"))
    return [(path, int(path.parts[-4][1:]), *path.parts[-3:-1], int(path.stem) - 1) for path in paths]


def true_pixels(files, subject, name, camera_name, row):
    """(17, 2) px by what the files say."""
    sequence = next(one for one in files.sequences if (one.subject, one.name) == (subject, name))
    camera = next(c for (s, _), c in files.cameras().items() if (s, c.name) == (subject, camera_name))
    world = torch.from_numpy(load_motions([sequence], H36M_SLOTS)[0].positions[row]).double()
    return camera.project(camera.world_to_camera(world)).numpy()


def test_pictures_are_of_their_subjects_and_sizes(folder):
    found = pictures_of(folder)
    assert Counter(subject in TEST_SUBJECTS for _, subject, *_ in found) == {False: TRAINING, True: VALIDATION}
    for path, _, _, camera_name, _ in found:
        height = 1002 if camera_name in (CAMERA_NAMES[0], CAMERA_NAMES[3]) else 1000
        picture = cv2.imread(str(path))
        assert picture.shape == (height, 1000, 3)
        assert picture.std() > 10


@pytest.mark.long  # a sample of its own; poses and cameras of the other are tested above
def test_a_ball_at_a_joint_is_drawn_where_the_files_put_it(ball_h36m):
    """The written pictures show the frame, camera and lens that their names and the files say, to a quarter of a px."""
    files, found = find_sequences(ball_h36m), pictures_of(ball_h36m)
    assert len({camera_name for *_, camera_name, _ in found}) == 4
    for path, *which in found:
        seen = np.argwhere(cv2.imread(str(path)).max(-1) > 100)
        assert len(seen) > 100
        assert np.abs(seen.mean(0)[::-1] - true_pixels(files, *which)[H36M.index("l_wrist")]).max() < 0.25


def test_pictures_are_spread_and_differ():
    chosen = choose_pictures(0, 45, TRAIN_SUBJECTS)
    cells = Counter((one.subject, one.camera) for one in chosen)
    assert len(cells) == 20
    assert max(cells.values()) == 3
    assert len(set(chosen)) == 45
    assert choose_pictures(0, 8, TEST_SUBJECTS) == choose_pictures(0, 9, TEST_SUBJECTS)[:8]
    assert {(one.subject, one.camera) for one in choose_pictures(0, 8, TEST_SUBJECTS)} == {
        (subject, camera) for subject in TEST_SUBJECTS for camera in (1, 2, 3, 4)
    }


def test_too_much_or_too_little_is_refused(tmp_path):
    places = 15 * 2 * 5 * 4
    assert len(set(choose_pictures(0, places, [9], frames=5))) == places
    with pytest.raises(ValueError, match="601 pictures of 600"):
        choose_pictures(0, places + 1, [9], frames=5)
    with pytest.raises(ValueError, match="at least 5"):
        make_h36m(tmp_path / "h36m", 0, 0, frames=4)


# As users ask for it


def test_ensure_sample_makes_it_once(monkeypatch, tmp_path, capsys):
    def small(folder, training, validation, seed, workers):
        calls.append(folder)
        make_h36m(folder, training, validation, seed, workers, frames=5)

    calls = []
    monkeypatch.setitem(MAKERS, "h36m", SampleMaker(small, version=7, training=1, validation=0, what="pictures"))
    folder = ensure_sample("h36m", tmp_path)
    assert "1 + 0 pictures" in capsys.readouterr().out
    assert ensure_sample("h36m", tmp_path) == folder
    assert len(calls) == 1
    assert len(find_sequences(folder).sequences) == 210
