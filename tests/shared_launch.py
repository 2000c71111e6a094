"""One launch per engine for all tests of two processes: each launch costs many seconds of imports.

It first does the exchanges of `several_processes`, then every training and `run.py` (`several_trainings`).
"""

import json
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from launchers import finish, fork_two, launcher, start, two_machines
from tiny_eva import make_tiny_eva
from tiny_fine_tuning import make_images, make_networks

from utils.sample.sample_data import make_mpii

WORKER = Path(__file__).with_name("several_trainings.py")
HOURGLASS = ("--stacks", 1, "--test_batch_size", 2, "--workers", 0, "--epochs", 5)
NO_NORMS = ("--features", 8, "--use_layer_norm", "--lr", 5e-6, "--add_random_masking")
LOSSES = ("--predict_joint_visibility", "--location_loss_coeff", 0.01)
NORMS = ("--features", 16, "--use_amsprop", "--lr", 1e-5)
SMALL_LIFTER = ("--linear_size", 16, "--num_stage", 1, "--action", "Walking", "--test_batch_size", 64)
LIFTER = (*SMALL_LIFTER, "--dropout", 0, "--orthogonal_data_augmentation", "--drop_joint_prob", 0.1)
NETWORKS = ("--load_hourglass", "hourglass.pth.tar", "--load_2d3d", "2d3d.pth.tar")
OVER_TIME = ("--add_attention", "--attention_history_length", 2, "--add_random_masking")
GAN = ("--linear_size", 16, "--num_stage", 1, "--action", "Walking")

# Where a gradient is nothing but rounding (a bias before a norm), Adam and RMSprop would make full steps of it: weight
# decay gives it a size. And where a network that is new learns fast, its ReLUs make chaos of the last digit.
# name: (script, samples per process, its options, those of two processes alone). Ten steps each.
TRAININGS = {
    # 7 people: minibatches of 4 and 3, of which one process has 1 and the other 2.
    "hourglass": ("hourglass_mpii", 2, (*HOURGLASS, *NO_NORMS, *LOSSES), ()),
    "hourglass_norms": ("hourglass_mpii", 2, (*HOURGLASS, *NORMS), ("--sync_batch_norm",)),
    # 6 clips of 3 frames: minibatches of 4 and 2. With seed 0 a bias has next to no gradient (AVX-512: 1.4e-5 apart).
    "eva": (
        "hourglass_eva", 2,
        (*HOURGLASS, "--features", 8, "--use_layer_norm", "--lr", 5e-6, "--seed", 1, *OVER_TIME), (),
    ),
    "lifter": ("2d3d_h36m", 12, (*LIFTER, "--epochs", 1), ("--sync_batch_norm",)),
    "cycle_gan": ("2d3d_h36m", 12, (*LIFTER, "--epochs", 1, "--cycle_gan"), ("--sync_batch_norm",)),
    "pose_gan": ("3d_pose_gan", 6, (*GAN, "--epochs", 2), ()),
    "stitched": (
        "stitched_fine_tune", 2,
        ("--epochs", 5, "--test_batch_size", 3, "--dropout", 0, "--workers", 0, "--lr", 1e-5), ("--sync_batch_norm",),
    ),
}  # fmt: skip
RUNS = ("people", "photos", "one_photo", "frames", "poses")
# What each way of starting two processes does; the forked ones are the short form.
DONE = {
    "forked": ("hourglass", "lifter", "people", "poses"),
    "torchrun": (*TRAININGS, *RUNS),
    # Not hourglass_norms: hundreds of exchanges per step, for each of which Horovod's threads wait for a core.
    "horovodrun": (*(name for name in TRAININGS if name != "hourglass_norms"), *RUNS),
}


def training(name: str, data: dict[str, Path], processes: int) -> list[object]:
    script, batch, argv, of_two = TRAININGS[name]
    places = {"hourglass_mpii": "mpii", "hourglass_eva": "eva", "stitched_fine_tune": "images"}
    return [
        "train", script, "--data_dir", data[places.get(script, "h36m")], "--exp", name, "--device", "cpu",
        "--tb_log_freq", 1, "--weight_decay", 0.01, "--train_batch_size", batch * 2 // processes, *argv,
        *(of_two if processes == 2 else ()),
        *(NETWORKS if script == "stitched_fine_tune" else ()),
    ]  # fmt: skip


