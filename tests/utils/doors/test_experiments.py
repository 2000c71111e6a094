"""A training that is interrupted and resumed ends as one that ran without a stop."""

import signal
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from tiny_trainer import (
    STEPS,
    Trainer,
    all_files,
    assert_same_run,
    at_update,
    checkpoints_of,
    interrupted,
    options_for,
    run,
)
from training_results import log_of

from utils.doors.experiments import experiment_of, settle_experiment
from utils.osutils import UserError
from utils.training.checkpoints import read_checkpoint
from utils.training.log_files import read_log


# ------------------------------------------------------------------------------------------ resuming
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    whole = run(tmp_path / "whole")
    run(tmp_path / "parts", epochs=2)
    second = run(tmp_path / "parts", resume=True)
    assert [call[0] for call in second.named("update")] == [6, 7, 8, 9, 10, 11]
    assert_same_run(second, whole)
    assert log_of(checkpoints_of(tmp_path / "parts")) == log_of(checkpoints_of(tmp_path / "whole"))


@pytest.mark.parametrize(("iteration", "number"), [(0, signal.SIGINT), (4, signal.SIGTERM), (10, signal.SIGINT)])
def test_an_interrupted_run_continues_as_if_never_stopped(tmp_path, capsys, iteration, number):
    whole = run(tmp_path / "whole")
    first = interrupted(tmp_path / "parts", at_update(iteration), number)
    assert "--resume" in capsys.readouterr().err
    assert len(first.named("update")) == iteration + 1, "the step in flight is finished, no other begun"
    epochs_done, *_, is_best = first.named("checkpoint")[-1]
    assert epochs_done == pytest.approx((iteration + 1) / STEPS)
    assert not is_best

    second = run(tmp_path / "parts", resume=True)
    assert first.named("update") + second.named("update") == whole.named("update")
    assert_same_run(second, whole)
    # `train/loss` of the interrupted epoch averages only the steps after the resume.
    rows, expected = (
        log_of(checkpoints_of(tmp_path / "parts"), ("train/loss",)),
        log_of(checkpoints_of(tmp_path / "whole"), ("train/loss",)),
    )
    assert rows == expected


@pytest.mark.parametrize("stop_at", [None, 4])
def test_averaged_weights_and_a_cosine_resume_bit_for_bit(tmp_path, stop_at):
    how = {"ema": 0.9, "schedule_type": "cosine", "warmup": 0.5}
    whole = run(tmp_path / "whole", **how)
    if stop_at is None:  # between two epochs: a cosine of four epochs is not one of two
        interrupted(tmp_path / "parts", lambda call: call[0] == "checkpoint" and call[1] == 2, **how)
    else:
        interrupted(tmp_path / "parts", at_update(stop_at), **how)
    second = run(tmp_path / "parts", resume=True, **how)
    assert_same_run(second, whole)
    for name in ("checkpoint.pth.tar", "model_best.pth.tar"):
        one, other = (
            read_checkpoint(tmp_path / part / "checkpoints/tiny_default" / name) for part in ("parts", "whole")
        )
        torch.testing.assert_close(one["state_dict"], other["state_dict"], rtol=0, atol=0)
        assert one["ema"]["steps"] == other["ema"]["steps"]
        torch.testing.assert_close(one["ema"]["training_weights"], other["ema"]["training_weights"], rtol=0, atol=0)


def test_averaging_can_begin_and_end_at_a_resume(tmp_path):
    """Without averaging it continues from the average, which is the checkpoint's network."""
    run(tmp_path, epochs=2)
    averaged = run(tmp_path, resume=True, epochs=3, ema=0.9)
    checkpoint = read_checkpoint(checkpoints_of(tmp_path) / "checkpoint.pth.tar")
    assert checkpoint["ema"]["steps"] == STEPS
    average = checkpoint["state_dict"]
    assert any(not torch.equal(average[name], value) for name, value in averaged.model.state_dict().items())

    def starts_from_the_average(call):
        if call[:2] == ("update", 3 * STEPS):
            torch.testing.assert_close(dict(ceased.model.state_dict()), dict(average), rtol=0, atol=0)
        return False

    ceased = Trainer(options_for(tmp_path, resume=True, epochs=4), stop_at=starts_from_the_average)
    ceased.run()
    assert ceased.named("update")[0][0] == 3 * STEPS
    assert "ema" not in read_checkpoint(checkpoints_of(tmp_path) / "checkpoint.pth.tar")


