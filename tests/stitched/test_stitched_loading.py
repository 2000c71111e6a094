"""`load_network`: one whole checkpoint or two, and what is refused."""

from dataclasses import replace

import pytest
import torch
from ranks import one_after_the_other
from tiny_checkpoints import SMALL, hourglass_file, lifter_file

from stitched import SoftArgmax2D, StitchedNetwork
from stitched.loading import load_network, stitched_extras
from utils.osutils import UserError
from utils.training.checkpoints import make_checkpoint_fn, make_load_fn
from utils.transform import SKELETONS

pytestmark = pytest.mark.usefixtures("one_level")

IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) - 0.45
TO_PHOTO = torch.tensor([[[2.0, 0.0, 100.0], [0.0, 2.0, 50.0]]]).expand(2, -1, -1)


def save_whole(network, folder):
    write = make_checkpoint_fn("stitched_fine_tune", {}, stitched_extras(network))
    write(network, torch.optim.Adam(network.parameters()), 3, 50.0, folder, is_best=False)
    return folder


def assert_same(one: StitchedNetwork, other: StitchedNetwork):
    with torch.no_grad():
        a, b = one(IMAGES, TO_PHOTO), other(IMAGES, TO_PHOTO)
    for left, right in zip((*a.heatmaps, a.pose_2d, a.pose_3d), (*b.heatmaps, b.pose_2d, b.pose_3d), strict=True):
        assert torch.equal(left, right)


# ------------------------------------------------------------------------------------------ loading
@pytest.mark.parametrize("kind", ["instance", "dataset"])
def test_both_networks_of_a_whole_checkpoint_load_alone(tmp_path, two_files, kind):
    two_files["load_2d3d"] = lifter_file(tmp_path / "other.pth.tar", kind)
    network = load_network(**two_files)
    network.lifter.input_places = "mpii"
    folder = save_whole(network, tmp_path / "whole")
    again = load_network(load_hourglass=folder, load_2d3d=folder)
    assert_same(again, network)
    assert (again.normalisation.kind, again.lifter.input_places) == (kind, "mpii")
    assert again.mean.tolist() == network.mean.tolist()


@pytest.mark.parametrize("kind", ["instance", "dataset"])
def test_two_checkpoints_make_a_network(tmp_path, two_files, kind):
    two_files["load_2d3d"] = lifter_file(tmp_path / "other.pth.tar", kind)
    network = load_network(**two_files, image_scale="human36m")
    assert not network.training
    assert (network.normalisation.kind, network.image_scale) == (kind, "human36m")
    assert network.mean.tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert network(IMAGES, TO_PHOTO).pose_3d.isfinite().all()
    assert load_network(**two_files).image_scale == "any"


@pytest.mark.parametrize("kind", ["instance", "dataset"])
def test_a_whole_checkpoint_loads_by_its_path(tmp_path, two_files, kind):
    two_files["load_2d3d"] = lifter_file(tmp_path / "other.pth.tar", kind)
    network = load_network(**two_files)
    network.soft_argmax = SoftArgmax2D(window_fn="Uniform", window_width=5, softmax_temp=0.3, smoothing=0.5)
    folder = save_whole(network, tmp_path / "whole")
    for path in two_files.values():
        path.unlink()
    loaded = load_network(load=folder)
    assert not loaded.training
    assert_same(loaded, network)
    assert loaded.soft_argmax.settings() == network.soft_argmax.settings()
    assert loaded.mean.tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert loaded.hourglass.architecture == SMALL
    content = torch.load(folder / "checkpoint.pth.tar", weights_only=True)
    assert content["skeleton"] == "MPII"


def test_a_checkpoint_from_before_smoothing_does_without(tmp_path, two_files):
    network = load_network(**two_files)
    assert network.soft_argmax.smoothing == 1.0
    path = save_whole(network, tmp_path / "whole") / "checkpoint.pth.tar"
    content = torch.load(path, weights_only=True)
    del content["soft_argmax"]["smoothing"]
    torch.save(content, path)
    assert load_network(load=path).soft_argmax.smoothing == 0.0


def test_training_resumes_from_a_whole_checkpoint(tmp_path, two_files):
    network = load_network(**two_files)
    folder = save_whole(network, tmp_path / "whole")
    other = load_network(**two_files)
    with torch.no_grad():
        other.hourglass.conv1.weight.zero_()
    optimizer = torch.optim.Adam(other.parameters())
    other, _, epoch, best = make_load_fn()(other, optimizer, folder)
    assert (epoch, best) == (3, 50.0)
    assert_same(other, network)


def test_a_whole_checkpoint_takes_precedence_with_a_warning(tmp_path, two_files, capsys):
    network = load_network(**two_files)
    assert capsys.readouterr().err == ""
    folder = save_whole(network, tmp_path / "whole")
    other = hourglass_file(tmp_path / "big.pth.tar", architecture=replace(SMALL, stacks=3))
    assert_same(load_network(load=folder, load_hourglass=other), network)
    warning = capsys.readouterr().err
    assert warning.count("\n") == 1
    assert "--load_hourglass ignored" in warning
    assert "--load_2d3d" not in warning


def test_the_hourglass_may_come_from_a_whole_network(tmp_path, two_files):
    network = load_network(**two_files)
    network.hourglass.score_threshold = 0.25
    folder = save_whole(network, tmp_path / "whole")
    loaded = load_network(**two_files | {"load_hourglass": folder})
    assert_same(loaded, network)
    assert loaded.score_threshold == 0.25


