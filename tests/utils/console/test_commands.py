import shlex
from pathlib import Path

from utils.console.commands import shell_command


def test_names_with_spaces_are_quoted():
    options = {"img_dir": Path("my photos"), "2d_pose_estimations": "it's.pt", "nearest": True, "index": (1, 2)}
    line = shell_command("viz", "2d_overlay", options)
    assert line.startswith("python viz.py 2d_overlay --img_dir 'my photos' --2d_pose_estimations ")
    assert shlex.split(line) == [
        "python", "viz.py", "2d_overlay", "--img_dir", "my photos", "--2d_pose_estimations", "it's.pt", "--nearest",
        "--index", "1", "2",
    ]  # fmt: skip


def test_plain_names_stay_as_they_are():
    assert (
        shell_command("eval", "mpii_PCKh", {"data_dir": "data/mpii"}) == "python eval.py mpii_PCKh --data_dir data/mpii"
    )
