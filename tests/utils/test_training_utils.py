import json
import math
import sys
from pathlib import Path

import pytest
import torch
from event_files import events
from ranks import rank_of
from tiny_trainer import SAMPLES, Noise, Trainer, all_files, at_update, checkpoints_of, options_for, run
from torch import nn
from training_results import log_of

from utils.console.evaluation_tables import print_averages
from utils.osutils import RunFailed
from utils.training.bad_steps import BadSteps
from utils.training.checkpoints import read_checkpoint
from utils.training.log_files import read_log
from utils.training.samplers import EpochSampler
from utils.training.settings import Experiment, Optimisation
from utils.training_utils import batch_size_of, learning_rate_of, set_learning_rate


# ------------------------------------------------------------------------------------------ a whole run
def test_the_hooks_are_called_in_order(tmp_path):
    trainer = run(tmp_path, epochs=2, lr=0.03, weight_decay=0.25)
    epoch = ["update"] * 3 + ["validate"] * 3 + ["checkpoint"]
    assert [call[0] for call in trainer.calls] == ["make_optimizer", *epoch, *epoch]
    assert trainer.named("make_optimizer") == [(0.03, 0.25)]
    assert [call[0] for call in trainer.named("update")] == [0, 1, 2, 3, 4, 5]
    for number in range(2):
        seen = [index for _, batch, _ in trainer.named("update")[3 * number : 3 * number + 3] for index in batch]
        assert sorted(seen) == list(range(SAMPLES))
    assert trainer.named("validate")[:3] == [([0, 1, 2, 3],), ([4, 5, 6, 7],), ([8, 9],)]
    assert [call[0] for call in trainer.named("checkpoint")] == [1, 2]
    assert {"loss", "accuracy"} == set(trainer.averages)


def test_validation_averages_are_over_all_samples(tmp_path):
    trainer = run(tmp_path, epochs=1)
    samples = [Noise()[i] for i in range(SAMPLES)]
    x, y = (torch.stack([sample[key] for sample in samples]) for key in "xy")
    with torch.no_grad():
        error = trainer.model(x) - y
    assert trainer.averages["loss"] == pytest.approx(error.square().mean().item(), rel=1e-6)
    assert trainer.averages["accuracy"] == pytest.approx((error.abs() < 1).float().mean().item())


def test_training_learns(tmp_path):
    run(tmp_path, epochs=25, schedule=[20])
    losses = [row["val/loss"] for row in log_of(checkpoints_of(tmp_path))]
    assert losses[-1] < 0.2 * losses[0]


def test_log_and_options_can_be_read(tmp_path, capsys):
    run(tmp_path, epochs=3)
    directory = tmp_path / "checkpoints/tiny_default"
    columns, rows = read_log(directory / "log.txt")
    assert columns == ["epoch", "lr", "seconds", "train/loss", "val/loss", "val/accuracy"]
    assert [(row["epoch"], row["lr"]) for row in rows] == [(1, 0.02), (2, 0.02), (3, 0.01)]
    stored = json.loads((directory / "options.json").read_text())
    assert (stored["script"], stored["epochs"], stored["checkpoint_dir"]) == ("tiny", 3, str(tmp_path / "checkpoints"))
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 3
    assert printed[0].startswith("epoch 1  lr 0.02")
    assert all("val/loss" in line for line in printed)


def test_tensorboard_gets_scalars_magnitudes_and_a_picture(tmp_path):
    run(tmp_path, epochs=2)
    found = events(tmp_path / "tb/tiny_default")
    steps = {tag: [step for t, step, _ in found if t == tag] for tag, *_ in found}
    for tag in ("train_step/loss", "magnitude/weights", "magnitude/gradients", "magnitude/update"):
        assert steps[tag] == [2, 4, 6], tag
    for tag in ("epoch/lr", "epoch/train/loss", "epoch/val/loss", "epoch/val/accuracy", "image/first"):
        assert steps[tag] == [3, 6], tag
    assert all(value == "image" or math.isfinite(value) for *_, value in found)
    by_log = [row["val/loss"] for row in log_of(checkpoints_of(tmp_path))]
    assert [value for tag, _, value in found if tag == "epoch/val/loss"] == pytest.approx(by_log, rel=1e-5)


