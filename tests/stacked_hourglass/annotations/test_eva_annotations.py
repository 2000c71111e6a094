"""HumanEva-I's reader: files in the public form, which clips are placed and why, and one line for each wrong form."""

import numpy as np
import pytest

from stacked_hourglass.annotations.eva import (
    Place,
    load_eva,
    place_clips,
    placement_lines,
    read_clips,
    read_ofs,
    read_sync,
)
from stacked_hourglass.annotations.eva_ranges import frames_in_all, range_of
from utils.osutils import UserError
from utils.transform import EVA

HEADER = "subject,action,chunk,camera,start\n"


def truth(folder, positions):
    folder.mkdir(exist_ok=True)
    array = np.array(positions, dtype=object)
    np.savez(folder / "data_2d_humaneva15_gt.npz", positions_2d=array, metadata=np.array({"a": 1}, dtype=object))
    return folder


def cameras(frames=3, joints=15, count=3):
    return [np.full((frames, joints, 2), 100.0 * number, np.float32) for number in range(1, count + 1)]


def videos(folder, *names, subject="S1"):
    for name in names:
        path = folder / subject / "Image_Data" / f"{name}.avi"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def ofs(folder, name, text, subject="S1"):
    path = folder / subject / "Sync_Data" / f"{name}.ofs"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def folder(tmp_path):
    """One chunk to train on and one to validate on, in three cameras with a video each."""
    chunk = {"Walking 1 chunk0": cameras()}
    truth(tmp_path, {"Train/S1": chunk, "Validate/S1": {"Walking 1 chunk0": cameras(2)}})
    videos(tmp_path, "Walking_1_(C1)", "Walking_1_(C2)", "Walking_1_(C3)")
    return tmp_path


def refusal(function, *arguments):
    with pytest.raises(UserError) as error:
        function(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


# ------------------------------------------------------------------------------------------ the truth
def test_clips_of_the_public_form(folder):
    clips = read_clips(folder)
    assert [str(clip) for clip in clips[:2]] == ["Train/S1 Walking 1 chunk0 C1", "Train/S1 Walking 1 chunk0 C2"]
    assert len(clips) == 6
    assert clips[1].video == folder / "S1/Image_Data/Walking_1_(C2).avi"
    assert (clips[1].joints == 200).all()


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        ({"Train/S1": {"Walking 1 chunk0": cameras(joints=20)}}, "camera 1: 3 × 20 × 2; expected frames × 15 × 2 px"),
        ({"Train/S1": {"Walking 1 chunk0": cameras(count=2)}}, "has 2 cameras; expected 3, C1 to C3"),
        ({"Train/S1": {"Walking 1 chunk0": [*cameras(count=2), cameras(4)[2]]}}, "cameras have 3, 3, 4 frames"),
        ({"Train/S1": {"Walking 1": cameras()}}, "expected an action with its chunk, such as 'Walking 1 chunk0'"),
        ({"S1": {"Walking 1 chunk0": cameras()}}, "'S1' is not a subject with actions; expected Train/S1"),
        ({}, "positions_2d is not subject → action → cameras"),
    ],
)
def test_wrong_truth_ends_in_one_line(tmp_path, positions, message):
    assert message in refusal(read_clips, truth(tmp_path, positions))


def test_no_truth_says_how_to_get_it(tmp_path):
    assert "data_2d_humaneva15_gt.npz does not exist; register at" in refusal(read_clips, tmp_path)


