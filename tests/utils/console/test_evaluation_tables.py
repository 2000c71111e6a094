import json
from pathlib import Path

import numpy as np
import pytest

from utils.console.evaluation_tables import format_number, format_rows, markdown_table, model_names, tables_as_json
from utils.osutils import UserError


def test_default_names_tell_the_files_apart():
    assert model_names([Path("x/a.mat"), Path("x/b.pt")], None) == ["a", "b"]
    assert model_names([Path("x/a.mat"), Path("x/a.pt")], None) == ["a.mat", "a.pt"]
    assert model_names([Path("x/a.mat"), Path("y/a.mat")], None) == ["x/a.mat", "y/a.mat"]
    assert model_names([Path("x/a.mat")], ["mine"]) == ["mine"]


@pytest.mark.parametrize(
    ("paths", "given", "message"),
    [
        (["a.pt", "b.pt"], ["one"], "1 names for 2"),
        (["a.pt", "b.pt"], ["same", "same"], "'same' is given twice"),
        (["a.pt", "a.pt"], None, "a.pt is given twice"),
        ([], None, "no file given"),
    ],
)
def test_bad_names_are_refused(paths, given, message):
    with pytest.raises(UserError, match=message):
        model_names([Path(path) for path in paths], given)


def test_rows_line_up():
    rows = [("a", [1, 2.005]), ("longer", [float("nan"), 1234567.891])]
    assert format_rows("model", ["x", "a long title"], rows) == [
        "model          x  a long title",
        "a           1.00          2.00",
        "longer         -    1234567.89",
    ]
    assert format_rows("m", ["x"], [], width=3) == ["m           x"]
    assert format_number(0) == "0.00"


def test_a_markdown_table():
    assert markdown_table(["a", "b"], [["1", "2"]]).splitlines() == ["| a | b |", "| --- | --- |", "| 1 | 2 |"]


def test_nan_is_null_in_json():
    tables = {"m\u00e4\udcff": {"all": {"a": float("nan"), "b": np.float64(1.5)}, "n": 3}}
    assert json.loads(tables_as_json(tables)) == {"m\u00e4\udcff": {"all": {"a": None, "b": 1.5}, "n": 3}}
