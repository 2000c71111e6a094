"""Two checkpoints packed into one in half precision."""

import json
import sys

import pytest
import torch
from command_line import load_script
from tiny_checkpoints import hourglass_file, lifter_file

from stitched.loading import load_network


@pytest.fixture
def pack(tmp_path, monkeypatch):
    """`pack("--load_2d3d", path)`: the script, in this process, with usable files where others are not given."""
    script = load_script("scripts", "pack_demo_weights")
    (tmp_path / "reliability.json").write_text(json.dumps({"threshold": 0.125}))
    defaults = {
        "--load_hourglass": hourglass_file(tmp_path / "hourglass.pth.tar"),
        "--load_2d3d": lifter_file(tmp_path / "lifter.pth.tar"),
        "--reliability": tmp_path / "reliability.json",
        "--output": tmp_path / "out" / "demo.pth.tar",
    }

    def run(**given: object) -> None:
        argv = [str(part) for pair in (defaults | given).items() for part in pair]
        monkeypatch.setattr(sys, "argv", ["pack_demo_weights.py", *argv])
        script.main()

    run.output = defaults["--output"]
    return run


def test_the_packed_network_is_the_pair_but_for_rounding(pack, tmp_path, capsys):
    pack()
    assert "0.125 are not drawn" in capsys.readouterr().out
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


def test_bad_input_ends_in_a_line(pack, tmp_path, capsys):
    (tmp_path / "empty.json").write_text("{}")
    cases = {
        "--reliability": (tmp_path / "empty.json", "empty.json: no file of scripts/reliability.py"),
        "--load_2d3d": (tmp_path / "hourglass.pth.tar", "--load_2d3d"),
        "--load_hourglass": (tmp_path / "nowhere.pth.tar", "nowhere.pth.tar"),
    }
    for option, (path, named) in cases.items():
        with pytest.raises(SystemExit) as ended:
            pack(**{option: path})
        assert ended.value.code == 2
        assert named in capsys.readouterr().err
        assert not pack.output.exists()
