"""Two checkpoints packed into one in half precision."""

import json

import pytest
import torch
from command_line import Result, call_script, load_script
from tiny_checkpoints import hourglass_file, lifter_file

from stitched.loading import load_network


@pytest.fixture
def pack(tmp_path):
    """`pack(**{"--load_2d3d": path})`: the script, in this process, with valid files for the other options."""
    script = load_script("scripts", "pack_demo_weights")
    (tmp_path / "reliability.json").write_text(json.dumps({"threshold": 0.125}))
    defaults = {
        "--load_hourglass": hourglass_file(tmp_path / "hourglass.pth.tar"),
        "--load_2d3d": lifter_file(tmp_path / "lifter.pth.tar"),
        "--reliability": tmp_path / "reliability.json",
        "--output": tmp_path / "out" / "demo.pth.tar",
    }

    def run(**given: object) -> Result:
        return call_script(script, *(part for pair in (defaults | given).items() for part in pair))

    run.output = defaults["--output"]
    return run


def test_the_packed_network_is_the_pair_up_to_rounding(pack, tmp_path):
    assert "0.125 are not drawn" in pack().succeeded().out
    packed = load_network(pack.output)
    pair = load_network(load_hourglass=tmp_path / "hourglass.pth.tar", load_2d3d=tmp_path / "lifter.pth.tar")
    assert packed.score_threshold == 0.125
    assert packed.mean.tolist() == pair.mean.tolist()
    assert packed.normalisation.plain() == pair.normalisation.plain()
    for name, value in pair.state_dict().items():
        torch.testing.assert_close(packed.state_dict()[name], value, rtol=1e-3, atol=1e-6)
    stored = torch.load(pack.output, weights_only=True)["state_dict"]
    kinds = {name: value.dtype for name, value in stored.items()}
    assert kinds["hourglass.conv1.weight"] == kinds["lifter.w1.weight"] == torch.float16
    assert kinds["hourglass.bn1.running_var"] == torch.float32


def test_bad_input_ends_in_a_line_that_names_it(pack, tmp_path):
    (tmp_path / "empty.json").write_text("{}")
    cases = {
        "--reliability": (tmp_path / "empty.json", "empty.json: no file of scripts/reliability.py"),
        "--load_2d3d": (tmp_path / "hourglass.pth.tar", "--load_2d3d"),
        "--load_hourglass": (tmp_path / "nowhere.pth.tar", "nowhere.pth.tar"),
    }
    for option, (path, named) in cases.items():
        assert named in pack(**{option: path}).last_error()
        assert not pack.output.exists()
