"""Reports which sequences a Human3.6M folder has and which are missing."""

from utils.human36m.actions import ACTIONS, SUBJECTS
from utils.human36m.files import DAMAGED_VIDEO, Human36mFiles
from utils.human36m.folder import HOW_TO_GET
from utils.osutils import UserError

SEQUENCES_AN_ACTION = 2
GRID = [(subject, action) for subject in SUBJECTS for action in ACTIONS]
KNOWN_GAP = {DAMAGED_VIDEO: 1}  # (subject, action) -> sequences that many copies lack

Cells = dict[tuple[int, str], list[int]]  # (subject, action) -> frames of its sequences


def report(files: Human36mFiles) -> str:
    """One line if the data set is complete, else `table`, which shows what is missing."""
    cells = _cells(files)
    absent = _absent(cells)
    if (absent and absent != KNOWN_GAP) or _camera_fault(files):
        return table(files)
    gap = f"; missing: one of S{DAMAGED_VIDEO[0]}'s two {DAMAGED_VIDEO[1]}, as in many copies" if absent else ""
    return (
        f"Human3.6M in {files.data_dir}: {len(SUBJECTS)} subjects, {len(ACTIONS)} actions, "
        f"{len(files.sequences)} sequences, {sum(map(sum, cells.values())):,} frames{gap}"
    )


def table(files: Human36mFiles) -> str:
    """Frames by action and subject, missing sequences, the cameras, and how to get the rest."""
    cells = _cells(files)
    shown = {key: f"{sum(frames):,}" if frames else "-" for key, frames in cells.items()}
    shown |= {key: f"{shown[key]} (1)" for key, frames in cells.items() if len(frames) == 1}
    totals = {s: sum(one.frames for one in files.sequences if one.subject == s) for s in SUBJECTS}
    rows = [["action", *(f"S{s}" for s in SUBJECTS)]]
    rows += [[action, *(shown[s, action] for s in SUBJECTS)] for action in ACTIONS]
    rows += [["all", *(f"{totals[s]:,}" for s in SUBJECTS)]]
    lines = [
        f"{files.data_dir}: {len(files.sequences)} sequences, {sum(totals.values()):,} frames, {files.form} format",
        *(f"{row[0]:<14}" + "".join(f"{cell:>12}" for cell in row[1:]) for row in rows),
        "(frames of an action's two sequences; (1): only one of them exists)",
        _missing(_absent(cells)),
        f"cameras: {_camera_fault(files) or f'{len(files.cameras())} from {files.camera_table}'}",
    ]
    return "\n".join(lines)


def _cells(files: Human36mFiles) -> Cells:
    return {(s, a): [one.frames for one in files.sequences if (one.subject, one.action) == (s, a)] for s, a in GRID}


def _absent(cells: Cells) -> dict[tuple[int, str], int]:
    """Number of missing sequences per subject and action, where any are missing."""
    return {
        key: SEQUENCES_AN_ACTION - len(frames) for key, frames in cells.items() if len(frames) < SEQUENCES_AN_ACTION
    }


def _missing(absent: dict[tuple[int, str], int]) -> str:
    """Which of the 7 subjects × 15 actions × 2 sequences are missing."""
    if not absent:
        return f"complete: {len(SUBJECTS)} subjects × {len(ACTIONS)} actions × {SEQUENCES_AN_ACTION}"
    if absent == KNOWN_GAP:
        return "complete except one of S11's two Directions, whose video is damaged: many copies lack it"
    parts = []
    for subject in SUBJECTS:
        counts = {action: absent[subject, action] for action in ACTIONS if (subject, action) in absent}
        if sum(counts.values()) == SEQUENCES_AN_ACTION * len(ACTIONS):
            parts.append(f"S{subject}: everything")
        elif counts:
            named = (action if count > 1 else f"one {action}" for action, count in counts.items())
            parts.append(f"S{subject}: {', '.join(named)}")
    missing = f"missing {sum(absent.values())} of {len(GRID) * SEQUENCES_AN_ACTION} sequences"
    return f"{missing}: {'; '.join(parts)}\nget it: {HOW_TO_GET}"


def _camera_fault(files: Human36mFiles) -> str | None:
    """What is wrong with the camera table; None if nothing."""
    try:
        files.cameras()
    except UserError as error:
        return str(error)
    return None
