import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stacked_hourglass.annotations.mpii import load_mpii
from stacked_hourglass.annotations.people import People
from stacked_hourglass.samples.augmentation import RandomMasking
from stacked_hourglass.samples.clips import ClipCrops, common_view, runs
from stacked_hourglass.samples.datasets import PoseCrops
from stacked_hourglass.samples.framing import Framing
from utils.osutils import UserError


def people(clip, frame, size: int = 40) -> People:
    count = len(clip)
    rng = np.random.default_rng(0)
    joints = rng.uniform(5, size - 5, (count, 16, 2))
    images = rng.integers(0, 256, (count, size, size, 3), np.uint8)
    boxes = np.stack([np.arange(count), np.zeros(count), np.arange(count) + 20.0, np.full(count, 20.0)], 1)
    return People.from_arrays(list(images), joints, boxes=boxes, clip=np.array(clip), frame=np.array(frame))


def one_run(count: int) -> People:
    return people([0] * count, range(count))


# ------------------------------------------------------------------------------------------ runs
def test_frames_in_the_order_of_time():
    assert [run.tolist() for run in runs(people([1, 0, 1, 0, 1], [2, 5, 1, 4, 3]))] == [[3, 1], [2, 0, 4]]


def test_a_gap_ends_a_run():
    assert [run.tolist() for run in runs(people([0] * 6, [0, 5, 10, 20, 25, 26]))] == [[0], [1], [2], [3], [4, 5]]
    assert [run.tolist() for run in runs(people([0] * 5, [0, 5, 10, 20, 25]))] == [[0, 1, 2], [3, 4]]


def test_photos_are_runs_of_one_frame():
    photos = people([0, 0, 0], [0, 1, 2])
    photos = People.from_arrays(photos.images, photos.joints)
    assert [run.tolist() for run in runs(photos)] == [[0], [1], [2]]


def test_joined_clips_stay_apart():
    clips, photos = one_run(3), People.from_arrays(one_run(2).images, one_run(2).joints)
    joined = clips.joined(clips, photos)
    assert [run.tolist() for run in runs(joined)] == [[0, 1, 2], [3, 4, 5], [6], [7]]
    assert runs(joined.select([4, 3]))[0].tolist() == [1, 0]


# ------------------------------------------------------------------------------------------ clips
@given(count=st.integers(1, 30), length=st.integers(1, 6), history=st.integers(0, 5))
def test_every_frame_counts_once_and_has_its_past(count, length, history):
    crops = ClipCrops(one_run(count), length, history=history)
    seen = []
    for index in range(len(crops)):
        frames, counted = crops.frames(index)
        assert len(frames) == length + history
        for place in np.flatnonzero(counted):
            seen.append(int(frames[place]))
            past = frames[max(0, place - history) : place].tolist()
            assert past == list(range(max(0, frames[place] - history), frames[place]))
    assert sorted(seen) == list(range(count))


