"""Reports on Human3.6M folders: what is present and what is missing."""

from itertools import product

from h36m_folders import h5_path, some_positions, write_table

from utils.human36m.actions import ACTIONS, SUBJECTS
from utils.human36m.files import find_sequences, write_positions
from utils.human36m.report import report, table


def test_the_report_shows_what_is_there_and_what_is_missing(folder):
    lines = report(find_sequences(folder)).splitlines()
    assert lines[0] == f"{folder}: 6 sequences, 39 frames, h5 format"
    rows = {line.split()[0]: line.split()[1:] for line in lines[1:18]}
    assert rows["action"] == ["S1", "S5", "S6", "S7", "S8", "S9", "S11"]
    assert rows["Walking"] == ["9", "-", "-", "-", "-", "-", "-"]
    assert rows["Sitting"][0] == "13"
    assert rows["SittingDown"][:2] == ["8", "(1)"]
    assert rows["all"] == ["30", "0", "0", "0", "0", "9", "0"]
    assert lines[19].startswith("missing 204 of 210 sequences: S1: Directions, ")
    assert "one SittingDown" in lines[19]
    assert "S5: everything; S6: everything" in lines[19]
    assert "convert_h36m.py" in lines[20]
    assert lines[21] == f"cameras: 8 from {folder / 'cameras.h5'}"


def test_a_complete_folder_is_reported_in_one_line(tmp_path):
    for subject, action, take in product(SUBJECTS, ACTIONS, (1, 2)):
        write_positions(h5_path(tmp_path, subject, f"{action} {take}"), some_positions(2))
    write_table(tmp_path)
    line = f"Human3.6M in {tmp_path}: 7 subjects, 15 actions, 210 sequences, 420 frames"
    assert report(find_sequences(tmp_path)) == line
    h5_path(tmp_path, 11, "Directions 2").unlink()
    shorter = line.replace("210 sequences, 420", "209 sequences, 418")
    assert report(find_sequences(tmp_path)) == f"{shorter}; missing: one of S11's two Directions, as in many copies"
    (tmp_path / "cameras.h5").unlink()
    text = report(find_sequences(tmp_path))
    assert "no camera table" in text.splitlines()[-1]
    assert len(text.splitlines()) > 15


# real files


def test_the_real_layout_is_complete_and_counts_agree(cmu):
    files = find_sequences(cmu)
    assert len(files.sequences) == 210
    counts = {s: sum(one.frames for one in files.select([s])) for s in SUBJECTS}
    assert counts == {1: 13_269, 5: 12_179, 6: 12_038, 7: 5_275, 8: 3_674, 9: 5_526, 11: 6_001}
    assert {one.name for one in files.select([7], ["Walking"])} == {"Walking", "Walking 1"}
    line = f"Human3.6M in {cmu}: 7 subjects, 15 actions, 210 sequences, 57,962 frames"
    assert report(files) == line
    text = table(files)
    assert "complete: 7 subjects × 15 actions × 2" in text
    assert "210 sequences, 57,962 frames" in text
    assert "cameras: 28" in text


def test_the_real_layout_without_a_directions_names_the_known_gap(cmu, tmp_path):
    for subject in SUBJECTS:
        source = h5_path(cmu, subject, "x").parent.resolve()
        target = h5_path(tmp_path, subject, "x").parent
        target.mkdir(parents=True)
        for path in source.iterdir():
            if (subject, path.stem) != (11, "Directions"):
                (target / path.name).symlink_to(path)
    (tmp_path / "cameras.h5").symlink_to((cmu / "cameras.h5").resolve())
    files = find_sequences(tmp_path)
    assert [one.name for one in files.select([11], ["Directions"])] == ["Directions 1"]
    assert report(files).endswith("frames; missing: one of S11's two Directions, as in many copies")
    assert "complete except one of S11's two Directions" in table(files)
