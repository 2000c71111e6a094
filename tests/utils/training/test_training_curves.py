"""Curves of trainings from their log.txt."""

from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from utils.imaging.images import read_image
from utils.osutils import UserError
from utils.training.training_curves import (
    best,
    direction,
    draw,
    find_log,
    read_run,
    reference_for,
    run_names,
    shown_quantities,
    summary,
    training_curves,
)
from utils.training.training_log import write_options

HEADER = "epoch\tlr\tseconds\ttrain/heatmap_loss\ttrain/loss\tval/loss\tval/PCKh@0.5"
ROWS = ("1\t0.001\t9\t0.5\t0.5\t0.6\t10", "2\t0.001\t9\t0.3\t0.3\t0.2\t40", "3\t0.0001\t9\t0.2\t0.2\t0.25\t30")


def write_log(folder: Path, *rows: str, header: str = HEADER) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "log.txt").write_text("\n".join([header, *rows]) + "\n")
    return folder


def run(tmp_path: Path, *rows: str, header: str = HEADER):
    return read_run(find_log(write_log(tmp_path / "a", *rows, header=header)), "a")


def refusal(tmp_path: Path, load) -> str:
    with pytest.raises(UserError) as caught:
        training_curves(Namespace(load=load, output_dir=tmp_path / "out", by_part=False))
    assert not (tmp_path / "out").exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_curves_by_hand(tmp_path):
    one = run(tmp_path, *ROWS)
    assert one.epochs.tolist() == [1, 2, 3]
    assert one.curves["val/PCKh@0.5"].tolist() == [10, 40, 30]
    assert "seconds" not in one.curves
    assert best(one, "PCKh@0.5") == (2, 40)  # higher is better
    assert best(one, "loss") == (2, 0.2)  # lower is better
    assert best(one, "lr") is None


def test_panels(tmp_path):
    one = run(tmp_path, *ROWS)
    assert shown_quantities([one]) == ["loss", "PCKh@0.5", "lr"]  # the heat-map loss is the whole loss
    figure = draw([one, one])
    titles = [panel.get_title() for panel in figure.axes]
    assert titles == ["loss (lower is better)", "PCKh@0.5 (higher is better)", "learning rate"]
    loss = figure.axes[0]
    lines = [line for line in loss.lines if len(line.get_xdata()) == 3]
    assert [line.get_linestyle() for line in lines] == ["-", "--", "-", "--"]  # validation and training, two runs
    assert lines[0].get_color() != lines[2].get_color()
    stars = [line.get_xydata().tolist() for line in loss.lines if line.get_marker() == "*"]
    assert stars == [[[2, 0.2]]] * 2


def test_the_legend_has_what_is_drawn(tmp_path):
    figure = draw([run(tmp_path, *ROWS)])
    drawn = [text.get_text() for text in figure.legends[0].get_texts()]
    assert drawn == ["a", "validation", "training", "best validation epoch"]
    figure = draw([run(tmp_path, "1\t0.001\t10", header="epoch\tlr\tval/PCKh@0.5")])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "validation", "best validation epoch"]


def test_part_of_the_loss_has_its_panel(tmp_path):
    rows = [row.replace("0.5\t0.5", "0.4\t0.5") for row in ROWS]
    assert "heatmap_loss" in shown_quantities([run(tmp_path, *rows)])


def test_nan_and_inf_are_gaps(tmp_path):
    one = run(tmp_path, "1\t0.1\t9\t1\t1\tnan\tnan", "2\t0.1\t9\t1\t1\tinf\tnan", "3\t0.1\t9\t1\t1\t0.5\tnan")
    assert best(one, "loss") == (3, 0.5)
    assert best(one, "PCKh@0.5") is None
    draw([one]).draw_without_rendering()


def test_repeated_epoch_counts_once(tmp_path):
    one = run(tmp_path, ROWS[0], ROWS[2], ROWS[1], ROWS[1].replace("40", "90"))
    assert one.epochs.tolist() == [1, 2, 3]
    assert one.curves["val/PCKh@0.5"].tolist() == [10, 90, 30]


