import cv2
import numpy as np
import pytest
import torch

from stacked_hourglass.finding.photo_crops import PhotoPeople
from stacked_hourglass.finding.tracking import MAX_LOST
from stacked_hourglass.hourglass import Architecture, HourglassNet
from stacked_hourglass.inference import Predictor
from stacked_hourglass.photos import predict_photos
from stacked_hourglass.streaming import PastOfTracks

LENGTH = 2


@pytest.fixture(scope="module")
def network() -> HourglassNet:
    torch.manual_seed(0)
    over_time = {"add_attention": True, "attention_history_length": LENGTH, "attention_heads": 2}
    model = HourglassNet(Architecture(stacks=1, features=8, **over_time)).eval()
    torch.nn.init.normal_(model.attention[0].gain)
    return model


def frames(count: int, people: int = 2) -> torch.Tensor:
    return torch.randn(count, people, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_each_track_has_its_own_past(network):
    images, past = frames(4), PastOfTracks(network)
    found = [past.heatmaps(images[0], [7, 3]), past.heatmaps(images[1].flip(0), [3, 7])[[1, 0]]]
    whole = network(images[:2].transpose(0, 1))[-1]  # (P, F, J, h, w)
    for frame, maps in enumerate(found):
        assert torch.allclose(maps, whole[:, frame], atol=1e-5)


@torch.no_grad()
def test_a_new_track_begins_without_a_past(network):
    images, past = frames(3), PastOfTracks(network)
    past.heatmaps(images[0], [0, 1])
    maps = past.heatmaps(images[1], [0, 2])
    assert torch.allclose(maps[1:], network(images[1, 1:])[-1], atol=1e-5)
    assert not torch.allclose(maps[:1], network(images[1, :1])[-1], atol=1e-3)


@torch.no_grad()
def test_a_track_that_comes_back_continues(network):
    images, past = frames(3), PastOfTracks(network)
    past.heatmaps(images[0], [0, 1])
    past.heatmaps(images[1, :1], [0])
    maps = past.heatmaps(images[2, 1:], [1])
    assert torch.allclose(maps[0], network(images[[0, 2], 1][None])[-1][0, 1], atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(("lost", "remembered"), [(MAX_LOST, True), (MAX_LOST + 1, False)])
def test_lost_tracks_are_forgotten(network, lost, remembered):
    images, past = frames(2), PastOfTracks(network)
    past.heatmaps(images[0], [0, 1])
    for _ in range(lost):
        past.heatmaps(images[0, :1], [0])
    maps = past.heatmaps(images[1, 1:], [1])
    without_past = network(images[1, 1:])[-1]
    assert torch.allclose(maps, without_past, atol=1e-5) != remembered


def crop_photos(count: int) -> list[PhotoPeople]:
    """Frames with one person each."""
    rng = np.random.default_rng(0)
    eye = np.float32([[[1, 0, 0], [0, 1, 0]]])
    return [
        PhotoPeople(
            f"{frame}",
            np.stack([cv2.resize(rng.integers(0, 256, (8, 8, 3), np.uint8), (256, 256))]),
            eye,
            np.zeros((1, 4), np.float32),
            np.ones(1, np.float32),
            tracks=np.array([0]),
        )
        for frame in range(count)
    ]


@pytest.mark.parametrize("flip", [False, True])
def test_a_video_is_predicted_as_a_clip(network, flip):
    photos, predictor = crop_photos(3), Predictor(network, flip=flip)
    found = [scores for _, _, scores in predict_photos(predictor.in_video(), photos, batch_size=16)]
    alone = [scores for _, _, scores in predict_photos(predictor, photos, batch_size=16)]
    assert torch.allclose(found[0], alone[0], atol=1e-5)
    assert not torch.allclose(found[2], alone[2], atol=1e-4)
    if not flip:
        clip = torch.from_numpy(np.concatenate([photo.crops for photo in photos])).permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            maps = network(clip[None] - network.mean[:, None, None])[-1][0]
        assert torch.allclose(torch.cat(found), maps.amax((-2, -1)), atol=1e-5)
