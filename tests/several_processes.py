"""What one of several processes does in the tests of `distributed`: each leaves rank_N.pt.

Under torchrun rank 1 dies at the first attempt, so that all is done by restarted processes.

`ten_steps` is called alone too: the numbers of one process are what several must come to.
"""

import json
import os
from pathlib import Path

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from utils.compute import distributed
from utils.compute.batch_parts import BatchGenerator, loss_weight, normal, part_of, shard, training_on, uniform
from utils.compute.sync_batch_norm import synchronise_batch_norms
from utils.osutils import UserError

SAMPLES, BATCH, STEPS = 61, 8, 10  # the eighth minibatch has five samples: unequal parts
KINDS = ("plain", "norms", "norms_2d", "compiled", "gan")


# ------------------------------------------------------------------------------------------ ten training steps
class Pair(nn.Module):
    """Two networks that are called one by one, and what they share."""

    apart = ("generator", "companions.critic")

    def __init__(self):
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 3))
        self.generator.latent_size = 2
        critic = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 1))
        self.companions = nn.ModuleDict({"critic": critic, "bystander": nn.Linear(1, 1)})
        self.register_buffer("steps", torch.zeros(()))

    @property
    def critic(self) -> nn.Module:
        return self.companions["critic"]


def network(kind: str) -> nn.Module:
    torch.manual_seed(0)
    if kind == "gan":
        return Pair()
    if kind == "norms_2d":
        return nn.Sequential(
            nn.Unflatten(1, (1, 1, 3)), nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4, momentum=None), nn.ReLU(), nn.Flatten(),
            nn.Linear(12, 1),
        )  # fmt: skip
    middle = nn.BatchNorm1d(16) if kind == "norms" else nn.Identity()
    return nn.Sequential(nn.Linear(3, 16), middle, nn.ReLU(), nn.Linear(16, 1))


def samples() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(SAMPLES, 3, generator=generator)
    return inputs, (inputs * torch.tensor([1.0, -2.0, 0.5])).sum(1, keepdim=True).square()


def ten_steps(kind: str, compression: str = "none", compiled: bool = True) -> dict[str, torch.Tensor]:
    """The weights and buffers after ten steps on minibatches of `BATCH` samples, whatever the number of processes."""
    model = network(kind)
    synchronise_batch_norms(model)
    if kind == "compiled" and compiled:
        model.compile(backend="aot_eager")
    # Adam would blow up the rounding errors of the biases before a norm, whose gradient is zero.
    kinds = {"plain": torch.optim.Adam, "gan": torch.optim.RMSprop}
    networks = (model.generator, model.critic) if kind == "gan" else (model,)
    optimizers = tuple(kinds.get(kind, torch.optim.SGD)(one.parameters(), lr=0.01) for one in networks)
    optimizers = distributed.wrap_optimizer(optimizers, model, compression)
    parallel = distributed.wrap_model(model, compression)
    parallel.train()
    inputs, targets = samples()
    for number in range(STEPS):
        rows = torch.arange(SAMPLES).split(BATCH)[number % 8]
        part = part_of(len(rows))
        rows = rows[part.rows]
        with training_on(part):
            if kind == "gan":
                gan_step(parallel, optimizers, inputs[rows], BatchGenerator().manual_seed(number))
            else:
                noise = 0.1 * normal(len(rows), 3, generator=BatchGenerator().manual_seed(number))
                loss = nn.functional.mse_loss(parallel(inputs[rows] + noise), targets[rows])
                step(loss, parallel.parameters(), optimizers[0])
    return model.state_dict()


def step(loss, parameters, optimizer) -> None:
    """As `GradientStep` does it."""
    optimizer.zero_grad()
    (loss * loss_weight()).backward()
    with distributed.reduced_gradients(optimizer):
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()


def gan_step(model, optimizers, real, generator) -> None:
    """A critic step with gradient penalty, then a generator step through the frozen critic."""
    with torch.no_grad():
        fake = model.generator(uniform(len(real), 2, generator=generator))
    between = torch.lerp(real, fake, uniform(len(real), 1, generator=generator)).requires_grad_()
    (slopes,) = torch.autograd.grad(model.critic(between).sum(), between, create_graph=True)
    loss = model.critic(fake).mean() - model.critic(real).mean() + 10 * (slopes.norm(dim=1) - 1).square().mean()
    step(loss, model.critic.parameters(), optimizers[1])
    model.critic.requires_grad_(False)
    loss = -model.critic(model.generator(uniform(len(real), 2, generator=generator))).mean()
    step(loss, model.generator.parameters(), optimizers[0])
    model.critic.requires_grad_(True)
    model.steps += 1


