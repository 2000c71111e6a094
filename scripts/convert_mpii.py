"""Convert the official MPII annotations to the files that the hourglass reads.

    python scripts/convert_mpii.py mpii_human_pose_v1_u12_1.mat --output_dir data/mpii --split_from valid.json

Writes mpii_annotations.json and detections_our_format.mat. Takes about a minute.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from stacked_hourglass.annotations.mpii_release import SPLIT_FORMS, convert_release, write_converted
from utils.command_line.cli import Parser
from utils.console.messages import show_messages


def main() -> None:
    parser = Parser(prog="convert_mpii.py", description=__doc__.splitlines()[0])
    parser.add_argument("release", type=Path, help="mpii_human_pose_v1_u12_1.mat")
    parser.add_argument(
        "--output_dir", "--output-dir", type=Path, default=Path("data/mpii"), help="default %(default)s"
    )
    parser.add_argument(
        "--split_from",
        "--split-from",
        type=Path,
        help=f"file that lists the validation people: {SPLIT_FORMS}; without it, a split by hash",
    )
    options = parser.parse_args()
    show_messages()
    with parser.one_line_errors():
        entries = convert_release(options.release, options.split_from)
        paths = write_converted(entries, options.output_dir)
    validation = sum(entry["isValidation"] for entry in entries)
    print(f"{len(entries) - validation} training and {validation} validation people: {paths[0]} and {paths[1]}")


if __name__ == "__main__":
    main()
