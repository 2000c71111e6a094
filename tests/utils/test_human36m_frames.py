"""Human3.6M's images with their truth: the crops fit the pictures, drawn ones and real ones."""

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from utils.camera_utils import CAMERA_NAMES, Camera, get_camera, read_cameras, stack_cameras
from utils.data_utils import LIFTER_INPUT_JOINTS, centre_on_hip
from utils.human36m.actions import ACTIONS, SUBJECTS
from utils.human36m.files import find_sequences
from utils.human36m_dataset import load_pose_set
from utils.human36m_frames import (
    Clip,
    FrameCrops,
    Frames,
    crop_square,
    draw_view,
    find_frames,
    has_listed_frames,
    read_listed_frames,
    target_heatmaps,
)
from utils.imaging.images import apply_affine
from utils.osutils import UserError
from utils.transform import H36M, H36M_2D

REAL = Path("../shared/data/h36m_sample")
WRIST = H36M_2D.index("l_wrist")


@pytest.fixture(scope="module")
def folder(ball_h36m):
    return ball_h36m


@pytest.fixture(scope="module")
def poses(folder):
    return load_pose_set(find_sequences(folder), SUBJECTS, ACTIONS)


@pytest.fixture(scope="module")
def frames(folder, poses):
    return find_frames(poses, folder / "images")


@pytest.fixture(scope="module")
def real():
    """The four real frames: `Frames` with projections by the project's cameras, and the published 2D truth."""
    if not REAL.is_dir():
        pytest.skip("../shared/data is not here")
    truth, table = np.load(REAL / "poses.npz"), read_cameras(REAL / "cameras.h5")
    which = list(zip(truth["subject"].tolist(), truth["action"].tolist(), truth["camera"].tolist(), strict=True))
    numbers = [CAMERA_NAMES.index(camera) + 1 for *_, camera in which]
    cameras = stack_cameras(
        get_camera(table, subject, number, "") for (subject, *_), number in zip(which, numbers, strict=True)
    )
    seen = cameras.world_to_camera(torch.from_numpy(truth["joints_3d_world_mm"]))
    frames = Frames(
        images_dir=REAL / "images",
        clips=tuple(Clip(*clip) for clip in which),
        clip=np.arange(len(which)),
        number=truth["frame"],
        pose_2d=cameras.project(seen[:, LIFTER_INPUT_JOINTS]).numpy(),
        pose_3d=centre_on_hip(seen).numpy(),
    )
    return frames, truth


def test_every_picture_is_a_sample_and_nothing_else(folder, frames):
    paths = {frames.path(index) for index in range(len(frames))}
    assert paths == set((folder / "images").rglob("*.jpg"))
    assert len(frames) == len(paths) == 8


def ball_centre(sample):
    """(x, y), px of the crop, of the white ball at the left wrist."""
    weights = sample["image"].amax(0).double().numpy()
    weights[weights < 60] = 0
    return [(weights * axis).sum() / weights.sum() for axis in np.mgrid[:256, :256][::-1]]


def test_the_joint_is_where_the_picture_shows_it(frames):
    for sample in FrameCrops(frames):
        assert np.abs(sample["joints"][WRIST].numpy() - ball_centre(sample)).max() < 0.5
        photo = apply_affine(sample["to_photo"].numpy(), sample["joints"].numpy())
        np.testing.assert_allclose(photo, sample["pose_2d"], atol=1e-2)


def test_a_sample_is_that_of_the_pose_set(folder, poses, frames):
    clips = dict(poses.clips())
    for index, sample in enumerate(FrameCrops(frames)):
        row = sample["meta"]["frame"] - 1
        pose_2d, pose_3d = poses.poses(clips[sample["meta"]["name"]][row : row + 1])
        torch.testing.assert_close(sample["pose_2d"], pose_2d[0])
        torch.testing.assert_close(sample["pose_3d"], pose_3d[0])
        assert not sample["pose_3d"][0].any()
        path = folder / "images" / sample["meta"]["name"] / f"{row + 1:06d}.jpg"
        assert frames.path(index) == path
        assert cv2.imread(str(path)) is not None


