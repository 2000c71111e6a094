"""What a command line's options become before a training starts: with --resume, those that were stored.

Only doors (the functions that scripts name) call this; it gives new options and changes none.
"""

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

from utils.compute.distributed import ALONE, Processes
from utils.console.option_rules import from_options, refuse_useless, with_values
from utils.osutils import warn
from utils.training.checkpoints import LATEST, plain, read_checkpoint
from utils.training.log_files import OPTIONS_FILE
from utils.training.settings import Experiment

# Options that say what to do now, rather than how the experiment is set up; --resume never takes them over.
OF_THIS_CALL = (
    "script", "given", "resume", "evaluate", "load", "exp", "checkpoint_dir", "tb_dir", "debug_traceback",
    "use_horovod", "again",
)  # fmt: skip
NOT_STORED = ("processes",)
OF_SEVERAL = ("scale_lr", "sync_batch_norm", "compression")  # options that matter to several processes alone
STARTS = ("load", "load_hourglass", "load_2d3d")


def settle_experiment(options: Namespace, processes: Processes = ALONE) -> Namespace:
    """The options to train with: with `--resume` the stored ones, but for those on the command line.

    A later attempt of a launch (`torchrun --max_restarts`) goes on from its own checkpoint as if told to.

    Raises UserError for options that contradict one another, and where there is nothing to resume.
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
        options = with_values(options, **taken)
    rules = [
        (options.no_grad_clipping, ["grad_clip"], "contradicts --no_grad_clipping"),
        (options.resume, ["load"], "contradicts --resume, which goes on from this experiment's own checkpoint"),
        (not processes.is_launched, OF_SEVERAL, "is for several processes; start them with torchrun or horovodrun"),
    ]
    refuse_useless(options, rules)
    return options


def _typed(value: Any, like: Any) -> Any:
    """A stored value with the type that the option has: paths are stored as text, and one stands for a list of one."""
    if isinstance(like, Path):
        return Path(value)
    if isinstance(like, list) and like and isinstance(like[0], Path):
        return [Path(one) for one in (value if isinstance(value, list) else [value])]
    return value


def experiment_of(options: Namespace) -> Experiment:
    """The experiment that settled options describe; its checkpoints keep all of them."""
    stored = {name: value for name, value in vars(options).items() if name not in NOT_STORED}
    return from_options(Experiment, options, settings=plain(stored))


def _notice_restart(options: Namespace, processes: Processes) -> Namespace:
    """Whether an earlier attempt of this launch began the experiment: then it goes on, and nothing is put aside."""
    directory = from_options(Experiment, options).directory
    again = processes.restarted(processes.on_main(lambda: _job_of(directory / OPTIONS_FILE)))
    options = with_values(options, again=again)
    if not again or options.resume or not processes.on_main((directory / LATEST).is_file):
        return options
    warn(f"an earlier attempt of this job has died; going on from {directory / LATEST}")
    # Where the first attempt started from no longer counts.
    starts = {name: None for name in STARTS if hasattr(options, name)}
    return with_values(options, resume=True, given=options.given - set(STARTS), **starts)


def _job_of(path: Path) -> dict | None:
    """The launch that wrote this options file, if there is one and torchrun was it."""
    try:
        return json.loads(path.read_text()).get("job")
    except (OSError, ValueError):
        return None
