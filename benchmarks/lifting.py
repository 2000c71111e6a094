"""Speed and memory of 2D to 3D training, compared with a common implementation, in one run.

    python benchmarks/lifting.py
    python benchmarks/lifting.py --data_dir ../shared/data/cmu_h36m_layout --seconds 10

The baseline of the ratios is the common implementation: a Dataset that augments, projects and normalises one pose at a
time in NumPy, a DataLoader, and Adam that is not fused. Both train the same network on the same poses, with the same
clipping and max-norm. They run in alternating turns, so that other load affects both; rates are medians over the turns.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER.parent), str(FOLDER)]

from measuring import machine, parser_of, print_table, take_turns, verdict

from twod_threed.model import LinearModel
from twod_threed.normalisation import Normalisation, fit
from twod_threed.train import LifterShape
from twod_threed.trainer import LifterTrainer, LifterTraining
from utils.camera_utils import Camera, stack_cameras
from utils.compute.allocator import keep_large_blocks
from utils.compute.devices import has_bf16_instructions
from utils.data_utils import LIFTER_INPUT_JOINTS, OrthogonalAugmentation
from utils.human36m.actions import ACTIONS, TRAIN_SUBJECTS
from utils.human36m.files import Sequence, find_sequences
from utils.human36m_dataset import CAMERAS, PoseSet, load_pose_set
from utils.osutils import UserError
from utils.sample.sample_data import ensure_sample
from utils.training.samplers import IndexLoader
from utils.training.settings import Experiment, Optimisation
from utils.training_utils import set_learning_rate
from utils.transform import H36M

WARM_UP = 6  # steps; more than a DataLoader with two workers prefetches
BATCH, DATA_BATCH, LARGE_BATCH = 64, 4096, 8192
HUMAN36M_FRAMES = 389_938  # of S1, S5, S6, S7, S8; times 4 cameras 1.56 million samples
BARS = {"data": 60.0, "fp32": 1.25, "bf16": 3.0}
MEMORY_BAR = 1000.0  # MB

# As in `train.py 2d3d_h36m --orthogonal_data_augmentation`.
OPTIMISATION = Optimisation(lr=1e-3, schedule=())
SETTINGS, SHAPE, AUGMENTATION = LifterTraining(), LifterShape(), OrthogonalAugmentation()


# ------------------------------------------------------------------------------------------ the common way
class OnePoseDataset(Dataset):
    """Human3.6M's poses one at a time, in NumPy: (32,) network input and (17, 3) target, float32.

    The arithmetic is that of `PoseSet.poses` with an `OrthogonalAugmentation`, then instance normalisation.
    """

    def __init__(self, poses: PoseSet, normalisation: Normalisation, augment: bool = True):
        self.world, self.first_camera = poses.world.numpy(), poses.first_camera.numpy()
        self.cameras = {name: getattr(poses.cameras, name).numpy() for name in ("R", "T", "f", "c", "k", "p")}
        self.scale, self.augment = float(normalisation.stddev_3d[0, 0]), augment
        self.flip_order, self.random = np.array(H36M.flip_order), np.random.default_rng()

    def __len__(self) -> int:
        return CAMERAS * len(self.world)

    def __getitem__(self, sample: int) -> tuple[np.ndarray, np.ndarray]:
        frame, number = divmod(int(sample), CAMERAS)
        world = self.world[frame]
        if self.augment:
            world = self.turned(world)
        R, T, f, c, k, p = (value[self.first_camera[frame] + number] for value in self.cameras.values())
        seen = (world - T) @ R.T
        pose_2d = self.projected(seen[LIFTER_INPUT_JOINTS], f, c, k, p)
        centred = pose_2d - pose_2d[:1]
        normalised = centred / np.sqrt((centred**2).sum() / (len(centred) - 1))
        return normalised.astype(np.float32), ((seen - seen[:1]) / self.scale).astype(np.float32)

    def turned(self, world: np.ndarray) -> np.ndarray:
        """Randomly mirrored, then rotated about a random axis through the hip."""
        hip = world[:1]
        centred = world - hip
        if self.random.random() < 0.5:
            centred = centred[self.flip_order] * np.array([-1.0, 1.0, 1.0])
        w, x, y, z = quaternion = self.random.standard_normal(4)
        w, x, y, z = quaternion / np.sqrt(w * w + x * x + y * y + z * z)
        rotation = np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
            ]
        )
        return centred @ rotation.T + hip

    @staticmethod
    def projected(seen: np.ndarray, f, c, k, p) -> np.ndarray:
        xy = seen[:, :2] / seen[:, 2:]
        r2 = (xy**2).sum(1, keepdims=True)
        factor = 1 + k[0] * r2 + k[1] * r2**2 + k[2] * r2**3 + (xy * p[::-1]).sum(1, keepdims=True)
        return f * (xy * factor + p[::-1] * r2) + c


class Endless:
    """An endless iterator over a loader; the workers stay alive between turns."""

    def __init__(self, dataset: Dataset, workers: int):
        options = {"persistent_workers": True, "multiprocessing_context": "fork"} if workers else {}
        self.loader = DataLoader(dataset, BATCH, shuffle=True, num_workers=workers, drop_last=True, **options)
        self.iterator = iter(self.loader)

    def __call__(self) -> tuple[Tensor, Tensor]:
        minibatch = next(self.iterator, None)
        if minibatch is None:
            self.iterator = iter(self.loader)
            minibatch = next(self.iterator)
        return minibatch


def common_data(minibatches: Endless) -> int:
    return len(minibatches()[0])


def common_step(minibatches: Endless, model: nn.Module, optimizer) -> int:
    inputs, targets = minibatches()
    loss = F.mse_loss(model(inputs), targets)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), OPTIMISATION.grad_clip, foreach=False)
    optimizer.step()
    with torch.no_grad():
        for module in model.modules():
            if SETTINGS.max_norm and isinstance(module, nn.Linear):
                module.weight.mul_(SETTINGS.max_norm / module.weight.norm().clamp(min=SETTINGS.max_norm))
    loss.item()  # as is usual, for a running average
    return len(inputs)


# ------------------------------------------------------------------------------------------ ours
class IndexStream:
    """An endless iterator over minibatches of sample indices: consecutive epochs of `IndexLoader`."""

    def __init__(self, length: int, batch_size: int):
        # A small data set is repeated within an epoch, so that minibatches of any size are full.
        self._length, self._repeats = length, -(-batch_size // length)
        self._loader = IndexLoader(length * self._repeats, batch_size, torch.device("cpu"), seed=0)
        self._epoch, self._batch_size, self._iterator = 0, batch_size, iter(())

    def __call__(self) -> Tensor:
        minibatch = next(self._iterator, None)
        if minibatch is None or len(minibatch["index"]) < self._batch_size:
            self._loader.start(self._epoch)
            self._epoch, self._iterator = self._epoch + 1, iter(self._loader)
            minibatch = next(self._iterator)
        return minibatch["index"] % self._length


def our_data(poses: PoseSet, normalisation: Normalisation, indices: IndexStream, generator: torch.Generator) -> int:
    poses_2d, poses_3d = poses.poses(indices(), OrthogonalAugmentation(), generator)
    normalisation.input(poses_2d)
    normalisation.target(poses_3d)
    return len(poses_2d)


class OurTraining:
    """Whole training steps: `LifterTrainer.update` on an index."""

    def __init__(self, poses: PoseSet, normalisation: Normalisation, batch_size: int, precision: str = "fp32"):
        self.optimisation = replace(OPTIMISATION, precision=precision)
        self.indices, self.iteration = IndexStream(len(poses), batch_size), 0
        steps, experiment = max(1, len(poses) // batch_size), Experiment("2d3d_h36m")
        parts = poses, poses, normalisation, steps, self.optimisation, experiment
        self.trainer = LifterTrainer(*parts, settings=SETTINGS, augmentation=AUGMENTATION)
        self.model = make_model()
        self.optimizer = self.trainer.make_optimizer(self.model, OPTIMISATION.lr, OPTIMISATION.weight_decay)
        set_learning_rate(self.optimizer, 0, self.optimisation)

    def __call__(self) -> int:
        index = self.indices()
        self.trainer.update(self.model, self.optimizer, {"index": index}, self.iteration, self.optimisation)
        self.iteration += 1
        return len(index)


def make_model() -> LinearModel:
    torch.manual_seed(0)
    return LinearModel(SHAPE.linear_size, SHAPE.num_stage, SETTINGS.dropout, without_hip=True).train()


# ------------------------------------------------------------------------------------------ the tables
def measure_data(poses: PoseSet, normalisation: Normalisation, arguments: argparse.Namespace) -> None:
    loaders = [Endless(OnePoseDataset(poses, normalisation), workers) for workers in (0, 2)]
    baselines = {f"common, {n} workers": partial(common_data, load) for n, load in zip((0, 2), loaders, strict=True)}
    generator = torch.Generator().manual_seed(0)
    ours = {
        f"ours, batch {size}": partial(our_data, poses, normalisation, IndexStream(len(poses), size), generator)
        for size in (BATCH, DATA_BATCH)
    }
    rates = take_turns(baselines | ours, arguments, WARM_UP)
    batches = dict(zip(rates, (BATCH, BATCH, BATCH, DATA_BATCH), strict=True))
    print_table("Lifting: data path with augmentation", rates, list(baselines), "poses", batches)
    best = max(rates[name] for name in baselines)
    verdict(f"lifting, data path, batch {DATA_BATCH}", rates[f"ours, batch {DATA_BATCH}"] / best, BARS["data"])


def measure_training(poses: PoseSet, normalisation: Normalisation, arguments: argparse.Namespace) -> None:
    large = arguments.large_batch
    baselines = {}
    for workers in (0, 2):
        model = make_model()
        for stage in (model, *model.linear_stages):
            stage.dropout = nn.Dropout(SETTINGS.dropout)
        adam = torch.optim.Adam(
            model.parameters(), OPTIMISATION.lr, weight_decay=OPTIMISATION.weight_decay, foreach=False, fused=False
        )
        minibatches = Endless(OnePoseDataset(poses, normalisation), workers)
        baselines[f"common, {workers} workers, fp32, batch {BATCH}"] = partial(common_step, minibatches, model, adam)
    ours = {}
    for precision, size in (("fp32", BATCH), ("bf16", BATCH), ("bf16", large)):
        ours[f"ours, {precision}, batch {size}"] = OurTraining(poses, normalisation, size, precision)
    small = {name: step for name, step in ours.items() if name.endswith(f" {BATCH}")}
    rates = take_turns(baselines | small, arguments, WARM_UP)
    # A large minibatch takes a second or more, and one is enough to warm up.
    rates |= take_turns({name: step for name, step in ours.items() if name not in small}, arguments, warm_up=1)
    batches = {name: int(name.rpartition(" ")[2]) for name in rates}
    print_table("Lifting: whole training steps", rates, list(baselines), "poses", batches)
    best = max(rates[name] for name in baselines)
    verdict(f"lifting, training in fp32, batch {BATCH}", rates[f"ours, fp32, batch {BATCH}"] / best, BARS["fp32"])
    verdict(f"lifting, training in bf16, batch {large}", rates[f"ours, bf16, batch {large}"] / best, BARS["bf16"])
    if not has_bf16_instructions():
        print("This CPU has no bf16 arithmetic, so the last is not required.")


# ------------------------------------------------------------------------------------------ memory
def generated_poses(frames: int) -> PoseSet:
    """`frames` random poses, seen by four cameras around them."""
    generator = torch.Generator().manual_seed(0)
    world = torch.empty(frames, len(H36M), 3).normal_(0, 300, generator=generator)
    angles = torch.arange(CAMERAS) * torch.pi / 2
    columns = [torch.tensor([-a.sin(), a.cos(), 0.0]) for a in angles]
    cameras = [
        Camera(
            R=torch.stack([side, torch.tensor([0.0, 0.0, -1.0]), -torch.tensor([a.cos(), a.sin(), 0.0])]),
            T=torch.tensor([5000 * a.cos(), 5000 * a.sin(), 0.0]),
            f=torch.full((2,), 1145.0),
            c=torch.full((2,), 512.0),
            k=torch.tensor([-0.2, 0.24, -0.002]),
            p=torch.tensor([-0.001, -0.003]),
        )
        for a, side in zip(angles, columns, strict=True)
    ]
    zeros = torch.zeros(frames, dtype=torch.int64)
    one = Sequence(subject=1, action="Walking", take=1, name="Walking 1", path=Path(), frames=frames)
    return PoseSet((one,), world, zeros, torch.arange(frames), stack_cameras(cameras), zeros)


def memory_of_training(frames: int) -> dict[str, float]:
    """MB used by fitting the normalisation and training on `frames` × 4 samples, beyond torch and a network.

    Needs its own process, since it measures the peak memory.
    """
    few = generated_poses(BATCH)
    OurTraining(few, fit(few, "instance"), BATCH)()
    before = resident_memory("VmRSS")
    poses = generated_poses(frames)
    training = OurTraining(poses, fit(poses, "instance"), BATCH)
    for _ in range(20):
        training()
    return {"now": resident_memory("VmRSS") - before, "most": resident_memory("VmHWM") - before}


def resident_memory(field: str) -> float:
    """MB of this process: VmRSS (current) or VmHWM (peak) (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(field))


