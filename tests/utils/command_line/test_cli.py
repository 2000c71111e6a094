"""The command line's own rules, on a small entry point of its own."""

import argparse
import sys
from pathlib import Path

import pytest
from ranks import rank_of

from utils.command_line import cli
from utils.command_line.cli import main, parse
from utils.command_line.declarations import (
    Check,
    Option,
    Script,
    boolean,
    count,
    not_negative,
    positive,
    seed,
    share,
    whole,
)
from utils.osutils import UserError

GROUPS = {
    "data": (
        Option("data_dir", "folder of the data", None, Path),
        Option("2d_poses", "file of poses", None, Path, aliases=("2d_pose",), dest="poses_2d"),
        Option("names", "some names", None, many=True),
    ),
    "training": (
        Option("lr", "learning rate, 100% yours", 0.25, positive),
        Option("batch_size", "samples a step", 6, count),
        Option("schedule", "epochs", [60, 90], whole, many=True),
        Option("label_type", "shape", "Gaussian", choices=("Gaussian", "Cauchy")),
    ),
    "switches": (
        Option("augment_data", "turn and flip", True, bool),
        Option("flip", "mirror", False, bool, aliases=("mirror",)),
        Option("no_clipping", "leave gradients", False, bool),
        Option("debug_traceback", "show it", False, bool),
    ),
}
SCRIPTS = {
    "train_it": Script(__name__, "note", "Train it.", "data in data/it", ("data", "training", "switches"), {"lr": 0.5}),
    "draw_it": Script(
        __name__, "note", "Draw it.", "a picture", ("2d_poses", "names", "debug_traceback"),
        required=("2d_poses",), changes={"names": {"many": False, "help": "one name"}},
    ),
}  # fmt: skip
calls = []


def note(options):
    """What the scripts run."""
    calls.append(options)
    if isinstance(options.names, list) and options.names[0] == "raise":
        raise {"user": UserError("it is\nwrong"), "os": PermissionError(13, "Permission denied", "a/b"),
               "fault": ZeroDivisionError(), "stop": KeyboardInterrupt()}[options.names[1]]  # fmt: skip


def options_of(*argv, script="train_it"):
    return parse("it.py", script, SCRIPTS[script], GROUPS, argv)


def refusal(capsys, *argv):
    """The one line on stderr of a command that ends with status 2 and does nothing."""
    calls.clear()
    with pytest.raises(SystemExit) as ended:
        main("it", SCRIPTS, GROUPS, argv)
    out, err = capsys.readouterr()
    assert (ended.value.code, out, calls) == (2, "", [])
    assert err.endswith("\n")
    assert len(err.splitlines()) == 1
    return err.rstrip("\n")


# ------------------------------------------------------------------------------------------ values
def test_defaults_are_the_scripts_own_or_the_options():
    options = options_of()
    assert (options.lr, options.batch_size, options.schedule, options.augment_data) == (0.5, 6, [60, 90], True)
    assert (options.data_dir, options.poses_2d, options.names) == (None, None, None)
    assert (options.script, options.given) == ("train_it", set())


def test_values_have_their_types():
    options = options_of(
        "--data_dir", "a/b", "--lr", "1e-3", "--schedule", "3", "0", "--names", "x y", "--label_type=Cauchy"
    )
    assert (options.data_dir, options.lr, options.schedule) == (Path("a/b"), 1e-3, [3, 0])
    assert (options.names, options.label_type) == (["x y"], "Cauchy")
    assert options.given == {"data_dir", "lr", "schedule", "names", "label_type"}
    assert options_of("--names", "one", "--2d_poses", "p", script="draw_it").names == "one"


@pytest.mark.parametrize("flag", ["--batch_size", "--batch-size"])
def test_dashes_and_underscores_are_the_same(flag):
    assert options_of(flag, "3").batch_size == options_of(f"{flag}=3").batch_size == 3
    assert options_of(flag, "3").given == {"batch_size"}
    assert options_of("--data-dir", "with-dash_es").data_dir == Path("with-dash_es")
    assert options_of("--data-dir=--odd-name").data_dir == Path("--odd-name")