# ------------------------------------------------------------------------------------------ exchange
def exchange() -> dict:
    rank = distributed.rank()
    later = distributed.AnyRankLater()
    return {
        "place": [rank, distributed.world_size(), distributed.is_main()],
        "sum": distributed.all_reduce_sum(torch.tensor([1, 10]) + rank),
        "mean": distributed.all_reduce_mean(torch.tensor([1.0, 10.0]) + rank),
        "sums": distributed.sum_over_ranks({"all": torch.ones(2)} | ({"late": torch.ones(1)} if rank else {})),
        "from_main": distributed.broadcast_object({"rank": rank}),
        "objects": distributed.gather_objects(f"of {rank}"),
        "gathered": distributed.gather(torch.full((2 * rank, 3), rank)),
        "shard": list(shard(range(7))),
        "whole": distributed.gather(torch.tensor(list(shard(range(7))))),
        "any": [distributed.any_rank(rank == 1), distributed.any_rank(False)],
        "later": [later(rank == 1 and number == 1) for number in range(4)],
        "on_main": distributed.on_main(lambda: f"done by {rank}"),
        "refused_on_main": refusal(lambda: distributed.on_main(refuse)),
        "barrier": distributed.barrier(),
        "job": distributed.job(),
        **from_rank_0(rank),
    }


def refuse() -> None:
    raise UserError(f"refused by rank {distributed.rank()}")


def refusal(call) -> str:
    try:
        call()
    except UserError as error:
        return str(error)
    return "nothing was refused"


def from_rank_0(rank: int) -> dict:
    """Networks, optimizers and running statistics that differ at first."""
    torch.manual_seed(rank)
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    model[1].running_mean += rank
    model[1].num_batches_tracked += 5
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1 * (rank + 1))
    model(torch.randn(4, 2)).square().sum().backward()
    optimizer.step()
    before = model[1].running_mean.clone()
    distributed.average_batch_norms(model)
    averaged = model[1].running_mean.clone()
    distributed.broadcast_model(model)
    distributed.broadcast_optimizer(optimizer)
    return {
        "own_statistics": before,
        "statistics": averaged,
        "counted": model[1].num_batches_tracked,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
    }


def wrapped() -> dict:
    """What a trainer sees of wrapped networks."""
    pair = Pair()
    seen = distributed.wrap_model(pair)
    looks = (seen, seen.generator, seen.critic, seen.companions)
    return {
        "parallel": [isinstance(one, DistributedDataParallel) for one in looks],
        "given": [isinstance(one, DistributedDataParallel) for one in pair.modules()],
        "shared": seen.steps is pair.steps and next(seen.critic.parameters()) is pair.critic[0].weight,
        "attribute": seen.generator.latent_size,
        "names": list(seen.state_dict()) == list(pair.state_dict()),
        "no_gradients": distributed.wrap_model(nn.ReLU())(torch.tensor([-1.0, 1.0])),
    }


# ------------------------------------------------------------------------------------------ restart
def restart(folder: Path) -> dict[str, bool]:
    """The first attempt notes its job, and rank 1 dies; what a later one makes of the note."""
    note = folder / "job.json"
    former = distributed.on_main(lambda: json.loads(note.read_text()) if note.is_file() else None)
    renamed = {"token": "another", "run_id": os.environ["TORCHELASTIC_RUN_ID"]}  # a new main machine
    notes = {"known": former, "renamed": renamed, "stranger": {"token": "another", "run_id": "other"}}
    result = {name: distributed.restarted(one) for name, one in notes.items()}
    if former is not None:
        return result
    torch.save(result, folder / f"first_{distributed.rank()}.pt")
    job = distributed.job()
    distributed.on_main(lambda: note.write_text(json.dumps(job)))
    if not distributed.is_main():
        os._exit(9)
    distributed.barrier()
    raise AssertionError("nobody can have passed the barrier")


def leave_results(folder: Path) -> None:
    """Called by each process, within `joined`."""
    result = {"restart": restart(folder)} if distributed.job() else {}
    result |= exchange() | {"wrapped": wrapped(), "steps": {kind: ten_steps(kind) for kind in KINDS}}
    result["compressed"] = ten_steps("plain", "fp16")
    torch.save(result, folder / f"rank_{distributed.rank()}.pt")
