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

from utils.compute.batch_parts import Part, normal, part_of, shard, uniform
from utils.compute.devices import GradientStep, batch_generator
from utils.compute.distributed import ALONE, AnyRankLater, Processes
from utils.compute.sync_batch_norm import synchronise_batch_norms
from utils.osutils import UserError

SAMPLES, BATCH, STEPS = 61, 8, 10  # the eighth minibatch has five samples: unequal parts
FORKED_KINDS = ("plain", "norms", "norms_2d", "gan")  # without what takes longest
KINDS = (*FORKED_KINDS, "compiled")


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


def ten_steps(
    kind: str, compression: str = "none", compiled: bool = True, processes: Processes = ALONE
) -> dict[str, torch.Tensor]:
    """The weights and buffers after ten steps on minibatches of `BATCH` samples, whatever the number of processes."""
    model = network(kind)
    norms = synchronise_batch_norms(model, processes)
    if kind == "compiled" and compiled:
        model.compile(backend="aot_eager")
    # Adam would blow up the rounding errors of the biases before a norm, whose gradient is zero.
    kinds = {"plain": torch.optim.Adam, "gan": torch.optim.RMSprop}
    networks = (model.generator, model.critic) if kind == "gan" else (model,)
    optimizers = tuple(kinds.get(kind, torch.optim.SGD)(one.parameters(), lr=0.01) for one in networks)
    optimizers = processes.wrap_optimizer(optimizers, model, compression)
    parallel = processes.wrap_model(model, compression)
    parallel.train()
    inputs, targets = samples()
    for number in range(STEPS):
        rows = torch.arange(SAMPLES).split(BATCH)[number % 8]
        part = part_of(len(rows), processes)
        rows = rows[part.rows]
        with norms.training_on(part):
            if kind == "gan":
                gan_step(parallel, optimizers, inputs[rows], number, part)
            else:
                noise = 0.1 * normal(len(rows), 3, generator=batch_generator(0, number, part=part))
                loss = nn.functional.mse_loss(parallel(inputs[rows] + noise), targets[rows])
                step(loss, parallel.parameters(), optimizers[0], part)
    return model.state_dict()


def step(loss, parameters, optimizer, part: Part) -> None:
    GradientStep(torch.device("cpu"), clip=1.0)(loss, parameters, optimizer, part)


def gan_step(model, optimizers, real, number: int, part: Part) -> None:
    """A critic step with gradient penalty, then a generator step through the frozen critic."""
    generator = batch_generator(0, number, part=part)
    with torch.no_grad():
        fake = model.generator(uniform(len(real), 2, generator=generator))
    between = torch.lerp(real, fake, uniform(len(real), 1, generator=generator)).requires_grad_()
    (slopes,) = torch.autograd.grad(model.critic(between).sum(), between, create_graph=True)
    loss = model.critic(fake).mean() - model.critic(real).mean() + 10 * (slopes.norm(dim=1) - 1).square().mean()
    step(loss, model.critic.parameters(), optimizers[1], part)
    model.critic.requires_grad_(False)
    loss = -model.critic(model.generator(uniform(len(real), 2, generator=generator))).mean()
    step(loss, model.generator.parameters(), optimizers[0], part)
    model.critic.requires_grad_(True)
    model.steps += 1


# ------------------------------------------------------------------------------------------ exchange
def exchange(processes: Processes) -> dict:
    rank = processes.rank
    later = AnyRankLater(processes)
    return {
        "place": [rank, processes.size, processes.is_main],
        "sum": processes.all_reduce_sum(torch.tensor([1, 10]) + rank),
        "mean": processes.all_reduce_mean(torch.tensor([1.0, 10.0]) + rank),
        "sums": processes.sum_over_ranks({"all": torch.ones(2)} | ({"late": torch.ones(1)} if rank else {})),
        "from_main": processes.broadcast_object({"rank": rank}),
        "objects": processes.gather_objects(f"of {rank}"),
        "gathered": processes.gather(torch.full((2 * rank, 3), rank)),
        "shard": list(shard(range(7), processes)),
        "whole": processes.gather(torch.tensor(list(shard(range(7), processes)))),
        "any": [processes.any_rank(rank == 1), processes.any_rank(False)],
        "later": [later(rank == 1 and number == 1) for number in range(4)],
        "on_main": processes.on_main(lambda: f"done by {rank}"),
        "refused_on_main": refusal(lambda: processes.on_main(lambda: refuse(rank))),
        "barrier": processes.barrier(),
        "job": processes.job(),
        **from_rank_0(processes),
    }


