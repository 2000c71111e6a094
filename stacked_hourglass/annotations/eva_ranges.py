"""The published ranges of HumanEva-I: which synchronised frames of an action are for training, which for validation.

The public scripts that make the npz cut a range where the capture is invalid, and keep the valid chunks. A chunk as
long as its range is therefore the whole range, and begins where the range does.
"""

_ACTIONS = ("Walking 1", "Jog 1", "ThrowCatch 1", "Gestures 1", "Box 1")
_VALIDATE_FROM = 5
# Of each action: the end of the validation range, where the training range begins, and the end of the latter.
_ENDS = {
    "S1": ((590, 1203), (367, 740), (473, 945), (395, 801), (385, 789)),
    "S2": ((438, 876), (398, 795), (550, 1128), (500, 901), (382, 734)),
    "S3": ((448, 939), (401, 842), (493, 1027), (533, 1102), (512, 1021)),
}


def range_of(part: str, subject: str, action: str) -> range:
    """The frames of "Train" or "Validate", "S1", "Walking 1", counted from the first synchronised one; else empty."""
    if subject not in _ENDS or action not in _ACTIONS:
        return range(0)
    middle, end = _ENDS[subject][_ACTIONS.index(action)]
    return range(middle, end) if part == "Train" else range(_VALIDATE_FROM, middle)


def frames_in_all(part: str) -> int:
    """How many frames the ranges of "Train" or "Validate" have, in one camera."""
    return sum(len(range_of(part, subject, action)) for subject in _ENDS for action in _ACTIONS)
