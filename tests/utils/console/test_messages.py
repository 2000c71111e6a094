import logging
import subprocess
import sys
from pathlib import Path

import pytest

from utils.console.messages import show_messages
from utils.osutils import inform, warn

ROOT = Path(__file__).parents[3]


def test_the_command_line_prints_warnings_on_stderr_and_information_on_stdout(capsys):
    show_messages()
    show_messages()  # does not print twice
    warn("3 photos can't be read, 100% of them")
    inform("7 pictures in out")
    assert capsys.readouterr() == ("7 pictures in out\n", "warning: 3 photos can't be read, 100% of them\n")


def test_messages_reach_loggers_above(caplog):
    warn("3 photos can't be read")
    assert caplog.record_tuples == [("human_pose", logging.WARNING, "3 photos can't be read")]


def test_a_python_user_can_silence_warnings(capsys):
    logging.getLogger("human_pose").setLevel(logging.ERROR)
    try:
        warn("3 photos can't be read")
    finally:
        logging.getLogger("human_pose").setLevel(logging.INFO)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("setting", "out", "err"),
    [("", "", "skipped\n"), ("logger().setLevel('ERROR')", "", "")],
    ids=["default", "silent"],
)
def test_without_a_command_line_python_decides(setting, out, err):
    code = f"from utils.osutils import inform, logger, warn\n{setting}\nwarn('skipped'); inform('done')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == (out, err)
