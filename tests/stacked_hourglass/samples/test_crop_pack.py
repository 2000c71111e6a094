"""The pack of crops: the same samples as from the photos, within the noise of JPEG, and how it is kept."""

import os
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from stacked_hourglass.annotations.people import People
from stacked_hourglass.samples.crop_pack import PACK_MARGIN, CropPack, pack_crops
from stacked_hourglass.samples.datasets import PoseCrops
from stacked_hourglass.samples.framing import Framing


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> People:
    """Two people in a smooth photo: one smaller than the pack's crops, one larger; and one whose photo is damaged."""
    folder = tmp_path_factory.mktemp("photos")
    ys, xs = np.mgrid[:600, :800]
    photo = np.dstack([127 + 100 * np.sin(xs / 60), 127 + 100 * np.cos(ys / 70), (xs + ys) / 6]).astype(np.uint8)
    Image.fromarray(photo).save(folder / "photo.jpg", quality=98, subsampling=0)
    (folder / "bad.jpg").write_bytes((folder / "photo.jpg").read_bytes()[:500])
    names = ["photo.jpg", "photo.jpg", "bad.jpg"]
    joints = np.random.default_rng(0).uniform(300, 400, (3, 16, 2))
    boxes = np.array([[350, 250, 450, 350], [150, 50, 650, 550], [150, 50, 650, 550]], float)
    return People.from_arrays([folder / name for name in names], joints, boxes=boxes)


def test_samples_are_those_of_the_photos(people, tmp_path):
    pack = pack_crops(people, folder=tmp_path)
    assert pack.sizes.tolist() == [int(np.ceil(125 * PACK_MARGIN)), 384, 0]
    plain, packed = PoseCrops(people, augment=True), PoseCrops(people, augment=True, pack=pack)
    from_pack = 0
    for epoch in range(12):
        for index in range(2):
            one, other = plain[epoch, index], packed[epoch, index]
            difference = (one.pop("image").float() - other.pop("image").float()).abs()
            assert difference.mean() < 1.5
            assert difference.quantile(0.98) < 12  # more at the photo's border
            from_pack += difference.any().item()
            for name, value in one.items():
                assert torch.equal(torch.as_tensor(value), torch.as_tensor(other[name]))
    assert from_pack == 24


def test_an_unreadable_photo_is_unreadable_from_the_pack(people, tmp_path):
    sample = PoseCrops(people, pack=pack_crops(people, folder=tmp_path))[2]
    assert not sample["readable"]
    assert not sample["annotated"].any()


def test_crops_that_the_pack_lacks_come_from_the_photo(people, tmp_path):
    pack = pack_crops(people, folder=tmp_path)
    center, side = people.center[1], float(people.side[1])
    scale = 256 / side
    inside = np.array([[scale, 0, 127.5 - scale * center[0]], [0, scale, 127.5 - scale * center[1]]])
    assert pack.crop(1, inside).shape == (256, 256, 3)
    assert pack.crop(1, np.add(inside, [[0, 0, 200], [0, 0, 0]])) is None  # beside it
    assert pack.crop(1, 4 * inside - [[0, 0, 382.5], [0, 0, 382.5]]) is None  # too coarse
    framed = [PoseCrops(people, True, 0, Framing(half_body_prob=1.0), one) for one in (None, pack)]
    for epoch in range(5):
        one, other = (crops[epoch, 1]["image"].float() for crops in framed)
        assert (one - other).abs().mean() < 2


def test_a_pack_is_made_once_and_again_when_photos_or_people_change(people, tmp_path, capsys):
    pack = pack_crops(people, folder=tmp_path)
    made = pack.path.stat().st_mtime_ns
    assert pack_crops(people, folder=tmp_path).path.stat().st_mtime_ns == made
    assert pack_crops(people.select([0, 1]), folder=tmp_path).path != pack.path
    os.utime(people.image_paths[0], (1, 1))
    assert pack_crops(people, folder=tmp_path).path != pack.path
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".pack"]


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


DAMAGES = {
    "cut": lambda data: data[:-9], "empty": lambda data: b"", "longer": lambda data: data + bytes(8),
    "zeros": lambda data: bytes(4), "a bit of a picture": lambda data: flipped(data, 5000),
    "a bit of the index": lambda data: flipped(data, len(data) - 300),
    "a bit of the checksum": lambda data: flipped(data, len(data) - 1),
    "NaN in a matrix": lambda data: data[:-212] + np.full(6, np.nan).tobytes() + data[-164:],
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
def test_a_damaged_pack_is_made_again(people, tmp_path, damage, caplog):
    pack = pack_crops(people, folder=tmp_path)
    whole = pack.path.read_bytes()
    pack.path.write_bytes(damage(whole))
    pack_crops(people, folder=tmp_path)
    assert "not a pack of crops, or damaged" in caplog.text
    assert "it is made again" in caplog.text
    assert pack.path.read_bytes() == whole


def test_a_pack_travels_to_worker_processes_by_its_path(people, tmp_path):
    pack = pack_crops(people, folder=tmp_path)
    PoseCrops(people, pack=pack)[0]  # maps the file
    data = pickle.dumps(pack)
    assert len(data) < 3000
    other: CropPack = pickle.loads(data)
    assert torch.equal(PoseCrops(people, pack=other)[0]["image"], PoseCrops(people, pack=pack)[0]["image"])