def refuse(rank: int) -> None:
    raise UserError(f"refused by rank {rank}")


def refusal(call) -> str:
    try:
        call()
    except UserError as error:
        return str(error)
    return "nothing was refused"


def from_rank_0(processes: Processes) -> dict:
    """Networks, optimizers and running statistics that differ at first."""
    rank = processes.rank
    torch.manual_seed(rank)
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    model[1].running_mean += rank
    model[1].num_batches_tracked += 5
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1 * (rank + 1))
    model(torch.randn(4, 2)).square().sum().backward()
    optimizer.step()
    before = model[1].running_mean.clone()
    processes.average_batch_norms(model)
    averaged = model[1].running_mean.clone()
    processes.broadcast_model(model)
    processes.broadcast_optimizer(optimizer)
    return {
        "own_statistics": before,
        "statistics": averaged,
        "counted": model[1].num_batches_tracked,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
    }


def wrapped(processes: Processes) -> dict:
    """What a trainer sees of wrapped networks."""
    pair = Pair()
    seen = processes.wrap_model(pair)
    looks = (seen, seen.generator, seen.critic, seen.companions)
    return {
        "parallel": [isinstance(one, DistributedDataParallel) for one in looks],
        "given": [isinstance(one, DistributedDataParallel) for one in pair.modules()],
        "shared": seen.steps is pair.steps and next(seen.critic.parameters()) is pair.critic[0].weight,
        "attribute": seen.generator.latent_size,
        "names": list(seen.state_dict()) == list(pair.state_dict()),
        "no_gradients": processes.wrap_model(nn.ReLU())(torch.tensor([-1.0, 1.0])),
    }


# ------------------------------------------------------------------------------------------ restart
def restart(folder: Path, processes: Processes) -> dict[str, bool]:
    """The first attempt notes its job, and rank 1 dies; what a later one makes of the note."""
    note = folder / "job.json"
    former = processes.on_main(lambda: json.loads(note.read_text()) if note.is_file() else None)
    renamed = {"token": "another", "run_id": os.environ["TORCHELASTIC_RUN_ID"]}  # a new main machine
    notes = {"known": former, "renamed": renamed, "stranger": {"token": "another", "run_id": "other"}}
    result = {name: processes.restarted(one) for name, one in notes.items()}
    if former is not None:
        return result
    torch.save(result, folder / f"first_{processes.rank}.pt")
    job = processes.job()
    processes.on_main(lambda: note.write_text(json.dumps(job)))
    if not processes.is_main:
        os._exit(9)
    processes.barrier()
    raise AssertionError("nobody can have passed the barrier")


def leave_results(folder: Path, processes: Processes) -> None:
    """Called by each process, within `joined`."""
    by_torchrun = "TORCHELASTIC_RUN_ID" in os.environ  # which alone starts processes again
    result = {"restart": restart(folder, processes)} if by_torchrun else {}
    result |= exchange(processes) | {"wrapped": wrapped(processes), "steps": {}}
    for kind in KINDS if by_torchrun or "HOROVOD_RANK" in os.environ else FORKED_KINDS:
        result["steps"][kind] = ten_steps(kind, processes=processes)
    result["compressed"] = ten_steps("plain", "fp16", processes=processes)
    torch.save(result, folder / f"rank_{processes.rank}.pt")
