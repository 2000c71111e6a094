"""A network with attention over time on a video, frame by frame: one history for each person who is followed.

past = PastOfTracks(network)
for images, tracks in frames:                  # (P, 3, H, W) and (P,), as `tracking.Tracker` numbers people
    heatmaps = past.heatmaps(images, tracks)   # (P, J, H / 4, W / 4)
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from stacked_hourglass.attention import History
from stacked_hourglass.finding.tracking import MAX_LOST
from stacked_hourglass.hourglass import HourglassNet


class PastOfTracks:
    """The histories of the people of one video; they take the same memory however long it is.

    A track that is new begins without a past. One that comes back goes on with the frames in which it was last seen;
    after `MAX_LOST` frames without it, when the tracker gives it up too, its history goes.
    """

    def __init__(self, network: HourglassNet):
        self._network = network
        self._history: History | None = None
        self._tracks: list[int] = []  # of the rows of the history
        self._lost: list[int] = []  # frames since each was seen

    def heatmaps(self, images: Tensor, tracks: Sequence[int]) -> Tensor:
        """The last stack's heat maps of the next frame's people.

        Args:
            images: (P, 3, H, W), as the network takes them; P may be 0.
            tracks: (P,) numbers, no two alike.
        """
        tracks = [int(track) for track in tracks]
        maps, seen = self._network.stream(images, self._past_of(images, tracks))
        waiting = [row for row, track in enumerate(self._tracks) if track not in tracks and self._lost[row] < MAX_LOST]
        if waiting:
            others = self._history.rows(torch.tensor(waiting, device=images.device))
            seen = History(*(torch.cat(pair) for pair in zip(seen, others, strict=True)))
        self._lost = [0] * len(tracks) + [self._lost[row] + 1 for row in waiting]
        self._tracks = tracks + [self._tracks[row] for row in waiting]
        self._history = seen
        return maps[-1]

    def _past_of(self, images: Tensor, tracks: list[int]) -> History:
        """The histories of these tracks, empty for new ones."""
        past = self._network.empty_history(images)
        known = [(place, self._tracks.index(track)) for place, track in enumerate(tracks) if track in self._tracks]
        if known:
            places, rows = torch.tensor(known, device=images.device).T
            past = History(
                *(one.index_copy(0, places, two) for one, two in zip(past, self._history.rows(rows), strict=True))
            )
        return past
