"""The numbers of people in a video: which of them are seen too briefly to be somebody. Imports no torch."""

from collections import Counter
from collections.abc import Collection, Sequence

LEAST_FRAMES = 5  # 0.2 s at 25 frames per second; most false detections last for one or two


def brief_tracks(frames: Collection[Sequence[int]]) -> set[int]:
    """Tracks in fewer than `LEAST_FRAMES` frames and in less than half of all. `frames`: the tracks in each."""
    counts = Counter(track for tracks in frames for track in tracks)
    return {track for track, count in counts.items() if count < min(LEAST_FRAMES, len(frames) / 2)}
