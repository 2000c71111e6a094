"""Two processes do what one does with the double batch size, under both launchers, for every training and `run.py`.

One launch an engine runs all commands (`several_trainings.py`), for torchrun on two "machines"; one process, this one,
runs them with twice the batch.
"""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from command_line import call
from event_files import events
from launchers import ENGINES, finish, launcher, start, two_machines
from scipy.io import loadmat
from tiny_fine_tuning import make_images, make_networks
from torch import nn

import stacked_hourglass.trainer
from utils.predictions.prediction_files import load_metas, load_predictions
from utils.sample.sample_data import make_mpii
from utils.training.training_log import read_log

WORKER = Path(__file__).with_name("several_trainings.py")
HOURGLASS = ("--stacks", 1, "--test_batch_size", 2, "--workers", 0, "--epochs", 5)
NO_NORMS = ("--features", 8, "--use_layer_norm", "--lr", 5e-6, "--add_random_masking")
LOSSES = ("--predict_joint_visibility", "--location_loss_coeff", 0.01)
NORMS = ("--features", 16, "--use_amsprop", "--lr", 1e-5)
SMALL_LIFTER = ("--linear_size", 16, "--num_stage", 1, "--action", "Walking", "--test_batch_size", 64)
LIFTER = (*SMALL_LIFTER, "--dropout", 0, "--orthogonal_data_augmentation", "--drop_joint_prob", 0.1)
NETWORKS = ("--load_hourglass", "hourglass.pth.tar", "--load_2d3d", "2d3d.pth.tar")
GAN = ("--linear_size", 16, "--num_stage", 1, "--action", "Walking")

# Where a gradient is nothing but rounding (a bias before a norm), Adam and RMSprop would make full steps of it: weight
# decay gives it a size. And where a network that is new learns fast, its ReLUs make chaos of the last digit.
# name: (script, samples a process, its options, those of two processes alone). Ten steps each.
TRAININGS = {
    # 7 people: minibatches of 4 and 3, of which one process has 1 and the other 2.
    "hourglass": ("hourglass_mpii", 2, (*HOURGLASS, *NO_NORMS, *LOSSES), ()),
    "hourglass_norms": ("hourglass_mpii", 2, (*HOURGLASS, *NORMS), ("--sync_batch_norm",)),
    "lifter": ("2d3d_h36m", 12, (*LIFTER, "--epochs", 1), ("--sync_batch_norm",)),
    "cycle_gan": ("2d3d_h36m", 12, (*LIFTER, "--epochs", 1, "--cycle_gan"), ("--sync_batch_norm",)),
    "pose_gan": ("3d_pose_gan", 6, (*GAN, "--epochs", 2), ()),
    "stitched": (
        "stitched_fine_tune", 2,
        ("--epochs", 5, "--test_batch_size", 3, "--dropout", 0, "--workers", 0, "--lr", 1e-5), ("--sync_batch_norm",),
    ),
}  # fmt: skip
# Hundreds of exchanges a step, for each of which Horovod's threads wait for a core; smaller networks show the same.
LEFT_OUT = {"torchrun": (), "horovodrun": ("hourglass_norms",)}
RUNS = ("people", "photos", "one_photo", "frames", "poses")


@pytest.fixture(scope="module")
def data(tiny_h36m, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("of_several")
    make_mpii(folder / "mpii", training=7, validation=5)
    shutil.copytree(folder / "mpii/images", folder / "photos")
    (folder / "photos/broken.jpg").write_text("no photo")
    images = make_images(folder / "images")
    make_networks(folder, images, use_layer_norm=True)
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
        if name not in LEFT_OUT[engine]:
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
    forward = nn.BatchNorm2d.forward

    def precise(self, x):
        """PyTorch's own, which on a CPU loses two digits where channels come last in memory."""
        return forward(self, x.contiguous())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.BatchNorm2d, "forward", precise)
        patch.setattr(stacked_hourglass.trainer, "PICTURES", 1)
        for name in TRAININGS:
            call(*training(name, data, 1), cwd=folder).succeeded()
    for name, argv in runs(data).items():
        call(*argv, "--output_dir", name, cwd=folder).succeeded()
    return folder


@pytest.fixture(scope="module")
def launched(data, tmp_path_factory) -> Callable[[str], Path]:
    """`launched(ENGINE)`: what two processes leave; each engine is launched once."""
    done: dict[str, Path] = {}

    def launch(engine: str) -> Path:
        if engine not in done:
            before = two_machines() if engine == "torchrun" else [launcher(engine)]
            folder = prepare(tmp_path_factory.mktemp(engine), data)
            commands = list(commands_of_two(data, engine))
            (folder / "commands.json").write_text(json.dumps(commands, default=str))
            printed = finish(*(start(*one, WORKER, folder) for one in before))
            (folder / "printed.txt").write_text("".join(printed))
            done[engine] = folder
        return done[engine]

    return launch


