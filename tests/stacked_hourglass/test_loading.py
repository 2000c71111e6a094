from argparse import Namespace
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import stacked_hourglass
from stacked_hourglass.hourglass import Architecture, HourglassNet
from stacked_hourglass.inference import as_input
from stacked_hourglass.loading import count_parameters, hourglass_architecture, load_hourglass
from utils.doors.option_rules import refuse_disagreement
from utils.osutils import UserError
from utils.training.checkpoints import make_checkpoint_fn, read_checkpoint

SMALL = Architecture(stacks=2, features=8)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(5)) - 0.45


def trained(architecture: Architecture = SMALL) -> HourglassNet:
    """A network whose running statistics are not those of initialization, in eval mode."""
    torch.manual_seed(1)
    model = HourglassNet(architecture)
    model(torch.rand(2, 3, 64, 64))
    return model.eval()


def assert_same_outputs(model: HourglassNet, loaded: HourglassNet, images: Tensor) -> None:
    with torch.no_grad():
        for expected, got in zip(model(images), loaded(images), strict=True):
            assert torch.equal(got, expected)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_bare_published_state_dict_needs_only_its_path(tmp_path, images, prefix):
    model = trained()
    torch.save({prefix + key: value for key, value in model.state_dict().items()}, tmp_path / "published.pth")
    loaded = load_hourglass(tmp_path / "published.pth")
    assert_same_outputs(model, loaded, images)
    assert not loaded.training
    assert loaded.mean.tolist() == pytest.approx([0.4404, 0.4440, 0.4327])
    assert loaded.skeleton == "MPII"


@pytest.mark.parametrize("legacy", [False, True], ids=["zip file", "old file form"])
def test_a_published_checkpoint_needs_only_its_path(tmp_path, images, legacy):
    model = trained(replace(SMALL, stacks=1, blocks=2))
    optimizer = torch.optim.RMSprop(model.parameters(), 2.5e-4)
    checkpoint = {
        "epoch": 12,
        "arch": "hg",
        "state_dict": nn.DataParallel(model).state_dict(),
        "best_acc": torch.tensor(0.81),
        "optimizer": optimizer.state_dict(),
    }
    torch.save(checkpoint, tmp_path / "model_best.pth.tar", _use_new_zipfile_serialization=not legacy)
    loaded = load_hourglass(tmp_path)  # a folder stands for its checkpoint
    assert loaded.architecture == model.architecture
    assert_same_outputs(model, loaded, images)


def test_weights_older_than_batch_norms_counter_load(tmp_path, images):
    model = trained()
    old = {key: value for key, value in model.state_dict().items() if not key.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "2018.pth")
    assert_same_outputs(model, load_hourglass(tmp_path / "2018.pth"), images)


@pytest.mark.parametrize(
    "architecture",
    [
        SMALL,
        replace(SMALL, use_layer_norm=True),
        replace(SMALL, no_batch_norm_affine=True, num_classes=10),
        replace(SMALL, predict_joint_visibility=True, batch_norm_momentum=0.3),
    ],
    ids=["plain", "layer norm", "no affine", "visibility"],
)
def test_our_checkpoint_needs_only_its_path(tmp_path, images, parse_options, architecture):
    model = trained(architecture)
    options = parse_options("--batch_norm_momentum", architecture.batch_norm_momentum)
    settings = {name: value for name, value in vars(options).items() if name != "accepts"}
    write = make_checkpoint_fn("hourglass_lsp", settings, {"mean": [0.1, 0.2, 0.3], "skeleton": "LSP"})
    write(model, torch.optim.Adam(model.parameters()), 3, 50.0, tmp_path, is_best=False)
    loaded = load_hourglass(tmp_path)
    assert loaded.architecture == architecture
    assert_same_outputs(model, loaded, images)
    assert loaded.mean.tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert loaded.mean.shape == (3,)
    assert loaded.skeleton == "LSP"


def test_the_hourglass_of_a_stitched_checkpoint(tmp_path, images):
    """It loads as from its own checkpoint: weights, architecture, mean, skeleton and score threshold."""
    model = trained(replace(SMALL, batch_norm_momentum=0.3))
    lifter = {f"lifter.{key}": value for key, value in _lifter().items()}
    checkpoint = {
        "state_dict": {f"hourglass.{key}": value for key, value in model.state_dict().items()} | lifter,
        "mean": [0.1, 0.2, 0.3],
        "skeleton": "MPII",
        "score_threshold": 0.25,
        "batch_norm_momentum": 0.3,
        "script": "stitched_fine_tune",
        "options": {"batch_norm_momentum": 0.1},
    }
    torch.save(checkpoint, tmp_path / "stitched.pth.tar")
    loaded = load_hourglass(tmp_path / "stitched.pth.tar")
    assert loaded.architecture == model.architecture
    assert_same_outputs(model, loaded, images)
    assert loaded.mean.tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert (loaded.skeleton, loaded.score_threshold, loaded.training) == ("MPII", 0.25, False)