def test_detections_are_not_the_truth_of_an_image(folder, poses, frames):
    detected = replace(poses, detections=torch.zeros(len(poses.world), 4, 16, 2))
    np.testing.assert_array_equal(find_frames(detected, folder / "images").pose_2d, frames.pose_2d)


def test_a_batch_and_its_heat_maps(frames):
    batch = next(iter(DataLoader(FrameCrops(frames), batch_size=3)))
    assert batch["image"].shape == (3, 3, 256, 256)
    assert batch["image"].dtype == torch.uint8
    assert batch["annotated"].all()
    assert batch["meta"]["frame"].shape == (3,)
    assert len(batch["meta"]["name"]) == 3
    maps = target_heatmaps(batch)
    assert maps.shape == (3, 16, 64, 64)
    peaks = maps.flatten(2).argmax(-1)
    places = torch.stack([peaks % 64, peaks // 64], -1) * 4 + 1.5
    assert (places - batch["joints"]).abs().max() <= 2.0 + 1e-4


def test_the_square_by_hand():
    center, side = crop_square(np.array([[100.0, 50.0], [140.0, 250.0], [120.0, 60.0]]))
    np.testing.assert_allclose(center, [120, 150])
    assert side == pytest.approx(1.25 * 1.05 * 200)


def test_the_epoch_of_a_sampler_changes_nothing(frames):
    crops = FrameCrops(frames)
    assert torch.equal(crops[3, 1]["image"], crops[1]["image"])


def test_an_unreadable_image_is_black_and_not_annotated(folder, poses, tmp_path):
    images = shutil.copytree(folder / "images", tmp_path / "images")
    broken = sorted(images.rglob("*.jpg"))[0]
    broken.write_bytes(b"no JPEG")
    frames = find_frames(poses, images)
    [index] = [index for index in range(len(frames)) if frames.path(index) == broken]
    sample = FrameCrops(frames)[index]
    assert not sample["readable"]
    assert not sample["image"].any()
    assert not sample["annotated"].any()
    batch = {name: sample[name][None] for name in ("joints", "annotated")}
    assert not target_heatmaps(batch).any()


def test_pictures_of_frames_that_no_file_has_are_no_samples(folder, poses, frames, tmp_path):
    images = shutil.copytree(folder / "images", tmp_path / "images")
    first = sorted(images.rglob("*.jpg"))[0]
    for name in ("000006.jpg", "thumbnail.jpg", "0000012.png"):  # the sequences have 5 frames
        shutil.copy(first, first.with_name(name))
    assert len(find_frames(poses, images)) == len(frames)


@pytest.mark.parametrize("there", [True, False], ids=["empty", "absent"])
def test_no_image_at_all(poses, tmp_path, there):
    images = tmp_path / "images"
    if there:
        images.mkdir()
    with pytest.raises(UserError, match="no image of these 210 sequences; expected files like .*000001.jpg"):
        find_frames(poses, images)


def test_joints_behind_the_camera_are_left_out(folder, poses, capsys):
    behind = replace(poses, world=poses.world.clone())
    behind.world[:] = 1e6
    assert len(find_frames(behind, folder / "images")) < 8
    assert "joints behind the camera" in capsys.readouterr().err


def test_arrays_that_do_not_fit_are_refused(frames):
    assert len(frames.select(np.arange(len(frames)) < 2)) == 2
    with pytest.raises(ValueError, match="pose_3d has shape"):
        Frames(frames.images_dir, frames.clips, frames.clip, frames.number, frames.pose_2d, frames.pose_2d)


def test_frames_of_actions(frames):
    by_action = {clip.name.split()[0]: frames.of_actions([clip.name.split()[0]]) for clip in frames.clips}
    assert sum(map(len, by_action.values())) == len(frames)
    for action, some in by_action.items():
        assert {some.clips[place].name.split()[0] for place in some.clip} == {action}
    absent = next(action for action in ACTIONS if action not in by_action)
    with pytest.raises(UserError, match=f"no frame of {absent}; it has "):
        frames.of_actions([absent])


# Frames in a list


def listed(count=3, **changes):
    rng = np.random.default_rng(0)
    arrays = {
        "subject": np.array([9, 9, 11])[:count],
        "action": np.array(["Walking 1", "Walking 1", "SittingDown"])[:count],
        "camera": np.array(["54138969"] * count),
        "frame": np.arange(1, count + 1),
        "joints_2d": rng.normal(500, 100, (count, 17, 2)),
        "joints_3d_camera_mm": rng.normal([0, 0, 5000], 300, (count, 17, 3)),
    }
    return {name: value for name, value in (arrays | changes).items() if value is not None}


def test_listed_frames_are_read(tmp_path):
    assert not has_listed_frames(tmp_path)
    arrays = listed()
    np.savez(tmp_path / "poses.npz", **arrays)
    assert has_listed_frames(tmp_path)
    frames = read_listed_frames(tmp_path)
    assert [str(frames.clips[place]) for place in frames.clip] == [
        "S9/Walking 1/54138969", "S9/Walking 1/54138969", "S11/SittingDown/54138969",
    ]  # fmt: skip
    assert frames.path(1) == tmp_path / "images/S9/Walking 1/54138969/000002.jpg"
    order = H36M.indices(H36M_2D.joints)
    np.testing.assert_allclose(frames.pose_2d, arrays["joints_2d"][:, order], rtol=1e-6)
    truth = arrays["joints_3d_camera_mm"]
    np.testing.assert_allclose(frames.pose_3d, truth - truth[:, :1], atol=1e-3)
    assert len(frames.of_actions(["SittingDown"])) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"camera": None}, "camera missing; a list of frames has subject, action"),
        ({"joints_2d": np.zeros((3, 16, 2))}, r"joints_2d \(3, 16, 2\).* expected frames × 17 × 2"),
        ({"subject": np.array([9])}, "for 3 frames"),
        ({"count": 0}, "for 0 frames"),
    ],
)
def test_lists_that_do_not_fit_are_refused(tmp_path, changes, message):
    np.savez(tmp_path / "poses.npz", **listed(**changes))
    with pytest.raises(UserError, match=message):
        read_listed_frames(tmp_path)


