"""The stitched network: joints by name, frames and units, the two image scales, end-to-end gradients."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from stacked_hourglass.hourglass import Architecture, HourglassNet
from stitched import SoftArgmax2D, StitchedNetwork
from stitched.stitched_network import at_training_scale, training_size
from twod_threed.model import LinearModel
from twod_threed.normalisation import TENSORS, Normalisation
from utils.data_utils import centre_on_hip, instance_scale
from utils.imaging.heatmaps import decode_heatmaps, heatmap_to_crop, render_heatmaps
from utils.transform import COCO, H36M, H36M_2D, MPII

SMALL = Architecture(stacks=2, features=8)
SIDE = 128  # of the crops here; the networks take any multiple of 64


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def make_normalisation(kind):
    if kind == "instance":
        return Normalisation(
            kind, torch.zeros(16, 2), torch.ones(16, 2), torch.zeros(17, 3), torch.full((17, 3), 400.0)
        )
    mean_2d = 100 * torch.randn(16, 2, generator=generator(1)) + 500
    return Normalisation(
        kind,
        mean_2d,
        torch.full((16, 2), 60.0),
        200 * torch.randn(17, 3, generator=generator(2)),
        torch.full((17, 3), 90.0),
    )


def make_network(kind="instance", architecture=SMALL, lifter=None, **arguments):
    """In eval mode, with running statistics of random images."""
    torch.manual_seed(0)
    hourglass = HourglassNet(architecture)
    with torch.no_grad():
        hourglass(torch.rand(4, 3, SIDE, SIDE) - 0.45)
    lifter = lifter or LinearModel(linear_size=16, num_stage=1, without_hip=kind == "instance")
    return StitchedNetwork(hourglass, lifter, make_normalisation(kind), **arguments).eval()


@pytest.fixture(scope="module")
def images():
    return torch.rand(2, 3, SIDE, SIDE, generator=generator(3)) - 0.45


TO_PHOTO = torch.tensor([[[2.0, 0.0, 100.0], [0.0, 2.0, 50.0]], [[0.0, -1.5, 400.0], [1.5, 0.0, 10.0]]])


class Recorder(nn.Module):
    """Stands in for a lifter; keeps its input."""

    input_places = "h36m"

    def forward(self, poses):
        self.poses = poses
        return poses.new_zeros(len(poses), 17, 3)


# ------------------------------------------------------------------------------------------ outputs
@pytest.mark.parametrize("kind", ["instance", "dataset"])
def test_shapes_and_frames(images, kind):
    heatmaps, pose_2d, pose_3d = make_network(kind)(images, TO_PHOTO)
    assert [tuple(maps.shape) for maps in heatmaps] == [(2, 16, SIDE // 4, SIDE // 4)] * 2
    assert pose_2d.shape == (2, 16, 2)
    assert pose_3d.shape == (2, 17, 3)
    assert pose_3d.isfinite().all()
    assert (pose_3d[:, H36M.index("pelvis")] == 0).all()


def test_joints_of_heat_maps_come_out_in_photo_pixels():
    truth = 8 + 48 * torch.rand(2, 16, 2, generator=generator(4))
    located = make_network().locate(render_heatmaps(truth), TO_PHOTO)
    crop = heatmap_to_crop(truth)
    expected = torch.stack([2 * crop[0] + torch.tensor([100.0, 50.0]), crop[1].flip(-1) * torch.tensor([-1.5, 1.5])])
    expected[1] += torch.tensor([400.0, 10.0])
    assert (located - expected).norm(dim=-1).mean() < 3  # a third of a heat-map px


def test_the_default_soft_argmax_is_as_good_as_the_highest_pixel():
    """On peaks from 0.1 to 1 with a little noise, against the highest pixel moved by a quarter."""
    truth = 6 + 52 * torch.rand(64, 16, 2, generator=generator(5))
    heights = torch.linspace(0.1, 1, 64)[:, None, None, None]
    maps = heights * render_heatmaps(truth) + 0.005 * torch.randn(64, 16, 64, 64, generator=generator(6))
    soft = (make_network().soft_argmax(maps) - truth).norm(dim=-1).mean()
    hard = (decode_heatmaps(maps)[0] - truth).norm(dim=-1).mean()
    assert soft < 1.1 * hard


def test_joints_go_to_the_lifter_by_name():
    network = make_network("dataset", lifter=Recorder(), image_scale="human36m")
    pose = torch.arange(32.0).reshape(1, 16, 2)
    network.lift(pose)
    joints = network.lifter.poses * network.normalisation.stddev_2d + network.normalisation.mean_2d
    stand_ins = {"spine": "thorax", "thorax": "upper_neck"}
    for index, name in enumerate(H36M_2D.joints):
        torch.testing.assert_close(joints[0, index], pose[0, MPII.index(stand_ins.get(name, name))], atol=1e-3, rtol=0)


def test_mm_come_from_the_normalisation():
    network = make_network("dataset", lifter=Recorder())
    pose_3d = network.lift(torch.rand(3, 16, 2, generator=generator(7)))
    mean = network.normalisation.mean_3d
    torch.testing.assert_close(pose_3d, (mean - mean[:1]).expand(3, -1, -1))


def test_a_published_lifter_gets_its_hip_back(images):
    network = make_network("dataset", lifter=LinearModel(linear_size=16, num_stage=1, output_size=48))
    assert network(images, TO_PHOTO).pose_3d.shape == (2, 17, 3)


def test_reduced_precision_keeps_photo_pixels_exact(images):
    """A product in bf16 would be off by pixels."""
    network, far = make_network(), TO_PHOTO + torch.tensor([0.0, 0.0, 3000.0])
    with torch.autocast("cpu", torch.bfloat16):
        heatmaps, pose_2d, pose_3d = network(images, far)
    assert heatmaps[-1].dtype == torch.bfloat16
    torch.testing.assert_close(pose_2d, network.locate(heatmaps[-1].float(), far), atol=1e-2, rtol=0)
    assert pose_3d.dtype == torch.float32


# ------------------------------------------------------------------------------------------ the image's scale
def people(count=50, seed=8):
    return 500 + 80 * torch.randn(count, 16, 2, generator=generator(seed))


@pytest.mark.parametrize(
    ("kind", "image_scale", "same"),
    [("instance", "any", True), ("dataset", "any", True), ("dataset", "human36m", False)],
)
def test_the_scale_of_the_photo(kind, image_scale, same):
    """Halving the photo and moving the person matters only where pixels are taken as Human3.6M's."""
    network = make_network(kind, image_scale=image_scale)
    one, other = network.lift(people()), network.lift(people() / 2 + torch.tensor([900.0, -40.0]))
    assert torch.allclose(one, other, atol=0.1) == same