# ------------------------------------------------------------------------------------------ the best
@pytest.mark.parametrize(
    ("higher_is_better", "values", "best_after"),
    [
        (False, [3, 2, 5, 2], [1, 1, 0, 0]),
        (True, [3, 2, 5, 5], [1, 0, 1, 0]),
        (True, [math.nan, 0, math.nan, 0.125], [0, 1, 0, 1]),
        (False, [math.nan, 7, -math.inf, math.nan], [0, 1, 1, 0]),
        (True, [math.nan] * 4, [0, 0, 0, 0]),
    ],
)
def test_the_best_follows_its_metric(tmp_path, higher_is_better, values, best_after):
    settings = {
        "metric": lambda epoch: values[epoch - 1],
        "best_metric": "metric",
        "higher_is_better": ("metric",) if higher_is_better else (),
    }
    trainer = run(tmp_path, settings=settings)
    assert [is_best for *_, is_best in trainer.named("checkpoint")] == [bool(b) for b in best_after]
    path = tmp_path / "checkpoints/tiny_default/model_best.pth.tar"
    epochs = [epoch for epoch, is_best in enumerate(best_after, 1) if is_best]
    assert path.is_file() == bool(epochs)
    if epochs:
        best = read_checkpoint(path)
        assert (best["epoch"], best["best"]) == (epochs[-1], values[epochs[-1] - 1])


# ------------------------------------------------------------------------------------------ losses that are not finite
NAN_FROM = {"loss_factor": lambda iteration: math.nan if iteration >= 4 else 1.0}


def test_a_loss_that_stays_nan_ends_the_training_and_keeps_the_checkpoints(tmp_path):
    """Steps are three an epoch; from the fifth on the loss is NaN, and with it the weights."""
    with pytest.raises(RunFailed, match=r"NaN or infinite in 2 steps in a row, from step 5 \(epoch 2\) on samples \d"):
        run(tmp_path, max_bad_steps=1, tb_log_freq=1, settings=NAN_FROM)
    for name in ("checkpoint.pth.tar", "model_best.pth.tar"):
        stored = read_checkpoint(tmp_path / "checkpoints/tiny_default" / name)
        assert stored["epoch"] == 1
        assert all(value.isfinite().all() for value in stored["state_dict"].values())
    assert [row["epoch"] for row in log_of(checkpoints_of(tmp_path))] == [1]


def test_no_checkpoint_is_written_of_weights_that_are_nan(tmp_path):
    """Though there were fewer bad steps than are survived."""
    with pytest.raises(RunFailed, match=r"NaN or infinite in 2 steps in a row, from step 5"):
        run(tmp_path, max_bad_steps=50, settings=NAN_FROM)
    assert read_checkpoint(tmp_path / "checkpoints/tiny_default/checkpoint.pth.tar")["epoch"] == 1


def test_bad_steps_that_end_by_themselves_are_survived():
    """An infinite loss here and there, whose gradients clipping leaves out, is no reason to stop."""
    bad = BadSteps(most=1, steps_per_epoch=10)
    for iteration in range(20):
        bad.note(iteration, {"loss": torch.tensor(math.inf if iteration % 2 else 1.0)}, torch.arange(4))
        bad.check()
    bad.note(20, {"loss": 1.0, "part": torch.tensor(-math.inf)}, torch.arange(40))
    bad.note(21, {"loss": torch.tensor(math.nan)}, torch.arange(40))
    with pytest.raises(RunFailed, match=r"2 steps in a row, from step 20 \(epoch 2\) on samples 0, 1, 2, 3;"):
        bad.check()


def test_bad_steps_may_be_ignored(tmp_path):
    trainer = run(tmp_path, max_bad_steps=0, settings=NAN_FROM)
    assert math.isnan(trainer.averages["loss"])
    assert read_checkpoint(tmp_path / "checkpoints/tiny_default/model_best.pth.tar")["epoch"] == 1


def test_a_bad_loss_of_one_process_ends_all(monkeypatch):
    processes = rank_of(0, 2)
    gathered = iter([[[True, True], [False, False]], [[7], [8, 9]]])
    monkeypatch.setattr(processes, "gather_objects", lambda own: next(gathered))
    bad = BadSteps(most=1, steps_per_epoch=10, processes=processes)
    for iteration in range(2):
        bad.note(iteration, {"loss": torch.tensor(1.0)}, torch.tensor([7]))
    with pytest.raises(RunFailed, match="on samples 7, 8, 9;"):
        bad.check()


# ------------------------------------------------------------------------------------------ load, evaluate
def test_load_takes_only_the_weights(tmp_path):
    first = run(tmp_path, epochs=2, exp="first")
    weights = {name: value.clone() for name, value in first.model.state_dict().items()}

    def check(call):
        if call[0] == "update" and call[1] == 0:
            torch.testing.assert_close(dict(second.model.state_dict()), weights, rtol=0, atol=0)
            assert second.optimizer.state_dict()["state"] == {}
        return False

    second = Trainer(options_for(tmp_path, epochs=1, load=tmp_path / "checkpoints/tiny_first"), stop_at=check)
    second.run()
    assert second.named("load") == [(False, tmp_path / "checkpoints/tiny_first/model_best.pth.tar")]
    assert [epoch for epoch, *_ in second.named("checkpoint")] == [1]
    assert second.named("checkpoint")[0][2], "the best of the loaded run does not count"