def measure_memory(frames: int) -> None:
    print("\n### Memory of training on all of Human3.6M\n\nGenerated poses; beyond torch, the network and one step.")
    if not Path("/proc/self/status").is_file():
        print("Not measured: this needs Linux's /proc")
        return
    command = [sys.executable, str(Path(__file__).resolve()), "--only_memory", "--frames", str(frames)]
    with tempfile.TemporaryDirectory() as folder:  # an empty cache, so that the normalisation is fitted
        environment = os.environ | {"HUMAN_POSE_CACHE": folder}
        answer = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    held = json.loads(answer.splitlines()[-1])
    print(f"{frames * CAMERAS:,} samples: {held['now']:.0f} MB in training; most while the normalisation is fitted.")
    verdict("lifting, memory of training", held["most"], MEMORY_BAR, "MB", at_most=True, digits=0)


# ------------------------------------------------------------------------------------------
def main() -> None:
    parser = parser_of(__doc__, seconds=2, turns=3)
    parser.add_argument("--data_dir", default="sample", help="Human3.6M folder, or sample (the default)")
    parser.add_argument("--large_batch", type=int, default=LARGE_BATCH, help=f"batch in bf16 (default: {LARGE_BATCH})")
    parser.add_argument(
        "--frames", type=int, default=HUMAN36M_FRAMES, help=f"frames to measure memory with ({HUMAN36M_FRAMES})"
    )
    parser.add_argument("--only_memory", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    keep_large_blocks()
    if arguments.only_memory:
        print(json.dumps(memory_of_training(arguments.frames)))
        return
    try:
        folder = ensure_sample("h36m") if arguments.data_dir == "sample" else Path(arguments.data_dir)
        poses = load_pose_set(find_sequences(folder), TRAIN_SUBJECTS, ACTIONS)
        normalisation = fit(poses, "instance")
    except UserError as error:
        parser.error(str(error))
    print(f"{machine()}\n{len(poses):,} samples (a frame in a camera).")
    measure_data(poses, normalisation, arguments)
    measure_training(poses, normalisation, arguments)
    measure_memory(arguments.frames)


if __name__ == "__main__":
    main()