# ------------------------------------------------------------------------------------------ the table and OFS files
def test_the_table(tmp_path):
    (tmp_path / "t.csv").write_text(HEADER + "Train/S1,Walking 1,0,C1,666\nValidate/S2,Box 1,12,3,0\n")
    assert read_sync(tmp_path / "t.csv") == {
        ("Train", Place("S1", "Walking 1", 0, 1)): 666,
        ("Validate", Place("S2", "Box 1", 12, 3)): 0,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER + "Train/S1,Walking 1,0,C1,-5\n", "line 2 is Train/S1,Walking 1,0,C1,-5; expected the columns"),
        (HEADER + "S1,Walking 1,0,C1,5\n", "line 2 is S1,"),
        ("a,b\n1,2\n", "line 2 is ,,,,; expected the columns subject,action,chunk,camera,start"),
        (HEADER, "no row"),
    ],
)
def test_wrong_tables_name_the_line(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    assert message in refusal(read_sync, tmp_path / "t.csv")
    assert "not a readable table" in refusal(read_sync, tmp_path / "nothing.csv")


def test_ofs_files_count_from_one(tmp_path):
    assert read_ofs(ofs(tmp_path, "a", "667\n1201.5\n2.0\n")) == 666
    for text in ("", "0\n1\n2\n", "x\n1\n2\n", "5\n1\n"):
        assert "three numbers" in refusal(read_ofs, ofs(tmp_path, "b", text))


# ------------------------------------------------------------------------------------------ placing
def starts(**cameras_of):
    return {
        (part, Place("S1", "Walking 1", 0, c)): start for part, row in cameras_of.items() for c, start in row.items()
    }


def test_a_table_places_and_the_rest_is_left_out_with_its_reason(folder):
    table = starts(Train={1: 4, 2: 5, 3: 6}, Validate={1: 0})
    placed, left_out = place_clips(read_clips(folder), table, lambda video: 9)
    assert [clip.start for clip in placed] == [4, 5, 6, 0]
    assert [str(clip) for clip in left_out["no start in --sync, no OFS file"]] == [
        "Validate/S1 Walking 1 chunk0 C2",
        "Validate/S1 Walking 1 chunk0 C3",
    ]
    assert placement_lines(placed, left_out) == [
        "HumanEva-I: 4 clips with 11 frames placed in their videos",
        "2 clips left out, no start in --sync, no OFS file: Validate/S1 Walking 1 chunk0 C2, "
        "Validate/S1 Walking 1 chunk0 C3",
    ]


def test_a_video_of_another_length_is_refused(folder):
    message = refusal(place_clips, read_clips(folder), starts(Train={1: 4}), lambda video: 6)
    assert "Train/S1 Walking 1 chunk0 C1 has 3 poses from frame 4 on, and" in message
    assert "has 6 frames" in message


def test_a_row_without_a_clip_is_refused(folder):
    assert "Train/S1 Walking 1 chunk0 C4 is not in" in refusal(
        place_clips, read_clips(folder), starts(Train={4: 0}), lambda video: 9
    )


def test_a_clip_without_a_video_is_left_out(folder):
    (folder / "S1/Image_Data/Walking_1_(C2).avi").unlink()
    placed, left_out = place_clips(read_clips(folder), starts(Train={1: 0, 2: 0, 3: 0}), lambda video: 9)
    assert [clip.place.camera for clip in placed] == [1, 3]
    assert len(left_out["no video"]) == 2


def test_an_ofs_file_places_only_what_covers_the_video(tmp_path):
    """A single chunk of 3 frames: exact from frame 6 of 9, unknown where the video is longer."""
    truth(tmp_path, {"Train/S1": {"Jog 1 chunk0": cameras()}})
    videos(tmp_path, "Jog_1_(C1)", "Jog_1_(C2)", "Jog_1_(C3)")
    for number in (1, 2):
        ofs(tmp_path, f"Jog_1_(C{number})", "7\n1\n2\n")
    frames = {"Jog_1_(C1)": 9, "Jog_1_(C2)": 10, "Jog_1_(C3)": 9}
    placed, left_out = place_clips(read_clips(tmp_path), {}, lambda video: frames[video.stem])
    assert [(clip.place.camera, clip.start) for clip in placed] == [(1, 6)]
    assert {reason.split(",")[0]: len(clips) for reason, clips in left_out.items()} == {
        "does not cover the video from the OFS file's frame to its end: give --sync": 1,
        "no start in --sync": 1,
    }


def test_an_ofs_file_gives_no_starts_of_several_chunks(folder):
    ofs(folder, "Walking_1_(C1)", "1\n1\n2\n")
    placed, left_out = place_clips(read_clips(folder), {}, lambda video: 3)
    assert placed == []
    assert len(left_out["several chunks, of which an OFS file does not tell the starts: give --sync"]) == 2


def gestures(folder, frames, start):
    """S1's Gestures in C1: the whole validation range, as published, and a part of the training range."""
    positions = {"Validate/S1": {"Gestures 1 chunk0": cameras(390)}, "Train/S1": {"Gestures 1 chunk1": cameras(400)}}
    videos(truth(folder, positions), "Gestures_1_(C1)")
    ofs(folder, "Gestures_1_(C1)", f"{start}\n1\n2\n")
    return place_clips(read_clips(folder), {}, lambda video: frames)


def test_an_ofs_file_places_a_chunk_that_is_a_whole_range(tmp_path):
    """The range begins 5 frames after the first synchronised one, which is 45, counted from 1."""
    placed, left_out = gestures(tmp_path, 1000, start=45)
    assert [(str(clip), clip.start) for clip in placed] == [("Validate/S1 Gestures 1 chunk0 C1", 49)]
    [parts] = (clips for reason, clips in left_out.items() if reason.startswith("several chunks"))
    assert [str(clip) for clip in parts] == ["Train/S1 Gestures 1 chunk1 C1"]


def test_a_whole_range_must_fit_its_video(tmp_path):
    assert len(gestures(tmp_path / "fits", 49 + 390, start=45)[0]) == 1
    message = refusal(gestures, tmp_path / "short", 49 + 389, 45)
    assert "Gestures_1_(C1).ofs: Validate/S1 Gestures 1 chunk0 C1 has 390 poses from frame 49 on, and" in message
    assert "has 438 frames" in message


def test_the_published_ranges():
    assert range_of("Train", "S1", "Walking 1") == range(590, 1203)
    assert range_of("Validate", "S3", "Box 1") == range(5, 512)
    assert not range_of("Train", "S4", "Box 1")
    assert not range_of("Train", "S1", "Combo 1")
    assert (frames_in_all("Train"), frames_in_all("Validate")) == (6978, 6790)


# ------------------------------------------------------------------------------------------ people
def people_of(folder, monkeypatch, table):
    (folder / "sync.csv").write_text(HEADER + table)
    monkeypatch.setattr(
        "stacked_hourglass.annotations.eva.find_clips",
        lambda data_dir, sync: place_clips(read_clips(data_dir), read_sync(folder / "sync.csv"), lambda video: 99),
    )
    return load_eva(
        folder, lambda clips: [[clip.video.with_suffix(f".{i}") for i in range(len(clip.joints))] for clip in clips]
    )


def test_people_and_their_clips(folder, monkeypatch):
    joints = cameras()
    for one in joints:
        one[:, 1:] += 30  # so that they span a crop
        one[0, EVA.index("head")] = np.nan
        one[1, EVA.index("l_wrist")] = 640, 100  # outside of the picture
        one[1, EVA.index("head")] -= 0, 50  # above the thorax, which is where the other joints are
    truth(folder, {"Train/S1": {"Walking 1 chunk0": joints}, "Validate/S1": {"Walking 1 chunk0": joints}})
    training, validation = people_of(
        folder, monkeypatch, "Train/S1,Walking 1,0,C2,40\nValidate/S1,Walking 1,0,C3,7\nValidate/S1,Walking 1,0,C1,0\n"
    )
    assert training.skeleton == EVA
    assert training.frame.tolist() == [40, 41, 42]
    assert len(set(training.clip.tolist())) == 1
    assert len(set(validation.clip.tolist())) == 2
    assert not training.annotated[0, EVA.index("head")]
    assert not training.annotated[1, EVA.index("l_wrist")]
    assert training.annotated.sum() == 3 * 15 - 2
    np.testing.assert_allclose(training.head_size[1], 0.54 * 50)
    np.testing.assert_allclose(training.center[2], [215, 215])


def test_a_part_that_cannot_be_placed_ends_in_one_line(folder, monkeypatch):
    message = refusal(people_of, folder, monkeypatch, "Train/S1,Walking 1,0,C2,40\n")
    assert "no clip of Validate can be placed (no start in --sync, no OFS file); see docs/data.md" in message
