"""Two processes do what one does with the double batch size, under both launchers, for every training and `run.py`.

One launch an engine runs all commands (`several_trainings.py`); one process, this one, runs them with twice the batch.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from command_line import call
from event_files import events
from launchers import ENGINES, finish, launcher, start
from tiny_fine_tuning import make_images, make_networks

from utils.sample_data import make_mpii
from utils.training_log import read_log

WORKER = Path(__file__).with_name("several_trainings.py")
HOURGLASS = ("--stacks", 1, "--features", 8, "--test_batch_size", 2, "--workers", 0)
SMALL_LIFTER = ("--linear_size", 16, "--num_stage", 1, "--action", "Walking", "--test_batch_size", 64)
LIFTER = (*SMALL_LIFTER, "--dropout", 0, "--orthogonal_data_augmentation", "--drop_joint_prob", 0.1)
NETWORKS = ("--load_hourglass", "hourglass.pth.tar", "--load_2d3d", "2d3d.pth.tar")
GAN = ("--linear_size", 16, "--num_stage", 1, "--action", "Walking")

# name: (script, samples a process, its options, those of two processes alone). Ten steps each.
TRAININGS = {
    # 7 people: minibatches of 4 and 3, of which one process has 1 and the other 2.
    "hourglass": ("hourglass_mpii", 2, (*HOURGLASS, "--use_layer_norm", "--add_random_masking", "--epochs", 5), ()),
    "hourglass_norms": ("hourglass_mpii", 2, (*HOURGLASS, "--epochs", 5), ("--sync_batch_norm",)),
    "lifter": ("2d3d_h36m", 12, (*LIFTER, "--epochs", 1), ("--sync_batch_norm",)),
    "cycle_gan": ("2d3d_h36m", 12, (*LIFTER, "--epochs", 1, "--cycle_gan"), ("--sync_batch_norm",)),
    "pose_gan": ("3d_pose_gan", 6, (*GAN, "--epochs", 2), ()),
    "stitched": (
        "stitched_fine_tune", 2, ("--epochs", 5, "--test_batch_size", 3, "--dropout", 0, "--workers", 0),
        ("--sync_batch_norm",),
    ),
}  # fmt: skip
EXACT = ("hourglass", "pose_gan")  # no bias before a norm, whose gradient is nothing but rounding


@pytest.fixture(scope="module")
def data(tiny_h36m, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("of_several")
    make_mpii(folder / "mpii", training=7, validation=5)
    shutil.copytree(folder / "mpii/images", folder / "photos")
    (folder / "photos/broken.jpg").write_text("no photo")
    images = make_images(folder / "images")
    make_networks(folder, images)
    return {name: folder / name for name in ("mpii", "photos", "images")} | {"h36m": tiny_h36m, "folder": folder}


def training(name: str, data: dict[str, Path], processes: int) -> list[object]:
    script, batch, argv, of_two = TRAININGS[name]
    places = {"hourglass_mpii": "mpii", "stitched_fine_tune": "images"}
    return [
        "train", script, "--data_dir", data[places.get(script, "h36m")], "--exp", name, "--device", "cpu",
        "--tb_log_freq", 1, "--weight_decay", 0.01, "--train_batch_size", batch * 2 // processes, *argv,
        *(of_two if processes == 2 else ()),
        *(NETWORKS if script == "stitched_fine_tune" else ()),
    ]  # fmt: skip


def lifter(data: dict[str, Path], exp: str, *argv: object) -> list[object]:
    """A training of the lifter with dropout, five steps an epoch in two processes."""
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
    for name in TRAININGS:
        yield {"argv": training(name, data, 2)}
    for name, argv in runs(data).items():
        yield {"argv": [*argv, "--output_dir", name]}
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


@pytest.fixture(scope="module")
def alone(data, tmp_path_factory) -> Path:
    """What one process leaves, with minibatches as large as those of two together."""
    folder = prepare(tmp_path_factory.mktemp("alone"), data)
    for name in TRAININGS:
        call(*training(name, data, 1), cwd=folder).succeeded()
    for name, argv in runs(data).items():
        call(*argv, "--output_dir", name, cwd=folder).succeeded()
    return folder


@pytest.fixture(scope="module", params=ENGINES)
def together(request, data, tmp_path_factory) -> Path:
    """What two processes leave; `printed.txt` has what they said."""
    before = launcher(request.param)
    folder = prepare(tmp_path_factory.mktemp(request.param), data)
    commands = list(commands_of_two(data, request.param))
    (folder / "commands.json").write_text(json.dumps(commands, default=str))
    [printed] = finish(start(*before, WORKER, folder))
    (folder / "printed.txt").write_text(printed)
    return folder


def checkpoint(folder: Path, name: str) -> dict:
    [path] = folder.glob(f"model_checkpoints/*_{name}/checkpoint.pth.tar")
    return torch.load(path, weights_only=True)


def weights(folder: Path, name: str) -> dict[str, torch.Tensor]:
    return checkpoint(folder, name)["state_dict"]


def log(folder: Path, name: str) -> list[dict[str, float]]:
    [path] = folder.glob(f"model_checkpoints/*_{name}/log.txt")
    return [{key: value for key, value in row.items() if key != "seconds"} for row in read_log(path)[1]]


def steps(folder: Path, name: str) -> dict[tuple, float]:
    """(loss, step) -> its value, a mean over the whole minibatch."""
    [path] = folder.glob(f"tb_logs/*_{name}")
    return {(tag, step): value for tag, step, value in events(path) if tag.startswith("train_step/")}


# ------------------------------------------------------------------------------------------ the same result
@pytest.mark.parametrize("name", TRAININGS)
def test_ten_steps_are_those_of_one_process(name, alone, together):
    expected, found = steps(alone, name), steps(together, name)
    assert max(step for _, step in expected) == 10
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("name", EXACT)
def test_weights_and_validation_are_those_of_one_process(name, alone, together):
    torch.testing.assert_close(weights(together, name), weights(alone, name), rtol=1e-5, atol=1e-5)
    rows = log(alone, name)
    assert [pytest.approx(row, rel=2e-5, abs=2e-5) for row in rows] == log(together, name)
