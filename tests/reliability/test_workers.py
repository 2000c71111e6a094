"""Workers that are killed, and limits of open files too low for them: one line, and what is done stays."""

import multiprocessing
import os
import re
import resource
import select
import signal
import sys
import time

import numpy as np
import pytest
from command_line import call, files, train_arguments
from forks import child, status_of, status_of_child
from PIL import Image
from tiny_checkpoints import hourglass_file
from torch.utils.data import _utils, get_worker_info

from stacked_hourglass.finding import photo_crops
from stacked_hourglass.samples import datasets
from utils.compute import stop_signal
from utils.compute.early_signals import ending_signals
from utils.compute.stop_signal import StopSignal
from utils.compute.worker_processes import WorkerLoader, WorkerLost
from utils.files.sizes import max_pixels
from utils.imaging.video_writer import write_video
from utils.predictions.prediction_files import load_metas, load_predictions

pytestmark = pytest.mark.usefixtures("one_level")

KILLED = "a worker process that reads photos was killed (signal: Killed); perhaps memory was full: give fewer --workers"


@pytest.fixture
def killed_at(monkeypatch):
    """`killed_at(module, name, is_it)`: the worker that calls this function with such arguments is killed."""

    def patch(module, name, is_it) -> None:
        real = getattr(module, name)

        def fatal(*arguments, **named):
            if get_worker_info() and is_it(*arguments):
                time.sleep(0.5)  # until the main process has the samples before
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **named)

        monkeypatch.setattr(module, name, fatal)

    return patch


def last_line(result) -> str:
    assert result.status == 1, result.err
    assert "Traceback" not in result.err
    return result.err.splitlines()[-1]


def count_done(line: str, what: str) -> int:
    """How many are done, as the line says. What the killed worker had not yet passed on is not counted."""
    match = re.fullmatch(rf".*{re.escape(KILLED)}; a training continues with --resume; (\d+) {what}", line)
    assert match, line
    return int(match[1])


def test_photos_that_are_done_are_kept(killed_at, tmp_path):
    (tmp_path / "photos").mkdir()
    for number in range(6):
        Image.new("RGB", (64, 64), (40 * number, 0, 0)).save(tmp_path / f"photos/{number}.png")
    killed_at(photo_crops, "crop_people", lambda name, *_: name == "4.png")
    load = hourglass_file(tmp_path / "network.pth")
    given = ("--load", load, "--data_dir", tmp_path / "photos", "--person_box", "whole", "--test_batch_size", 1)
    run = call("run", "hourglass_mpii", *given, "--workers", 1, "--output_dir", tmp_path / "out")
    done = count_done(last_line(run), "photos? done")
    assert 1 <= done <= 4
    assert list(load_predictions(tmp_path / "out/2d_pose_estimations.pt")) == [
        f"{number}.png" for number in range(done)
    ]
    assert len(load_metas(tmp_path / "out/metas.pt")) == done
    # With no photo done, no file is written.
    killed_at(photo_crops, "crop_people", lambda *_: True)
    run = call("run", "hourglass_mpii", *given, "--workers", 1, "--output_dir", tmp_path / "none")
    assert KILLED in last_line(run)
    assert files(tmp_path / "none") == []


def test_annotated_people_that_are_done_are_kept(killed_at, tiny_mpii, tmp_path):
    killed_at(datasets, "pose_crop", lambda people, index, *_: index == 2)
    load = hourglass_file(tmp_path / "network.pth")
    given = ("--load", load, "--data_dir", tiny_mpii, "--test_batch_size", 1, "--workers", 1)
    run = call("run", "hourglass_mpii", *given, "--output_dir", tmp_path / "out")
    done = count_done(last_line(run), "of 4 samples done, the others have no pose")
    assert 1 <= done <= 2
    poses = load_predictions(tmp_path / "out/2d_pose_estimations.pt")
    assert sum(int(people.isfinite().flatten(1).all(1).sum()) for people in poses.values()) == done


def test_a_training_ends_with_one_line_and_keeps_its_checkpoint(killed_at, tiny_mpii, tmp_path):
    call("train", *train_arguments(tiny_mpii, tmp_path, "--epochs", 1)).succeeded()
    kept = files(tmp_path / "checkpoints")
    killed_at(datasets, "pose_crop", lambda *_: True)
    line = last_line(call("train", *train_arguments(tiny_mpii, tmp_path, "--epochs", 2, "--resume")))
    assert line == f"train.py hourglass_mpii: error: {KILLED}; a training continues with --resume"
    assert files(tmp_path / "checkpoints") == kept


def test_the_handler_of_sigchld_is_put_back(tiny_mpii):
    former = signal.getsignal(signal.SIGCHLD)
    assert len(list(WorkerLoader(range(3), num_workers=1))) == 3
    assert signal.getsignal(signal.SIGCHLD) is former


