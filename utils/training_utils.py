"""The one training loop. A trainer supplies five hooks; the loop owns everything that all trainers share."""

import json
import math
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader

from utils.compute.batch_parts import training_on
from utils.compute.distributed import (
    average_batch_norms,
    broadcast_optimizer,
    is_launched,
    job,
    on_main,
    rank,
    restarted,
    world_size,
    wrap_model,
    wrap_optimizer,
)
from utils.compute.stop_signal import StopSignal
from utils.compute.sync_batch_norm import synchronise_batch_norms
from utils.console.option_rules import refuse_useless
from utils.console.progress import progress
from utils.osutils import UserError, warn, write_text
from utils.plotting_utils import Averages, Magnitudes
from utils.training.checkpoints import LATEST, find_checkpoint, plain_options, read_checkpoint
from utils.training.training_log import TrainingLog, put_aside

# Options that say what to do now, rather than how the experiment is set up; --resume never takes them over.
OF_THIS_CALL = (
    "script", "given", "resume", "evaluate", "load", "exp", "checkpoint_dir", "tb_dir", "debug_traceback",
    "use_horovod", "again",
)  # fmt: skip
OF_SEVERAL = ("scale_lr", "sync_batch_norm", "compression")  # options that matter to several processes alone
STARTS = ("load", "load_hourglass", "load_2d3d")
OPTIONS_FILE = "options.json"


@dataclass(frozen=True)
class TrainingHooks:
    """What a trainer supplies. Among several processes all of them call every hook.

    Attributes:
        make_optimizer_fn: (model, lr, weight_decay) -> an optimizer, or a tuple of them (a GAN has two).
        load_fn: (model, optimizer or None, path) -> model, optimizer, epochs done, best value so far or None.
            With None for the optimizer it loads weights alone.
        checkpoint_fn: (model, optimizer, epochs done, best, directory, is_best) writes the file, on rank 0 alone.
        update_op: (model, optimizer, minibatch, iteration, options) -> dict of losses; does the whole step, on this
            process's part of the minibatch. Only here is the network wrapped (`distributed.wrap_model`).
        validation_loss: (model, minibatch) -> dict of losses and metrics: scalars, `Ratio`s, and for TensorBoard
            pictures (uint8 tensors of 3 × H × W, named "image/…").
        best_metric: the validation value that tells which checkpoint is best.
        higher_is_better: whether a higher value of it is better (a loss: lower).
    """

    make_optimizer_fn: Callable
    load_fn: Callable
    checkpoint_fn: Callable
    update_op: Callable
    validation_loss: Callable
    best_metric: str = "loss"
    higher_is_better: bool = False

    def is_better(self, value: float, best: float | None) -> bool:
        """NaN is never better; anything else is better than nothing."""
        if best is None:
            return not math.isnan(value)
        return value > best if self.higher_is_better else value < best


def train(
    model: nn.Module, hooks: TrainingHooks, train_loader: DataLoader, validation_loader: DataLoader, options: Namespace
) -> dict[str, float]:
    """Train, validate and checkpoint until `options.epochs`; returns the last validation's averages.

    "Epochs done" is a fraction after an interrupt: the step in flight is finished, a checkpoint written, and
    `--resume` goes on with the very next minibatch. `train_loader` must have an `EpochSampler`, and both loaders a
    `generator` of their own: else starting them draws from the global one, and a resumed run draws once more.

    Among several processes each trains on its part of every minibatch, which has the batch size times as many samples,
    and validates its part of the samples (`validation_loader` gives no others).
    """
    directory, tb_directory = experiment_directory(options), Path(options.tb_dir, experiment_name(options))
    optimizer = _make_optimizer(model, hooks, options)
    _draw_apart(options)
    model, optimizer, epoch, best = _start(model, optimizer, hooks, directory, options)
    if options.evaluate:
        return _evaluate(model, hooks, validation_loader, options)
    if getattr(options, "sync_batch_norm", False):  # the pose GAN has no batch norm
        synchronise_batch_norms(model)
    broadcast_optimizer(optimizer)
    parallel = wrap_model(model, options.compression)
    _open_experiment(directory, tb_directory, options)

    if epoch >= options.epochs:
        print(f"{directory} has {epoch:g} epochs already; give a larger --epochs", file=sys.stderr)
    averages: dict[str, float] = {}
    with TrainingLog(directory, tb_directory, epoch, len(train_loader)) as log, StopSignal() as stop:
        while epoch < options.epochs:
            start = time.monotonic()
            set_learning_rate(optimizer, int(epoch), options)
            epoch, train_averages = _train_epoch(parallel, optimizer, hooks, train_loader, epoch, options, log, stop)
            average_batch_norms(model)
            if epoch % 1:  # stopped between two steps; a finished epoch is validated first
                hooks.checkpoint_fn(model, optimizer, epoch, best, directory, is_best=False)
                stop.exit(epoch)
            averages, pictures = _validate(model, hooks, validation_loader, f"epoch {epoch} validation")
            is_best = hooks.is_better(averages[hooks.best_metric], best)
            best = averages[hooks.best_metric] if is_best else best
            hooks.checkpoint_fn(model, optimizer, epoch, best, directory, is_best)
            log.epoch(
                epoch,
                learning_rate_of(optimizer),
                time.monotonic() - start,
                train_averages,
                averages,
                pictures,
                is_best,
            )
            if stop.after_epoch() and epoch < options.epochs:
                stop.exit(epoch)
    return averages