def test_a_damaged_list_is_refused(tmp_path):
    np.savez(tmp_path / "whole.npz", **listed())
    np.save(tmp_path / "array.npy", np.zeros(3))
    whole, array = (tmp_path / "whole.npz").read_bytes(), (tmp_path / "array.npy").read_bytes()
    for content in (b"", b"no archive", whole[:700], array):
        (tmp_path / "poses.npz").write_bytes(content)
        with pytest.raises(UserError, match="not a readable .npz"):
            read_listed_frames(tmp_path)


# Real frames


def test_the_list_of_the_real_frames_agrees_with_their_cameras(real):
    frames, read = real[0], read_listed_frames(REAL)
    assert [read.path(index) for index in range(4)] == [frames.path(index) for index in range(4)]
    np.testing.assert_allclose(read.pose_2d, frames.pose_2d, atol=1)
    np.testing.assert_allclose(read.pose_3d, frames.pose_3d, atol=0.1)


def test_projections_of_the_real_truth(real):
    frames, truth = real
    off = np.linalg.norm(frames.pose_2d - truth["joints_2d"][:, LIFTER_INPUT_JOINTS], axis=-1)
    assert off.max() < 1


def test_crops_of_the_real_frames(real):
    frames, truth = real
    names = [f"S{s}/{a}/{c}" for s, a, c in zip(truth["subject"], truth["action"], truth["camera"], strict=True)]
    for index, sample in enumerate(FrameCrops(frames)):
        assert sample["readable"]
        assert sample["meta"] == {"name": names[index], "frame": int(truth["frame"][index])}
        joints = sample["joints"].numpy()
        span = np.ptp(joints, axis=0).max()
        assert span == pytest.approx(256 / (1.25 * 1.05), abs=0.01)
        np.testing.assert_allclose((joints.max(0) + joints.min(0)) / 2, 127.5, atol=0.01)
        back = apply_affine(sample["to_photo"].numpy(), joints)
        assert np.abs(back - truth["joints_2d"][index, LIFTER_INPUT_JOINTS]).max() < 1
        # The camera sees hip-centred truth in the axes of the published camera coordinates.
        published = truth["joints_3d_camera_mm"][index]
        assert np.abs(sample["pose_3d"].numpy() - (published - published[0])).max() < 0.1


