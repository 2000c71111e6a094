"""Predictions in the formats of other programs.

python run.py convert --data_dir data/stitched_mpii --to csv bvh
"""

from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from utils.formats.angles import write_angles
from utils.formats.bvh import write_bvh
from utils.formats.coco import write_coco
from utils.formats.markers import write_c3d, write_trc
from utils.formats.people import Person, read_people
from utils.formats.tables import write_tables
from utils.osutils import first_few, inform

FOLDER = "converted"  # in --data_dir
Writer = Callable[[Sequence[Person], Path], list[Path]]
WRITERS: Mapping[str, Writer] = {
    "csv": write_tables,
    "bvh": write_bvh,
    "trc": write_trc,
    "c3d": write_c3d,
    "coco": write_coco,
    "angles": write_angles,
}


def convert(options: Namespace) -> None:
    """`run.py convert`."""
    people = read_people(options.data_dir, options.fps)
    convert_people(people, options.to, options.output_dir or options.data_dir / FOLDER)


def convert_people(people: Sequence[Person], to: Sequence[str], folder: str | Path) -> list[Path]:
    """Write people, as `read_people` gives them, in the formats `to`, of `WRITERS`; returns the files' paths.

    Raises UserError for poses that a format can't hold.
    """
    written = []
    for kind in dict.fromkeys(to):
        paths = WRITERS[kind](people, Path(folder))
        inform(f"{kind}: {first_few([path.name for path in paths], ',')} in {folder}")
        written += paths
    return written