def test_several_interrupts(tmp_path):
    whole = run(tmp_path / "whole")
    interrupted(tmp_path / "parts", at_update(1))
    interrupted(tmp_path / "parts", at_update(3), resume=True)
    interrupted(tmp_path / "parts", at_update(4), resume=True)
    assert_same_run(run(tmp_path / "parts", resume=True), whole)


@pytest.mark.parametrize("when", [("update", STEPS - 1), ("validate", [4, 5, 6, 7])])
def test_an_epoch_that_is_done_is_validated_before_the_run_stops(tmp_path, when):
    whole = run(tmp_path / "whole")
    first = interrupted(tmp_path / "parts", lambda call: call[:2] == when)
    assert [epoch for epoch, *_ in first.named("checkpoint")] == [1]
    assert_same_run(run(tmp_path / "parts", resume=True), whole)
    assert log_of(checkpoints_of(tmp_path / "parts"), ("train/loss",)) == log_of(
        checkpoints_of(tmp_path / "whole"), ("train/loss",)
    )


def test_an_interrupt_at_the_very_end_loses_nothing(tmp_path):
    whole = run(tmp_path / "whole")
    last = run(tmp_path / "last", settings={"stop_at": at_update(4 * STEPS - 1)})
    assert_same_run(last, whole)


def test_the_former_signal_handler_is_back_after_a_run(tmp_path):
    former = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    run(tmp_path, epochs=1)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == former


def test_a_resumed_optimizer_has_the_settings_that_the_options_ask_for(tmp_path):
    run(tmp_path, epochs=1, lr=0.5, weight_decay=0.25)
    options = options_for(tmp_path, epochs=2, resume=True, given={"epochs", "resume"})
    kept = Trainer(settle_experiment(options))  # nothing else given: as before
    kept.run()
    assert {lr for *_, lr in kept.named("update")} == {0.5}
    assert kept.optimizer.param_groups[0]["weight_decay"] == 0.25
    changed = run(tmp_path, epochs=3, resume=True, lr=0.04, weight_decay=0.125)
    assert {lr for *_, lr in changed.named("update")} == {0.04 * 0.5}  # past the schedule's epoch 2
    assert changed.optimizer.param_groups[0]["weight_decay"] == 0.125


def test_nothing_to_resume_is_an_error_and_writes_nothing(tmp_path):
    with pytest.raises(UserError, match=r"--resume: .*tiny_default/checkpoint\.pth\.tar does not exist"):
        run(tmp_path, resume=True)
    assert all_files(tmp_path) == []


def test_a_new_run_puts_the_former_one_aside(tmp_path, capsys):
    directory = experiment_of(options_for(tmp_path)).directory
    for epochs in (1, 2, 3):
        run(tmp_path, epochs=epochs)
    assert len(read_log(directory / "log.txt")[1]) == 3
    assert len(read_log(directory.with_name("tiny_default.old") / "log.txt")[1]) == 2
    assert sorted(path.name for path in (tmp_path / "tb").iterdir()) == ["tiny_default", "tiny_default.old"]
    assert "tiny_default.old" in capsys.readouterr().err
    run(tmp_path, epochs=1, exp="another")
    assert len(read_log(directory / "log.txt")[1]) == 3


# ------------------------------------------------------------------------------------------ options
def test_a_resumed_run_has_its_former_options_unless_others_are_given(tmp_path):
    former = {"lr": 0.5, "epochs": 1, "schedule": [1], "gamma": 0.25, "weight_decay": 0.125, "data_dir": Path("data/x")}
    run(tmp_path, **former)
    given = {"epochs", "resume"}
    options = options_for(tmp_path, resume=True, epochs=7, given=given, data_dir=Path("data/mpii"), new=3)
    typed = Namespace(**vars(options))
    options = settle_experiment(options)
    assert typed.lr == 0.02, "what was typed stays"
    assert (options.lr, options.schedule, options.gamma, options.weight_decay) == (0.5, [1], 0.25, 0.125)
    assert options.data_dir == Path("data/x")
    assert (options.epochs, options.resume, options.new) == (7, True, 3)
    assert (options.given, options.checkpoint_dir) == ({"epochs", "resume"}, tmp_path / "checkpoints")


def test_without_resume_options_are_kept(tmp_path):
    run(tmp_path, lr=0.5, epochs=1)
    options = options_for(tmp_path)
    before = Namespace(**vars(options))
    settled = settle_experiment(options)
    assert options == before
    assert settled == Namespace(**vars(before), again=False)
