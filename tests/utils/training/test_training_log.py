import logging
import math
import os
import signal
from pathlib import Path

import pytest
from event_files import events

from utils.compute.stop_signal import StopSignal
from utils.osutils import UserError, logger
from utils.training.log_files import read_log
from utils.training.training_log import TrainingLog, convert_shares, put_aside, write_options


def write_epochs(folder, epochs, epochs_done=0.0, **train):
    with TrainingLog(folder, folder / "tb", epochs_done, steps=10) as log:
        for epoch in epochs:
            log.epoch(epoch, 0.1, 2.0, {"loss": 1 / epoch} | train, {"PCKh@0.5": 10.0 * epoch}, {}, is_best=False)


# ------------------------------------------------------------------------------------------ log.txt
def test_the_log_has_one_line_per_epoch_with_tabs(tmp_path):
    write_epochs(tmp_path, [1, 2])
    assert (tmp_path / "log.txt").read_text() == (
        "epoch\tlr\tseconds\ttrain/loss\tval/PCKh@0.5\n1\t0.1\t2\t1\t10\n2\t0.1\t2\t0.5\t20\n"
    )


def test_a_resumed_log_continues_after_the_epochs_done(tmp_path):
    write_epochs(tmp_path, [1, 2, 3])
    write_epochs(tmp_path, [3, 4], epochs_done=2.4)
    _, rows = read_log(tmp_path / "log.txt")
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]


def test_events_survive_a_resume_within_the_same_second(tmp_path):
    for done in range(3):
        write_epochs(tmp_path, [done + 1], epochs_done=float(done))
    assert len(list((tmp_path / "tb").iterdir())) == 3
    assert [step for tag, step, _ in events(tmp_path / "tb") if tag == "epoch/train/loss"] == [10, 20, 30]


def test_a_new_log_starts_empty(tmp_path):
    write_epochs(tmp_path, [1, 2, 3])
    write_epochs(tmp_path, [1])
    assert len(read_log(tmp_path / "log.txt")[1]) == 1


def test_a_new_column_is_nan_in_earlier_rows(tmp_path):
    write_epochs(tmp_path, [1])
    write_epochs(tmp_path, [2], epochs_done=1, visibility_loss=0.5)
    columns, rows = read_log(tmp_path / "log.txt")
    assert columns[-1] == "train/visibility_loss"
    assert math.isnan(rows[0]["train/visibility_loss"])
    assert rows[1]["train/visibility_loss"] == 0.5


def test_the_best_epoch_is_marked_on_stdout(tmp_path, capsys):
    with TrainingLog(tmp_path, tmp_path / "tb", 0.0, steps=10) as log:
        log.epoch(1, 0.1, 2.0, {"loss": 0.123456}, {}, {}, is_best=True)
        log.epoch(2, 0.1, 2.0, {"loss": 0.5}, {}, {}, is_best=False)
    assert capsys.readouterr().out.splitlines() == [
        "epoch 1  lr 0.1  seconds 2  train/loss 0.1235  (best so far)",
        "epoch 2  lr 0.1  seconds 2  train/loss 0.5",
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a training log"),
        (b"step\tloss\n1\t2\n", "not a training log"),
        (b"\xff\xfe\x00binary", "not a training log"),
        (b"epoch\tloss\n1\t2\n2\n", "line 3 has 1 fields, line 1 names 2"),
        (b"epoch\tloss\n1\ttwo\n", "line 2 has a field that is not a number"),
    ],
)
def test_other_files_are_refused(tmp_path, content, reason):
    (tmp_path / "log.txt").write_bytes(content)
    with pytest.raises(UserError, match=reason) as caught:
        read_log(tmp_path / "log.txt")
    assert len(str(caught.value).splitlines()) == 1


def test_an_older_logs_shares_become_percent_once(tmp_path, capsys):
    log = tmp_path / "log.txt"
    convert_shares(log)
    assert not log.exists()
    log.write_text("epoch\tval/loss\tval/PCKh@0.5\tval/PCK@0.2\n1\t0.5\t0.25\tnan\n2\t0.4\t0.5\t1\n")
    write_options(tmp_path / "options.json", {}, None, {"PCKh@0.5": "higher"}, {})
    converted = "epoch\tval/loss\tval/PCKh@0.5\tval/PCK@0.2\n1\t0.5\t25\tnan\n2\t0.4\t50\t100\n"
    for _ in range(2):
        convert_shares(log)
        assert log.read_text() == converted
    assert capsys.readouterr().err.count("rates are now in %") == 1


def test_a_log_whose_units_are_known_is_kept(tmp_path):
    log, content = tmp_path / "log.txt", "epoch\tval/PCKh@0.5\n1\t0.25\n"
    log.write_text(content)
    write_options(tmp_path / "options.json", {}, None, {}, {"PCKh@0.5": "%"})
    convert_shares(log)
    assert log.read_text() == content


# ------------------------------------------------------------------------------------------ earlier runs
def test_an_earlier_run_is_kept_for_one_generation(tmp_path, capsys):
    run, other = tmp_path / "run", tmp_path / "missing"
    for generation in "abc":
        run.mkdir()
        (run / "log.txt").write_text(generation)
        put_aside(run, other)
        assert not run.exists()
        assert (tmp_path / "run.old" / "log.txt").read_text() == generation
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_an_empty_folder_is_not_an_earlier_run(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    put_aside(tmp_path / "run")
    assert [path.name for path in Path(tmp_path).iterdir()] == ["run"]
    assert capsys.readouterr() == ("", "")


# ------------------------------------------------------------------------------------------ stop signal
def test_the_first_interrupt_asks_and_the_second_stops(capsys):
    former = signal.getsignal(signal.SIGINT)
    with StopSignal() as stop:
        assert not stop.requested
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is former
    assert capsys.readouterr().err == "warning: stopping after this step (press Ctrl-C again to stop at once)\n"


def test_a_stop_says_nothing_to_a_python_user_who_has_silenced_the_library(capsys):
    logger().setLevel(logging.ERROR)
    try:
        with StopSignal() as stop:
            os.kill(os.getpid(), signal.SIGINT)
            with pytest.raises(SystemExit) as ended:
                stop.exit(1.8)
    finally:
        logger().setLevel(logging.INFO)
    assert ended.value.code == 130
    assert capsys.readouterr() == ("", "")
