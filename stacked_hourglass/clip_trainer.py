"""The hourglass's hooks on clips, for a network with attention over time."""

import torch
from torch import Tensor

from stacked_hourglass.trainer import HourglassTrainer, joints_in_view


class ClipTrainer(HourglassTrainer):
    """Trains and validates on minibatches of `ClipCrops`: every frame that counts is a sample of losses and metrics.

    Colour, quality and erased rectangles are one for a whole clip; masks move (`RandomMasking.over_clips`).
    """

    definitions = f"{HourglassTrainer.definitions}; each frame is seen with those before it in its clip"

    def prepare(self, batch: dict, iteration: int | None = None) -> Tensor:
        """(B, F, 3, H, W); else as `HourglassTrainer.prepare`."""
        images, how = batch["image"].float() / 255, self.augmentation
        if iteration is not None:
            frames = []
            for frame in images.unbind(1):
                generator, on_host = self.generators(batch, iteration)  # anew: every frame gets the same numbers
                seen = self.look(frame, generator, on_host)
                frames.append(how.erasing(seen, on_host) if how.erasing else seen)
            images = torch.stack(frames, 1)
            if how.masking:
                images = how.masking.over_clips(images, batch["joints"], joints_in_view(batch), self.mean, generator)
        return images - self.mean[:, None, None]

    def samples(
        self, heatmaps: list[Tensor], logits: Tensor | None, batch: dict
    ) -> tuple[list[Tensor], Tensor | None, dict]:
        """The frames that count, one after the other."""
        counted = batch["counted"]
        frames = {
            name: value[counted] for name, value in batch.items() if isinstance(value, Tensor) and name != "counted"
        }
        logits = None if logits is None else logits[counted]
        return [maps[counted] for maps in heatmaps], logits, batch | frames