def lifter(data: dict[str, Path], exp: str, *argv: object) -> list[object]:
    """A training of the lifter with dropout, five steps per epoch in two processes."""
    fixed = ("--data_dir", data["h36m"], "--device", "cpu", "--train_batch_size", 24, *SMALL_LIFTER)
    return ["train", "2d3d_h36m", *fixed, "--exp", exp, *argv]


def runs(data: dict[str, Path]) -> dict[str, list[object]]:
    one, both = ("--load", "hourglass.pth.tar"), NETWORKS
    common = ("--workers", 0, "--test_batch_size", 3, "--device", "cpu")
    return {
        "people": ["run", "hourglass_mpii", *one, "--data_dir", data["mpii"], *common],
        "photos": ["run", "stitched_mpii", *both, "--data_dir", data["photos"], *common],
        "one_photo": ["run", "hourglass_mpii", *one, "--data_dir", next(data["photos"].glob("*.jpg")), *common],
        "frames": ["run", "stitched_h36m", *both, "--data_dir", data["images"], *common],
        "poses": ["run", "2d3d_h36m", "--load", "2d3d.pth.tar", "--data_dir", data["h36m"], "--action", "Walking"],
    }  # fmt: skip


def commands_of_two(data: dict[str, Path], engine: str) -> Iterator[dict]:
    for name in DONE[engine]:
        argv = training(name, data, 2) if name in TRAININGS else [*runs(data)[name], "--output_dir", name]
        yield {"argv": argv}
    yield {"argv": lifter(data, "whole", "--epochs", 3)}
    yield {"argv": lifter(data, "parts", "--epochs", 3), "interrupt": 7}
    yield {"argv": lifter(data, "parts", "--resume")}
    yield {"argv": lifter(data, "scaled", "--epochs", 1, "--lr", 5e-4, "--scale_lr", "--dropout", 0)}
    yield {"argv": lifter(data, "plain", "--epochs", 1, "--dropout", 0)}
    yield {"argv": lifter(data, "compressed", "--epochs", 1, "--dropout", 0, "--compression", "fp16")}


def prepare(folder: Path, data: dict[str, Path]) -> Path:
    for name in ("hourglass", "2d3d"):
        shutil.copy(data["folder"] / f"{name}.pth.tar", folder)
    return folder


def make_data(folder: Path) -> None:
    """What the commands read, except Human3.6M's poses."""
    make_mpii(folder / "mpii", training=7, validation=5)
    shutil.copytree(folder / "mpii/images", folder / "photos")
    (folder / "photos/broken.jpg").write_text("no photo")
    make_tiny_eva(folder / "eva")
    images = make_images(folder / "images")
    make_networks(folder, images, use_layer_norm=True)


def starter(engine: str) -> Callable[[Path], str]:
    """What has two processes work in a folder, for torchrun on two "machines", and returns what they printed.

    Skips the test where the engine is missing.
    """
    if engine == "forked":
        return forked
    before = two_machines(restarts=1) if engine == "torchrun" else [launcher(engine)]
    return partial(launched_by, before)


def launched_by(before: list[list[object]], folder: Path) -> str:
    return "".join(finish(*(start(*one, WORKER, folder) for one in before)))


def forked(folder: Path) -> str:
    import torch._dynamo  # noqa: F401 - the first optimizer imports it, in each process for seconds
    from several_trainings import work

    fork_two(partial(work, folder), folder / "forked.txt")
    return (folder / "forked.txt").read_text()


def launch(work_in: Callable[[Path], str], engine: str, folder: Path, data: dict[str, Path]) -> None:
    """Leave in `folder` what two processes leave, in `printed.txt` what they said."""
    folder.mkdir()
    prepare(folder, data)
    (folder / "exchanges").mkdir()
    (folder / "commands.json").write_text(json.dumps(list(commands_of_two(data, engine)), default=str))
    (folder / "printed.txt").write_text(work_in(folder))
