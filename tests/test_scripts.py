"""The programs of scripts/ and benchmarks/, which find the project from any working directory, and the demo scripts."""

import re
import shlex
import shutil
import subprocess
import sys

import pytest
from command_line import ROOT

PROGRAMS = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ("scripts", "benchmarks")
    for path in (ROOT / folder).glob("*.py")
    if "__main__" in path.read_text()
)
# All in one process, since torch takes seconds to import; the project's own modules are forgotten after each.
ASK_ALL = """
import io, runpy, sys
from contextlib import redirect_stdout
from pathlib import Path
root, programs, path = sys.argv[1], sys.argv[2:], list(sys.path)
ours = {file.stem for file in Path(root).iterdir()}
for program in programs:
    before, sys.path[:], sys.argv = set(sys.modules), path, [program, "--help"]
    answer = io.StringIO()
    try:
        with redirect_stdout(answer):
            runpy.run_path(f"{root}/{program}", run_name="__main__")
    except SystemExit as ended:
        print(program, ended.code, answer.getvalue().split()[0])
    except Exception as error:
        print(program, repr(error))
    for name in set(sys.modules) - before:
        if name.split(".")[0] in ours:
            del sys.modules[name]
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-I", "-c", ASK_ALL, str(ROOT), *PROGRAMS], cwd=tmp_path_factory.mktemp("elsewhere"),
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_answers_help_from_any_folder(answers, program):
    [answer] = (line for line in answers if line.startswith(f"{program} "))
    assert answer == f"{program} 0 usage:"


@pytest.mark.parametrize("script", ["demo.sh", "demo_training.sh"])
def test_a_demo_says_how_long_it_took_and_its_commands_take_their_options(script, tmp_path, parse_options):
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / script, tmp_path / "scripts")
    python = tmp_path / ".venv/bin/python"  # writes down what it is given
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$@" >> called\n')
    python.chmod(0o755)
    out = subprocess.run([tmp_path / "scripts" / script], capture_output=True, text=True, timeout=60, check=True).stdout
    assert re.search(r"^== done in \d+ s; look at$", out, re.MULTILINE)
    called = [shlex.split(line) for line in (tmp_path / "called").read_text().splitlines()]
    assert len(called) == len(re.findall(r"^== \d/\d ", out, re.MULTILINE))
    for entry, name, *argv in called:
        parse_options(*argv, entry=entry.removesuffix(".py"), script=name)