def test_singular_spellings_mean_the_same_option():
    for flag in ("--2d_poses", "--2d_pose", "--2d-pose"):
        options = options_of(flag, "p.pt")
        assert (options.poses_2d, options.given) == (Path("p.pt"), {"poses_2d"})


@pytest.mark.parametrize(
    ("argv", "value"),
    [
        ([], True),
        (["--augment_data"], True),
        (["--augment_data", "True"], True),
        (["--augment_data", "False"], False),
        (["--augment-data=false"], False),
        (["--augment_data", "0"], False),
        (["--augment_data", "no"], False),
        (["--augment_data", "YES"], True),
        (["--no_augment_data"], False),
        (["--no-augment-data"], False),
        (["--no_augment_data", "--augment_data"], True),
    ],
)
def test_booleans_in_every_spelling(argv, value):
    options = options_of(*argv)
    assert options.augment_data is value
    assert options.given == ({"augment_data"} if argv else set())


def test_booleans_that_say_no_or_have_two_names():
    assert options_of("--no_clipping").no_clipping is True
    assert options_of("--no_clipping", "False").no_clipping is False
    assert options_of("--mirror").flip is True
    assert options_of("--flip", "--no_mirror").flip is False
    assert options_of("--no-mirror").given == {"flip"}


# ------------------------------------------------------------------------------------------ refusals
@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["train_i"], "it.py: error: unknown script 'train_i', did you mean train_it?; scripts: train_it, draw_it"),
        (["zzz"], "it.py: error: unknown script 'zzz'; scripts: train_it, draw_it"),
        (["--lr", "1"], "it.py: error: the first argument is the script's name; scripts: train_it, draw_it"),
        (
            ["train_it", "--bach_size", "1"],
            "it.py train_it: error: unknown option '--bach_size', did you mean --batch_size?; "
            "see it.py train_it --help",
        ),
        (["train_it", "--zzz=3"], "it.py train_it: error: unknown option '--zzz'; see it.py train_it --help"),
        (
            ["train_it", "--no_names"],
            "it.py train_it: error: unknown option '--no_names', did you mean --names?; see it.py train_it --help",
        ),
        (
            ["train_it", "--batch"],  # no abbreviations: an option added later must not change a command's meaning
            "it.py train_it: error: unknown option '--batch', did you mean --batch_size?; see it.py train_it --help",
        ),
        (
            ["train_it", "stray"],
            "it.py train_it: error: argument 'stray' belongs to no option; see it.py train_it --help",
        ),
        (["train_it", "-x"], "it.py train_it: error: argument '-x' belongs to no option; see it.py train_it --help"),
        (
            ["train_it", "--no_flip", "True"],
            "it.py train_it: error: argument 'True' belongs to no option; see it.py train_it --help",
        ),
        (["train_it", "--lr", "0"], "it.py train_it: error: --lr: '0' is not a number above 0"),
        (["train_it", "--lr", "-1.5"], "it.py train_it: error: --lr: '-1.5' is not a number above 0"),
        (["train_it", "--lr"], "it.py train_it: error: --lr: expected one argument"),
        (
            ["train_it", "--batch_size", "2.5"],
            "it.py train_it: error: --batch_size: '2.5' is not a whole number of at least 1",
        ),
        (["train_it", "--flip", "maybe"], "it.py train_it: error: --flip/--mirror: 'maybe' is neither True nor False"),
        (["draw_it"], "it.py draw_it: error: --2d_poses is required; see it.py draw_it --help"),
        (
            ["draw_it", "--2d_poses", "p", "--lr", "1"],
            "it.py draw_it: error: unknown option '--lr', which train_it takes; see it.py draw_it --help",
        ),
    ],
)
def test_a_wrong_command_is_refused_in_one_line(capsys, argv, message):
    assert refusal(capsys, *argv) == message