def test_real_crops_show_the_photo(real):
    """A crop's pixel at a joint is the photo's colour there, averaged as the crop averages."""
    frames, _ = real
    for index, sample in enumerate(FrameCrops(frames)):
        photo = cv2.cvtColor(cv2.imread(str(frames.path(index))), cv2.COLOR_BGR2RGB).astype(np.float32)
        photo = cv2.GaussianBlur(photo, (0, 0), 4)
        crop = cv2.GaussianBlur(sample["image"].permute(1, 2, 0).numpy().astype(np.float32), (0, 0), 4 / 1.7)
        places = np.rint(sample["joints"].numpy()).astype(int)
        colours = [
            image[points[:, 1], points[:, 0]]
            for image, points in ((crop, places), (photo, np.rint(sample["pose_2d"].numpy()).astype(int)))
        ]
        assert np.abs(colours[0] - colours[1]).mean() < 8


# Augmented crops


def is_flipped(sample, frames):
    return not np.array_equal(sample["pose_2d"], frames.pose_2d[sample["index"]])


@pytest.fixture(scope="module")
def augmented(frames):
    """Four epochs of samples."""
    crops = FrameCrops(frames, augment=True)
    samples = [crops[epoch, index] for epoch in range(4) for index in range(len(frames))]
    assert 4 < sum(is_flipped(sample, frames) for sample in samples) < 28
    return samples


def test_a_view_depends_only_on_seed_epoch_and_index(frames, augmented):
    again = FrameCrops(frames, augment=True)[3, 1]
    assert torch.equal(augmented[3 * len(frames) + 1]["image"], again["image"])
    others = (augmented[1], FrameCrops(frames, augment=True, seed=1)[3, 1], FrameCrops(frames)[3, 1])
    assert not any(torch.equal(again["to_photo"], other["to_photo"]) for other in others)


def test_views_are_small_and_of_all_kinds():
    rng = np.random.default_rng(0)
    shifts, scales, rotations, flips = map(np.array, zip(*(draw_view(rng) for _ in range(400)), strict=True))
    for values, reach in ((shifts, 0.05), (scales - 1, 0.15), (rotations, 30)):
        assert 0.9 * reach < np.abs(values).max() <= reach
        assert values.min() < 0 < values.max()
    assert 0.4 < flips.mean() < 0.6


def test_the_joint_is_where_an_augmented_crop_shows_it(frames, augmented):
    """In a mirrored image the left wrist is labelled as the right one."""
    for sample in augmented:
        joint = sample["joints"][H36M_2D.index("r_wrist") if is_flipped(sample, frames) else WRIST]
        assert np.abs(joint.numpy() - ball_centre(sample)).max() < 0.5


def test_joints_of_an_augmented_crop_map_back_to_the_photo(frames, augmented):
    """Scale, shift and rotation of the crop leave the 2D and 3D truth unchanged."""
    for sample in augmented:
        photo = apply_affine(sample["to_photo"].numpy(), sample["joints"].numpy())
        np.testing.assert_allclose(photo, sample["pose_2d"], atol=1e-2)
        if not is_flipped(sample, frames):
            np.testing.assert_array_equal(sample["pose_3d"], frames.pose_3d[sample["index"]])


def test_a_flipped_sample_is_what_a_mirrored_camera_sees_of_a_mirrored_person(poses, frames, augmented):
    clips = dict(poses.clips())
    for sample in (sample for sample in augmented if is_flipped(sample, frames)):
        index = clips[sample["meta"]["name"]][sample["meta"]["frame"] - 1][None]
        camera = poses.cameras_of(poses.first_camera[index // 4] + index % 4)
        person = camera.world_to_camera(poses.world[index // 4])[:, H36M.flip_order] * torch.tensor([-1, 1, 1])
        torch.testing.assert_close(sample["pose_3d"], centre_on_hip(person)[0], rtol=0, atol=1e-2)
        mirror = torch.tensor([[-1.0, 1.0]])
        seen = Camera(
            R=torch.eye(3)[None], T=torch.zeros(1, 3), f=camera.f, k=camera.k,
            c=torch.tensor([[999.0, 0.0]]) + mirror * camera.c, p=camera.p * -mirror,
        ).project(person[:, LIFTER_INPUT_JOINTS])  # fmt: skip
        torch.testing.assert_close(sample["pose_2d"], seen[0], rtol=0, atol=1e-2)
