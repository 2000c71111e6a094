"""How a training goes and where it leaves its files: settings with the options' names and defaults."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from utils.compute.distributed import ALONE, Processes
from utils.osutils import UserError, warn
from utils.training.checkpoint_paths import LATEST, nothing_to_resume
from utils.training.checkpoints import read_checkpoint


@dataclass(frozen=True)
class Optimisation:
    """How the weights are learned, whatever the network.

    Attributes:
        epochs: passes over the training set.
        lr: learning rate, for the global batch unless `scale_lr`.
        schedule_type: "steps": the rate is multiplied by `gamma` after each epoch of `schedule`; "cosine": it falls
            from step to step along half a cosine, to 0 after the last of `epochs`.
        schedule, gamma: epochs, and the factor of the rate, for "steps".
        warmup: epochs, or a part of one, in which the rate rises step by step from 0 to what it is after them.
        ema: decay of the exponential moving average of the weights, which is then what is validated and kept; 0: none.
        weight_decay: L2 penalty on the weights.
        use_amsprop: Adam with AMSGrad in place of the trainer's optimizer.
        momentum: of RMSprop.
        grad_clip: largest norm of the gradient, unless `no_grad_clipping`.
        precision: "fp32", "bf16" or "fp16".
        seed: of the order of the samples, the augmentation and dropout.
        tb_log_freq: steps between two entries in TensorBoard.
        max_bad_steps: training ends when the loss is NaN or infinite in more steps than this in a row; 0: never.
        scale_lr, compression, sync_batch_norm: for several processes: rates times their number, "fp16" for gradients
            that are sent, batch norm over all processes' samples.
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
    max_bad_steps: int = 3
    scale_lr: bool = False
    compression: str = "none"
    sync_batch_norm: bool = False

    @property
    def clip(self) -> float | None:
        """The largest norm of the gradient; None where it is not clipped."""
        return None if self.no_grad_clipping else self.grad_clip

    def decays(self, epoch: int) -> int:
        """How many epochs of the schedule have been reached."""
        return sum(epoch >= milestone for milestone in self.schedule)

    @property
    def changes_by_step(self) -> bool:
        """Whether the learning rate changes within an epoch."""
        return self.schedule_type == "cosine" or self.warmup > 0

    def rate_factor(self, epoch: float) -> float:
        """What the initial learning rate is multiplied by after so many epochs; half-way through a step, for a step.

        Warm-up multiplies by (epoch / warmup) until then. The cosine is (1 + cos(π · done)) / 2, where done is the
        share of the epochs after the warm-up.
        """
        rising = min(epoch / self.warmup, 1.0) if self.warmup else 1.0
        if self.schedule_type == "steps":
            return rising * self.gamma ** self.decays(int(epoch))
        done = (epoch - self.warmup) / max(self.epochs - self.warmup, 1e-9)
        return rising * (1 + math.cos(math.pi * min(max(done, 0.0), 1.0))) / 2


@dataclass(frozen=True)
class Loading:
    """How samples come: batch sizes are of one process."""

    train_batch_size: int = 6
    test_batch_size: int = 6
    workers: int = 6


@dataclass(frozen=True)
class Experiment:
    """Where a training leaves its files, and what it starts from.

    Attributes:
        script: which training it is, e.g. "hourglass_mpii"; with `exp` the name of its folders.
        exp: experiment id.
        checkpoint_dir: folder that gets the experiment's folder of checkpoints, log.txt and options.json.
        tb_dir: folder that gets its folder of TensorBoard events.
        resume: go on from the experiment's latest checkpoint.
        load: checkpoint, a file or its folder, whose weights to start from at epoch 0.
        evaluate: validate and stop; nothing is written.
        allow_unsafe_load: open old checkpoints that hold pickles, which can run code.
        again: a later attempt of the launch that began the experiment: nothing is put aside.
        settings: all settings by name, which checkpoints and options.json keep.
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
        """The folder of checkpoints, log.txt and options.json."""
        return Path(self.checkpoint_dir, self.name)

    @property
    def tb_directory(self) -> Path:
        return Path(self.tb_dir, self.name)

    def latest(self, processes: Processes = ALONE) -> Path:
        """The checkpoint to resume from. Raises UserError if this experiment has none."""
        path = self.directory / LATEST
        if not processes.on_main(path.is_file):
            raise UserError(nothing_to_resume(path))
        return path

    def start_path(self, processes: Processes = ALONE) -> Path | None:
        """What training starts from: this experiment's latest checkpoint, another's, or None."""
        return self.latest(processes) if self.resume else self.load

    def start_checkpoint(self, processes: Processes = ALONE) -> dict[str, Any] | None:
        """The content of `start_path`."""
        path = self.start_path(processes)
        return read_checkpoint(path, self.allow_unsafe_load, processes) if path else None

    def warn_if_untrained(self) -> None:
        """Warn where the validation is of a network that nobody trained."""
        if self.evaluate and not (self.load or self.resume):
            warn("no --load and no --resume: this validates the untrained network")
