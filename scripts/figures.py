"""Makes the pictures of README.md and docs/ with the project's own commands: `make figures`.

python scripts/figures.py                       # all pictures whose data and checkpoints are there
python scripts/figures.py demo.jpg              # some of them

A recipe that needs a trained network or data that are not there is skipped, and what it needs is printed.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from utils.imaging.draw2d import resized, save_image
from utils.imaging.images import read_image

IMAGES, WORK = Path("docs/images"), Path("visualizations/figures")
MOST_WIDTH = 1660  # px: twice the column of a page


class Recipe(NamedTuple):
    """How a picture is made.

    Attributes:
        made: the picture that the last command leaves.
        commands: arguments of the Python interpreter, from the repository's root.
        needs: folders and files that must be there, and how to get them.
    """

    made: Path
    commands: tuple[tuple[str, ...], ...]
    needs: dict[str, str]


def words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


DEMO, MPII_RUN = WORK / "demo", WORK / "mpii"
MPII_DATA = {"data/mpii": "MPII, see docs/data.md"}
ON_MPII = words(f"run.py hourglass_mpii --data_dir data/mpii --flip --output_dir {MPII_RUN}")
RECIPES = {
    "demo.jpg": Recipe(
        DEMO / "poses/contact_sheet.png",
        (
            words(f"run.py stitched_mpii --data_dir docs/photos --flip --output_dir {DEMO}/run"),
            words(
                f"viz.py 2d_overlay_3d_pred --img_dir docs/photos --output_dir {DEMO}/poses "
                f"--2d_pose_estimations {DEMO}/run/2d_pose_estimations.pt "
                f"--3d_pose_estimations {DEMO}/run/3d_pose_estimations.pt"
            ),
        ),
        {},
    ),
    "demo_failures.jpg": Recipe(
        WORK / "failures/contact_sheet.png",
        (ON_MPII, words(f"viz.py worst --predictions {MPII_RUN} --num_pictures 6 --output_dir {WORK}/failures")),
        MPII_DATA,
    ),
    "demo_reliability.png": Recipe(
        WORK / "reliability/reliability.png",
        (
            ON_MPII,
            words(f"scripts/reliability.py --data_dir data/mpii --run_dir {MPII_RUN} --output_dir {WORK}/reliability"),
        ),
        MPII_DATA,
    ),
    "lspet_curves.png": Recipe(
        WORK / "curves/training_curves.png",
        (words(f"viz.py training_curves --load model_checkpoints/hourglass_mpii_lspet --output_dir {WORK}/curves"),),
        {"model_checkpoints/hourglass_mpii_lspet": "the training of docs/results.md, with --exp lspet"},
    ),
    "pose_gan.jpg": Recipe(
        WORK / "gan/generated.png",
        (words(f"viz.py 3d_pose_gan --load model_checkpoints/3d_pose_gan_default --output_dir {WORK}/gan"),),
        {
            "model_checkpoints/3d_pose_gan_default": "python train.py 3d_pose_gan",
            "data/h36m": "Human3.6M, see docs/data.md",
        },
    ),
}


def make(name: str) -> bool:
    """Make a picture; False, with a line that says why, where something that it needs is missing."""
    recipe = RECIPES[name]
    missing = [f"{path} ({how})" for path, how in recipe.needs.items() if not (ROOT / path).exists()]
    if missing:
        print(f"{name}: skipped, needs {' and '.join(missing)}")
        return False
    for command in recipe.commands:
        print("python", *command, flush=True)
        subprocess.run([sys.executable, *command], cwd=ROOT, check=True)
    picture = read_image(ROOT / recipe.made)
    smaller, _ = resized(picture, min(1.0, MOST_WIDTH / picture.shape[1]))
    save_image(ROOT / IMAGES / name, smaller)
    print(f"{IMAGES / name}: {smaller.shape[1]} × {smaller.shape[0]} px")
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", nargs="*", metavar="PICTURE", help=f"of {', '.join(RECIPES)}; by default all")
    chosen = parser.parse_args().pictures or list(RECIPES)
    unknown = [name for name in chosen if name not in RECIPES]
    if unknown:
        parser.error(f"{unknown[0]}: no such picture; expected some of {', '.join(RECIPES)}")
    made = sum(make(name) for name in chosen)
    print(f"{made} of {len(chosen)} pictures made")


if __name__ == "__main__":
    main()
