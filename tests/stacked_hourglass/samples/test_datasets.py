"""Samples, loaders and their random numbers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from dataset_cases import COLORS, dotted_photo, people_of, save

from stacked_hourglass.annotations.mpii import load_mpii
from stacked_hourglass.annotations.people import People
from stacked_hourglass.inference import to_photo
from stacked_hourglass.samples.augmentation import draw_geometry
from stacked_hourglass.samples.datasets import PoseCrops, make_loader, statistics, training_loader
from stacked_hourglass.samples.framing import Framing
from utils.imaging.images import CROP_SIZE
from utils.transform import LSP, MPII

# ------------------------------------------------------------------------------------------ samples


@pytest.mark.parametrize(("size", "side"), [((401, 367), 230), ((1203, 1010), 690)], ids=["small", "shrunk by two"])
def test_joints_follow_the_pixels_through_augmentation(tmp_path, size, side):
    rng = np.random.default_rng(4)
    middle = np.array(size) / 2
    joints = np.zeros((16, 2))
    joints[:] = middle + np.stack(np.meshgrid([-1.5, -0.5, 0.5, 1.5], [-1.5, -0.5, 0.5, 1.5]), -1).reshape(16, 2) * (
        side / 6
    )
    joints += rng.uniform(-3, 3, joints.shape)
    photo = dotted_photo(tmp_path / "dots.png", size, joints, radius=side // 40)
    people = people_of(
        [photo],
        joints=joints[None].astype(np.float32),
        center=middle[None].astype(np.float32),
        side=np.float32([side]),
    )
    dataset = PoseCrops(people, augment=True, seed=5)
    flips, errors = 0, []
    for epoch in range(12):
        sample = dataset[epoch, 0]
        *_, flipped = draw_geometry(np.random.default_rng([5, epoch, 0]))
        order = MPII.flip_order if flipped else np.arange(16)
        flips += flipped
        crop = sample["image"].permute(1, 2, 0).numpy().astype(int)
        for joint, place in enumerate(sample["joints"].numpy()):
            if (place < 12).any() or (place > CROP_SIZE - 13).any():
                continue
            left, top = place.astype(int) - 10
            window = crop[top : top + 22, left : left + 22]
            y, x = np.nonzero(np.abs(window - COLORS[order[joint]]).max(-1) < 30)
            # The dot of the joint's own side lies where the joint is said to be.
            errors.append([left + x.mean(), top + y.mean()] - place)
            assert np.abs(errors[-1]).max() < 0.35, (epoch, MPII.joints[joint])
    assert len(errors) > 100
    assert np.abs(np.mean(errors, axis=0)).max() < 0.03  # no half pixel lost on the way
    assert 0 < flips < 12


def test_a_flip_exchanges_the_flags_of_left_and_right_joints(tmp_path):
    photo = save(tmp_path / "photo.png", np.full((300, 300, 3), 9))
    annotated = np.ones((1, 16), bool)
    annotated[0, MPII.index("r_ankle")] = False
    visible = annotated.copy()
    visible[0, MPII.index("l_wrist")] = False
    people = people_of([photo], annotated=annotated, visible=visible)
    dataset = PoseCrops(people, augment=True)
    for epoch in range(8):
        *_, flipped = draw_geometry(np.random.default_rng([0, epoch, 0]))
        sample = dataset[epoch, 0]
        lost, hidden = ("l_ankle", "r_wrist") if flipped else ("r_ankle", "l_wrist")
        assert np.flatnonzero(~sample["annotated"].numpy()).tolist() == [MPII.index(lost)]
        assert sorted(np.flatnonzero(~sample["visible"].numpy())) == sorted(MPII.indices([lost, hidden]))


@pytest.mark.parametrize("augment", [False, True])
def test_to_photo_undoes_the_crop(tiny_mpii, augment):
    training, _ = load_mpii(tiny_mpii)
    dataset = PoseCrops(training, augment, seed=1)
    for index in range(len(training)):
        sample = dataset[3, index]
        *_, flipped = draw_geometry(np.random.default_rng([1, 3, index]))
        order = MPII.flip_order if augment and flipped else slice(None)
        back = to_photo(sample["to_photo"][None], sample["joints"][None])[0].numpy()
        annotated = training.annotated[index][order]
        assert np.allclose(back[annotated], training.joints[index][order][annotated], atol=2e-3)


def test_without_augmentation_the_crop_is_the_persons_box(tmp_path):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (300, 320, 3))
    people = people_of([save(tmp_path / "photo.png", image)], center=np.float32([[149.5, 147.5]]))
    sample = PoseCrops(people)[0]
    assert np.array_equal(sample["image"].permute(1, 2, 0).numpy(), image[20:276, 22:278])
    assert sample["image"].dtype == torch.uint8
    assert sample["image"].shape == (3, CROP_SIZE, CROP_SIZE)
    assert np.allclose(sample["joints"], people.joints[0] - (22, 20), atol=1e-4)
    assert sample["joints"].dtype == torch.float32
    assert np.allclose(sample["to_photo"], [[1, 0, 22], [0, 1, 20]], atol=1e-5)
    assert (sample["index"], sample["readable"]) == (0, True)


def _damaged(folder: Path, kind: str) -> Path:
    path = folder / f"{kind.replace(' ', '_')}.jpg"
    if kind == "truncated":
        save(folder / "whole.jpg", np.random.default_rng(0).integers(0, 256, (300, 300, 3)))
        path.write_bytes((folder / "whole.jpg").read_bytes()[:9000])
    elif kind == "empty":
        path.touch()
    elif kind == "one pixel":
        save(path, np.zeros((1, 1, 3)))
    elif kind == "text":
        path.write_text("no photo")
    return path


@pytest.mark.parametrize("kind", ["absent", "truncated", "empty", "one pixel", "text"])
@pytest.mark.parametrize("augment", [False, True])
def test_an_unreadable_photo_is_a_black_crop_with_nothing_annotated(tmp_path, kind, augment):
    sample = PoseCrops(people_of([_damaged(tmp_path, kind)]), augment)[0, 0]
    assert not sample["readable"]
    assert not sample["image"].any()
    assert sample["image"].shape == (3, CROP_SIZE, CROP_SIZE)
    assert not sample["annotated"].any()
    assert not sample["visible"].any()
    assert sample["joints"].isfinite().all()


def test_a_person_outside_the_photo_is_a_black_crop_and_still_annotated(tmp_path):
    photo = save(tmp_path / "photo.png", np.full((100, 100, 3), 200))
    sample = PoseCrops(people_of([photo], center=np.float32([[5000, -3000]])))[0]
    assert sample["readable"]
    assert not sample["image"].any()
    assert sample["annotated"].all()
    assert sample["joints"].isfinite().all()


@pytest.mark.parametrize("side", [2.0, 300_000.0], ids=["tiny person", "giant"])
def test_extreme_scales_give_a_crop(tmp_path, side):
    photo = save(tmp_path / "photo.jpg", np.full((300, 300, 3), 200))
    sample = PoseCrops(people_of([photo], side=np.float32([side])))[0]
    assert sample["readable"]
    assert sample["image"].shape == (3, CROP_SIZE, CROP_SIZE)
    assert sample["joints"].isfinite().all()


def test_a_person_without_annotated_joints_is_a_sample(tmp_path):
    photo = save(tmp_path / "photo.png", np.full((300, 300, 3), 200))
    nothing = np.zeros((1, 16), bool)
    sample = PoseCrops(people_of([photo], annotated=nothing, visible=nothing), augment=True)[0, 0]
    assert sample["readable"]
    assert sample["image"].any()
    assert not sample["annotated"].any()


def test_other_skeletons_have_their_own_joints_and_flips(tmp_path):
    photo = save(tmp_path / "photo.png", np.full((300, 300, 3), 200))
    dataset = PoseCrops(people_of([photo], LSP), augment=True)
    assert dataset[0, 0]["joints"].shape == (14, 2)
    assert dataset[0, 0]["visible"].shape == (14,)


# ------------------------------------------------------------------------------------------ randomness and loaders


def test_a_sample_depends_only_on_seed_epoch_and_index(tiny_mpii):
    training, _ = load_mpii(tiny_mpii)
    dataset = PoseCrops(training, augment=True, seed=3)
    first = dataset[2, 5]
    dataset[0, 1], np.random.default_rng().random(), torch.rand(3)
    again = PoseCrops(training, augment=True, seed=3)[2, 5]
    assert all(np.array_equal(first[key], again[key]) for key in first)
    others = [PoseCrops(training, True, 4)[2, 5], dataset[3, 5]]
    assert not any(torch.equal(first["image"], other["image"]) for other in others)
    plain = PoseCrops(training, augment=False, seed=3)
    assert torch.equal(plain[2, 5]["image"], plain[9, 5]["image"])
    assert torch.equal(plain[2, 5]["image"], plain[5]["image"])


def _epochs(people: People, epochs: int, workers: int = 0, seed: int = 0, augment: bool = True) -> list[list[dict]]:
    """Minibatches of three."""
    loader = training_loader(PoseCrops(people, augment, seed), 3, workers, seed)
    batches = []
    for epoch in range(epochs):
        loader.batch_sampler.start(epoch)
        batches.append(list(loader))
    return batches


def test_workers_change_nothing(tiny_mpii):
    training, _ = load_mpii(tiny_mpii)
    alone, helped = (_epochs(training, 2, workers) for workers in (0, 2))
    for one, other in zip(alone, helped, strict=True):
        for batch, same in zip(one, other, strict=True):
            assert all(torch.equal(batch[key], same[key]) for key in batch)


def test_an_epoch_covers_everybody_once_in_another_order_each_time(tiny_mpii):
    training, _ = load_mpii(tiny_mpii)
    orders = [torch.cat([batch["index"] for batch in epoch]).tolist() for epoch in _epochs(training, 3)]
    assert all(sorted(order) == list(range(8)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert [len(batch["index"]) for batch in _epochs(training, 1)[0]] == [3, 3, 2]  # the last is kept
    other = _epochs(training, 1, seed=9)[0]
    assert torch.cat([batch["index"] for batch in other]).tolist() != orders[0]


def test_the_seed_reaches_the_augmentation(tiny_mpii):
    training, _ = load_mpii(tiny_mpii)
    one, other = (PoseCrops(training, augment=True, seed=seed) for seed in (0, 9))
    assert not torch.equal(one[0, 0]["to_photo"], other[0, 0]["to_photo"])


def test_an_epoch_can_start_after_its_first_minibatches(tiny_mpii):
    training, _ = load_mpii(tiny_mpii)
    loader = training_loader(PoseCrops(training, augment=True), 3)
    loader.batch_sampler.start(1)
    whole = list(loader)
    loader.batch_sampler.start(1, skip=1)
    rest = list(loader)
    assert all(torch.equal(a["image"], b["image"]) for a, b in zip(whole[1:], rest, strict=True))


def test_a_validation_loader_is_in_order(tiny_mpii):
    _, validation = load_mpii(tiny_mpii)
    loader = make_loader(PoseCrops(validation), 3)
    batches = list(loader)
    assert torch.cat([batch["index"] for batch in batches]).tolist() == [0, 1, 2, 3]
    assert batches[0]["image"].shape == (3, 3, CROP_SIZE, CROP_SIZE)
    assert batches[0]["readable"].dtype == torch.bool


def test_without_augmentation_a_training_loader_gives_plain_crops(tiny_mpii):
    training, _ = load_mpii(tiny_mpii)
    plain = PoseCrops(training)
    for batch in _epochs(training, 1, augment=False)[0]:
        for index, image in zip(batch["index"], batch["image"], strict=True):
            assert torch.equal(image, plain[int(index)]["image"])


def test_loaders_do_not_draw_from_the_global_generators(tiny_mpii, tmp_path):
    """Otherwise the initial weights would depend on whether the statistics were cached."""
    training, _ = load_mpii(tiny_mpii)
    before = torch.get_rng_state()
    statistics(training, cache=tmp_path)
    _epochs(training, 1)
    assert torch.equal(torch.get_rng_state(), before)


# ------------------------------------------------------------------------------------------ framing


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("framing", [Framing(half_body_prob=1), Framing(cut_off_prob=1), Framing(box_jitter=0.3)])
def test_joints_are_nan_exactly_where_framing_hides_them(tmp_path, framing, augment):
    """Each joint has a dot of its own colour in a photo that is black elsewhere."""
    angles = np.linspace(0, 2 * np.pi, len(MPII), endpoint=False)
    joints = np.stack([200 + 90 * np.cos(angles), 180 + 120 * np.sin(angles)], -1)
    path = dotted_photo(tmp_path / "dots.png", (401, 367), joints, radius=5)
    people = people_of([path], joints=joints[None].astype(np.float32), center=np.array([[200, 180]], np.float32))
    people.annotated[0, 3] = False
    crops, hidden, shown = PoseCrops(people, augment, framing=framing), 0, 0
    for epoch in range(12):
        sample = crops[epoch, 0]
        image = sample["image"].permute(1, 2, 0).numpy().astype(int)
        order = slice(None)
        if np.linalg.det(sample["to_photo"][:, :2].numpy()) < 0:
            order = MPII.flip_order
        colors = COLORS[order]
        out = sample["joints"].isnan().any(-1).numpy()
        assert not (sample["visible"].numpy() & out).any()
        assert sample["annotated"].sum() == len(MPII) - 1
        for color, joint, gone in zip(colors, sample["joints"].numpy(), out, strict=True):
            if gone:
                hidden += 1
                continue
            shown += 1
            x, y = np.clip(np.rint(joint).astype(int), 0, CROP_SIZE - 1)
            assert np.abs(image[y, x] - color).max() < 130
            assert image[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3].max() > 60
        torch.testing.assert_close(to_photo(sample["to_photo"][None], sample["joints"][None])[0][~out],
                                   people_joints(people, order)[~out], rtol=0, atol=0.02)  # fmt: skip
    assert shown > 60
    assert hidden > 5
    assert torch.equal(crops[3, 0]["image"], crops[3, 0]["image"])
    assert not torch.equal(crops[3, 0]["to_photo"], crops[4, 0]["to_photo"])


def people_joints(people, order):
    return torch.from_numpy(people.joints[0])[torch.arange(len(MPII))[order]]


def test_framing_does_not_change_the_other_random_numbers(tiny_mpii):
    people = load_mpii(tiny_mpii)[0]
    plain, off = PoseCrops(people, True, seed=3), PoseCrops(people, True, seed=3, framing=Framing())
    for index in range(3):
        for key, value in plain[2, index].items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(off[2, index][key]))
