"""People made from arrays, with photos in memory or in files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stacked_hourglass.annotations.people import People
from stacked_hourglass.samples.datasets import PoseCrops, statistics
from utils.transform import COCO, LSP, MPII


def photos_and_joints(count: int = 3):
    rng = np.random.default_rng(0)
    photos = [rng.integers(0, 255, (60 + 10 * i, 80, 3), np.uint8) for i in range(count)]
    return photos, rng.uniform(10, 50, (count, len(MPII), 2))


def test_photos_in_memory_give_the_samples_that_files_give(tmp_path):
    photos, joints = photos_and_joints()
    paths = [tmp_path / f"{number}.png" for number in range(len(photos))]
    for path, photo in zip(paths, photos, strict=True):
        Image.fromarray(photo).save(path)
    in_memory, in_files = (People.from_arrays(images, joints) for images in (photos, [str(path) for path in paths]))
    assert in_files.image_paths == paths
    assert in_files.images is None
    for one, other in zip(PoseCrops(in_memory, augment=True), PoseCrops(in_files, augment=True), strict=True):
        assert one["readable"]
        assert all(np.array_equal(one[key], other[key]) for key in one)
    assert statistics(in_memory, cache=tmp_path) == statistics(in_files, cache=tmp_path)
    photos[0][:] = 0  # the cache tells photos apart by their content
    assert statistics(in_memory, cache=tmp_path) != statistics(in_files, cache=tmp_path)


def test_defaults_by_hand():
    joints = np.full((1, len(MPII), 2), 30.0)
    joints[0, MPII.index("head_top")] = 30, 10
    joints[0, MPII.index("r_ankle")] = 42, 90
    joints[0, MPII.index("l_ankle")] = np.nan
    people = People.from_arrays([Path("a.jpg")], joints)
    assert people.annotated.sum() == len(MPII) - 1
    assert np.array_equal(people.visible, people.annotated)
    assert people.center.tolist() == [[36, 50]]
    assert people.side == pytest.approx([80 * 1.05 * 1.25])
    assert people.head_size == pytest.approx([0.75 * 20])
    boxed = People.from_arrays(
        [Path("a.jpg")], joints, boxes=[[0, 0, 40, 100]], head_size=[7], visible=people.joints[..., 0] > 40
    )
    assert boxed.center.tolist() == [[20, 50]]
    assert boxed.side.tolist() == [125]
    assert boxed.head_size.tolist() == [7]
    assert [MPII.joints[i] for i in np.flatnonzero(boxed.visible)] == ["r_ankle"]


def test_other_skeletons_and_tensors():
    joints = torch.rand(2, len(LSP), 2) * 50
    people = People.from_arrays(torch.zeros(2, 60, 60, 3, dtype=torch.uint8).numpy(), joints, skeleton=LSP)
    neck, top = joints[:, LSP.index("neck")], joints[:, LSP.index("head_top")]
    assert people.head_size == pytest.approx((neck - top).norm(dim=1).numpy(), rel=1e-5)
    assert np.isnan(People.from_arrays(["a"], np.eye(17, 2)[None], skeleton=COCO).head_size).all()


def test_chosen_and_joined_people_keep_their_photos():
    photos, joints = photos_and_joints()
    people = People.from_arrays(photos, joints)
    both = people.select([2, 0]).joined(people.first_joints(len(MPII)))
    assert all(np.array_equal(both.photo(i), photos[k]) for i, k in enumerate((2, 0, 0, 1, 2)))
    with pytest.raises(ValueError, match="some photos are files"):
        people.joined(People.from_arrays(["a", "b", "c"], joints))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"joints": np.zeros((3, 14, 2))}, r"3 images and joints \(3, 14, 2\); expected \(N, 16, 2\)"),
        ({"joints": np.zeros((3, 16, 2))}, "person 0 .* two distinct annotated joints"),
        ({"joints": np.full((3, 16, 2), np.nan)}, "person 0 .* two distinct annotated joints"),
        ({"boxes": [[0, 0, 9, 9], [5, 5, 4, 9], [0, 0, 9, 9]]}, "person 1 .* x0 < x1"),
        ({"boxes": np.ones((3, 2))}, r"boxes \(3, 2\): expected \(3, 4\)"),
        ({"head_size": 4.0}, r"head_size \(\): expected \(3,\)"),
        ({"visible": np.ones(16)}, r"visible \(16,\): expected \(3, 16\)"),
        ({"images": [np.zeros((9, 9, 3))] * 3}, "image 0 is float64"),
        ({"images": ["a.jpg", "b.jpg", np.zeros((9, 9, 3), np.uint8)]}, "image 0 is str"),
    ],
)  # fmt: skip
def test_arrays_that_do_not_fit_are_refused(change, message):
    photos, joints = photos_and_joints()
    with pytest.raises(ValueError, match=message):
        People.from_arrays(**({"images": photos, "joints": joints} | change))
