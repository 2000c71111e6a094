"""Settings of a training and of its output folders, with the names and defaults of the command-line options."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from utils.compute.distributed import ALONE, Processes
from utils.files.inside import inside
from utils.osutils import UserError, warn
from utils.training.checkpoint_paths import LATEST, nothing_to_resume
from utils.training.checkpoints import read_checkpoint


@dataclass(frozen=True)
class Optimisation:
    """Optimisation settings that all networks share.

    Attributes:
        epochs: passes over the training set.
        lr: learning rate, for the global batch unless `scale_lr`.
        schedule_type: "steps": the rate is multiplied by `gamma` after each epoch of `schedule`. "cosine": it decays
            per step along half a cosine, to 0 after `epochs`.
        schedule, gamma: milestones (epochs) and decay factor for "steps".
        warmup: epochs, possibly fractional, of linear warm-up from 0, per step.
        ema: decay of the exponential moving average of the weights, which is then validated and saved; 0: none.
        weight_decay: L2 penalty on the weights.
        use_amsprop: Adam with AMSGrad instead of the trainer's optimizer.
        momentum: momentum of RMSprop.
        grad_clip: maximum gradient norm, unless `no_grad_clipping`.
        precision: "fp32", "bf16" or "fp16".
        seed: seed of the sample order, the augmentation and dropout.
        tb_log_freq: steps between TensorBoard entries.
        deterministic: use deterministic algorithms only, so that repeated and resumed runs agree to the bit.
        max_bad_steps: stop when the loss is NaN or infinite in more than this many consecutive steps; 0: never.
        scale_lr: multiply the learning rate by the number of processes.
        compression: "fp16" to send gradients between processes in half precision.
        sync_batch_norm: batch norm over the samples of all processes.
    """

    epochs: int = 200
    lr: float = 2.5e-4
    schedule_type: str = "steps"
    schedule: Sequence[int] = (60, 90)
    gamma: float = 0.1
    warmup: float = 0.0
    ema: float = 0.0
    weight_decay: float = 0.0
    use_amsprop: bool = False
    momentum: float = 0.0
    grad_clip: float = 10.0
    no_grad_clipping: bool = False
    precision: str = "fp32"
    seed: int = 0
    tb_log_freq: int = 50
    deterministic: bool = False
    max_bad_steps: int = 3
    scale_lr: bool = False
    compression: str = "none"
    sync_batch_norm: bool = False

    @property
    def clip(self) -> float | None:
        """The maximum gradient norm; None for no clipping."""
        return None if self.no_grad_clipping else self.grad_clip

    def decays(self, epoch: int) -> int:
        """Number of milestones of the schedule reached."""
        return sum(epoch >= milestone for milestone in self.schedule)

    @property
    def changes_by_step(self) -> bool:
        """Whether the learning rate changes within an epoch."""
        return self.schedule_type == "cosine" or self.warmup > 0

    def rate_factor(self, epoch: float) -> float:
        """Factor on the initial learning rate at a fractional epoch; for a step, the epoch at the middle of the step.

        Warm-up multiplies by epoch / warmup. The cosine is (1 + cos(π · done)) / 2, where done is the fraction of the
        epochs after warm-up.
        """
        rising = min(epoch / self.warmup, 1.0) if self.warmup else 1.0
        if self.schedule_type == "steps":
            return rising * self.gamma ** self.decays(int(epoch))
        done = (epoch - self.warmup) / max(self.epochs - self.warmup, 1e-9)
        return rising * (1 + math.cos(math.pi * min(max(done, 0.0), 1.0))) / 2


@dataclass(frozen=True)
class Loading:
    """Data loading. Batch sizes are per process."""

    train_batch_size: int = 6
    test_batch_size: int = 6
    workers: int = 6


@dataclass(frozen=True)
class Experiment:
    """Where a training writes its files, and what it starts from.

    Attributes:
        script: name of the training, e.g. "hourglass_mpii". Its folders are named "<script>_<exp>".
        exp: experiment id.
        checkpoint_dir: parent of the experiment's folder, which holds checkpoints, log.txt and options.json.
        tb_dir: parent of the experiment's folder of TensorBoard events.
        resume: continue from the experiment's latest checkpoint.
        load: checkpoint file or folder with the initial weights; training starts at epoch 0.
        evaluate: validate and stop; nothing is written.
        allow_unsafe_load: open old checkpoints that hold pickles, which can run code.
        again: restarted by the launcher: earlier folders are continued, not moved aside.
        settings: all settings by name, as stored in checkpoints and options.json.
    """

    script: str
    exp: str = "default"
    checkpoint_dir: Path = Path("model_checkpoints")
    tb_dir: Path = Path("tb_logs")
    resume: bool = False
    load: Path | None = None
    evaluate: bool = False
    allow_unsafe_load: bool = False
    again: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.script}_{self.exp}"

    @property
    def directory(self) -> Path:
        """Folder of the checkpoints, log.txt and options.json."""
        return inside(self.checkpoint_dir, self.name)

    @property
    def tb_directory(self) -> Path:
        return inside(self.tb_dir, self.name)

    def latest(self, processes: Processes = ALONE) -> Path:
        """The checkpoint to resume from. Raises UserError if this experiment has none."""
        path = self.directory / LATEST
        if not processes.on_main(path.is_file):
            raise UserError(nothing_to_resume(path))
        return path

    def start_path(self, processes: Processes = ALONE) -> Path | None:
        """The checkpoint to start from: this experiment's latest with `resume`, else `load`; None for neither."""
        return self.latest(processes) if self.resume else self.load

    def start_checkpoint(self, processes: Processes = ALONE) -> dict[str, Any] | None:
        """The content of `start_path`."""
        path = self.start_path(processes)
        return read_checkpoint(path, self.allow_unsafe_load, processes) if path else None

    def warn_if_untrained(self) -> None:
        """Warn when an untrained network is validated."""
        if self.evaluate and not (self.load or self.resume):
            warn("no --load and no --resume: this validates the untrained network")
