"""Minibatches of clips: augmentation is one for a clip, masks move, and frames that don't count are left out."""

import pytest
import torch
from trainer_cases import CPU, MEAN, STDDEV

from stacked_hourglass.annotations.mpii import load_mpii
from stacked_hourglass.clip_trainer import ClipTrainer
from stacked_hourglass.samples.augmentation import RandomMasking
from stacked_hourglass.samples.degradation import Degradation, RandomErasing
from stacked_hourglass.trainer import HourglassAugmentation
from utils.training.settings import Experiment, Optimisation

CLIPS, FRAMES = 2, 3
LOOK = HourglassAugmentation(
    degradation=Degradation(blur_prob=1, downscale_prob=1, jpeg_prob=1), erasing=RandomErasing(erase_prob=1)
)
MASKS = HourglassAugmentation(augment_training_data=False, masking=RandomMasking(mask_prob=1, mean_valued_prob=1))


@pytest.fixture
def prepared(tiny_clips):
    """`prepared(augmentation)`: a training minibatch of one noisy picture, (B, F, 3, H, W), and the network's input."""
    _, validation = load_mpii(tiny_clips)

    def prepare(augmentation: HourglassAugmentation) -> tuple[torch.Tensor, torch.Tensor]:
        trainer = ClipTrainer(
            validation, CPU, MEAN, STDDEV, 10, Optimisation(), Experiment("x"), augmentation=augmentation
        )
        generator = torch.Generator().manual_seed(0)
        picture = torch.randint(256, (3, 64, 64), generator=generator, dtype=torch.uint8)
        images = picture.expand(CLIPS, FRAMES, 3, 64, 64)
        corners = torch.tensor([[10.0, 10.0], [50.0, 50.0]]).expand(CLIPS, FRAMES, 2, 2)
        annotated = torch.ones(CLIPS, FRAMES, 2, dtype=torch.bool)
        batch = {"image": images, "joints": corners, "annotated": annotated}
        return images.float() / 255 - trainer.mean[:, None, None], trainer.prepare(batch, 3)

    return prepare


def test_colour_quality_and_rectangles_are_one_for_a_clip(prepared):
    images, seen = prepared(LOOK)
    assert not torch.equal(seen[0], images[0])
    assert not torch.equal(seen[0], seen[1])
    for frame in range(1, FRAMES):
        assert torch.equal(seen[:, frame], seen[:, 0])


def test_masks_differ_by_frame(prepared):
    images, seen = prepared(MASKS)
    covered = (seen != images).any(2)  # (B, F, H, W)
    assert covered.any()
    assert (covered[:, 0] != covered[:, -1]).any()


def test_samples_are_the_frames_that_count(tiny_clips):
    _, validation = load_mpii(tiny_clips)
    trainer = ClipTrainer(validation, CPU, MEAN, STDDEV, 10, Optimisation(), Experiment("x"))
    counted = torch.tensor([[True, True], [False, True]])
    maps = torch.arange(4.0).reshape(2, 2, 1, 1, 1)
    batch = {"counted": counted, "index": torch.tensor([[5, 6], [6, 7]]), "part": (0, 1)}
    [found], logits, samples = trainer.samples([maps], maps[..., 0, 0], batch)
    assert found.flatten().tolist() == logits.flatten().tolist() == [0, 1, 3]
    assert samples["index"].tolist() == [5, 6, 7]
    assert samples["part"] == (0, 1)
