"""The training loop. A trainer supplies hooks; the loop does everything that all trainers share."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader

from utils.compute.determinism import deterministic
from utils.compute.distributed import ALONE, Processes
from utils.compute.stop_signal import StopSignal
from utils.compute.sync_batch_norm import synchronise_batch_norms
from utils.console.progress import progress
from utils.osutils import warn
from utils.plotting_utils import Averages, Magnitudes
from utils.training.bad_steps import BadSteps
from utils.training.checkpoint_paths import find_checkpoint
from utils.training.experiment_lock import locked
from utils.training.freezing import training_mode
from utils.training.log_files import LOG_FILE, OPTIONS_FILE
from utils.training.recovery import best_on_disk
from utils.training.settings import Experiment, Optimisation
from utils.training.training_log import TrainingLog, convert_shares, put_aside, write_options
from utils.training.weight_average import WeightAverage


@dataclass(frozen=True)
class TrainingHooks:
    """Callbacks of a trainer. With several processes, all of them call every hook.

    Attributes:
        make_optimizer_fn: (model, lr, weight_decay) -> an optimizer, or a tuple of them (a GAN has two).
        load_fn: (model, optimizer or None, path) -> model, optimizer, epochs done, best value so far or None.
            With None for the optimizer, only weights are loaded.
        checkpoint_fn: (model, optimizer, epochs done, best, directory, is_best) writes the files, on rank 0 only.
            What it writes by `osutils.atomic_path` appears together with the epoch's row in the log, or not at all.
        update_op: (model, optimizer, minibatch, iteration, optimisation) -> dict of losses. Does the whole step on this
            process's part of the minibatch, `minibatch["part"]`. Only here is the network wrapped
            (`Processes.wrap_model`).
        validation_loss: (model, minibatch) -> dict of losses and metrics: scalars, `Ratio`s, and pictures for
            TensorBoard (uint8 tensors of 3 × H × W, named "image/…").
        best_metric: the validation value that selects the best checkpoint.
        uninformative: a value of `best_metric` that any later value replaces as the best, e.g. an AP of 0, which the
            first epochs may have.
        higher_is_better, lower_is_better: names of values by direction; "MPJPE" also covers "MPJPE/Walking". Others
            have no direction. Stored in the experiment's options.json.
        units: metric -> unit, e.g. "%" or "mm". Stored in options.json.
        whole_validation: () -> dict of values that are not averages over minibatches, e.g. AP; called after the last
            minibatch of a validation. None for none.
        best_of: (checkpoint's content) -> the best value stored in it, in the unit of `best_metric`.
        sample_names: (indices of training samples) -> their names, e.g. photo paths, for error messages. None: the
            indices themselves.
        average: moving average of the weights, which is validated and saved as "state_dict"; the checkpoint functions
            must also store its state.
        frozen: modules that stay in evaluation mode while the others train, see `freeze`.
    """

    make_optimizer_fn: Callable
    load_fn: Callable
    checkpoint_fn: Callable
    update_op: Callable
    validation_loss: Callable
    best_metric: str = "loss"
    uninformative: float | None = None
    higher_is_better: tuple[str, ...] = ()
    lower_is_better: tuple[str, ...] = ("loss",)
    units: Mapping[str, str] = field(default_factory=dict)
    whole_validation: Callable[[], dict[str, float]] | None = None
    best_of: Callable[[Mapping], float | None] = lambda checkpoint: checkpoint.get("best")
    sample_names: Callable[[Sequence[int]], list[str]] | None = None
    average: WeightAverage | None = None
    frozen: Sequence[nn.Module] = ()

    def is_better(self, value: float, best: float | None) -> bool:
        """Whether `value` improves on `best`. NaN never does; else anything improves on None and `uninformative`."""
        if best is None or best == self.uninformative:
            return not math.isnan(value)
        return value > best if self.best_metric in self.higher_is_better else value < best

    def better(self) -> dict[str, str]:
        """Metric -> "higher" or "lower"."""
        return dict.fromkeys(self.lower_is_better, "lower") | dict.fromkeys(self.higher_is_better, "higher")


def train(
    model: nn.Module,
    hooks: TrainingHooks,
    train_loader: DataLoader | None,
    validation_loader: DataLoader,
    optimisation: Optimisation,
    experiment: Experiment,
    processes: Processes = ALONE,
) -> dict[str, float]:
    """Train, validate and checkpoint until `optimisation.epochs`; returns the averages of the last validation.

    On an interrupt the current step is finished and a checkpoint written, with a fractional number of epochs done;
    `resume` continues with the next minibatch. `train_loader` needs an `EpochSampler`, and both loaders need their own
    `generator`: otherwise starting them draws from the global one, once more in a resumed run.

    With several processes, each trains on its part of every minibatch, which has processes × batch size samples, and
    validates its part of the samples (`validation_loader` yields no others).

    Raises RunFailed for too many consecutive NaN or infinite losses; checkpoints are not overwritten in that case.
    """
    optimizer = _make_optimizer(model, hooks, optimisation, processes)
    _draw_apart(optimisation.seed, processes)
    with deterministic(optimisation.deterministic), _reserved(experiment, processes), StopSignal(processes) as stop:
        model, optimizer, epoch, best = _start(model, optimizer, hooks, experiment, processes)
        if experiment.evaluate:
            return _validate(model, hooks, validation_loader, "validation", processes)[0]
        norms = synchronise_batch_norms(model, processes) if optimisation.sync_batch_norm else None
        processes.broadcast_optimizer(optimizer)
        parallel = processes.wrap_model(model, optimisation.compression)
        if hooks.average:
            hooks.average.start(model)
        _open_experiment(experiment, hooks, processes)

        directory, steps = experiment.directory, len(train_loader)
        if epoch >= optimisation.epochs:
            warn(f"{directory} has {epoch:g} epochs already; give a larger --epochs")
        averages: dict[str, float] = {}
        bad_steps = BadSteps(optimisation.max_bad_steps, steps, processes, hooks.sample_names)
        with TrainingLog(directory, experiment.tb_directory, epoch, steps, processes) as log:
            run = _Run(
                model, parallel, optimizer, hooks, train_loader, optimisation, processes, norms, bad_steps, log, stop
            )
            while epoch < optimisation.epochs:
                epoch, best, averages = _train_and_validate(run, validation_loader, directory, epoch, best)
                if stop.after_epoch() and epoch < optimisation.epochs:
                    stop.exit(epoch)
    return averages


@dataclass(frozen=True)
class _Run:
    """Objects shared by all epochs of a training."""

    network: nn.Module  # as validated and saved
    model: nn.Module  # the same, wrapped for several processes
    optimizer: torch.optim.Optimizer | tuple[torch.optim.Optimizer, ...]
    hooks: TrainingHooks
    loader: DataLoader
    optimisation: Optimisation
    processes: Processes
    norms: object
    bad_steps: BadSteps
    log: TrainingLog
    stop: StopSignal


def _train_and_validate(run: _Run, validation_loader: DataLoader, directory: Path, epoch: float, best: float | None):
    """Train to the end of an epoch, validate, write all files; returns the epochs done, best value and averages.

    The log's row and the checkpoints appear together.
    """
    model, hooks, processes = run.network, run.hooks, run.processes
    start = time.monotonic()
    set_learning_rate(run.optimizer, int(epoch), run.optimisation)
    epoch, train_averages = _train_epoch(run, epoch)
    processes.average_batch_norms(model)
    run.bad_steps.check_weights(model)
    with hooks.average.in_place_of(model) if hooks.average else nullcontext():
        processes.average_batch_norms(model)
        if epoch % 1:  # stopped between two steps; a finished epoch is validated first
            hooks.checkpoint_fn(model, run.optimizer, epoch, best, directory, is_best=False)
            run.stop.exit(epoch)
        averages, pictures = _validate(model, hooks, validation_loader, f"epoch {epoch} validation", processes)
        is_best = hooks.is_better(averages[hooks.best_metric], best)
        best = averages[hooks.best_metric] if is_best else best
        seconds, rate = time.monotonic() - start, learning_rate_of(run.optimizer)
        write = partial(hooks.checkpoint_fn, model, run.optimizer, epoch, best, directory, is_best)
        run.log.epoch(epoch, rate, seconds, train_averages, averages, pictures, is_best, write)
    return epoch, best, averages


def _train_epoch(run: _Run, epoch: float) -> tuple[float, dict[str, float]]:
    """Run the rest of an epoch, or until a stop signal; returns the epochs done and the averages."""
    loader, optimisation, steps = run.loader, run.optimisation, len(run.loader)
    done = round((epoch - int(epoch)) * steps)
    loader.batch_sampler.start(int(epoch), done)
    iteration = int(epoch) * steps + done
    averages, shown = Averages(), Averages()
    magnitudes = Magnitudes(run.model)
    training_mode(run.model, run.hooks.frozen)
    title = f"epoch {int(epoch) + 1}/{optimisation.epochs}"
    # The progress line shows this process's samples only, to avoid a synchronisation.
    for minibatch in progress(loader, steps - done, title, status=lambda: _in_words(averages.result())):
        log_now = (iteration + 1) % optimisation.tb_log_freq == 0
        if log_now:
            magnitudes.before()
        if optimisation.changes_by_step:
            set_learning_rate(run.optimizer, (iteration + 0.5) / steps, optimisation)
        part = loader.batch_sampler.part(done)
        with run.norms.training_on(part) if run.norms else nullcontext():
            losses = run.hooks.update_op(run.model, run.optimizer, minibatch | {"part": part}, iteration, optimisation)
        run.bad_steps.note(iteration, losses, minibatch.get("index"))
        if run.hooks.average:
            run.hooks.average.update(run.network)
        iteration, done = iteration + 1, done + 1
        for one in (averages, shown):
            one.update(losses, part.size)
        if log_now:
            run.bad_steps.check()
            run.log.step(iteration, shown.over_ranks(run.processes).result() | magnitudes.after())
            shown = Averages()
        if run.stop.after_step():
            break
    return int(epoch) + (1 if done == steps else done / steps), averages.over_ranks(run.processes).result()


def _validate(model, hooks, loader, title, processes):
    """Averages over the loaders of all processes, `whole_validation` included, and the first minibatch's pictures."""
    averages, pictures = Averages(), {}
    model.eval()
    with torch.no_grad():
        for number, minibatch in enumerate(progress(loader, len(loader), title)):
            values = hooks.validation_loss(model, minibatch)
            drawn = {name: values.pop(name) for name in list(values) if name.startswith("image/")}
            averages.update(values, batch_size_of(minibatch))
            pictures = pictures or (drawn if number == 0 else {})
    whole = hooks.whole_validation() if hooks.whole_validation else {}
    return averages.over_ranks(processes).result() | whole, pictures


def _make_optimizer(model, hooks, optimisation, processes):
    """The trainer's optimizer, with `scale_lr` applied and wrapped for several processes."""
    optimizer = hooks.make_optimizer_fn(model, optimisation.lr, optimisation.weight_decay)
    if optimisation.scale_lr:
        for group in _groups(optimizer):
            group["lr"] *= processes.size
    return processes.wrap_optimizer(optimizer, model, optimisation.compression)


def _draw_apart(seed: int, processes: Processes) -> None:
    """Seed torch's global generator, which dropout uses, differently on every process."""
    if processes.rank:
        torch.manual_seed(seed + (processes.rank << 32))


def _start(model, optimizer, hooks, experiment, processes):
    """Start from this experiment's latest checkpoint, from given weights, or from scratch."""
    if experiment.resume:
        # The optimizer was made with the current settings; loading a checkpoint overwrites them with the earlier ones.
        asked = [(group["lr"], group["weight_decay"]) for group in _groups(optimizer)]
        model, optimizer, epoch, best = hooks.load_fn(model, optimizer, experiment.latest(processes))
        for group, (rate, decay) in zip(_groups(optimizer), asked, strict=True):
            group.update(initial_lr=rate, weight_decay=decay)
        if not experiment.evaluate:
            repair = partial(best_on_disk, experiment.directory, epoch, best)
            best = processes.on_main(lambda: repair(hooks.best_metric, hooks.is_better, hooks.best_of))
        return model, optimizer, epoch, best
    if experiment.load:
        model, *_ = hooks.load_fn(model, None, processes.on_main(lambda: find_checkpoint(experiment.load)))
    return model, optimizer, 0, None


def _reserved(experiment: Experiment, processes: Processes) -> AbstractContextManager:
    """Context in which no other training uses the experiment's folders; rank 0 holds the locks."""
    if experiment.evaluate:
        return nullcontext()
    folders = (experiment.directory, experiment.tb_directory)
    stack = ExitStack()
    processes.on_main(lambda: stack.enter_context(locked(folders, experiment.again)) and None)
    return stack


def _open_experiment(experiment: Experiment, hooks: TrainingHooks, processes: Processes) -> None:
    """Create the experiment's folder and options.json, by which a restart of this launch is recognised."""
    job = processes.job()

    def write() -> None:
        if not (experiment.resume or experiment.again):
            put_aside(experiment.directory, experiment.tb_directory)
        else:
            convert_shares(experiment.directory / LOG_FILE)
        path = experiment.directory / OPTIONS_FILE
        write_options(path, experiment.settings, job, hooks.better(), hooks.units)

    processes.on_main(write)


def _in_words(averages: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in averages.items())


def set_learning_rate(optimizer, epoch: float, optimisation: Optimisation) -> None:
    """Set the rate of every parameter group to its initial rate times the schedule's factor at `epoch`."""
    factor = optimisation.rate_factor(epoch)
    for group in _groups(optimizer):
        group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor


def learning_rate_of(optimizer) -> float:
    """The current rate of the first parameter group of the first optimizer."""
    return optimizers_of(optimizer)[0].param_groups[0]["lr"]


def _groups(optimizer) -> list[dict]:
    """The parameter groups of all optimizers."""
    return [group for one in optimizers_of(optimizer) for group in one.param_groups]


def optimizers_of(optimizer) -> tuple[torch.optim.Optimizer, ...]:
    """An optimizer, or a tuple of them, as a tuple."""
    return optimizer if isinstance(optimizer, tuple) else (optimizer,)


def batch_size_of(minibatch: dict) -> int:
    """Length of the first tensor of a validation minibatch."""
    return len(next(value for value in minibatch.values() if isinstance(value, torch.Tensor)))