def test_names_tell_runs_apart(tmp_path):
    logs = [tmp_path / p / "log.txt" for p in ("x/mpii_a", "x/mpii_b")]
    assert run_names(logs) == ["mpii_a", "mpii_b"]
    logs = [tmp_path / p / "log.txt" for p in ("x/mpii", "y/mpii")]
    assert run_names(logs) == ["x/mpii", "y/mpii"]
    assert run_names([logs[0], logs[0]])[0].endswith("mpii")
    assert run_names([tmp_path / "other.txt"]) == ["other.txt"]


def test_writes_one_figure_for_folders_and_files(tmp_path, capsys):
    first, second = write_log(tmp_path / "_one$", *ROWS), write_log(tmp_path / "two", ROWS[0])
    training_curves(Namespace(load=[first, second / "log.txt"], output_dir=tmp_path / "out", by_part=False))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["training_curves.pdf", "training_curves.png"]
    picture = read_image(tmp_path / "out" / "training_curves.png")
    assert min(picture.shape[:2]) > 300
    assert len(np.unique(picture)) > 20
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "_one$: 3 epochs, best val/loss 0.2 (epoch 2), best val/PCKh@0.5 40 (epoch 2)"
    assert out[-1] == f"curves: {tmp_path / 'out' / 'training_curves.png'}"


def test_one_path_alone(tmp_path):
    training_curves(Namespace(load=write_log(tmp_path / "a", *ROWS), output_dir=tmp_path / "out", by_part=False))
    assert (tmp_path / "out" / "training_curves.png").is_file()


def test_a_term_that_equals_the_loss_is_left_out(tmp_path):
    header = "epoch\ttrain/heatmap_loss\ttrain/loss\tval/heatmap_loss\tval/loss"
    whole = run(tmp_path, "1\t2\t2\t3\t3", header=header)
    assert summary(whole) == "a: 1 epoch, best val/loss 3 (epoch 1)"
    part = run(tmp_path, "1\t2\t2\t3\t4", header=header)
    assert summary(part) == "a: 1 epoch, best val/heatmap_loss 3 (epoch 1), best val/loss 4 (epoch 1)"


def test_parts_of_a_metric_share_a_panel_and_a_word_in_the_summary(tmp_path, capsys):
    header = "epoch\tlr\tval/MPJPE\tval/MPJPE/Walking\tval/MPJPE/Sitting"
    first = write_log(tmp_path / "a", "1\t0.1\t50\t40\t60", "2\t0.1\t55\t41\t69", header=header)
    second = write_log(tmp_path / "b", "1\t0.1\t70\t65", header=header.rpartition("\t")[0])
    runs = [read_run(find_log(folder), folder.name) for folder in (first, second)]
    assert shown_quantities(runs) == ["MPJPE", "lr"]
    assert len(draw(runs).axes) == 2  # parts only where they are asked for
    panel = draw(runs, by_part=True).axes[2]
    assert panel.get_title() == "MPJPE by part, at the best epoch"
    assert [label.get_text() for label in panel.get_yticklabels()] == ["Walking", "Sitting"]
    assert np.array_equal([line.get_xdata() for line in panel.lines], [[40, 60], [65, np.nan]], equal_nan=True)
    training_curves(Namespace(load=[first, second], output_dir=tmp_path / "out", by_part=False))
    assert capsys.readouterr().out.splitlines()[:2] == [
        "a: 2 epochs, best val/MPJPE 50 (epoch 1), MPJPE by part (2): --by_part",
        "b: 1 epoch, best val/MPJPE 70 (epoch 1), MPJPE by part (1): --by_part",
    ]


def test_rates_of_older_trainings_are_turned_into_percent(tmp_path):
    header = "epoch\tval/loss\tval/PCKh@0.5\tval/visibility_accuracy"
    old = write_log(tmp_path / "old", "1\t0.5\t0.25\tnan", "2\t0.4\t0.5\t1", header=header)
    new = write_log(tmp_path / "new", "1\t0.5\t0.25\t0.75", header=header)
    units = {"PCKh@0.5": "%", "visibility_accuracy": "%"}
    write_options(new / "options.json", {}, None, {"PCKh@0.5": "higher"}, units)
    before, after = (read_run(find_log(folder), folder.name) for folder in (old, new))
    assert before.curves["val/PCKh@0.5"].tolist() == [25, 50]
    assert before.curves["val/visibility_accuracy"][1] == 100
    assert before.curves["val/loss"].tolist() == [0.5, 0.4]
    assert after.curves["val/PCKh@0.5"].tolist() == [0.25]  # a quarter of a percent
    assert before.units == after.units == units
    assert summary(after) == "new: 1 epoch, best val/PCKh@0.5 0.25 % (epoch 1)"
    [panel] = [panel for panel in draw([before, after]).axes if panel.get_title() == "PCKh@0.5 (higher is better)"]
    assert panel.get_ylabel() == "%"


