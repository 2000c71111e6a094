"""The entry points: lists of scripts, help, what ends in one line, and limits that hold while a script runs."""

import os
import subprocess
import sys

import pytest
from test_options import EVERY_SCRIPT, READ_PHOTOS, ROOT, SURFACE, each_script

from options import GROUPS, SCRIPTS
from utils.command_line.cli import main
from utils.files.sizes import MAX_PIXELS, max_pixels

HELP_LIMIT = 0.5  # seconds of CPU time
HEAVY = {
    "torch",
    "numpy",
    "PIL",
    "cv2",
    "dataclasses",
    "inspect",
    "logging",
    "hashlib",
    "tempfile",
    "zipfile",
    "ctypes",
}

NOTED: list[int] = []


def note_max_pixels(_) -> None:
    NOTED.append(max_pixels())


@pytest.mark.parametrize(("entry", "name"), sorted(READ_PHOTOS))
def test_max_pixels_holds_while_a_script_runs(tmp_path, entry, name):
    """Its effect on readers is tested in tests/reliability/test_workers.py and tests/utils/imaging/test_images.py."""
    script = SCRIPTS[entry][name]._replace(module=__name__, function="note_max_pixels", checks=())
    required = [word for option in script.required for word in (f"--{option}", str(tmp_path))]
    NOTED.clear()
    main(entry, {name: script}, GROUPS, [name, *required, "--max_pixels", "5000"])
    assert NOTED == [5000]
    assert max_pixels() == MAX_PIXELS


# ------------------------------------------------------------------------------------------ in processes
def command(*argv, code=None):
    """Run an entry point (or `code`) in a process of its own."""
    program = ["-c", code] if code else []
    return subprocess.run(
        [sys.executable, *program, *map(str, argv)], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("entry", SCRIPTS)
def test_an_entry_point_lists_its_scripts(entry):
    listed = command(f"{entry}.py")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert listed.stdout == command(f"{entry}.py", "--help").stdout
    for name, script in SCRIPTS[entry].items():
        assert f"  {name} " in listed.stdout
        assert script.summary in listed.stdout
        assert script.prerequisites in listed.stdout


@each_script
def test_help_is_complete(entry, name, capsys):
    with pytest.raises(SystemExit) as ended:
        main(entry, SCRIPTS[entry], GROUPS, [name, "--help"])
    out, err = capsys.readouterr()
    assert (ended.value.code, err) == (0, "")
    for option in SURFACE[entry, name]:
        assert f"--{option} " in out.replace("\n", " ").replace(",", " ")


@pytest.mark.parametrize("entry", SCRIPTS)
def test_help_answers_at_once(entry):
    """Measured on the script with the most options, in CPU time: the clock would measure other programs too."""
    name = max(SCRIPTS[entry], key=lambda name: len(SURFACE[entry, name]))
    seconds = []
    while not seconds or (min(seconds) > HELP_LIMIT and len(seconds) < 3):
        before = os.times()
        asked = command(f"{entry}.py", name, "--help")
        after = os.times()
        seconds.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert min(seconds) < HELP_LIMIT
    assert (asked.returncode, asked.stderr) == (0, "")
    assert all(f"--{option}" in asked.stdout for option in SURFACE[entry, name])


def test_help_imports_nothing_heavy():
    """Neither for any script: all are asked, in one process. Parts of the standard library count as heavy too."""
    code = (
        "import sys\nfrom options import GROUPS, SCRIPTS\nfrom utils.command_line.cli import main\n"
        "for entry, scripts in SCRIPTS.items():\n"
        "    for name in scripts:\n"
        "        try: main(entry, scripts, GROUPS, [name, '--help'])\n        except SystemExit: pass\n"
        f"sys.stderr.write(' '.join({HEAVY} & set(sys.modules)))"
    )
    asked = command(code=code)
    assert asked.stdout.count("usage: ") == len(EVERY_SCRIPT)
    assert (asked.returncode, asked.stderr) == (0, "")


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (["train.py", "hourglas_mpii"], ["did you mean hourglass_mpii?"]),
        (["train.py", "hourglass_mpii", "--stack", "2"], ["'--stack'", "did you mean --stacks?"]),
        (["run.py", "2d3d_h36m"], ["required", "--load"]),
    ],
)
def test_a_wrong_command_ends_in_one_line_and_status_2(argv, named):
    ended = command(*argv)
    assert_one_line_error(argv[0], ended.returncode, ended.stderr, named)


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (["train", "hourglass_mpii", "--data_dir", "{tmp}/nothing", "--workers", "0"], ["--data_dir", "nothing"]),
        (["train", "hourglass_lsp", "--data_dir", "{tmp}/nothing"], ["--data_dir", "nothing", "sample"]),
        (["train", "hourglass_coco", "--data_dir", "{tmp}/nothing"], ["nothing", "person_keypoints_val2017", "sample"]),
        (["train", "hourglass_eva", "--data_dir", "{tmp}/nothing"], ["nothing", "data_2d_humaneva15_gt.npz", "sample"]),
        (["eval", "coco_AP", "--data_dir", "{tmp}", "--prediction_files", "options.py"], ["{tmp}", "does not exist"]),
        (["train", "2d3d_h36m", "--data_dir", "sample", "--resume"], ["--resume", "2d3d_h36m_default"]),
        (["viz", "training_curves", "--load", "{tmp}/nothing"], ["nothing"]),
        (["viz", "2d_overlay", "--img_dir", "{tmp}", "--2d_pose_estimations", "{tmp}/no.pt"], ["no.pt"]),
        (["eval", "h36m_MPJPE", "--prediction_files", "{tmp}/no.pt"], ["--prediction_files", "no.pt: no such file"]),
        (["run", "hourglass_mpii", "--load", "{tmp}/no.pth", "--data_dir", "{tmp}"], ["no.pth"]),
        (["eval", "mpii_PCKh", "--data_dir", "{tmp}", "--prediction_files", "{tmp}/no.mat"], ["{tmp}"]),
    ],
)
def test_missing_files_end_in_one_line_and_status_2(tmp_path, capsys, argv, named):
    entry, *argv = (text.format(tmp=tmp_path) for text in argv)
    outputs = ["checkpoint_dir", "tb_dir"] if entry == "train" else ["output_dir"]
    argv += [text for name in outputs for text in (f"--{name}", str(tmp_path / "out"))]
    with pytest.raises(SystemExit) as ended:
        main(entry, SCRIPTS[entry], GROUPS, argv)
    named = [text.format(tmp=tmp_path) for text in named]
    assert_one_line_error(f"{entry}.py", ended.value.code, capsys.readouterr().err, named)
    assert list(tmp_path.iterdir()) == []


def assert_one_line_error(program, status, err, named):
    assert status == 2
    assert len(err.splitlines()) == 1, err
    assert err.startswith(program)
    assert all(text in err for text in named), err