def test_a_wrong_choice_names_the_right_ones(capsys):
    message = refusal(capsys, "train_it", "--label_type", "gauss")
    assert "--label_type: invalid choice: 'gauss'" in message
    assert "Gaussian" in message
    assert "Cauchy" in message


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (count, {"1": 1, "600": 600}, ["0", "-1", "1.0", "", "x", "inf"]),
        (whole, {"0": 0, "7": 7}, ["-1", "0.5", "nan"]),
        (positive, {"1e-9": 1e-9, "3": 3.0}, ["0", "-0.0", "-1", "nan", "inf", "1e999"]),
        (not_negative, {"0": 0.0, "0.5": 0.5}, ["-1e-9", "nan", "inf"]),
        (share, {"0": 0.0, "1": 1.0, ".5": 0.5}, ["1.001", "-0.1", "nan", "50%"]),
        (seed, {"0": 0, "4294967295": 2**32 - 1}, ["4294967296", "-1", "1e3"]),
        (boolean, {"True": True, "no": False}, ["", "2", "tru"]),
    ],
)
def test_argument_types(kind, good, bad):
    for text, value in good.items():
        assert kind(text) == value
        assert type(kind(text)) is type(value)
    for text in bad:
        with pytest.raises(argparse.ArgumentTypeError, match=repr(text)):
            kind(text)


# ------------------------------------------------------------------------------------------ running
def test_the_script_gets_its_options():
    calls.clear()
    main("it", SCRIPTS, GROUPS, ["train_it", "--lr", "2"])
    assert [(options.script, options.lr) for options in calls] == [("train_it", 2.0)]


def run_and_raise(capsys, kind, *more):
    with pytest.raises(SystemExit) as ended:
        main("it", SCRIPTS, GROUPS, ["train_it", "--names", "raise", kind, *more])
    return ended.value.code, capsys.readouterr().err


def test_a_user_error_is_one_line_and_status_2(capsys):
    assert run_and_raise(capsys, "user") == (2, "it.py train_it: error: it is wrong\n")
    status, err = run_and_raise(capsys, "os")
    assert (status, len(err.splitlines())) == (2, 1)
    assert "Permission denied: 'a/b'" in err


def test_debug_traceback_shows_where(capsys):
    for kind, name in (("user", "UserError"), ("os", "PermissionError")):
        status, err = run_and_raise(capsys, kind, "--debug_traceback")
        assert status == 2
        assert err.startswith("Traceback")
        assert name in err
        assert err.splitlines()[-1].startswith("it.py train_it: error: ")


def test_an_internal_fault_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        main("it", SCRIPTS, GROUPS, ["train_it", "--names", "raise", "fault"])


def test_an_interrupt_ends_with_status_130(capsys):
    assert run_and_raise(capsys, "stop") == (130, "")


def test_output_folders_are_looked_at_before_the_work(tmp_path, capsys):
    groups = GROUPS | {"output": (Option("output_dir", "where to", None, Path),)}
    scripts = {"it": Script(__name__, "note", "It.", "nothing", ("names", "debug_traceback", "output_dir"))}
    (tmp_path / "file").touch()
    calls.clear()
    main("it", scripts, groups, ["it", "--output_dir", str(tmp_path / "new" / "folder")])
    assert len(calls) == 1
    assert not (tmp_path / "new").exists()
    with pytest.raises(SystemExit) as ended:
        main("it", scripts, groups, ["it", "--output_dir", str(tmp_path / "file" / "folder")])
    assert ended.value.code == 2
    assert f"{tmp_path / 'file'} is a file; give a new or existing folder" in capsys.readouterr().err
    assert len(calls) == 1


