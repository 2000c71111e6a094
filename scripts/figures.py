"""Makes the pictures of README.md and docs/ with the project's own commands: `make figures`.

python scripts/figures.py                                # all pictures whose data and checkpoints are there
python scripts/figures.py demo.jpg clip.gif              # some of them
python scripts/figures.py --mpii FOLDER                  # with the annotated photos of this folder
python scripts/figures.py --video demo.mp4 clip.gif      # with this video

A recipe that needs a trained network or data that are not there is skipped, and what it needs is printed.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from utils.imaging.draw2d import resized, save_image
from utils.imaging.images import read_image
from utils.imaging.video_source import FrameRange, open_video
from utils.imaging.video_writer import write_video

IMAGES, WORK = Path("docs/images"), Path("visualizations/figures")
PHOTOS = Path("docs/photos")
MPII, MOTION, VIDEO = "data/mpii", "data/h36m", "data/sports2d/demo.mp4"
MOST_WIDTH = 1660  # px: twice the column of a page
CLIP_SECONDS, CLIP_EVERY = (2.4, 5.2), 2  # of VIDEO
CLIP_ROWS, CLIP_COLUMNS = slice(440, 960), slice(360, 1360)  # px, where a woman walks by


class Recipe(NamedTuple):
    """How a picture is made.

    Attributes:
        made: the picture that the last command leaves.
        commands: arguments of the Python interpreter, from the repository's root.
        needs: folders and files that must be there, and how to get them.
        prepare: makes the commands' input in the folder `input` from what the recipe needs, or None.
        input: that folder.
    """

    made: Path
    commands: tuple[tuple[str, ...], ...]
    needs: dict[str, str]
    prepare: Callable[[Path, dict[str, str]], None] | None = None
    input: Path = Path()


def words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# ------------------------------------------------------------------------------------------ input
def difficult_photos(folder: Path, _given: dict[str, str]) -> None:
    """Variants of docs/photos on which the demo weights fail: cut off, upside down, two people in one crop, covered."""
    photos = {path.stem: read_image(path) for path in (ROOT / PHOTOS).glob("*.jpg")}
    save_image(folder / "a_cut_off.png", photos["photographer"][:, : photos["photographer"].shape[1] * 3 // 5])
    save_image(folder / "b_upside_down.png", np.ascontiguousarray(photos["rendered_reaching"][::-1, ::-1]))
    pair = [photos[f"rendered_{name}"] for name in ("walking", "running")]
    height = min(photo.shape[0] for photo in pair)
    same = [resized(photo, height / photo.shape[0])[0][:height] for photo in pair]
    save_image(folder / "c_two_people.png", np.concatenate(same, axis=1))
    covered = photos["rendered_kicking"].copy()
    covered[covered.shape[0] * 11 // 20 :] = (96, 66, 54)
    save_image(folder / "d_covered.png", covered)


def woman_walking_by(folder: Path, given: dict[str, str]) -> None:
    """The part of Sports2D's demo video in which a woman walks by, clip.mp4."""
    source = open_video(ROOT / given.get(VIDEO, VIDEO), "--video", FrameRange(*CLIP_SECONDS, CLIP_EVERY))
    size = (CLIP_COLUMNS.stop - CLIP_COLUMNS.start, CLIP_ROWS.stop - CLIP_ROWS.start)
    with write_video(folder / "clip.mp4", source.fps / CLIP_EVERY, size) as write:
        for _, picture in source:
            write(np.ascontiguousarray(picture[CLIP_ROWS, CLIP_COLUMNS]))


# ------------------------------------------------------------------------------------------ recipes
DEMO, MPII_RUN, FAILURES, CLIP = WORK / "demo", WORK / "mpii", WORK / "failures", WORK / "clip"
LIFTER = "model_checkpoints/2d3d_h36m_default"
MOTION_DATA = "Human3.6M, see docs/data.md; or --motion FOLDER"
MPII_DATA = {MPII: "MPII, see docs/data.md; or --mpii FOLDER"}
ON_MPII = words(f"run.py hourglass_mpii --data_dir {MPII} --flip --output_dir {MPII_RUN}")


def photo_commands(photos: Path, folder: Path, *more: str) -> tuple[tuple[str, ...], ...]:
    """Estimate 2D and 3D poses in a folder of photos, and draw them."""
    return (
        (*words(f"run.py stitched_mpii --data_dir {photos} --flip --output_dir {folder}/run"), *more),
        words(
            f"viz.py 2d_overlay_3d_pred --img_dir {photos} --output_dir {folder}/poses "
            f"--2d_pose_estimations {folder}/run/2d_pose_estimations.pt "
            f"--3d_pose_estimations {folder}/run/3d_pose_estimations.pt"
        ),
    )


