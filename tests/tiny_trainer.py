"""A tiny training for the tests of the loop: ten samples, a network with dropout, five hooks that note their calls."""

import os
import signal
from argparse import Namespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from utils.compute.devices import GradientStep, autocast
from utils.doors.experiments import experiment_of
from utils.doors.option_rules import from_options
from utils.plotting_utils import Ratio
from utils.training.checkpoints import make_checkpoint_fn, make_load_fn
from utils.training.samplers import EpochSampler
from utils.training.settings import Optimisation
from utils.training.weight_average import WeightAverage
from utils.training_utils import TrainingHooks, train

CPU = torch.device("cpu")
SAMPLES, BATCH, STEPS = 10, 4, 3  # the last minibatch of an epoch has 2


class Noise(Dataset):
    """Ten samples whose "augmentation" depends on the epoch; in validation without any."""

    def __len__(self):
        return SAMPLES

    def __getitem__(self, key):
        epoch, index = key if isinstance(key, tuple) else (0, key)
        x = np.random.default_rng([epoch, index]).normal(size=3).astype(np.float32)
        target = torch.tensor([x @ [1.0, -2.0, 0.5]], dtype=torch.float32)
        return {"x": torch.from_numpy(x), "y": target, "index": index}


def options_for(folder, **changes):
    """As a command line gives them."""
    defaults = {
        "script": "tiny", "use_horovod": False, "exp": "default", "given": set(),
        "checkpoint_dir": folder / "checkpoints", "tb_dir": folder / "tb",
        "lr": 0.02, "weight_decay": 0.0, "epochs": 4, "schedule": [2], "gamma": 0.5, "tb_log_freq": 2, "seed": 0,
        "resume": False, "load": None, "evaluate": False, "allow_unsafe_load": False,
        "precision": "fp32", "grad_clip": 10.0, "no_grad_clipping": False,
        "scale_lr": False, "sync_batch_norm": False, "compression": "none", "deterministic": False, "max_bad_steps": 3,
    }  # fmt: skip
    return Namespace(**defaults | changes)


def tiny_network():
    """Dropout draws from the global generator: a resumed run must find it as it was."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.2), nn.Linear(8, 1))


class Trainer:
    """Five hooks for the tiny network, that note their calls."""

    def __init__(self, options, metric=None, stop_at=None, loss_factor=None, stop_signal=signal.SIGINT, **hooks):
        """`options`: as a command line gives them. `loss_factor(iteration)` multiplies the loss of a step."""
        self.optimisation, self.experiment = from_options(Optimisation, options), experiment_of(options)
        self.calls, self.metric, self.loss_factor = [], metric, loss_factor or (lambda iteration: 1.0)
        self.stop_at, self.stop_signal = stop_at or (lambda call: False), stop_signal
        self.step = GradientStep(CPU, self.optimisation.precision, self.optimisation.clip)
        self.average = WeightAverage(self.optimisation.ema) if self.optimisation.ema else None
        saved = {"ema": self.average} if self.average else {}
        self.load = make_load_fn(extra=saved)
        self.write = make_checkpoint_fn(self.experiment.script, self.experiment.settings, saved)
        self.hook_settings = hooks | {"average": self.average}

    def run(self):
        train_loader = DataLoader(
            Noise(), batch_sampler=EpochSampler(SAMPLES, BATCH, self.optimisation.seed), generator=torch.Generator()
        )
        validation_loader = DataLoader(Noise(), batch_size=BATCH, generator=torch.Generator())
        self.model = tiny_network()
        hooks = TrainingHooks(
            self.make_optimizer, self.load_checkpoint, self.checkpoint, self.update, self.validate, **self.hook_settings
        )
        return train(self.model, hooks, train_loader, validation_loader, self.optimisation, self.experiment)

    def note(self, *call):
        self.calls.append(call)
        if self.stop_at(call):
            os.kill(os.getpid(), self.stop_signal)

    def make_optimizer(self, model, lr, weight_decay):
        self.note("make_optimizer", lr, weight_decay)
        self.optimizer = torch.optim.Adam(model.parameters(), lr, weight_decay=weight_decay)
        return self.optimizer

    def load_checkpoint(self, model, optimizer, path):
        self.note("load", optimizer is not None, path)
        return self.load(model, optimizer, path)

    def checkpoint(self, model, optimizer, epoch, best, directory, is_best):
        self.note("checkpoint", epoch, best, is_best)
        self.write(model, optimizer, epoch, best, directory, is_best)

    def update(self, model, optimizer, minibatch, iteration, optimisation):
        assert model.training
        self.note("update", iteration, minibatch["index"].tolist(), optimizer.param_groups[0]["lr"])
        with autocast(CPU, optimisation.precision):
            prediction = model(minibatch["x"])
        loss = nn.functional.mse_loss(prediction.float(), minibatch["y"]) * self.loss_factor(iteration)
        self.step(loss, model.parameters(), optimizer, minibatch["part"])
        return {"loss": loss.detach()}

    def validate(self, model, minibatch):
        assert not model.training
        assert not torch.is_grad_enabled()
        self.note("validate", minibatch["index"].tolist())
        error = model(minibatch["x"]) - minibatch["y"]
        hits = (error.abs() < 1).float().sum(0)
        epoch = sum(call[0] == "checkpoint" for call in self.calls) + 1
        values = {"loss": error.square().mean(), "accuracy": Ratio(hits, torch.tensor([float(len(error))]))}
        picture = {"image/first": torch.full((3, 2, 2), 7, dtype=torch.uint8)}
        return values | picture | ({"metric": float(self.metric(epoch))} if self.metric else {})

    def named(self, name):
        return [call[1:] for call in self.calls if call[0] == name]


def run(folder, *, settings=None, **changes):
    """A finished training."""
    trainer = Trainer(options_for(folder, **changes), **settings or {})
    trainer.averages = trainer.run()
    return trainer


def interrupted(folder, stop_at, number=signal.SIGINT, **changes):
    """A training that ends after a signal at the hook call for which `stop_at` is true."""
    trainer = Trainer(options_for(folder, **changes), stop_at=stop_at, stop_signal=number)
    with pytest.raises(SystemExit) as ended:
        trainer.run()
    assert ended.value.code == 128 + number
    return trainer


def at_update(iteration):
    return lambda call: call[:2] == ("update", iteration)


def checkpoints_of(folder):
    """Where a run in `folder` has its log and checkpoints."""
    return folder / "checkpoints/tiny_default"


def assert_same_run(one, other):
    """Equal weights, optimizer states and best values, bit for bit."""
    for a, b in ((one.model, other.model), (one.optimizer, other.optimizer)):
        torch.testing.assert_close(a.state_dict(), b.state_dict(), rtol=0, atol=0)
    assert one.averages == other.averages
    assert one.named("checkpoint")[-1] == other.named("checkpoint")[-1]


def all_files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