def test_starts_are_drawn_by_epoch():
    crops = ClipCrops(one_run(20), 4, augment=True, seed=3)
    drawn = [[crops.frames(index, epoch)[0].tolist() for index in range(len(crops))] for epoch in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert all(frames == list(range(frames[0], frames[0] + 4)) for epoch in drawn for frames in epoch)


def test_one_crop_for_a_clip():
    crops = ClipCrops(one_run(4), 4, augment=True, framing=Framing(half_body_prob=1))
    clip = crops[2, 0]
    assert clip["image"].shape == (4, 3, 256, 256)
    assert clip["image"].dtype == torch.uint8
    assert (clip["to_photo"] == clip["to_photo"][0]).all()
    assert clip["index"].tolist() == [0, 1, 2, 3]
    assert clip["counted"].all()


def test_the_common_crop_covers_the_crop_of_every_frame():
    """x: 0 to 20 and 25 to 35, together 0 to 35; y: 0 to 20 and 7 to 17, together 0 to 20."""
    view = common_view(np.array([[10.0, 10.0], [30.0, 12.0]]), np.array([20.0, 10.0]))
    assert view.side == 35
    assert view.center.tolist() == [17.5, 10]


def test_a_clip_of_one_frame_equals_a_photo():
    frames = one_run(3)
    clip, photo = ClipCrops(frames, 1)[1], PoseCrops(frames)[1]
    assert clip.keys() == photo.keys() | {"counted"}
    for name, value in photo.items():
        assert torch.allclose(
            clip[name][0].float(), torch.as_tensor(value).float(), atol=1.0 if name == "image" else 1e-3
        )


def test_a_short_run_ends_with_copies():
    clip = ClipCrops(one_run(2), 4)[0]
    assert clip["counted"].tolist() == [True, True, False, False]
    assert torch.equal(clip["image"][1], clip["image"][3])


# ------------------------------------------------------------------------------------------ masks that move
def test_a_mask_moves_over_the_clip():
    images, joints = torch.full((1, 9, 3, 64, 64), 0.5), torch.tensor([[10.0, 10], [50, 50]]).expand(1, 9, 2, 2)
    masking = RandomMasking(mask_prob=1, orientation_prob=1, mean_valued_prob=1)
    annotated, mean = torch.ones(1, 9, 2, dtype=torch.bool), torch.zeros(3)
    paths = []
    for seed in range(10):
        generator = torch.Generator().manual_seed(seed)
        covered = masking.over_clips(images, joints, annotated, mean, generator)[0, :, 0, 0] == 0  # (F, W)
        columns = torch.where(covered, torch.arange(64), torch.nan).nanmean(-1)
        paths.append(columns[~columns.isnan()])
    steps = [path.diff() for path in paths if len(path) > 3]
    assert len(steps) > 5
    for step in steps:
        assert (step >= 0).all() or (step <= 0).all()
        assert step[1:-1].std() < 1  # a steady speed, to a pixel; at the picture's edges less of the bar is seen


# ------------------------------------------------------------------------------------------ the reader
def entries(folder) -> list[dict]:
    return json.loads((folder / "mpii_annotations.json").read_text())


@pytest.fixture
def changed(tiny_clips, tmp_path):
    """`changed(entries)`: a folder with these annotations and the photos of `tiny_clips`."""

    def write(rows: list[dict]):
        (tmp_path / "images").symlink_to(tiny_clips / "images")
        (tmp_path / "mpii_annotations.json").write_text(json.dumps(rows))
        return tmp_path

    return write


def test_clips_of_an_mpii_file(tiny_clips):
    training, validation = load_mpii(tiny_clips)
    assert [len(run) for run in runs(training)] == [5, 5]
    assert [training.image_paths[i].name for i in runs(training)[1]] == [f"0001_00{frame}.jpg" for frame in range(5)]
    assert [len(run) for run in runs(validation)] == [5]


def test_people_of_a_clip_are_told_apart(tiny_clips, changed):
    rows = entries(tiny_clips)
    for row in rows[:10]:
        row["people_index"], row["clip"] = row["clip"] == "0001", "both"
    training, _ = load_mpii(changed([row | {"people_index": float(row["people_index"])} for row in rows]))
    assert [run.tolist() for run in runs(training)] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]


def test_a_person_twice_in_a_frame_is_refused(tiny_clips, changed):
    rows = entries(tiny_clips)
    rows[3]["frame"] = rows[1]["frame"]
    with pytest.raises(UserError, match=r"entry 3 .*the same clip, frame and people_index"):
        load_mpii(changed(rows))


def test_a_fractional_frame_is_refused(tiny_clips, changed):
    rows = entries(tiny_clips)
    rows[2]["frame"] = 1.5
    with pytest.raises(UserError, match=r"entry 2 .*frame is not a whole number"):
        load_mpii(changed(rows))
