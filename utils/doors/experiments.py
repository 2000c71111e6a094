"""Settles the options of a training before it starts: with --resume they come from the checkpoint.

Returns new options; changes none in place.
"""

from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from utils.compute.distributed import ALONE, Processes
from utils.doors.option_rules import from_options, processes_of, refuse_useless, with_values
from utils.files.schema import described, entries, required, text
from utils.osutils import UserError, warn
from utils.training.checkpoint_paths import LATEST
from utils.training.checkpoints import plain, read_checkpoint
from utils.training.log_files import read_options
from utils.training.settings import Experiment

# Options of this call rather than of the experiment; --resume never restores them.
OF_THIS_CALL = (
    "script", "given", "resume", "evaluate", "load", "exp", "checkpoint_dir", "tb_dir", "debug_traceback",
    "use_horovod", "again", "accepts", "max_pixels",
)  # fmt: skip
NOT_STORED = ("processes", "accepts")
OF_SEVERAL = ("scale_lr", "sync_batch_norm", "compression")  # options that only affect several processes
STARTS = ("load", "load_hourglass", "load_2d3d")


def begin_training(options: Namespace, check: Callable[[Namespace], None]) -> tuple[Namespace, Experiment, Processes]:
    """The settled options of a training, which `check` accepts, with its experiment and its processes.

    Raises UserError as `settle_experiment` and `check`.
    """
    processes = processes_of(options)
    options = settle_experiment(options, processes)
    check(options)
    return options, experiment_of(options), processes


def settle_experiment(options: Namespace, processes: Processes = ALONE) -> Namespace:
    """The options to train with. `--resume` restores the stored ones; those on the command line take precedence.

    A restart by the launcher (`torchrun --max_restarts`) resumes from its own checkpoint without `--resume`.

    Raises UserError for contradicting options, and if there is nothing to resume.
    """
    options = _notice_restart(options, processes)
    if options.resume:
        latest = from_options(Experiment, options).latest(processes)
        stored = read_checkpoint(latest, processes=processes).get("options", {})
        taken = {
            name: _typed(value, getattr(options, name))
            for name, value in stored.items()
            if name not in OF_THIS_CALL and name not in options.given and hasattr(options, name)
        }
        _require_accepted(options, stored, taken, latest)
        options = with_values(options, **taken)
    rules = [
        (options.no_grad_clipping, ["grad_clip"], "contradicts --no_grad_clipping"),
        (options.resume, ["load"], "contradicts --resume, which continues from this experiment's own checkpoint"),
        (not processes.is_launched, OF_SEVERAL, "is for several processes; start them with torchrun or horovodrun"),
    ]
    refuse_useless(options, rules)
    return options


def _require_accepted(options: Namespace, stored: Mapping[str, Any], taken: Iterable[str], path: Path) -> None:
    """Raise UserError for a stored option that its command line could not have given."""
    accepts = getattr(options, "accepts", {})  # a caller from Python has none
    for name in taken:
        if name in accepts and not accepts[name](stored[name]):
            value = described(stored[name])
            raise UserError(f"{path}: options: {name} is {value}, which --{name} does not take; give --{name} anew")


def _typed(value: Any, like: Any) -> Any:
    """A stored value in the option's type: paths are stored as text, and a single path may become a list of one."""
    if isinstance(like, Path):
        return Path(value)
    if isinstance(like, list) and like and isinstance(like[0], Path):
        return [Path(one) for one in (value if isinstance(value, list) else [value])]
    return value


def experiment_of(options: Namespace) -> Experiment:
    """The experiment described by settled options, all of which its checkpoints store."""
    stored = {name: value for name, value in vars(options).items() if name not in NOT_STORED}
    return from_options(Experiment, options, settings=plain(stored))


def _notice_restart(options: Namespace, processes: Processes) -> Namespace:
    """Turn a restart by the launcher into `resume`; sets `again`, so that no folder is moved aside."""
    directory = from_options(Experiment, options).directory
    again = processes.restarted(processes.on_main(lambda: _job_of(directory)))
    options = with_values(options, again=again)
    if not again or options.resume or not processes.on_main((directory / LATEST).is_file):
        return options
    warn(f"an earlier attempt of this job died; resuming from {directory / LATEST}")
    # The starting weights of the first attempt no longer apply.
    starts = {name: None for name in STARTS if hasattr(options, name)}
    return with_values(options, resume=True, given=options.given - set(STARTS), **starts)


def _job_of(folder: Path) -> Mapping[str, str] | None:
    """The torchrun launch that wrote this folder's options.json; None without one."""
    job = read_options(folder).get("job")
    return job if entries({"token": required(text()), "run_id": required(text())}).right(job) else None