def _make_optimizer(model, hooks, options):
    """The trainer's, with `--scale_lr` and the launcher's share in it."""
    optimizer = hooks.make_optimizer_fn(model, options.lr, options.weight_decay)
    if options.scale_lr:
        for group in _groups(optimizer):
            group["lr"] *= world_size()
    return wrap_optimizer(optimizer, model, options.compression)


def _draw_apart(options: Namespace) -> None:
    """Dropout draws from torch's own generator, and no two processes may drop the same units."""
    if rank():
        torch.manual_seed(options.seed + (rank() << 32))


def _open_experiment(directory: Path, tb_directory: Path, options: Namespace) -> None:
    """The folder with its options, in which a later attempt of this launch will know itself again."""
    noted = plain_options(options) | {"job": job()}

    def write() -> None:
        if not (options.resume or options.again):
            put_aside(directory, tb_directory)
        write_text(directory / OPTIONS_FILE, json.dumps(noted, indent=1))

    on_main(write)


def _train_epoch(model, optimizer, hooks, loader, epoch, options, log, stop):
    """Run the rest of one epoch, or up to a stop signal; returns the epochs done and the averages."""
    steps = len(loader)
    done = round((epoch - int(epoch)) * steps)
    loader.batch_sampler.start(int(epoch), done)
    iteration = int(epoch) * steps + done
    averages, shown = Averages(), Averages()
    magnitudes = Magnitudes(model)
    model.train()
    title = f"epoch {int(epoch) + 1}/{options.epochs}"
    # What is shown meanwhile is of this process's samples, so that nobody waits for another.
    for minibatch in progress(loader, steps - done, title, status=lambda: _in_words(averages.result())):
        log_now = (iteration + 1) % options.tb_log_freq == 0
        if log_now:
            magnitudes.before()
        part = loader.batch_sampler.part(done)
        with training_on(part):
            losses = hooks.update_op(model, optimizer, minibatch, iteration, options)
        iteration, done = iteration + 1, done + 1
        for one in (averages, shown):
            one.update(losses, part.size)
        if log_now:
            log.step(iteration, shown.over_ranks().result() | magnitudes.after())
            shown = Averages()
        if stop.after_step():
            break
    return int(epoch) + (1 if done == steps else done / steps), averages.over_ranks().result()


def _in_words(averages: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in averages.items())


def _validate(model, hooks, loader, title):
    """Averages over all processes' loaders, and the first minibatch's pictures."""
    averages, pictures = Averages(), {}
    model.eval()
    with torch.no_grad():
        for number, minibatch in enumerate(progress(loader, len(loader), title)):
            values = hooks.validation_loss(model, minibatch)
            drawn = {name: values.pop(name) for name in list(values) if name.startswith("image/")}
            averages.update(values, batch_size_of(minibatch))
            pictures = pictures or (drawn if number == 0 else {})
    return averages.over_ranks().result(), pictures


def _evaluate(model, hooks, loader, options):
    if not (options.load or options.resume or getattr(options, "load_hourglass", None)):
        print("no --load and no --resume: this validates the untrained network", file=sys.stderr)
    averages, _ = _validate(model, hooks, loader, "validation")
    for name, value in averages.items():
        print(f"{name}\t{value:.6g}")
    return averages