def test_poses_are_moved_to_the_training_sets_position_and_size():
    normalisation = make_normalisation("dataset")
    poses = at_training_scale(people() / 3, normalisation)
    torch.testing.assert_close(poses[:, 0], normalisation.mean_2d[:1].expand(50, -1))
    sizes = instance_scale(centre_on_hip(poses)).flatten()
    torch.testing.assert_close(sizes, training_size(normalisation).expand(50))


def test_the_training_sets_size_is_read_from_its_statistics():
    """Poses that do not depend on where a person stands: exact."""
    hips = torch.tensor([400.0, 300.0]) + torch.tensor([150.0, 60.0]) * torch.randn(
        200_000, 1, 2, generator=generator(9)
    )
    offsets = torch.randn(16, 2, generator=generator(10)) * 80 + 30 * torch.randn(
        200_000, 16, 2, generator=generator(11)
    )
    offsets[:, 0] = 0
    poses = hips + offsets
    flat = (poses.mean(0), poses.std(0, correction=0), torch.zeros(17, 3), torch.ones(17, 3))
    true_size = instance_scale(offsets).square().mean().sqrt()
    assert training_size(Normalisation("dataset", *flat)).item() == pytest.approx(true_size.item(), rel=0.01)


# ------------------------------------------------------------------------------------------ gradients
@pytest.mark.parametrize("output", ["pose_2d", "pose_3d", "heatmaps"])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kind", ["instance", "dataset"])
def test_a_gradient_reaches_the_first_convolution(images, output, training, kind):
    network = make_network(kind).train(training)
    result = getattr(network(images, TO_PHOTO), output)
    torch.stack([part.square().mean() for part in result]).sum().backward()
    gradient = network.hourglass.conv1.weight.grad
    assert gradient.isfinite().all()
    assert (gradient.abs().amax((1, 2, 3)) > 0).all()  # every filter learns
    lifter_learns = all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.lifter.parameters())
    assert lifter_learns == (output == "pose_3d")


@pytest.mark.parametrize("output", ["pose_2d", "pose_3d"])
def test_the_gradient_is_the_right_one(images, output):
    """The slope along a direction of the first convolution's weights, against differences in double precision."""
    network = make_network("dataset").double()
    weight = network.hourglass.conv1.weight
    direction = torch.randn(weight.shape, generator=generator(12), dtype=torch.float64)

    def value():
        return getattr(network(images.double(), TO_PHOTO.double()), output).mean()

    (gradient,) = torch.autograd.grad(value(), weight)
    step = 1e-6
    with torch.no_grad():
        weight += step * direction
        after = value()
        weight -= 2 * step * direction
        before = value()
    difference = (after - before).item() / (2 * step)
    assert (gradient * direction).sum().item() == pytest.approx(difference, rel=1e-4)
    assert abs(difference) > 1e-3


def test_all_losses_together_leave_the_outputs_unchanged(images):
    """No in-place write changes what another loss needs."""
    network = make_network("instance").train()
    result = network(images, TO_PHOTO)
    maps, pose_2d = result.heatmaps[-1].clone(), result.pose_2d.clone()
    loss = sum(part.square().mean() for part in (*result.heatmaps, result.pose_2d, result.pose_3d))
    loss.backward()
    assert torch.equal(result.heatmaps[-1], maps)
    assert torch.equal(result.pose_2d, pose_2d)
    unused = {name for name, p in network.named_parameters() if p.grad is None}
    assert not unused


