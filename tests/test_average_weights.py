"""The average of hourglasses that were trained apart from the same weights."""

from dataclasses import replace

import torch
from command_line import call_script, load_script
from tiny_checkpoints import SMALL, hourglass_file

from stacked_hourglass.loading import checkpoint_of, load_hourglass
from utils.training.checkpoints import write_checkpoint

script = load_script("scripts", "average_weights")


def trained(path, start, by: float, count: int):
    """A checkpoint whose weights and statistics are those of `start` plus `by`, after `count` steps."""
    network = load_hourglass(start)
    with torch.no_grad():
        for value in network.state_dict().values():
            value.add_(by) if value.is_floating_point() else value.fill_(count)
    network.score_threshold = 0.25
    write_checkpoint(path, checkpoint_of(network))
    return path


def test_weights_and_statistics_are_averaged(tmp_path):
    start, output = hourglass_file(tmp_path / "start.pth.tar"), tmp_path / "average.pth.tar"
    files = [trained(tmp_path / f"{by}.pth.tar", start, by, count) for by, count in [(1, 7), (2, 8), (6, 9)]]
    assert "the average of 3 hourglasses" in call_script(script, "--load", *files, "--output", output).succeeded().out
    average, before = load_hourglass(output), load_hourglass(start).state_dict()
    for name, value in average.state_dict().items():
        expected = before[name] + 3 if value.is_floating_point() else torch.tensor(7)
        torch.testing.assert_close(value, expected)
    assert average.score_threshold == 0.25
    assert average.mean.tolist() == load_hourglass(start).mean.tolist()


def test_what_cannot_be_averaged_is_refused(tmp_path):
    first = hourglass_file(tmp_path / "first.pth.tar")
    wide = hourglass_file(tmp_path / "wide.pth.tar", architecture=replace(SMALL, features=16))
    lsp = hourglass_file(tmp_path / "lsp.pth.tar", skeleton="LSP", architecture=replace(SMALL, num_classes=14))
    other_mean = load_hourglass(first)
    other_mean.mean += 0.1
    write_checkpoint(tmp_path / "mean.pth.tar", checkpoint_of(other_mean))

    def refusal(*files):
        return call_script(script, "--load", *files, "--output", tmp_path / "none.pth.tar").last_error()

    assert f"{wide}: architecture Architecture(" in refusal(first, wide)
    assert f"{lsp}: " in refusal(first, lsp)
    assert "mean.pth.tar: mean colour [0.2" in refusal(first, tmp_path / "mean.pth.tar")
    assert "--load: one file; expected two or more" in refusal(first, first)
    assert not (tmp_path / "none.pth.tar").exists()
