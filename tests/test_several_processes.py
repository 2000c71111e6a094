"""Two processes do what one does with the double batch size, under both launchers, for every training and `run.py`.

`shared_launch` starts two processes; one process, this one, runs the same commands with twice the batch. Two forked
processes do the hourglass and the lifter alone: a launcher and all trainings take minutes (`long`).
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import torch
from command_line import call
from event_files import events
from launchers import ENGINES
from scipy.io import loadmat
from shared_launch import DONE, RUNS, TRAININGS, prepare, runs, training
from torch import nn
from training_results import log_of

import stacked_hourglass.trainer
from utils.predictions.prediction_files import load_metas, load_predictions
from utils.training.log_files import read_log


@pytest.fixture(scope="module")
def alone(data_of_several, tmp_path_factory) -> Callable[[str], Path]:
    """`alone(NAME)`: what one process leaves, with minibatches as large as those of two together; each is run once."""
    folder = prepare(tmp_path_factory.mktemp("alone"), data_of_several)
    forward, done = nn.BatchNorm2d.forward, set()

    def precise(self, x):
        """PyTorch's own, which on a CPU loses two digits where channels come last in memory."""
        return forward(self, x.contiguous())

    def run_alone(name: str) -> Path:
        if name in done:
            return folder
        with pytest.MonkeyPatch.context() as patch:
            if name in TRAININGS:
                patch.setattr(nn.BatchNorm2d, "forward", precise)
                patch.setattr(stacked_hourglass.trainer, "PICTURES", 1)
                call(*training(name, data_of_several, 1), cwd=folder).succeeded()
            else:
                call(*runs(data_of_several)[name], "--output_dir", name, cwd=folder).succeeded()
        done.add(name)
        return folder

    return run_alone


@pytest.fixture(params=ENGINES)
def together(request, launched) -> Path:
    """What two processes leave; `printed.txt` has what they said."""
    return launched(request.param)


def checkpoint(folder: Path, name: str) -> dict:
    [path] = folder.glob(f"model_checkpoints/*_{name}/checkpoint.pth.tar")
    return torch.load(path, weights_only=True)


def weights(folder: Path, name: str) -> dict[str, torch.Tensor]:
    return checkpoint(folder, name)["state_dict"]


def log(folder: Path, name: str) -> list[dict[str, float]]:
    [path] = folder.glob(f"model_checkpoints/*_{name}/log.txt")
    return log_of(path.parent)


def steps(folder: Path, name: str) -> dict[tuple, float]:
    """(loss, step) -> its value, a mean over the whole minibatch."""
    [path] = folder.glob(f"tb_logs/*_{name}")
    return {(tag, step): value for tag, step, value in events(path) if tag.startswith("train_step/")}


# ------------------------------------------------------------------------------------------ the same result
def each(names: Iterable[str]) -> pytest.MarkDecorator:
    """With every engine, those of these commands that it does."""
    cases = [
        # Launchers have each process import torch anew; two forked processes show the same.
        pytest.param(engine, name, marks=[] if engine == "forked" else pytest.mark.long)
        for engine, done in DONE.items()
        for name in names
        if name in done
    ]
    return pytest.mark.parametrize(("together", "name"), cases, indirect=["together"])


each_training = each(TRAININGS)


@each_training
def test_ten_steps_are_those_of_one_process(name, alone, together):
    expected, found = steps(alone(name), name), steps(together, name)
    assert max(step for _, step in expected) == 10
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-5)


@each_training
def test_weights_and_averages_are_those_of_one_process(name, alone, together):
    torch.testing.assert_close(weights(together, name), weights(alone(name), name), rtol=1e-5, atol=1e-5)
    expected, found = log(alone(name), name), log(together, name)
    assert len(found) == len(expected)
    for row, expected_row in zip(found, expected, strict=True):
        assert row == pytest.approx(expected_row, rel=2e-5, abs=2e-5)  # six digits are printed


def test_validation_predictions_are_gathered_whole_and_in_order(alone, together):
    expected, found = (loadmat(next(folder.glob("**/hourglass_mpii_hourglass/preds_valid.mat")))["preds"]
                       for folder in (alone("hourglass"), together))  # fmt: skip
    assert expected.shape == (5, 16, 2)
    assert found == pytest.approx(expected, abs=1e-2)


