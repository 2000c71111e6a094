"""Tests of the options that all trainings have. A class of each training's tests derives from `TrainingOptionTests`."""

import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pytest
import torch
from command_line import Result
from option_effects import (
    Effect,
    Run,
    assert_effect,
    assert_ended_by_bad_losses,
    epochs,
    printed_averages,
    validation,
    weights,
    with_bad_losses,
)
from shown_options import assert_all_shown
from torch import nn

ONE_PROCESS = "is for several processes"
# What every training refuses; in brackets the options whose only test with one process this is.
REFUSED = [
    (("--no_grad_clipping", "--grad_clip", 3), "--grad_clip", []),
    (("--resume",), "--resume", []),
    (("--scale_lr",), f"--scale_lr {ONE_PROCESS}", ["scale_lr"]),
    (("--compression", "fp16"), f"--compression {ONE_PROCESS}", ["compression"]),
    (("--device", "tpu9"), "--device tpu9: unknown", ["device"]),
    (("--device", "cuda:99"), "--device cuda:99", ["device"]),
    (("--precision", "fp16"), "--precision fp16 needs a GPU", []),
]


class TrainingOptionTests:
    """The module of a derived class has the fixtures

    launch(folder, *argv, data_dir=...): `train.py SCRIPT` with `folder` as working directory; its `Result`.
    run(*argv): what a training with these options left; each set of options is run once (`run_once`).
    fails(*argv, data_dir=...): the one line of a training that is refused and leaves nothing.

    Attributes:
        script, trainer: the name and the trainer of the training.
        compiled: the network that `--compile` compiles.
        effects: option -> its effect.
        metric: an average that is printed with `--evaluate`, and stands in the log after `val/`.
        left_by_evaluation: files in the experiment's folder after `--evaluate`.
        modules: further modules with tests of this script's options.
        effects_take_long: one or two trainings an effect, of seconds each: they are marked `long`, and so are the
            tests with `of_all_trainings`.
    """

    script: str
    trainer: type
    compiled: type
    effects: Mapping[str, Effect]
    metric: str
    left_by_evaluation: frozenset[str] = frozenset()
    modules: tuple[ModuleType, ...] = ()
    effects_take_long: bool = False

    validation = staticmethod(validation)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        # What all trainings have in common, quicker ones show.
        marks = [pytest.mark.long] if self.effects_take_long else []
        for name, cases in (("option", self.effects), ("of_all_trainings", [True])):
            if name in metafunc.fixturenames:
                metafunc.parametrize(name, [pytest.param(case, marks=marks) for case in cases])

    def trained(self, launch, folder: Path, *argv: object) -> Run:
        result: Result = launch(folder, *argv).succeeded()
        return Run(folder, f"{self.script}_default", result.out, result.err)

    def validated(self, monkeypatch) -> list[int]:
        """The sizes of the minibatches of validation, from now on."""
        sizes, validate = [], self.trainer.validate

        def noting(trainer, model, minibatch):
            sizes.append(len(minibatch["index"]))
            return validate(trainer, model, minibatch)

        monkeypatch.setattr(self.trainer, "validate", noting)
        return sizes

    # -------------------------------------------------------------------------------------- effects

    def test_every_option_has_a_test(self, request):
        assert_all_shown([("train", self.script)], [request.module, *self.modules], self.effects)

    def test_the_same_options_do_the_same(self, run, launch, tmp_path):
        """Otherwise a difference would mean nothing."""
        again = self.trained(launch, tmp_path)
        assert weights(again) == weights(run())
        assert self.validation(again) == self.validation(run())

    @pytest.mark.usefixtures("bf16_cpu")
    def test_an_option_changes_what_happens(self, run, option):
        assert_effect(run, option, self.effects[option])

    @pytest.mark.shows("no_grad_clipping")
    def test_clipping_can_be_left_out(self, run, of_all_trainings):
        assert weights(run("--grad_clip", 1e-9)) != weights(run("--no_grad_clipping"))
        assert weights(run("--no_grad_clipping")) == weights(run("--grad_clip", 1e9))

    @pytest.mark.shows("test_batch_size")
    def test_batches_of_validation_have_their_size_and_do_not_matter(
        self, run, launch, tmp_path, monkeypatch, of_all_trainings
    ):
        sizes = self.validated(monkeypatch)
        other = self.trained(launch, tmp_path, "--test_batch_size", 3)
        assert max(sizes) == 3
        assert self.validation(other) == self.validation(run())
        assert weights(other) == weights(run())

    @pytest.mark.shows("compile")
    def test_compile_compiles_the_network(self, launch, tmp_path, monkeypatch):
        compiled = []
        monkeypatch.setattr(nn.Module, "compile", lambda self: compiled.append(type(self)))
        self.trained(launch, tmp_path, "--evaluate")
        assert compiled == []
        self.trained(launch, tmp_path, "--evaluate", "--compile")
        assert compiled == [self.compiled]

    # -------------------------------------------------------------------------------------- folders and checkpoints

    @pytest.mark.shows("exp", "checkpoint_dir", "tb_dir")
    def test_exp_and_directories_name_where_things_go(self, launch, tmp_path):
        launch(tmp_path, "--exp", "second", "--checkpoint_dir", "a/b", "--tb_dir", tmp_path / "events").succeeded()
        assert (tmp_path / f"a/b/{self.script}_second/checkpoint.pth.tar").is_file()
        assert len(list((tmp_path / f"events/{self.script}_second").iterdir())) == 1
        assert {path.name for path in tmp_path.iterdir()} == {"a", "events"}

    @pytest.mark.shows("data_dir")
    def test_data_dir_is_what_is_read(self, fails, tmp_path):
        error = fails(data_dir=tmp_path / "nowhere")
        assert f"{tmp_path / 'nowhere'}: no such folder" in error

    @pytest.mark.shows("evaluate", "load")
    def test_evaluate_validates_and_stops(self, run, launch, tmp_path):
        source = run()
        evaluated = self.trained(launch, tmp_path, "--evaluate", "--load", source.checkpoints / "checkpoint.pth.tar")
        left = {path.name for path in evaluated.checkpoints.iterdir()} if evaluated.checkpoints.exists() else set()
        assert left == self.left_by_evaluation
        averages = printed_averages(evaluated)
        assert averages[self.metric] == pytest.approx(source.log()[-1][f"val/{self.metric}"], rel=1e-4)

    @pytest.mark.shows("allow_unsafe_load")
    def test_old_pickles_load_only_where_allowed(self, run, fails, launch, tmp_path):
        path = tmp_path / "old.pth"
        torch.save(run().checkpoint() | {"made": Path("here")}, path)  # an object, not a plain type
        assert "--allow_unsafe_load" in fails("--load", path)
        loaded = self.trained(launch, tmp_path / "run", "--load", path, "--allow_unsafe_load", "--evaluate")
        average = printed_averages(loaded)[self.metric]
        assert average == pytest.approx(run().log()[-1][f"val/{self.metric}"], rel=1e-4)

    @pytest.mark.shows("resume")
    def test_resume_continues_as_if_never_stopped(self, run, launch, tmp_path, of_all_trainings):
        self.trained(launch, tmp_path)
        assert "--load contradicts --resume" in launch(tmp_path, "--resume", "--load", run().checkpoints).refusal()
        resumed = self.trained(launch, tmp_path, "--resume", "--epochs", 2)
        assert epochs(resumed) == 2
        assert weights(resumed) == weights(run("--epochs", 2))

    # -------------------------------------------------------------------------------------- faults

    @pytest.mark.shows("max_bad_steps")
    def test_a_loss_that_is_nan_ends_the_training(self, launch, tmp_path, monkeypatch):
        monkeypatch.setattr(self.trainer, "update", with_bad_losses(self.trainer.update))
        ended = launch(tmp_path, "--max_bad_steps", 1)
        assert ended.status == 1
        assert_ended_by_bad_losses(tmp_path / "model_checkpoints" / f"{self.script}_default", ended.err)

    @pytest.mark.shows("use_horovod")
    def test_horovod_is_refused_where_it_is_not_installed(self, fails, monkeypatch):
        """What it does elsewhere, `test_several_processes` shows."""
        monkeypatch.setitem(sys.modules, "horovod.torch", None)
        assert "scripts/install_horovod.sh" in fails("--use_horovod")

    @pytest.mark.shows("debug_traceback")
    def test_debug_traceback_shows_it(self, launch, tmp_path):
        ended = launch(tmp_path, "--debug_traceback", data_dir=tmp_path / "nowhere")
        assert "Traceback (most recent call last)" in ended.err

    @pytest.mark.parametrize(
        ("argv", "named"),
        [pytest.param(argv, named, marks=pytest.mark.shows(*shown)) for argv, named, shown in REFUSED],
        ids=[" ".join(map(str, argv)) for argv, *_ in REFUSED],
    )
    def test_contradicting_and_useless_options_are_refused(self, fails, argv, named):
        assert named in fails(*argv)