class TestBadInput:
    def test_missing(self, tmp_path):
        assert "does not exist" in refusal(tmp_path, [tmp_path / "none"])

    def test_folder_without_log_names_those_inside(self, tmp_path):
        write_log(tmp_path / "all" / "mpii_a", *ROWS)
        assert str(tmp_path / "all" / "mpii_a") in refusal(tmp_path, [tmp_path / "all"])
        (tmp_path / "empty").mkdir()
        assert "has no log.txt" in refusal(tmp_path, [tmp_path / "empty"])

    @pytest.mark.parametrize("row", ["4\tx\t9\t1\t1\t1\t1", "4\t0.1\t9", "4\t0.1\t9\t1\t1\t1\t1\t1"])
    def test_bad_line_is_named(self, tmp_path, row):
        folder = write_log(tmp_path / "a", *ROWS, row)
        message = refusal(tmp_path, [folder])
        assert str(folder / "log.txt") in message
        assert "line 5" in message

    def test_no_log_at_all(self, tmp_path):
        (tmp_path / "x.bin").write_bytes(bytes(range(256)))
        assert "not a training log" in refusal(tmp_path, [tmp_path / "x.bin"])
        (tmp_path / "log.txt").write_text("")
        assert "not a training log" in refusal(tmp_path, [tmp_path / "log.txt"])

    def test_no_epoch_yet(self, tmp_path):
        assert "no epoch yet" in refusal(tmp_path, [write_log(tmp_path / "a")])

    def test_only_epochs(self, tmp_path):
        folder = write_log(tmp_path / "a", "1", "2", header="epoch")
        assert "names only epochs" in refusal(tmp_path, [folder])

    def test_output_folder_is_a_file(self, tmp_path):
        folder = write_log(tmp_path / "a", *ROWS)
        (tmp_path / "file").write_text("x")
        with pytest.raises(UserError, match="--output_dir"):
            training_curves(Namespace(load=[folder], output_dir=tmp_path / "file", by_part=False))


def test_the_training_says_which_way_is_better(tmp_path):
    """Else the name does: an error is better low, a quantity of an unknown name neither way."""
    (tmp_path / "log.txt").write_text(
        "epoch\tval/error_budget\tval/turned\tval/MPJPE/Walking\n1\t1\t2\t30\n2\t3\t1\t20\n"
    )
    old = read_run(tmp_path / "log.txt", "old")
    assert (best(old, "error_budget"), best(old, "turned")) == ((1, 1), None)
    better = {"error_budget": "higher", "turned": "lower", "MPJPE": "lower"}
    write_options(tmp_path / "options.json", {"lr": 0.1}, None, better, {})
    new = read_run(tmp_path / "log.txt", "new")
    assert [best(new, name) for name in ("error_budget", "turned", "MPJPE/Walking")] == [(2, 3), (2, 1), (2, 20)]


def test_constants_are_lines_and_opponents_losses_have_no_star(tmp_path):
    header = "epoch\ttrain/critic_loss\tval/SW\tval/SW_real"
    one = run(tmp_path, "1\t3\t50\t20", "2\t2\t40\t20", header=header)
    assert direction(one, "critic_loss") == 0
    assert reference_for([one], "SW_real", ["SW", "SW_real"]) == "SW"
    assert reference_for([one], "SW", ["SW", "SW_real"]) is None
    figure = draw([one])
    assert [panel.get_title() for panel in figure.axes if panel.axison] == ["critic_loss", "SW"]
    levels = [line.get_ydata() for line in figure.axes[1].lines]
    assert any(list(level) == [20, 20] for level in levels)
    assert "best validation epoch" not in [text.get_text() for text in figure.legends[0].get_texts()]