def test_other_errors_of_workers_are_raised():
    class Broken:
        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: int) -> int:
            raise RuntimeError("of its own")

    with pytest.raises(RuntimeError, match="of its own"):
        list(WorkerLoader(Broken(), num_workers=1))


@pytest.mark.parametrize(("limit", "expected"), [((24, 24), 2), ((24, 4096), 0)])
def test_limits_of_open_files(tiny_mpii, tmp_path, limit, expected):
    """With too few, workers would wait forever; a limit that may be raised is raised."""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
        ended = call("train", *train_arguments(tiny_mpii, tmp_path, "--epochs", 1, workers=2))
        (tmp_path / "ended.txt").write_text(f"{ended.status}\n{ended.err}")

    assert status_of_child(limited) == 0
    status, *lines = (tmp_path / "ended.txt").read_text().splitlines()
    assert int(status) == expected
    if expected:
        message = r"error: --workers 2: needs 128 open files, and the limit is 24; give --workers 0, or raise the limit"
        assert re.search(message, lines[-1])


@pytest.mark.long  # a worker process; test_images.py and test_entry_points.py show the limit
def test_workers_obey_max_pixels(tmp_path):
    """One of three photos is too large and left out; a video of that size is refused."""
    (tmp_path / "photos").mkdir()
    for number, side in enumerate((64, 96, 64)):
        Image.new("RGB", (side, side)).save(tmp_path / f"photos/{number}.png")
    with write_video(tmp_path / "clip.mp4", 25, (96, 96)) as write:
        write(np.zeros((96, 96, 3), np.uint8))
    given = ("--load", hourglass_file(tmp_path / "network.pth"), "--person_box", "whole", "--max_pixels", 5000)

    def run(data: str, *more: object):
        return call(
            "run", "hourglass_mpii", *given, "--data_dir", tmp_path / data, "--output_dir", tmp_path / "out", *more
        )

    for workers in (0, 1):
        [line] = run("photos", "--workers", workers).warnings()
        assert "1 of 3 photos unreadable, skipped: " in line
        assert "1.png: 96 × 96 px, more than --max_pixels 5000 are not decoded; shrink it, or give a larger" in line
    assert "clip.mp4: frames of 96 × 96 px, more than --max_pixels 5000" in run("clip.mp4").refusal()
    assert max_pixels() == 100_000_000


class Blocked:
    """A dataset whose second sample is never read, as on a network drive that does not answer."""

    def __init__(self) -> None:
        self.blocks = multiprocessing.Event()  # set by the worker that blocks

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> int:
        if index == 1:
            self.blocks.set()
            time.sleep(3600)
        return index


def wait_for_all(loader: WorkerLoader) -> None:
    with ending_signals():
        try:
            list(loader)
        except KeyboardInterrupt:
            sys.exit(130)


def leave_early(loader: WorkerLoader) -> None:
    _utils.MP_STATUS_CHECK_INTERVAL = 0.5  # that PyTorch gives a worker
    samples = iter(loader)
    next(samples)
    assert loader.dataset.blocks.wait(60)


def stop_and_wait(loader: WorkerLoader) -> None:
    """A step longer than the limit ends as usual; a wait for a minibatch does not."""
    stop_signal.SECONDS_FOR_A_STEP = 1
    with StopSignal() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1.5)
        assert stop.after_step()
        list(loader)


@pytest.mark.parametrize(
    ("use", "number", "status"),
    [
        (wait_for_all, signal.SIGTERM, 143),
        (wait_for_all, signal.SIGINT, 130),
        (wait_for_all, signal.SIGKILL, -signal.SIGKILL),
        (leave_early, None, 0),
        (stop_and_wait, None, 143),
    ],
)
def test_a_blocked_worker_holds_up_no_end_and_outlives_none(use, number, status, capfd):
    dataset, (end, held) = Blocked(), os.pipe()
    process = child(lambda: use(WorkerLoader(dataset, batch_size=None, num_workers=1)))
    os.close(held)
    try:
        assert dataset.blocks.wait(60)
        if number:
            os.kill(process, number)
        # The pipe ends when the process and its worker, which both hold it, have ended.
        ended = select.select([end], [], [], 60)[0] and os.read(end, 1) == b""
        assert ended, "something is left"
        assert status_of(process) == status
    except BaseException:
        os.kill(process, signal.SIGKILL)
        raise
    finally:
        os.close(end)
    assert ("no minibatch came from the worker processes in 1 s" in capfd.readouterr().err) == (use is stop_and_wait)


class NoRoom:
    """A dataset whose workers fail with PyTorch's message of a full /dev/shm."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> float:
        raise RuntimeError(
            "unable to allocate shared memory(shm) for file </torch_1_2_0>: No space left on device (28)"
        )


def test_a_full_dev_shm_is_one_line():
    with pytest.raises(WorkerLost, match=r"no room in /dev/shm.*--workers 0.*continues with --resume$"):
        next(iter(WorkerLoader(NoRoom(), num_workers=2)))
