import numpy as np
import pytest
import torch
from color_hourglass import ColorHourglass, by_side, crop
from torch import nn

from stacked_hourglass.hourglass import Architecture, HourglassNet
from stacked_hourglass.inference import Predictor, as_input, batch_statistics, to_photo
from utils.imaging.images import apply_affine, crop_matrix, invert_affine
from utils.transform import MPII, SKELETONS


def test_joints_come_out_in_photo_pixels():
    matrices = torch.tensor([[[2.0, 0, 10], [0, 3, 20]]])
    points, scores = Predictor(ColorHourglass(mean=0.25))(crop((5, 7), (50, 9), (30, 60)), matrices)
    in_crop = by_side(MPII, (21.5, 29.5), (201.5, 37.5), (121.5, 241.5))  # middles of the 4 × 4 cells
    assert torch.equal(points[0], in_crop * torch.tensor([2.0, 3]) + torch.tensor([10.0, 20]))
    assert torch.equal(scores, torch.full((1, 16), 0.75))  # white less the mean
    assert points.device.type == scores.device.type == "cpu"


def test_flip_test_is_the_mean_with_the_mirror_images_maps():
    crops = crop((5, 7), (50, 9), (30, 60))
    plain = Predictor(ColorHourglass()).heatmaps(crops)
    both = Predictor(ColorHourglass(), flip=True).heatmaps(crops)
    # Mirrored twice, a cell is where it was, but under the name of the other side.
    assert torch.equal(both, (plain + plain[:, MPII.flip_order.copy()]) / 2)


@pytest.mark.parametrize(("skeleton", "count"), [("MPII", 16), ("MPII", 10), ("LSP", 14)])
def test_skeleton_is_the_networks(skeleton, count):
    predictor = Predictor(ColorHourglass(count, skeleton=skeleton), flip=True)
    assert predictor.skeleton.joints == SKELETONS[skeleton].joints[:count]
    points, scores = predictor(torch.zeros(2, 3, 256, 256, dtype=torch.uint8), torch.eye(2, 3).expand(2, 2, 3))
    assert points.shape == (2, count, 2)
    assert scores.shape == (2, count)


def test_no_people_no_joints():
    predictor = Predictor(ColorHourglass(10))
    points, scores = predictor(torch.empty(0, 3, 256, 256, dtype=torch.uint8), torch.empty(0, 2, 3))
    assert points.shape == (0, 10, 2)
    assert scores.shape == (0, 10)


@pytest.mark.usefixtures("bf16_cpu")
def test_precision_and_compilation_are_passed_on(monkeypatch):
    seen = {}
    monkeypatch.setattr(nn.Module, "compile", lambda self: seen.setdefault("compiled", type(self)))

    class Records(ColorHourglass):
        def forward(self, images):
            seen["autocast"] = torch.is_autocast_enabled("cpu")
            return super().forward(images)

    predictor = Predictor(Records(), "bf16", compiled=True)
    maps = predictor.heatmaps(crop((5, 7), (50, 9), (30, 60)))
    assert seen == {"compiled": Records, "autocast": True}
    assert maps.dtype == torch.float32
    Predictor(Records()).heatmaps(crop((1, 1)))
    assert seen["autocast"] is False


def test_to_photo_is_the_inverse_of_the_crop():
    rng = np.random.default_rng(0)
    matrices = np.stack([crop_matrix((300, 200), 400, 256, 33), crop_matrix((50, 60), 100, 256, -20, flip=True)])
    photo = rng.uniform(0, 500, (2, 16, 2))
    crop = torch.from_numpy(apply_affine(matrices, photo))
    assert torch.allclose(to_photo(torch.from_numpy(invert_affine(matrices)), crop), torch.from_numpy(photo))
    one = to_photo(torch.tensor([[[0.0, -2, 5], [3, 0, 7]]]), torch.tensor([[[10.0, 20]]]))
    assert one.tolist() == [[[-35, 37]]]


# ------------------------------------------------------------------------------------------ batch statistics


@pytest.fixture
def model() -> HourglassNet:
    torch.manual_seed(0)
    model = HourglassNet(Architecture(stacks=1, features=8))
    model(torch.rand(2, 3, 64, 64))
    return model.eval()


def test_batch_statistics_are_used_and_running_ones_are_kept(model):
    images = torch.rand(2, 3, 64, 64)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    running = model(images)[-1]
    with batch_statistics(model, True):
        own = model(images)[-1]
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert torch.equal(model(images)[-1], running)
    assert not torch.allclose(own, running, atol=1e-3)
    assert torch.equal(own, model.train()(images)[-1])


def test_batch_statistics_can_be_switched_off(model):
    images = torch.rand(2, 3, 64, 64)
    expected = model(images)[-1]
    with batch_statistics(model, False):
        assert torch.equal(model(images)[-1], expected)


def test_batch_statistics_end_even_after_an_error(model):
    def fail(model):
        with batch_statistics(model, True):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail(model)
    assert not any(module.training for module in model.modules())
    assert all(m.track_running_stats for m in model.modules() if isinstance(m, nn.BatchNorm2d))


@pytest.mark.parametrize("crops", [torch.zeros(2, 3, 64, 64), torch.zeros(64, 64, 3, dtype=torch.uint8)])
def test_crops_of_another_form_are_refused(model, crops):
    with pytest.raises(ValueError, match=r"crops are torch.* expected uint8 \(B, 3, H, W\) RGB"):
        as_input(model, crops)