def test_evaluate_validates_and_writes_nothing(tmp_path, capsys):
    first = run(tmp_path, epochs=1)
    before = {name: (tmp_path / name).read_bytes() for name in all_files(tmp_path)}
    capsys.readouterr()
    for source in ({"load": tmp_path / "checkpoints/tiny_default"}, {"resume": True}):
        second = run(tmp_path, evaluate=True, **source)
        assert second.averages == first.averages
        assert [call[0] for call in second.calls] == ["make_optimizer", "load", *["validate"] * 3]
        print_averages(second.averages)
        printed = dict(line.split("\t") for line in capsys.readouterr().out.splitlines())
        assert printed == {name: f"{value:.6g}" for name, value in first.averages.items()}
        Experiment("tiny", evaluate=True, **source).warn_if_untrained()
        assert capsys.readouterr().err == ""
    run(tmp_path, evaluate=True)
    Experiment("tiny", evaluate=True).warn_if_untrained()
    assert "untrained" in capsys.readouterr().err
    assert {name: (tmp_path / name).read_bytes() for name in all_files(tmp_path)} == before


# ------------------------------------------------------------------------------------------ kinds of trainers
def test_two_optimizers(tmp_path, monkeypatch):
    """A trainer with a tuple of optimizers and no "loss", on a terminal, interrupted and resumed."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)

    class TwoOptimizers(Trainer):
        def make_optimizer(self, model, lr, weight_decay):
            self.optimizer = torch.optim.Adam(model[0].parameters(), lr), torch.optim.SGD(model[2].parameters(), 2 * lr)
            return self.optimizer

        def update(self, model, optimizer, minibatch, iteration, optimisation):
            self.note("update", iteration, *(one.param_groups[0]["lr"] for one in optimizer))
            losses = {}
            for name, one, part in zip(("critic_loss", "generator_loss"), optimizer, (model[0], model[2]), strict=True):
                losses[name] = nn.functional.mse_loss(model(minibatch["x"]), minibatch["y"])
                self.step(losses[name], part.parameters(), one)
            return losses

    whole = TwoOptimizers(options_for(tmp_path / "whole", epochs=3))
    whole.run()
    assert whole.named("update")[0] == (0, 0.02, 0.04)
    assert whole.named("update")[-1] == (8, 0.01, 0.02)
    first = TwoOptimizers(options_for(tmp_path / "parts", epochs=3), stop_at=at_update(4))
    with pytest.raises(SystemExit):
        first.run()
    second = TwoOptimizers(options_for(tmp_path / "parts", epochs=3, resume=True))
    second.run()
    torch.testing.assert_close(second.model.state_dict(), whole.model.state_dict(), rtol=0, atol=0)
    faster = TwoOptimizers(options_for(tmp_path / "parts", epochs=4, resume=True, lr=0.2))
    faster.run()
    assert {tuple(rates) for _, *rates in faster.named("update")} == {(0.1, 0.2)}  # each its own, past epoch 2
    assert "train/generator_loss" in log_of(checkpoints_of(tmp_path / "whole"))[0]


@pytest.mark.usefixtures("bf16_cpu")
def test_bf16_trains_through_the_loop(tmp_path):
    trainer = run(tmp_path, epochs=1, precision="bf16")
    assert math.isfinite(trainer.averages["loss"])
    exact = run(tmp_path / "fp32", epochs=1)
    assert trainer.averages["loss"] == pytest.approx(exact.averages["loss"], rel=0.1)
    assert trainer.averages != exact.averages


# ------------------------------------------------------------------------------------------ small parts
def test_the_learning_rate_follows_the_schedule():
    weights = [nn.Parameter(torch.zeros(1)) for _ in range(3)]
    groups = [{"params": [weights[0]], "lr": 1.0}, {"params": [weights[1]], "lr": 8.0}]
    optimizers = torch.optim.SGD(groups, lr=0.5), torch.optim.Adam([weights[2]], lr=2.0)
    optimisation = Optimisation(schedule=[2, 5], gamma=0.5)
    rates = []
    for epoch in (0, 1, 2, 4, 5, 9, 0):
        set_learning_rate(optimizers, epoch, optimisation)
        rates.append([group["lr"] for one in optimizers for group in one.param_groups])
        assert learning_rate_of(optimizers) == rates[-1][0]
    assert rates == [[1, 8, 2]] * 2 + [[0.5, 4, 1]] * 2 + [[0.25, 2, 0.5]] * 2 + [[1, 8, 2]]
    assert [Optimisation(schedule=[]).decays(epoch) for epoch in (0, 99)] == [0, 0]
    assert Optimisation(schedule=[90, 60]).decays(60) == 1


def test_a_cosine_with_warm_up_by_hand(tmp_path):
    """Six steps in two epochs: the rate at the middle of each, with a warm-up of half an epoch."""
    trainer = run(tmp_path, epochs=2, lr=1.0, schedule_type="cosine", warmup=0.5)
    rates = [rate for *_, rate in trainer.named("update")]
    middles = [(step + 0.5) / 3 for step in range(6)]
    expected = [min(middle / 0.5, 1) * (1 + math.cos(math.pi * max(middle - 0.5, 0) / 1.5)) / 2 for middle in middles]
    assert rates == pytest.approx(expected)
    assert rates[0] == pytest.approx(1 / 3)
    assert 0 < rates[-1] < 0.05
    assert [row["lr"] for row in log_of(checkpoints_of(tmp_path))] == pytest.approx([rates[2], rates[5]])


def test_rate_factors_by_hand():
    cosine = Optimisation(epochs=10, schedule_type="cosine", gamma=0.5, schedule=[1])
    assert [cosine.rate_factor(epoch) for epoch in (0, 5, 10, 12)] == pytest.approx([1, 0.5, 0, 0])
    assert cosine.changes_by_step
    warm = Optimisation(epochs=10, warmup=2, schedule=[5], gamma=0.1)
    assert [warm.rate_factor(epoch) for epoch in (0.5, 1, 2, 4.9, 5)] == pytest.approx([0.25, 0.5, 1, 1, 0.1])
    assert warm.changes_by_step
    assert not Optimisation().changes_by_step
    assert Optimisation(epochs=1, warmup=3, schedule_type="cosine").rate_factor(1) == pytest.approx(1 / 3)


def test_the_average_is_validated_and_kept(tmp_path):
    """It is followed here step by step, from the weights of training."""
    plain = run(tmp_path / "plain", epochs=1)
    followed, seen = {}, []

    class Following(Trainer):
        def update(self, model, *rest):
            if not followed:
                followed.update({name: value.clone() for name, value in model.state_dict().items()})
            result = super().update(model, *rest)
            seen.append({name: value.clone() for name, value in model.state_dict().items()})
            decay = min(0.9, len(seen) / (len(seen) + 9))
            for name, value in seen[-1].items():
                followed[name] = decay * followed[name] + (1 - decay) * value
            return result

    trainer = Following(options_for(tmp_path / "averaged", epochs=1, ema=0.9))
    averages = trainer.run()
    torch.testing.assert_close(dict(trainer.model.state_dict()), dict(plain.model.state_dict()), rtol=0, atol=0)
    kept = read_checkpoint(tmp_path / "averaged/checkpoints/tiny_default/model_best.pth.tar")
    torch.testing.assert_close(kept["state_dict"], followed)
    assert averages["loss"] != plain.averages["loss"]
    # Whoever loads it starts from the average.
    loaded = run(tmp_path / "loaded", epochs=1, lr=1e-12, load=tmp_path / "averaged/checkpoints/tiny_default")
    torch.testing.assert_close(dict(loaded.model.state_dict()), followed, rtol=0, atol=1e-6)
    assert loaded.averages["loss"] == pytest.approx(averages["loss"], rel=1e-4)


def test_the_sampler_gives_every_index_once_an_epoch():
    sampler = EpochSampler(10, 4, seed=1)
    assert len(sampler) == 3
    orders = {}
    for epoch in (0, 1):
        sampler.start(epoch)
        batches = list(sampler)
        assert [len(batch) for batch in batches] == [4, 4, 2]
        assert {e for batch in batches for e, _ in batch} == {epoch}
        orders[epoch] = [index for batch in batches for _, index in batch]
        assert sorted(orders[epoch]) == list(range(10))
        sampler.start(epoch, skip=1)
        assert list(sampler) == batches[1:]
    assert orders[0] != orders[1]

    again, other = EpochSampler(10, 4, seed=1), EpochSampler(10, 4, seed=2)
    again.start(1)
    assert [index for batch in again for _, index in batch] == orders[1]
    assert [index for batch in other for _, index in batch] != orders[0]
    largest = EpochSampler(10, 4, seed=2**32 - 1)
    largest.start(10_000)
    assert len(list(largest)) == 3


def test_the_size_of_a_minibatch():
    assert batch_size_of({"names": ["a"], "x": torch.zeros(5, 2), "y": torch.zeros(1)}) == 5


def test_where_an_experiment_lives():
    experiment = Experiment("hourglass_mpii", exp="seven")
    assert experiment.directory == Path("model_checkpoints/hourglass_mpii_seven")
    assert experiment.tb_directory == Path("tb_logs/hourglass_mpii_seven")
