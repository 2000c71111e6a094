"""Rotations between directions, as (…, 3, 3) matrices that act on column vectors."""

import numpy as np


def unit(vectors: np.ndarray) -> np.ndarray:
    """(…, 3) in length 1; a zero vector stays as it is."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


def without_twist(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The smallest rotations from directions (…, 3) to others: about the axis start × end, none about the direction.

    Opposite directions are turned about an axis at right angles to them that is as far from all coordinate axes as
    can be. A zero vector gives the identity.

    Formula: R = I + [v] + [v]² / (1 + c) with v = start × end and c = start · end (Rodrigues).
    """
    start, end = np.broadcast_arrays(unit(start), unit(end))
    cosine = (start * end).sum(-1)[..., None, None]
    skew = _cross_matrix(np.cross(start, end))
    smallest = np.eye(3) + skew + skew @ skew / np.maximum(1 + cosine, 1e-12)
    across = np.cross(start, np.eye(3)[np.abs(start).argmin(-1)])
    across = unit(across)[..., None]
    half_turn = 2 * across @ across.swapaxes(-1, -2) - np.eye(3)
    defined = (start.any(-1) & end.any(-1))[..., None, None]
    return np.where(defined, np.where(cosine < -1 + 1e-9, half_turn, smallest), np.eye(3))


def frame_of(across: np.ndarray, up: np.ndarray) -> np.ndarray:
    """(…, 3, 3) whose columns are x along `across`, y along what of `up` is at right angles to it, and z = x × y.

    Both (…, 3). Where they are parallel or zero, the smallest rotation that takes x to `across`.
    """
    x = unit(across)
    y = up - (up * x).sum(-1, keepdims=True) * x
    whole = np.linalg.norm(y, axis=-1) > 1e-6 * np.linalg.norm(up, axis=-1)
    y = unit(y)
    columns = np.stack([x, y, np.cross(x, y)], axis=-1)
    return np.where((whole & x.any(-1))[..., None, None], columns, without_twist(np.array([1.0, 0, 0]), x))


def _cross_matrix(v: np.ndarray) -> np.ndarray:
    """(…, 3) as the matrices (…, 3, 3) of the cross product v × ."""
    x, y, z = np.moveaxis(v, -1, 0)
    zero = np.zeros_like(x)
    rows = [[zero, -z, y], [z, zero, -x], [-y, x, zero]]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
