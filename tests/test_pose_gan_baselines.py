"""The baselines of the pose GAN: samples whose properties are known, and the table of measures."""

import pytest
import torch
from command_line import Result, call_script, load_script

from generative_models.fc_gan import PoseGAN
from generative_models.measures import bone_asymmetry, bone_spread
from generative_models.poses import BONE_INDICES, LIMBS, PARENT, chain_matrix
from utils.data_utils import bone_lengths
from utils.transform import H36M


@pytest.fixture(scope="module")
def baselines():
    return load_script("scripts", "pose_gan_baselines")


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def some_poses(count: int) -> torch.Tensor:
    poses = 100 * torch.randn(count, 17, 3, generator=torch.Generator().manual_seed(1))
    return poses - poses[:, :1]


def test_the_gaussian_has_mean_and_covariance(baselines):
    poses = some_poses(500)
    poses[:, 5] += 0.5 * poses[:, 4]
    sample = baselines.gaussian(poses, 50_000, rng())
    assert sample.shape == (50_000, 17, 3)
    torch.testing.assert_close(sample.mean(0), poses.mean(0), atol=3, rtol=0)
    both = [torch.cov(some.flatten(1).T) for some in (sample, poses)]
    assert (both[0] - both[1]).norm() < 0.03 * both[1].norm()
    assert sample[:, 0].abs().max() < 1e-3


def test_limbs_keep_their_shape_and_come_from_different_poses(baselines):
    """Pose n is the first one enlarged n + 1 times, so the size of a limb tells which pose it comes from."""
    sizes = torch.arange(1.0, 51)
    poses = some_poses(1) * sizes[:, None, None]
    shuffled = baselines.shuffled_limbs(poses, 40, rng())
    owners = []
    for joints in LIMBS.values():
        root = H36M.index(PARENT[joints[0]])
        limb = shuffled[:, H36M.indices(joints)] - shuffled[:, [root]]
        wanted = poses[:, H36M.indices(joints)] - poses[:, [root]]
        differences = (limb[:, None] - wanted).abs().amax((-2, -1))  # (40, 50)
        assert differences.min(1).values.max() < 1e-2
        owners.append(differences.argmin(1))
    assert all(len(set(column.tolist())) > 20 for column in owners)
    assert (owners[0] != owners[1]).float().mean() > 0.8
    assert (shuffled[:, 0] == 0).all()


def test_what_the_baselines_get_wrong(baselines):
    """Of people with bones of equal length: the Gaussian's bones vary in length, those of shuffled limbs don't."""
    generator = rng()
    bones = torch.randn(400, 16, 3, generator=generator)
    poses = chain_matrix() @ (200 * bones / bones.norm(dim=-1, keepdim=True))
    assert bone_spread(poses) < 1e-2
    assert bone_spread(baselines.shuffled_limbs(poses, 400, rng())) < 1e-2
    gaussian = baselines.gaussian(poses, 400, rng())
    assert bone_spread(gaussian) > 30
    assert bone_asymmetry(gaussian) > 30
    assert bone_lengths(gaussian, BONE_INDICES).mean() == pytest.approx(200, rel=0.1)


@pytest.fixture
def script(baselines, tiny_h36m):
    """`script("--count", 50)`: the script on the tiny data, in this process."""

    def run(*argv: object) -> Result:
        return call_script(baselines, "--data_dir", tiny_h36m, *argv)

    return run


def test_the_table(script, tmp_path):
    torch.manual_seed(0)
    model = {"script": "3d_pose_gan", "state_dict": PoseGAN(4, 16, 1).state_dict()}
    torch.save(model, tmp_path / "gan.pth")
    out = script("--load", tmp_path / "gan.pth", "--count", 50).succeeded().out
    names = ["pose GAN", "Gaussian", "shuffled limbs", "real: training", "real: held out"]
    rows = {name: line for line in out.splitlines() for name in names if line.startswith(name)}
    assert list(rows) == names
    values = {name: [float(text) for text in line[24:].split()] for name, line in rows.items()}
    assert all(len(row) == 8 for row in values.values())
    assert values["Gaussian"][7] > 1.5 * values["shuffled limbs"][7]  # spread
    assert values["pose GAN"][2] > values["real: training"][2]  # it is untrained
    assert "50 is perfect" in out


def test_bad_input_ends_in_a_line_that_names_it(script):
    cases = {("--data_dir", "nowhere"): "nowhere", ("--count", "1"): "--count 1", ("--action", "Walkin"): "Walking?"}
    for argv, named in cases.items():
        assert named in script(*argv).last_error()
