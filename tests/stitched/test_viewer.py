"""The page of `viz.py viewer`, in a real browser."""

import cv2
import numpy as np
import pytest
import torch
from browser import CHROMIUM, WHY_NO_BROWSER, browser
from command_line import call, files
from predictions_folder import CLIP, clip_folder, joints_of, photo_folder
from standing_people import write_photo

from utils.look.palette import DARK, PERSON_COLORS
from utils.predictions.prediction_files import load_predictions, save_predictions

FRAMES = 5  # the last one was not run


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Two runs on a clip, the clip, and the page of both."""
    folder = tmp_path_factory.mktemp("viewer")
    writer = cv2.VideoWriter(str(folder / "clip.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25, (320, 240))
    for number in range(FRAMES):
        writer.write(np.full((240, 320, 3), 40 * number, np.uint8))
    writer.release()
    for name in ("one", "other"):
        clip_folder(folder / name)
    for kind, shift in (("2d", 20), ("3d", 300)):
        path = folder / f"other/{kind}_pose_estimations.pt"
        save_predictions(path, {image: poses + shift for image, poses in load_predictions(path).items()})
    result = call(
        "viz", "viewer", "--predictions", folder / "one", folder / "other", "--model_names", "ours", "<b>theirs",
        "--img_dir", folder / "clip.avi", "--output_dir", folder / "page",
    )  # fmt: skip
    assert "4 images, " in result.succeeded().out
    assert files(folder / "page") == ["viewer.html"]
    return folder


@pytest.fixture(scope="module")
def page(clip):
    if CHROMIUM is None:
        pytest.skip(WHY_NO_BROWSER)
    with browser() as page:
        page.open((clip / "page/viewer.html").as_uri(), width=900, height=420)
        page.wait_for("picture(0).complete")
        yield page
        assert page.errors == []
        assert not [address for address in page.requests if not address.startswith(("file:", "data:"))]


def inked(page, canvas, color):
    """The number of pixels of a canvas in a colour."""
    return page.value(
        f"""(() => {{
            const canvas = $("{canvas}"), ink = {list(color)};
            const values = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
            const off = at => ink.reduce((sum, level, place) => sum + Math.abs(values[at + place] - level), 0);
            let count = 0;
            for (let at = 0; at < values.length; at += 4) count += off(at) < 12;
            return count;
        }})()"""
    )


RIGHT, OTHER = DARK.sides["r"], PERSON_COLORS[0]


class TestPage:
    @pytest.fixture(autouse=True)
    def afresh(self, page):
        page.value("Object.assign(state, {index: 0, person: 'all', least: 0, shown: [true, true]}, start), draw()")

    def test_both_models_are_drawn_in_both_canvases(self, page):
        for canvas in ("photo", "pose"):
            assert inked(page, canvas, RIGHT) > 5
            assert inked(page, canvas, OTHER) > 5
        assert page.value("[...document.querySelectorAll('#models label')].map(one => one.textContent)") == [
            "ours (right, left) ", "<b>theirs ",
        ]  # fmt: skip
        page.value("document.querySelectorAll('#models input')[1].click()")
        assert inked(page, "photo", OTHER) == inked(page, "pose", OTHER) == 0
        page.value("document.querySelectorAll('#models input')[1].click()")

    def test_poses_are_those_of_the_files(self, page):
        assert page.value("data.models[0].people.map(list => list.map(one => one.id).sort())") == [
            sorted(tracks) for tracks in CLIP.values()
        ]
        found = page.value("data.models[0].people[3].find(one => one.id === 1).joints")
        assert found == [[x, y, 0.5] for x, y in joints_of(1, 3).tolist()]

    def test_the_slider_and_the_keys(self, page):
        page.value("$('frame').value = 3; $('frame').oninput({target: $('frame')})")
        assert page.value("$('place').textContent") == "clip/000003  0.12 s  (4 / 4)"
        page.key("ArrowLeft")
        assert page.value("state.index") == 2
        assert page.value("$('scores').textContent").count("person 0: 0.50") == 2

    def test_play(self, page):
        page.value("$('speed').value = '2'")
        page.click("play")
        page.wait_for("state.index === 3 && !state.playing")
        assert page.value("$('play').textContent") == "Play"

    def test_the_mouse_turns_the_3d_pose(self, page):
        before = page.value("[state.yaw, state.pitch, $('pose').toDataURL().length]")
        page.drag("pose", (60, 24))
        after = page.value("[state.yaw, state.pitch, $('pose').toDataURL().length]")
        assert np.subtract(after, before)[:2] == pytest.approx([0.5, 0.2])
        assert after[2] != before[2]

    def test_choosing_a_person(self, page):
        both = inked(page, "photo", RIGHT)
        page.value("$('person').value = '1'; $('person').onchange({target: $('person')})")
        assert page.value("people(0).map(one => one.id)") == [1]
        assert 0 < inked(page, "photo", RIGHT) < both
        page.value("show(2)")
        assert page.value("$('scores').textContent") == "nobody here"

    def test_unsure_joints_are_hidden(self, page):
        before = inked(page, "pose", RIGHT)
        page.value("$('confidence').value = 0.6; $('confidence').oninput({target: $('confidence')})")
        assert inked(page, "photo", RIGHT) == 0
        assert 0 < inked(page, "pose", RIGHT) < 0.7 * before  # 3D limbs from unsure joints are thin and dotted
        assert "dotted 3D limbs are doubtful" in page.value("$('scores').textContent")


def view(folder, *argv):
    return call("viz", "viewer", "--predictions", folder / "run", *argv, "--output_dir", folder / "page")


@pytest.fixture
def photos(tmp_path):
    photo_folder(tmp_path / "run")
    for name in ("two.jpg", "sub/one.jpg", "none.jpg"):
        write_photo(tmp_path / "photos" / name)
    return tmp_path


def test_photos_and_unreadable_ones(photos):
    (photos / "photos/sub/one.jpg").write_text("no photo")
    result = view(photos, "--img_dir", photos / "photos")
    [warning] = result.warnings()
    assert "1 of 3 images unreadable, left out: sub/one.jpg" in warning
    assert "2 images" in result.out
    view(photos, "--img_dir", photos / "photos", "--num_pictures", 1).succeeded()
    assert (photos / "page/viewer.html").read_text().count('"time":null') == 1


def test_min_score_is_the_initial_threshold(photos):
    view(photos, "--img_dir", photos / "photos", "--min_score", 0.3).succeeded()
    assert '"threshold":0.3' in (photos / "page/viewer.html").read_text()


@pytest.mark.parametrize(
    ("argv", "part"),
    [
        ([], "--img_dir is required"),
        (["--img_dir", "{}/nowhere"], "nowhere: no such file or folder"),
        (["--img_dir", "{}/others"], "no pose is of an image in it"),
        (["--img_dir", "{}/photos", "--model_names", "a", "b"], "2 names for 1 folders"),
        (["--img_dir", "{}/photos", "--predictions", "{}/photos"], "holds neither 2d_pose_estimations.pt nor"),
        (["--img_dirr", "x"], "did you mean --img_dir?"),
    ],
)
def test_bad_input(photos, argv, part):
    write_photo(photos / "others/z.png")
    assert part in view(photos, *(text.format(photos) for text in argv)).refusal()
    assert not (photos / "page").exists()


def test_absolute_poses_keep_their_positions(photos):
    view(photos, "--img_dir", photos / "photos").succeeded()
    assert '"absolute":true,"middle":[500.0,0.0,3000.0]' in (photos / "page/viewer.html").read_text()
    path = photos / "run/3d_pose_estimations.pt"
    save_predictions(path, {name: poses - poses[:, :1] for name, poses in load_predictions(path).items()})
    view(photos, "--img_dir", photos / "photos").succeeded()
    assert '"absolute":false' in (photos / "page/viewer.html").read_text()


def test_missing_joints_are_null(photos):
    path = photos / "run/2d_pose_estimations.pt"
    poses = load_predictions(path)
    poses["sub/one.jpg"][0, 0, 0] = torch.nan
    save_predictions(path, poses)
    view(photos, "--img_dir", photos / "photos").succeeded()
    assert '"joints":[[null,1.0,0.5]' in (photos / "page/viewer.html").read_text()