def _start(model, optimizer, hooks, directory, options):
    """Go on from this experiment's latest checkpoint (--resume), from any weights (--load), or anew."""
    if options.resume:
        # The options, stored ones or new, have made the optimizer; a checkpoint's groups have the rates of before.
        asked = [(group["lr"], group["weight_decay"]) for group in _groups(optimizer)]
        model, optimizer, epoch, best = hooks.load_fn(model, optimizer, latest_checkpoint(options))
        for group, (rate, decay) in zip(_groups(optimizer), asked, strict=True):
            group.update(initial_lr=rate, weight_decay=decay)
        return model, optimizer, epoch, best
    if options.load:
        model, *_ = hooks.load_fn(model, None, on_main(lambda: find_checkpoint(options.load)))
    return model, optimizer, 0, None


def latest_checkpoint(options: Namespace) -> Path:
    """What `--resume` goes on from. UserError if this experiment has none."""
    path = experiment_directory(options) / LATEST
    if not on_main(path.is_file):
        raise UserError(f"--resume: {path} is not there; check --exp and --checkpoint_dir, or leave --resume out")
    return path


def start_path(options: Namespace) -> Path | None:
    """What training starts from: this experiment's latest checkpoint (--resume), another's (--load), or None."""
    return latest_checkpoint(options) if options.resume else options.load


def start_checkpoint(options: Namespace) -> dict | None:
    """The content of `start_path`."""
    path = start_path(options)
    return read_checkpoint(path, options.allow_unsafe_load) if path else None


def decays_until(epoch: int, schedule: list[int]) -> int:
    """How many of the epochs of `--schedule` have been reached."""
    return sum(epoch >= milestone for milestone in schedule)


def set_learning_rate(optimizer, epoch: int, options: Namespace) -> None:
    """Every parameter group's own rate, times gamma for each epoch of the schedule passed."""
    factor = options.gamma ** decays_until(epoch, options.schedule)
    for group in _groups(optimizer):
        group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor


def learning_rate_of(optimizer) -> float:
    """The rate, as it is now, of the first parameter group of the first optimizer."""
    return optimizers_of(optimizer)[0].param_groups[0]["lr"]


def _groups(optimizer) -> list[dict]:
    """The parameter groups of all optimizers."""
    return [group for one in optimizers_of(optimizer) for group in one.param_groups]


def optimizers_of(optimizer) -> tuple[torch.optim.Optimizer, ...]:
    """One optimizer, or a tuple of them, as a tuple."""
    return optimizer if isinstance(optimizer, tuple) else (optimizer,)


def settle_experiment(options: Namespace) -> None:
    """With `--resume`, take over the options that are not on the command line; check those that all trainings share.

    A later attempt of a launch (`torchrun --max_restarts`) goes on from its own checkpoint as if told to.

    Raises UserError for options that contradict one another, and where there is nothing to resume.
    """
    _notice_restart(options)
    if options.resume:
        stored = read_checkpoint(latest_checkpoint(options)).get("options", {})
        for name, value in stored.items():
            if name not in OF_THIS_CALL and name not in options.given and hasattr(options, name):
                setattr(options, name, Path(value) if isinstance(getattr(options, name), Path) else value)
    rules = [
        (options.no_grad_clipping, ["grad_clip"], "contradicts --no_grad_clipping"),
        (options.resume, ["load"], "contradicts --resume, which goes on from this experiment's own checkpoint"),
        (not is_launched(), OF_SEVERAL, "is for several processes; start them with torchrun or horovodrun"),
    ]
    refuse_useless(options, rules)


def _notice_restart(options: Namespace) -> None:
    """Whether an earlier attempt of this launch began the experiment: then it goes on, and nothing is put aside."""
    directory = experiment_directory(options)
    options.again = restarted(on_main(lambda: _job_of(directory / OPTIONS_FILE)))
    if options.again and not options.resume and on_main((directory / LATEST).is_file):
        warn(f"an earlier attempt of this job has died; going on from {directory / LATEST}")
        options.resume = True
        # Where the first attempt started from no longer counts.
        options.given = options.given - set(STARTS)
        for name in STARTS:
            if hasattr(options, name):
                setattr(options, name, None)


def _job_of(path: Path) -> dict | None:
    """The launch that wrote this options file, if there is one and torchrun was it."""
    try:
        return json.loads(path.read_text()).get("job")
    except (OSError, ValueError):
        return None


def experiment_name(options: Namespace) -> str:
    return f"{options.script}_{options.exp}"


def experiment_directory(options: Namespace) -> Path:
    return Path(options.checkpoint_dir, experiment_name(options))


def batch_size_of(minibatch: dict) -> int:
    """Length of the first tensor of a minibatch of validation."""
    return len(next(value for value in minibatch.values() if isinstance(value, torch.Tensor)))