def test_the_mean_follows_the_network():
    model = trained()
    assert "mean" not in model.state_dict()
    assert model.to("meta").mean.device.type == "meta"
    model = trained().double()
    crops = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        maps = model(as_input(model, crops))[-1]
        expected = model.float()(as_input(model, crops))[-1]
    assert maps.dtype == torch.float64
    torch.testing.assert_close(maps.float(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta"])
def test_a_device_that_is_not_available(tmp_path, device):
    torch.save(trained().state_dict(), tmp_path / "weights.pth")
    with pytest.raises(UserError, match=f"--device {device}: ") as error:
        load_hourglass(tmp_path / "weights.pth", device)
    assert "\n" not in str(error.value)


def test_the_package_offers_it():
    assert stacked_hourglass.load_hourglass is load_hourglass


def _lifter():
    return {"w1.weight": torch.zeros(1024, 32), "batch_norm1.weight": torch.zeros(1024)}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (_lifter(), "not an hourglass network .its keys belong to another network"),
        (
            {"script": "2d3d_h36m", "state_dict": _lifter()},
            "not an hourglass network .it was written by train.py 2d3d_h36m",
        ),
        ({"state_dict": {"score": torch.zeros(1)}}, "not an hourglass network"),
        (torch.zeros(3), "holds a Tensor"),
        (
            {"state_dict": {"fc.0.0.weight": torch.zeros(8, 8, 1, 1), "score.0.weight": torch.zeros(16, 8, 1, 1)}},
            "missing key",
        ),
    ],
    ids=["lifter", "our lifter", "odd key", "tensor", "part of an hourglass"],
)
def test_another_networks_checkpoint_is_refused(tmp_path, content, says):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(UserError, match=says) as error:
        load_hourglass(tmp_path / "other.pth")
    assert "other.pth" in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_are_no_checkpoints_are_refused(tmp_path):
    path = tmp_path / "file.pth.tar"
    with pytest.raises(UserError, match="no such checkpoint"):
        load_hourglass(path)
    path.write_text("these are no weights\n")
    with pytest.raises(UserError, match="not a PyTorch checkpoint"):
        load_hourglass(path)
    path.write_bytes(b"")
    with pytest.raises(UserError, match="not a PyTorch checkpoint"):
        load_hourglass(path)
    torch.save(trained().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(UserError, match="not a PyTorch checkpoint, or truncated"):
        load_hourglass(path)
    with pytest.raises(UserError, match="no checkpoint in this directory"):
        load_hourglass(tmp_path)


def test_a_pickle_is_opened_only_where_allowed(tmp_path, images, capsys):
    model = trained()
    torch.save({"state_dict": model.state_dict(), "args": Namespace(stacks=2)}, tmp_path / "old.pth")
    with pytest.raises(UserError, match="--allow_unsafe_load"):
        load_hourglass(tmp_path / "old.pth")
    assert_same_outputs(model, load_hourglass(tmp_path / "old.pth", allow_unsafe=True), images)
    assert "can run code" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "asked", "stored"),
    [
        (("--stacks", 8), "--stacks 8", "2"),
        (("--features", 256), "--features 256", "8"),
        (("--blocks", 3), "--blocks 3", "1"),
        (("--num_classes", 14), "--num_classes 14", "16"),
        (("--use_layer_norm",), "--use_layer_norm True", "False"),
        (("--no_batch_norm_affine",), "--no_batch_norm_affine True", "False"),
        (("--predict_joint_visibility",), "--predict_joint_visibility True", "False"),
        (("--batch_norm_momentum", 0.5), "--batch_norm_momentum 0.5", "0.1"),
    ],
)
def test_an_option_that_contradicts_the_checkpoint_names_both_values(tmp_path, parse_options, argv, asked, stored):
    torch.save(trained().state_dict(), tmp_path / "weights.pth")
    architecture = hourglass_architecture(read_checkpoint(tmp_path / "weights.pth"), "weights.pth")
    options = parse_options("--load", tmp_path, *argv, entry="run")
    with pytest.raises(UserError, match=f"{asked}: weights.pth was trained with {stored}"):
        refuse_disagreement(options, vars(architecture), "weights.pth")


def test_an_option_that_agrees_or_was_not_given_passes(parse_options):
    options = parse_options("--load", "x", "--features", 8, entry="run")  # defaults differ from SMALL in features only
    refuse_disagreement(options, vars(SMALL), "x")
    refuse_disagreement(options, vars(replace(SMALL, stacks=5)), "x")


def test_count_parameters_leaves_buffers_out():
    assert count_parameters(nn.BatchNorm2d(3)) == 6