# ------------------------------------------------------------------------------------------ several processes
def test_rank_0_reads_the_two_checkpoints_for_all(two_files):
    main, other = one_after_the_other()
    network = load_network(**two_files, processes=main)
    for path in two_files.values():
        path.unlink()
    assert_same(load_network(**two_files, processes=other), network)


def test_rank_0_reads_a_whole_checkpoint_for_all(tmp_path, two_files):
    folder = save_whole(load_network(**two_files), tmp_path / "whole")
    main, other = one_after_the_other()
    network = load_network(folder, processes=main)
    folder.rename(tmp_path / "elsewhere")
    assert_same(load_network(folder, processes=other), network)


def test_all_ranks_refuse_what_rank_0_has_read(two_files):
    exchanged = {"load_hourglass": two_files["load_2d3d"], "load_2d3d": two_files["load_hourglass"]}
    main, other = one_after_the_other()
    message = refusal(**exchanged, processes=main)
    for path in two_files.values():
        path.unlink()
    assert refusal(**exchanged, processes=other) == message


# ------------------------------------------------------------------------------------------ refusals
def refusal(**given):
    with pytest.raises(UserError) as error:
        load_network(**given)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_missing_checkpoint_is_named(two_files):
    both = refusal()
    assert "--load_hourglass and --load_2d3d missing" in both
    assert "or a whole stitched network with --load" in both
    assert refusal(load_hourglass=two_files["load_hourglass"]).startswith("--load_2d3d missing")
    assert refusal(load_2d3d=two_files["load_2d3d"]).startswith("--load_hourglass missing")


def test_a_file_that_is_not_there_is_named(tmp_path, two_files):
    assert "nothing.pth: no such checkpoint" in refusal(**two_files | {"load_hourglass": tmp_path / "nothing.pth"})
    assert "nothing.pth: no such checkpoint" in refusal(**two_files | {"load_2d3d": tmp_path / "nothing.pth"})
    assert "nothing.pth: no such checkpoint" in refusal(load=tmp_path / "nothing.pth")


def test_exchanged_checkpoints_are_recognised(two_files):
    message = refusal(load_hourglass=two_files["load_2d3d"], load_2d3d=two_files["load_hourglass"])
    assert "lifter.pth.tar is a 3D baseline" in message
    assert "hourglass.pth.tar an hourglass: swap the two" in message


def test_one_of_the_two_is_another_network(two_files):
    message = refusal(load_hourglass=two_files["load_hourglass"], load_2d3d=two_files["load_hourglass"])
    assert message.startswith(f"--load_2d3d {two_files['load_hourglass']}: no 3D baseline network (it was written by")
    message = refusal(load_hourglass=two_files["load_2d3d"], load_2d3d=two_files["load_2d3d"])
    assert message.startswith(f"--load_hourglass {two_files['load_2d3d']}: not an hourglass network (it was written by")


def test_a_part_in_place_of_the_whole(two_files):
    for name, script in (("load_hourglass", "hourglass_mpii"), ("load_2d3d", "2d3d_h36m")):
        message = refusal(load=two_files[name])
        assert f"not a stitched network (it was written by train.py {script})" in message
        assert "--load_hourglass" in message


@pytest.mark.parametrize(
    ("skeleton", "joints", "made"),
    [("LSP", 14, "pelvis, spine, thorax"), ("COCO", 17, "pelvis, spine, thorax, head_top")],
)
def test_an_hourglass_of_another_joint_order(tmp_path, two_files, caplog, skeleton, joints, made):
    """Missing joints are made from others, with a warning; a whole checkpoint stores the joint order."""
    path = hourglass_file(tmp_path / "other.pth.tar", skeleton, replace(SMALL, num_classes=joints))
    network = load_network(**two_files | {"load_hourglass": path})
    assert f"predicts {skeleton} joints: {made} of the 3D baseline's input are approximate" in caplog.text
    again = load_network(save_whole(network, tmp_path / "whole"))
    assert again.skeleton == network.skeleton == SKELETONS[skeleton]
    pose = torch.rand(2, joints, 2)
    torch.testing.assert_close(again.lift(pose), network.lift(pose))


def test_an_hourglass_that_lacks_joints(tmp_path, two_files):
    path = hourglass_file(tmp_path / "few.pth.tar", "MPII", replace(SMALL, num_classes=10))
    message = refusal(**two_files | {"load_hourglass": path})
    assert "few.pth.tar: predicts MPII[:10] joints; the 3D baseline needs more" in message
    assert "give an hourglass_mpii or hourglass_coco checkpoint" in message


def test_a_lifter_without_normalisation(tmp_path, two_files):
    path = lifter_file(tmp_path / "published.pth.tar", kind="")
    assert "published.pth.tar: a published checkpoint has no normalisation" in refusal(
        **two_files | {"load_2d3d": path}
    )


@pytest.mark.parametrize("lost", ["normalisation", "soft_argmax", "mean"])
def test_an_incomplete_whole_checkpoint(tmp_path, two_files, lost):
    folder = save_whole(load_network(**two_files), tmp_path / "whole")
    content = torch.load(folder / "checkpoint.pth.tar", weights_only=True)
    del content[lost]
    torch.save(content, tmp_path / "part.pth.tar")
    assert f"part.pth.tar: lacks '{lost}'" in refusal(load=tmp_path / "part.pth.tar")
    del content["state_dict"]["lifter.w2.bias"]
    content[lost] = torch.load(folder / "checkpoint.pth.tar", weights_only=True)[lost]
    torch.save(content, tmp_path / "part.pth.tar")
    assert "missing key w2.bias" in refusal(load=tmp_path / "part.pth.tar")