RECIPES = {
    "demo.jpg": Recipe(DEMO / "poses/contact_sheet.png", photo_commands(PHOTOS, DEMO), {}),
    "clip.gif": Recipe(
        CLIP / "video/clip.gif",
        (
            words(
                f"run.py stitched_mpii --data_dir {CLIP}/input/clip.mp4 --flip --smooth zero_phase "
                f"--output_dir {CLIP}/run"
            ),
            words(
                f"viz.py video --img_dir {CLIP}/input/clip.mp4 --2d_pose_estimations {CLIP}/run/2d_pose_estimations.pt "
                f"--3d_pose_estimations {CLIP}/run/3d_pose_estimations.pt --gif --output_dir {CLIP}/video"
            ),
        ),
        {VIDEO: "Sports2D/Demo/demo.mp4 of the PyPI package sports2d; or --video FILE"},
        woman_walking_by,
        CLIP / "input",
    ),
    "demo_failures.jpg": Recipe(
        FAILURES / "poses/contact_sheet.png",
        photo_commands(FAILURES / "input", FAILURES, "--person_box", "whole"),
        {},
        difficult_photos,
        FAILURES / "input",
    ),
    "training_samples.jpg": Recipe(
        WORK / "browse/training_samples.png",
        (
            words(
                "viz.py browse --data_dir sample --num_pictures 8 --seed 1 --sigma 2 --add_random_masking "
                "--half_body_prob 0.2 --cut_off_prob 0.2 --erase_prob 0.2 --downscale_prob 0.2 "
                f"--output_dir {WORK}/browse"
            ),
        ),
        {},
    ),
    "augmentation.jpg": Recipe(
        WORK / "augmentation/augmentation.png",
        (words(f"scripts/show_augmentation.py --output_dir {WORK}/augmentation"),),
        {},
    ),
    "demo_reliability.png": Recipe(
        WORK / "reliability/reliability.png",
        (
            ON_MPII,
            words(f"scripts/reliability.py --data_dir {MPII} --run_dir {MPII_RUN} --output_dir {WORK}/reliability"),
        ),
        MPII_DATA,
    ),
    "pckh.png": Recipe(
        WORK / "pckh/pckh_all.png",
        (
            ON_MPII,
            (*ON_MPII[:-1], f"{MPII_RUN}_dark", "--decoding", "dark"),
            words(
                f"eval.py mpii_PCKh --data_dir {MPII} --model_names highest_pixel DARK --output_dir {WORK}/pckh "
                f"--prediction_files {MPII_RUN}/preds_valid.mat {MPII_RUN}_dark/preds_valid.mat"
            ),
        ),
        MPII_DATA,
    ),
    "lifting.jpg": Recipe(
        WORK / "lifting/poses/contact_sheet.png",
        (
            words(f"run.py 2d3d_h36m --load {LIFTER} --data_dir {MOTION} --output_dir {WORK}/lifting/run"),
            words(
                f"viz.py 2d_gt_3d_gt_3d_pred --num_pictures 6 --output_dir {WORK}/lifting/poses "
                f"--2d_pose_ground_truths {WORK}/lifting/run/2d_pose_ground_truths.pt "
                f"--3d_pose_ground_truths {WORK}/lifting/run/3d_pose_ground_truths.pt "
                f"--3d_pose_estimations {WORK}/lifting/run/3d_pose_estimations.pt"
            ),
        ),
        {
            LIFTER: "train.py 2d3d_h36m --epochs 8 --train_batch_size 512 --lr 1e-3 --schedule 5 7 --gamma 0.3",
            MOTION: MOTION_DATA,
        },
    ),
    "lspet_curves.png": Recipe(
        WORK / "curves/training_curves.png",
        (words(f"viz.py training_curves --load docs/logs/hourglass_mpii_lspet --output_dir {WORK}/curves"),),
        {},
    ),
    "pose_gan.jpg": Recipe(
        WORK / "gan/generated.png",
        (
            words(
                f"viz.py 3d_pose_gan --data_dir {MOTION} --load model_checkpoints/3d_pose_gan_default "
                f"--output_dir {WORK}/gan"
            ),
        ),
        {
            "model_checkpoints/3d_pose_gan_default": "train.py 3d_pose_gan --epochs 26 --schedule 16 22 --gamma 0.3",
            MOTION: MOTION_DATA,
        },
    ),
}


def make(name: str, given: dict[str, str]) -> bool:
    """Make a picture; False, with a line that says why, where something that it needs is missing.

    `given`: what to take in place of `MPII`, `MOTION` and `VIDEO`.
    """
    recipe = RECIPES[name]
    missing = [f"{path} ({how})" for path, how in recipe.needs.items() if not (ROOT / given.get(path, path)).exists()]
    if missing:
        print(f"{name}: skipped, needs {' and '.join(missing)}")
        return False
    if recipe.prepare:
        shutil.rmtree(ROOT / recipe.input, ignore_errors=True)
        recipe.prepare(ROOT / recipe.input, given)
    for command in recipe.commands:
        arguments = [given.get(word, word) for word in command]
        print("python", *arguments, flush=True)
        subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True)
    made, target = ROOT / recipe.made, ROOT / IMAGES / name
    if made.suffix == target.suffix == ".gif":
        shutil.copyfile(made, target)
        print(f"{IMAGES / name}: {target.stat().st_size / 1e6:.1f} MB")
        return True
    picture = read_image(made)
    smaller, _ = resized(picture, min(1.0, MOST_WIDTH / picture.shape[1]))
    save_image(target, smaller)
    print(f"{IMAGES / name}: {smaller.shape[1]} × {smaller.shape[0]} px")
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", nargs="*", metavar="PICTURE", help=f"of {', '.join(RECIPES)}; by default all")
    parser.add_argument("--mpii", type=Path, help=f"folder in the form of MPII, by default {MPII}")
    parser.add_argument("--motion", type=Path, help=f"folder in the form of Human3.6M, by default {MOTION}")
    parser.add_argument("--video", type=Path, help=f"Sports2D's demo video, by default {VIDEO}")
    options = parser.parse_args()
    chosen = options.pictures or list(RECIPES)
    unknown = [name for name in chosen if name not in RECIPES]
    if unknown:
        parser.error(f"{unknown[0]}: no such picture; expected some of {', '.join(RECIPES)}")
    paths = {MPII: options.mpii, MOTION: options.motion, VIDEO: options.video}
    given = {name: str(path.resolve()) for name, path in paths.items() if path}
    made = sum(make(name, given) for name in chosen)
    print(f"{made} of {len(chosen)} pictures made")


if __name__ == "__main__":
    main()
