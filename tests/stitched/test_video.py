"""`viz.py video`: a video with 2D poses on its frames and 3D poses beside them."""

import re

import cv2
import numpy as np
import PIL.Image
import pytest
import torch
from command_line import call, files
from hypothesis import given
from hypothesis import strategies as st
from standing_people import HEIGHT, WIDTH, joints_of, people, write_photo

from stitched.video import MOST_PANELS, SWING, SWING_SECONDS, arrange, assign_slots, explanation, stand, view_azimuth
from utils.imaging.draw3d import POSE_PANEL
from utils.imaging.figures import PANEL_GAP
from utils.imaging.image_sources import open_source
from utils.imaging.video_writer import write_video
from utils.look.palette import person_color
from utils.predictions.prediction_files import save_metas, save_predictions
from utils.transform import H36M

FRAMES, FPS = 8, 12.5
LEVELS = (60, 180)  # grey of the first and the later half of the frames
PANEL_WIDTH = HEIGHT * POSE_PANEL[0] // POSE_PANEL[1]


def name(number):
    return f"clip/{number:06d}"


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), FPS, (WIDTH, HEIGHT))
    for number in range(FRAMES):
        writer.write(np.full((HEIGHT, WIDTH, 3), LEVELS[number >= FRAMES // 2], np.uint8))
    writer.release()
    return path


@pytest.fixture
def render(clip, tmp_path):
    """`render({0: people(1)}, {0: [3]})`: the result of the script for poses and tracks by frame number."""

    def rendered(poses, tracks=None, *argv):
        poses = {name(number): values for number, values in poses.items()}
        save_predictions(tmp_path / "run/2d_pose_estimations.pt", {key: joints_of(p) for key, p in poses.items()})
        save_predictions(tmp_path / "run/3d_pose_estimations.pt", poses)
        metas = {key: {"skeleton": "H36M_2D"} for key in poses}
        for number, people_of_frame in (tracks or {}).items():
            metas[name(number)]["tracks"] = people_of_frame
        save_metas(tmp_path / "run/metas.pt", metas)
        return call(
            "viz", "video", "--img_dir", clip, "--2d_pose_estimations", tmp_path / "run/2d_pose_estimations.pt",
            "--3d_pose_estimations", tmp_path / "run/3d_pose_estimations.pt", "--output_dir", tmp_path / "out", *argv,
        )  # fmt: skip

    rendered.folder = tmp_path / "out"
    return rendered


def frames_of(folder):
    return [image for _, image in open_source(folder / "clip.mp4")]


def colored(picture, color, tolerance=40):
    """(x, y) of the middle of a colour, and how many px have it; the video's colours are not exact."""
    rows, columns = np.nonzero((np.abs(picture.astype(int) - color) <= tolerance).all(axis=2))
    return (columns.mean(), rows.mean(), len(rows)) if len(rows) else (np.nan, np.nan, 0)


def warmth(picture):
    return picture[..., 0].astype(int) - picture[..., 2]


class TestVideo:
    def test_rate_size_and_every_frame_are_kept(self, render, capfd):
        result = render({number: people(1) for number in range(FRAMES)}, {n: [0] for n in range(FRAMES)})
        assert result.warnings() == []
        below = explanation(WIDTH + PANEL_GAP + PANEL_WIDTH, None).size[1]
        below += below % 2
        assert f"8 frames, 8 of them with people, 1066 × {480 + below} px: " in result.out
        assert files(render.folder) == ["clip.mp4"]
        source = open_source(render.folder / "clip.mp4")
        assert source.fps == pytest.approx(FPS, abs=0.05)
        assert source.size == (WIDTH + PANEL_GAP + PANEL_WIDTH, HEIGHT + below)
        frames = frames_of(render.folder)
        # The corner shows the source: no frame is lost, repeated or moved.
        assert [frame[470, 10, 0] for frame in frames] == pytest.approx([*[LEVELS[0]] * 4, *[LEVELS[1]] * 4], abs=6)
        assert capfd.readouterr() == ("", "")

    def test_paper_has_a_white_ground(self, render):
        render({number: people(1) for number in range(FRAMES)}, None, "--style", "paper").succeeded()
        panel = frames_of(render.folder)[0][:HEIGHT, WIDTH + PANEL_GAP :]
        assert (panel > 240).all(axis=2).mean() > 0.5

    def test_left_is_left_and_the_view_turns(self, render):
        render({number: people(1) for number in range(FRAMES)}).succeeded()
        frames = frames_of(render.folder)
        spans = []
        for frame in frames:
            for part in (frame[:HEIGHT, :WIDTH], frame[:HEIGHT, WIDTH + PANEL_GAP :]):
                right, left = np.nonzero(warmth(part) > 60), np.nonzero(warmth(part) < -60)
                assert right[1].mean() < left[1].mean()
                assert right[0].mean() < left[0].mean()  # the right hand is raised
            spans.append(np.ptp(np.nonzero(np.abs(warmth(frame[:HEIGHT, WIDTH + PANEL_GAP :])) > 60)[1]))
        assert spans == sorted(spans, reverse=True)
        assert spans[-1] < 0.95 * spans[0]

    def test_nothing_but_the_person_moves(self, render):
        """Floor, caption and scale are those of the whole video, also while the person crouches."""
        low = people(1) * torch.tensor([1, 0.5, 1])
        render({n: people(1) if n < 4 else low for n in range(FRAMES)}).succeeded()
        first, last = (frames_of(render.folder)[k].astype(int) for k in (0, FRAMES - 1))
        assert np.abs(first[HEIGHT:] - last[HEIGHT:]).mean() < 3  # the caption
        first, last = (frame[:HEIGHT, WIDTH + PANEL_GAP :] for frame in (first, last))
        feet = [np.nonzero(np.abs(warmth(frame)) > 60)[0].max() for frame in (first, last)]
        heads = [np.nonzero(np.abs(warmth(frame)) > 60)[0].min() for frame in (first, last)]
        assert abs(feet[0] - feet[1]) <= 4
        assert heads[1] - heads[0] > 60

    def test_a_tracked_person_keeps_number_color_and_panel(self, render):
        """Two people; after the first leaves, the second is the first of its frame."""
        both, one = people(2), people(1)
        render({n: both if n < 4 else one for n in range(FRAMES)}, {n: [2, 4] if n < 4 else [4] for n in range(FRAMES)})
        frames = frames_of(render.folder)
        panels = [frame[:HEIGHT, WIDTH + PANEL_GAP :] for frame in frames]
        rows = [colored(panel, person_color(4))[1] for panel in panels]
        assert rows == pytest.approx([rows[0]] * FRAMES, abs=3)
        for number, count in ((2, 4), (4, 8)):
            on_photo = [colored(frame[:, :WIDTH], person_color(number))[2] > 40 for frame in frames]
            in_panel = [colored(panel, person_color(number), 70)[2] > 10 for panel in panels]
            assert on_photo == in_panel == [True] * count + [False] * (8 - count)

    def test_frames_without_people_are_bare(self, render):
        poses = {n: people(1) for n in range(FRAMES)} | {2: people(0), 5: people(0)}
        result = render(poses)
        assert result.warnings() == []
        frames = frames_of(render.folder)
        assert len(frames) == FRAMES
        for number, frame in enumerate(frames):
            bare = number in (2, 5)
            assert (np.abs(warmth(frame[:HEIGHT, :WIDTH])) > 60).any() != bare
            assert (np.abs(warmth(frame[:HEIGHT, WIDTH + PANEL_GAP :])) > 60).any() != bare
        assert "8 frames, 6 of them with people" in result.out

    def test_frames_without_predictions_are_left_out_and_the_others_keep_their_times(self, render):
        result = render({n: people(1) for n in (2, 4, 7)})
        assert result.warnings() == []
        assert open_source(render.folder / "clip.mp4").times == pytest.approx(np.array([0, 2, 5]) / FPS, abs=1e-3)
        assert [frame[470, 10, 0] for frame in frames_of(render.folder)] == pytest.approx([60, 180, 180], abs=6)

    def test_predictions_beyond_the_end(self, render):
        [warning] = render({n: people(1) for n in range(12)}).warnings()
        assert "4 of 12 images with predictions are not in" in warning
        assert len(frames_of(render.folder)) == FRAMES

    @pytest.mark.parametrize(("side", "size"), [(("--max_side", 400), 400), (("--gif",), 640)])
    def test_the_longer_side_is_limited(self, render, side, size):
        render({n: people(1) for n in range(FRAMES)}, None, *side).succeeded()
        [path] = render.folder.iterdir()
        source = open_source(path)
        assert path.suffix == (".gif" if "--gif" in side else ".mp4")
        assert size - 3 <= max(source.size) <= size
        for _, frame in source:
            assert (np.abs(warmth(frame[:, : size // 2])) > 60).any()

    def test_missing_joints_are_counted(self, render):
        damaged = people(1)
        damaged[0, H36M.index("l_wrist"), 2] = torch.nan
        warnings = render({0: damaged, 1: people(1)}).warnings()
        assert any("1 joint of the 3D poses NaN" in line for line in warnings)

    def test_odd_sides_get_an_even_frame(self, render, tmp_path):
        frames = [PIL.Image.new("L", (75, 101), 90 * k) for k in range(3)]
        frames[0].save(tmp_path / "clip.gif", save_all=True, append_images=frames[1:], duration=100)
        source = open_source(tmp_path / "clip.gif")
        assert source.size == (75, 101)
        render({n: people(1) for n in range(3)}, None, "--img_dir", tmp_path / "clip.gif").succeeded()
        frame = frames_of(render.folder)[2]
        below = explanation(75 + PANEL_GAP + 75, None).size[1]
        assert frame.shape[:2] == (101 + below + (101 + below) % 2, 75 + PANEL_GAP + 75)
        assert frame[50, 5, 0] == pytest.approx(180, abs=8)

    def test_an_old_result_is_replaced_and_a_source_never(self, render, tmp_path):
        poses = {n: people(1) for n in range(2)}
        render(poses).succeeded()
        before = (render.folder / "clip.mp4").read_bytes()
        render({n: people(1, facing=False) for n in range(2)}).succeeded()
        after = (render.folder / "clip.mp4").read_bytes()
        assert after != before
        line = render(poses, None, "--img_dir", render.folder / "clip.mp4").refusal()
        assert "would overwrite the video" in line
        assert (render.folder / "clip.mp4").read_bytes() == after


def _size(out):
    """The size of the video that the script prints."""
    return re.search(r"(\d+ × \d+) px", out)[1]


class TestPeople:
    def test_without_tracks_several_people_are_warned_about(self, render):
        assert "no tracks for 2 frames" in render({0: people(2), 1: people(2)}).warnings()[-1]
        assert not any("no tracks for" in line for line in render({0: people(1), 1: people(1)}).warnings())

    def test_a_crowd_has_at_most_four_panels(self, render):
        result = render({n: people(6) for n in range(2)}, {0: [0, 1, 2, 3, 4, 5], 1: [5, 4, 3, 2, 1, 0]})
        assert any("2 people have no 3D panel; the 4 panels" in line for line in result.warnings())

    def test_panels_are_shared_in_turn(self):
        tracks = {"a": [0, 1], "b": [0, 1], "c": [0, 2], "d": [0, 2]}
        assert assign_slots(tracks, 4) == {0: 0, 1: 1, 2: 1}
        assert assign_slots(tracks, 1) == {0: 0}
        assert assign_slots({"a": [], "b": [7], "c": []}, 2) == {7: 0}
        # A person who is away for a while keeps the panel.
        assert assign_slots({"a": [0], "b": [1], "c": [1], "d": [0]}, 2) == {0: 0, 1: 1}

    def test_a_false_detection_of_one_frame_has_no_panel(self, render):
        poses = {number: people(2 if number == 3 else 1) for number in range(FRAMES)}
        result = render(poses, {number: [4, 9] if number == 3 else [4] for number in poses}).succeeded()
        assert "1 person seen in fewer than 5 frames: no 3D panel" in result.out
        one = render(poses | {3: people(1)}, {number: [4] for number in poses}).succeeded()
        assert "no 3D panel" not in one.out
        assert _size(result.out) == _size(one.out), "no second panel makes the picture wider"

    @given(st.lists(st.sets(st.integers(0, 6), max_size=4), max_size=12))
    def test_no_two_people_of_a_frame_share_a_panel(self, frames):
        slots = assign_slots({str(k): sorted(people) for k, people in enumerate(frames)}, MOST_PANELS)
        for people_of_frame in frames:
            taken = [slots[person] for person in people_of_frame if person in slots]
            assert len(taken) == len(set(taken))
            assert all(0 <= slot < MOST_PANELS for slot in taken)

    @pytest.mark.parametrize(
        ("count", "size", "rows", "panels"),
        [
            (1, (640, 480), 1, 1),
            (2, (640, 480), 2, 2),
            (3, (640, 480), 2, 3),
            (2, (320, 240), 1, 2),
            (0, (640, 480), 1, 1),
        ],
    )
    def test_layout(self, count, size, rows, panels):
        layout = arrange(size, {"a": list(range(count))}, {"a": people(count)})
        assert (layout.rows, layout.panels) == (rows, panels)
        assert layout.size[1] == (size[1] - PANEL_GAP * (rows - 1)) // rows
        tall = arrange((360, 1280), {"a": [0]}, {"a": people(1)})
        assert tall.size == (360, 1280)

    def test_all_people_stand_on_one_floor(self):
        poses = torch.cat([people(1), people(1) * 0.5])
        poses[1, 3] = torch.nan
        standing = stand(poses)
        assert standing.shape == (2, 17, 3)
        moves = (standing - poses)[:, 0].norm(dim=1)
        assert moves[0] > 1.5 * moves[1] > 0

    def test_the_view_swings(self):
        assert view_azimuth(0) == 0
        assert view_azimuth(SWING_SECONDS / 4) == pytest.approx(SWING)
        assert view_azimuth(3 * SWING_SECONDS / 4) == pytest.approx(-SWING)
        assert view_azimuth(SWING_SECONDS) == pytest.approx(0, abs=1e-9)


class TestBadInput:
    def refused(self, render, *arguments):
        line = render(*arguments).refusal()
        assert files(render.folder) == []
        return line

    def test_photos_are_no_video(self, render, tmp_path):
        photo = write_photo(tmp_path / "photos/a.png")
        for path in (photo, photo.parent):
            assert "2d_overlay_3d_pred" in self.refused(render, {0: people(1)}, None, "--img_dir", path)

    def test_predictions_of_another_video(self, render, tmp_path):
        with write_video(tmp_path / "other.mp4", 25, (64, 48)) as write:
            write(np.zeros((48, 64, 3), np.uint8))
        line = self.refused(render, {0: people(1)}, None, "--img_dir", tmp_path / "other.mp4")
        assert "clip/000000" in line
        assert "other/000000" in line

    def test_no_frame_has_a_prediction(self, render):
        line = self.refused(render, {100 + n: people(1) for n in range(FRAMES)})
        assert "no pose belongs to an image in" in line
        assert "clip/000100" in line

    def test_nobody_in_the_video(self, render):
        line = self.refused(render, {n: people(0) for n in range(FRAMES)})
        assert "no person in its 8 frames, nothing to draw" in line

    def test_tracks_of_another_run(self, render):
        line = self.refused(render, {n: people(2) for n in range(FRAMES)}, {0: [1]})
        assert "'clip/000000' has 1 tracks for 2 people" in line

    def test_files_of_two_runs(self, render, tmp_path):
        render({0: people(1)}).succeeded()
        save_predictions(tmp_path / "two.pt", {name(0): people(2)})
        line = render({0: people(1)}, None, "--3d_pose_estimations", tmp_path / "two.pt").refusal()
        assert "another number of people" in line
        assert "holds 3D poses" in render({}, None, "--2d_pose_estimations", tmp_path / "two.pt").refusal()

    def test_no_video_at_all(self, render, tmp_path):
        (tmp_path / "clip.mp4").write_bytes(b"no video")
        assert "not a video" in self.refused(render, {0: people(1)}, None, "--img_dir", tmp_path / "clip.mp4")
