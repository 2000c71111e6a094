"""What a folder of Human3.6M has and lacks, as a table for people to read."""

from utils.human36m.files import ACTIONS, DAMAGED_VIDEO, HOW_TO_GET, SUBJECTS, Human36mFiles
from utils.osutils import UserError

SEQUENCES_AN_ACTION = 2
GRID = [(subject, action) for subject in SUBJECTS for action in ACTIONS]


def report(files: Human36mFiles) -> str:
    """Frames by action and subject, what is missing of the full set, the cameras, and how to get the rest."""
    cells = {(s, a): [one.frames for one in files.sequences if (one.subject, one.action) == (s, a)] for s, a in GRID}
    shown = {key: f"{sum(frames):,}" if frames else "-" for key, frames in cells.items()}
    shown |= {key: f"{shown[key]} (1)" for key, frames in cells.items() if len(frames) == 1}
    totals = {s: sum(one.frames for one in files.sequences if one.subject == s) for s in SUBJECTS}
    rows = [["action", *(f"S{s}" for s in SUBJECTS)]]
    rows += [[action, *(shown[s, action] for s in SUBJECTS)] for action in ACTIONS]
    rows += [["all", *(f"{totals[s]:,}" for s in SUBJECTS)]]
    lines = [
        f"{files.data_dir}: {len(files.sequences)} sequences, {sum(totals.values()):,} frames in the {files.form} form",
        *(f"{row[0]:<14}" + "".join(f"{cell:>12}" for cell in row[1:]) for row in rows),
        "(frames of an action's two sequences; (1): there is one)",
        _missing(cells),
        _camera_line(files),
    ]
    return "\n".join(line for line in lines if line)


def _missing(cells: dict[tuple[int, str], list[int]]) -> str:
    """What is missing of 7 subjects × 15 actions × 2 sequences."""
    absent = {
        key: SEQUENCES_AN_ACTION - len(frames) for key, frames in cells.items() if len(frames) < SEQUENCES_AN_ACTION
    }
    if not absent:
        return f"complete: {len(SUBJECTS)} subjects × {len(ACTIONS)} actions × {SEQUENCES_AN_ACTION}"
    if absent == {DAMAGED_VIDEO: 1}:
        return "complete but for one of S11's two Directions, a video of which is damaged: many copies lack it"
    parts = []
    for subject in SUBJECTS:
        counts = {action: absent[subject, action] for action in ACTIONS if (subject, action) in absent}
        if sum(counts.values()) == SEQUENCES_AN_ACTION * len(ACTIONS):
            parts.append(f"S{subject}: everything")
        elif counts:
            named = (action if count > 1 else f"one {action}" for action, count in counts.items())
            parts.append(f"S{subject}: {', '.join(named)}")
    missing = f"missing {sum(absent.values())} of {len(cells) * SEQUENCES_AN_ACTION} sequences"
    return f"{missing}: {'; '.join(parts)}\nget it: {HOW_TO_GET}"


def _camera_line(files: Human36mFiles) -> str:
    try:
        return f"cameras: {len(files.cameras())} from {files.camera_table}"
    except UserError as error:
        return f"cameras: {error}"