@each(RUNS)
def test_predictions_are_those_of_one_process(name, alone, together):
    of_one = alone(name)
    files = sorted(path.name for path in (of_one / name).iterdir())
    assert sorted(path.name for path in (together / name).iterdir()) == files
    for file in (file for file in files if file.endswith("s.pt") and file != "metas.pt"):
        expected, found = (load_predictions(folder / name / file) for folder in (of_one, together))
        assert list(found) == list(expected)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-2, equal_nan=True)
    expected, found = (load_metas(folder / name / "metas.pt") for folder in (of_one, together))
    assert repr(found) == repr(expected)


# ------------------------------------------------------------------------------------------ only rank 0
def test_only_one_process_prints(together, request):
    printed = (together / "printed.txt").read_text()
    runs_done = set(RUNS).intersection(DONE[request.node.callspec.params["together"]])
    epochs = re.findall(r"^.*?epoch (\d+)  lr", printed, flags=re.MULTILINE)
    expected = sum(len(read_log(path)[1]) for path in together.glob("model_checkpoints/*/log.txt"))
    assert len(epochs) == expected
    assert printed.count("unreadable, skipped: ") == ("photos" in runs_done)
    assert ("broken.jpg" in printed) == ("photos" in runs_done)
    assert printed.count("draw them: ") == len(runs_done)


def test_only_one_process_writes(together):
    names = {path.name for path in together.glob("tb_logs/*")}
    assert names == {path.name for path in together.glob("model_checkpoints/*")}
    assert "2d3d_h36m_parts" in names
    for folder in together.glob("tb_logs/*"):
        attempts = 2 if folder.name == "2d3d_h36m_parts" else 1
        assert len(list(folder.iterdir())) == attempts
    assert not list(together.glob("**/*.old"))
    assert [path.name for path in together.glob("**/.*")] == []


# ------------------------------------------------------------------------------------------ stop and go on
def test_both_stop_and_go_on_as_if_nothing_had_happened(together):
    whole, parts = checkpoint(together, "whole"), checkpoint(together, "parts")
    assert whole["epoch"] == parts["epoch"] == 3
    torch.testing.assert_close(parts["optimizer"], whole["optimizer"], rtol=0, atol=0)
    states = [[one["rng"]["torch"], *(other["torch"] for other in one["rng_of_other_ranks"])] for one in (parts, whole)]
    torch.testing.assert_close(*states, rtol=0, atol=0)
    assert len(states[0]) == 2
    assert not torch.equal(*states[0])
    # Running statistics have been averaged once more.
    torch.testing.assert_close(parts["state_dict"], whole["state_dict"], rtol=1e-6, atol=1e-6)
    printed = (together / "printed.txt").read_text()
    # In step 7, known to all in step 8.
    assert printed.count("interrupted after 1.80 epochs; continue with --resume") == 1
    cut, uncut = log(together, "parts"), log(together, "whole")
    del cut[1]["train/loss"], uncut[1]["train/loss"]  # over the later part of the epoch that was cut
    assert cut == [pytest.approx(row, rel=1e-5) for row in uncut]


# ------------------------------------------------------------------------------------------ options
def test_scale_lr_multiplies_by_the_number_of_processes(together):
    scaled, plain = checkpoint(together, "scaled"), checkpoint(together, "plain")
    torch.testing.assert_close(scaled["state_dict"], plain["state_dict"], rtol=0, atol=0)
    assert scaled["options"]["lr"] == plain["options"]["lr"] / 2


def test_compressed_gradients_are_nearly_the_same(together):
    exact, compressed = weights(together, "plain"), weights(together, "compressed")
    assert any(not torch.equal(compressed[name], exact[name]) for name in exact)
    losses = [log(together, name)[0]["train/loss"] for name in ("compressed", "plain")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)


def test_synchronised_norms_have_plain_ones_weights(alone, together):
    assert list(weights(together, "lifter")) == list(weights(alone("lifter"), "lifter"))
    assert not torch.equal(*(weights(together, name)["batch_norm1.running_mean"] for name in ("lifter", "plain")))