def test_no_more_workers_than_cores(monkeypatch, capsys):
    monkeypatch.setattr(cli.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    groups = GROUPS | {"machine": (Option("workers", "processes", 6, whole),)}
    scripts = {"it": Script(__name__, "note", "It.", "nothing", ("names", "debug_traceback", "workers"))}
    calls.clear()
    for argv in ([], ["--workers", "2"], ["--workers", "0"]):
        main("it", scripts, groups, ["it", *argv])
    assert not capsys.readouterr().out  # nobody asked for six
    main("it", scripts, groups, ["it", "--workers", "3"])
    assert [options.workers for options in calls] == [2, 2, 0, 2]
    assert capsys.readouterr().out == "--workers 3: 2 are used, since this machine has 2 cores\n"


# ------------------------------------------------------------------------------------------ checks
def small(data_dir, lr):
    """A check of the scripts below."""
    if lr > 1:
        raise UserError(f"--lr {lr}: too much for {data_dir}")


@pytest.fixture
def checked():
    """A script that is never imported, with a check."""
    check = Check(f"{__name__}:small", ("data_dir", "lr"))
    return {
        "it": Script("no.such.module", "it", "It.", "nothing", ("data", "training", "debug_traceback"), checks=(check,))
    }


def test_a_check_refuses_before_the_script_is_imported(capsys, checked):
    with pytest.raises(SystemExit) as ended:
        main("it", checked, GROUPS, ["it", "--lr", "2", "--data_dir", "here"])
    assert (ended.value.code, capsys.readouterr().err) == (2, "it.py it: error: --lr 2.0: too much for here\n")
    for argv in (["--lr", "0.5"], ["--lr", "2", "--data_dir", "sample"]):  # the sample is made later
        with pytest.raises(ModuleNotFoundError):
            main("it", checked, GROUPS, ["it", *argv])


def test_processes_of_a_launcher_leave_checks_to_the_script(monkeypatch, checked):
    monkeypatch.setenv("HOROVOD_RANK", "0")
    with pytest.raises(ModuleNotFoundError):
        main("it", checked, GROUPS, ["it", "--lr", "2"], processes=rank_of(0, 2))


# ------------------------------------------------------------------------------------------ help
def test_help_shows_an_empty_default_as_none(capsys):
    scripts = {"train_it": SCRIPTS["train_it"]._replace(defaults={"schedule": []})}
    with pytest.raises(SystemExit):
        main("it", scripts, GROUPS, ["train_it", "--help"])
    assert "epochs (default: none)" in capsys.readouterr().out


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"]])
def test_without_a_script_the_scripts_are_listed(capsys, argv):
    main("it", SCRIPTS, GROUPS, argv)
    out = capsys.readouterr().out
    for text in (
        "usage: python it.py SCRIPT",
        "train_it",
        "Train it.",
        "needs: data in data/it",
        "draw_it",
        "needs: a picture",
    ):
        assert text in out


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_shows_the_scripts_options_grouped_with_defaults(capsys, flag):
    with pytest.raises(SystemExit) as ended:
        main("it", SCRIPTS, GROUPS, ["train_it", flag])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    for text in (
        "Train it. Needs: data in data/it.", "data:\n", "training:\n", "switches:\n",
        "learning rate, 100% yours (default: 0.5)", "epochs (default: 60 90)",
        "{Gaussian,Cauchy}", "turn and flip (default: True)", "--2d_poses", "--2d_pose ",
    ):  # fmt: skip
        assert text in out
    assert "--no_augment_data" not in out
    with pytest.raises(SystemExit):
        main("it", SCRIPTS, GROUPS, ["draw_it", flag])
    out = capsys.readouterr().out
    assert "file of poses (required)" in out
    assert "one name" in out
    assert "--lr" not in out


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_may_come_before_the_script(capsys, flag):
    shown = []
    for argv in ([flag, "draw_it"], ["draw_it", flag]):
        with pytest.raises(SystemExit):
            main("it", SCRIPTS, GROUPS, argv)
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1]
    assert "file of poses (required)" in shown[0]
    main("it", SCRIPTS, GROUPS, [flag, "zzz"])
    assert "usage: python it.py SCRIPT" in capsys.readouterr().out


def test_a_closed_pipe_is_not_an_error(monkeypatch):
    def broken(options):
        raise BrokenPipeError

    moved = []
    monkeypatch.setattr(sys.modules[__name__], "note", broken)
    monkeypatch.setattr(cli.os, "dup2", lambda *files: moved.append(files))
    monkeypatch.setattr(sys.stdout, "fileno", lambda: 1, raising=False)
    main("it", SCRIPTS, GROUPS, ["train_it"])
    assert len(moved) == 1
