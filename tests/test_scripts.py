"""The programs of scripts/ and benchmarks/, which find the project from any working directory."""

import subprocess
import sys

import pytest
from command_line import ROOT

PROGRAMS = sorted(
    path.relative_to(ROOT).as_posix() for folder in ("scripts", "benchmarks") for path in (ROOT / folder).glob("*.py")
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