# ------------------------------------------------------------------------------------------ the module
def test_its_state_is_the_two_networks(images):
    network = make_network()
    assert {key.split(".")[0] for key in network.state_dict()} == {"hourglass", "lifter"}
    assert network.skeleton is MPII
    assert network.mean.tolist() == pytest.approx([0.4404, 0.4440, 0.4327])
    network.hourglass.mean = torch.tensor([0.1, 0.2, 0.3])
    other = StitchedNetwork(network.hourglass, network.lifter, network.normalisation)
    assert other.mean.tolist() == pytest.approx([0.1, 0.2, 0.3])


def test_moving_the_network_moves_the_normalisation():
    network = make_network("dataset").to("meta")
    assert network.normalisation.mean_2d.device.type == network.mean.device.type == "meta"
    assert network.lift(torch.empty(2, 16, 2, device="meta")).device.type == "meta"


@pytest.mark.parametrize("kind", ["instance", "dataset"])
def test_the_whole_network_takes_another_dtype(images, kind):
    expected = make_network(kind)(images, TO_PHOTO)
    network = make_network(kind).double()
    facts = {network.mean.dtype, *(getattr(network.normalisation, name).dtype for name in TENSORS)}
    assert facts == {torch.float64}
    found = network(images.double(), TO_PHOTO.double())
    assert found.pose_3d.dtype == torch.float64
    torch.testing.assert_close(found.pose_3d.float(), expected.pose_3d, rtol=1e-3, atol=0.5)


def test_another_soft_argmax(images):
    hard = SoftArgmax2D(window_fn="Uniform", window_width=1)
    heatmaps, pose_2d, _ = make_network(soft_argmax=hard)(images, TO_PHOTO)
    top = heatmaps[-1].flatten(2).argmax(-1)
    x, y = top[0] % (SIDE // 4), top[0] // (SIDE // 4)
    expected = 2 * heatmap_to_crop(torch.stack([x, y], -1)) + torch.tensor([100.0, 50.0])
    torch.testing.assert_close(pose_2d[0], expected)


def test_wrong_parts_are_refused():
    with pytest.raises(ValueError, match=r"predicts MPII\[:10\] joints: .* no joint 'spine'"):
        make_network(architecture=replace(SMALL, num_classes=10))
    with pytest.raises(ValueError, match=r"image_scale 'mpii': choose one of any, human36m"):
        make_network(image_scale="mpii")


def test_an_hourglass_of_coco_joints_feeds_the_lifter():
    """By hand: hips at x = 0 and 4, shoulders at 8 and 16, ears at 20 and 24; y = -x."""
    torch.manual_seed(0)
    recorder = Recorder()
    network = StitchedNetwork(
        HourglassNet(replace(SMALL, num_classes=17), skeleton="COCO"), recorder, make_normalisation("instance")
    )
    assert network.skeleton == COCO
    x = torch.zeros(17)
    x[COCO.indices(["r_hip", "l_hip", "r_shoulder", "l_shoulder", "r_ear", "l_ear"])] = torch.tensor(
        [0.0, 4, 8, 16, 20, 24]
    )
    x[COCO.index("l_wrist")] = 99
    given = network.lifter_input(torch.stack([x, -x], 1)[None])[0]
    expected = {"pelvis": 2, "thorax": 12, "spine": 7, "head_top": 1.5 * 22 - 0.5 * 12, "l_wrist": 99, "r_hip": 0}
    for joint, value in expected.items():
        assert given[H36M_2D.index(joint)].tolist() == [value, -value], joint
    network.lift(torch.rand(3, 17, 2, generator=generator(5)))
    assert recorder.poses.shape == (3, 16, 2)


def test_a_lifter_of_mpii_positions_gets_coco_joints_at_those_positions():
    recorder = Recorder()
    recorder.input_places = "mpii"
    network = StitchedNetwork(
        HourglassNet(replace(SMALL, num_classes=17), skeleton="COCO"), recorder, make_normalisation("instance")
    )
    points = torch.zeros(1, 17, 2)
    points[:, COCO.indices(["r_shoulder", "l_shoulder"])] = 8
    points[:, COCO.indices(["r_ear", "l_ear"])] = 20
    given = network.lifter_input(points)[0, :, 0]
    assert given[H36M_2D.index("spine")] == 8  # MPII's thorax
    assert given[H36M_2D.index("thorax")] == 14  # its upper neck


def test_a_batch_without_people():
    network = make_network()
    assert network.locate(torch.empty(0, 16, 64, 64), torch.empty(0, 2, 3)).shape == (0, 16, 2)
    assert network.lift(torch.empty(0, 16, 2)).shape == (0, 17, 3)


def test_a_pose_of_one_point_stays_finite():
    """Maps without any peak put all joints at one pixel."""
    for kind in ("instance", "dataset"):
        assert make_network(kind).lift(torch.full((1, 16, 2), math.pi)).isfinite().all()