@pytest.fixture(params=ENGINES)
def together(request, launched) -> Path:
    """What two processes leave; `printed.txt` has what they said."""
    return launched(request.param)


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
CASES = [(engine, name) for engine in ENGINES for name in TRAININGS if name not in LEFT_OUT[engine]]
each_training = pytest.mark.parametrize(("together", "name"), CASES, indirect=["together"])


@each_training
def test_ten_steps_are_those_of_one_process(name, alone, together):
    expected, found = steps(alone, name), steps(together, name)
    assert max(step for _, step in expected) == 10
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-5)


@each_training
def test_weights_and_averages_are_those_of_one_process(name, alone, together):
    torch.testing.assert_close(weights(together, name), weights(alone, name), rtol=1e-5, atol=1e-5)
    expected, found = log(alone, name), log(together, name)
    assert len(found) == len(expected)
    for row, expected_row in zip(found, expected, strict=True):
        assert row == pytest.approx(expected_row, rel=2e-5, abs=2e-5)  # six digits are printed


def test_validation_predictions_are_gathered_whole_and_in_order(alone, together):
    expected, found = (loadmat(next(folder.glob("**/hourglass_mpii_hourglass/preds_valid.mat")))["preds"]
                       for folder in (alone, together))  # fmt: skip
    assert expected.shape == (5, 16, 2)
    assert found == pytest.approx(expected, abs=1e-2)


@pytest.mark.parametrize("name", RUNS)
def test_predictions_are_those_of_one_process(name, alone, together):
    files = sorted(path.name for path in (alone / name).iterdir())
    assert sorted(path.name for path in (together / name).iterdir()) == files
    for file in (file for file in files if file.endswith("s.pt") and file != "metas.pt"):
        expected, found = (load_predictions(folder / name / file) for folder in (alone, together))
        assert list(found) == list(expected)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-2, equal_nan=True)
    expected, found = (load_metas(folder / name / "metas.pt") for folder in (alone, together))
    assert repr(found) == repr(expected)


# ------------------------------------------------------------------------------------------ only rank 0
def test_only_one_process_speaks(together):
    printed = (together / "printed.txt").read_text()
    epochs = re.findall(r"^.*?epoch (\d+)  lr", printed, flags=re.MULTILINE)
    expected = sum(len(read_log(path)[1]) for path in together.glob("model_checkpoints/*/log.txt"))
    assert len(epochs) == expected
    assert printed.count("photos skipped: ") == 1
    assert "broken.jpg" in printed
    assert printed.count("draw them: ") == len(RUNS)


def test_only_one_process_writes(together):
    assert len(list(together.glob("tb_logs/*"))) == len(list(together.glob("model_checkpoints/*")))
    for folder in together.glob("tb_logs/*"):
        attempts = 2 if folder.name == "2d3d_h36m_parts" else 1
        assert len(list(folder.iterdir())) == attempts
    assert not list(together.glob("**/*.old"))
    assert [path.name for path in together.glob("**/.*")] == [".cache"]


# ------------------------------------------------------------------------------------------ stop and go on
def test_both_stop_and_go_on_as_if_nothing_had_been(together):
    whole, parts = checkpoint(together, "whole"), checkpoint(together, "parts")
    assert whole["epoch"] == parts["epoch"] == 3
    torch.testing.assert_close(parts["optimizer"], whole["optimizer"], rtol=0, atol=0)
    states = [[one["rng"]["torch"], *(other["torch"] for other in one["rng_of_other_ranks"])] for one in (parts, whole)]
    torch.testing.assert_close(*states, rtol=0, atol=0)
    assert len(states[0]) == 2
    assert not torch.equal(*states[0])
    # Running statistics have been averaged once more.
    torch.testing.assert_close(parts["state_dict"], whole["state_dict"], rtol=1e-6, atol=1e-6)
    printed = (together / "printed.txt").read_text()
    assert printed.count("interrupted after 1.80 epochs; go on with --resume") == 1  # in step 7, known to all in step 8
    cut, uncut = log(together, "parts"), log(together, "whole")
    del cut[1]["train/loss"], uncut[1]["train/loss"]  # over the later part of the epoch that was cut
    assert cut == [pytest.approx(row, rel=1e-5) for row in uncut]


# ------------------------------------------------------------------------------------------ options
def test_scale_lr_multiplies_by_the_number_of_processes(together):
    scaled, plain = checkpoint(together, "scaled"), checkpoint(together, "plain")
    torch.testing.assert_close(scaled["state_dict"], plain["state_dict"], rtol=0, atol=0)
    assert scaled["options"]["lr"] == plain["options"]["lr"] / 2


def test_compressed_gradients_are_nearly_the_same(together):
    exact, compressed = weights(together, "plain"), weights(together, "compressed")
    assert any(not torch.equal(compressed[name], exact[name]) for name in exact)
    assert log(together, "compressed")[0]["train/loss"] == pytest.approx(
        log(together, "plain")[0]["train/loss"], rel=1e-2
    )


def test_synchronised_norms_have_plain_ones_weights(alone, together):
    assert list(weights(together, "lifter")) == list(weights(alone, "lifter"))
    assert not torch.equal(*(weights(together, name)["batch_norm1.running_mean"] for name in ("lifter", "plain")))
