"""Predictions for all samples of a dataset, in minibatches made by threads or by a loader."""

import threading

import pytest
import torch
from torch.utils.data import Dataset

from stacked_hourglass.sample_predictions import predict_samples, without_pose

COUNT, UNREADABLE = 7, 3


class NumberedCrops(Dataset):
    """Crops that show their number; one cannot be read. Notes the threads that make them."""

    def __init__(self):
        self.threads = set()

    def __len__(self):
        return COUNT

    def __getitem__(self, index: int) -> dict:
        self.threads.add(threading.current_thread())
        image = torch.full((3, 4, 4), index, dtype=torch.uint8)
        return {"image": image, "to_photo": torch.zeros(2, 3), "readable": index != UNREADABLE}


class NumberReader:
    """A predictor whose one joint is at the number that a crop shows."""

    def __init__(self, device: str):
        self.device, self.sizes = torch.device(device), []

    def __call__(self, crops, to_photo):
        self.sizes.append(len(crops))
        return (crops[:, 0, :1, :2].float(),)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_samples_keep_their_order_and_unreadable_ones_are_nan(device):
    crops, predictor = NumberedCrops(), NumberReader(device)  # which computes on the CPU, whatever it says
    (joints,), lost = predict_samples(predictor, crops, "crops", batch_size=3)
    assert (joints[:, 0, 0].tolist()[:UNREADABLE], lost) == ([0, 1, 2], "")
    assert joints[UNREADABLE + 1 :, 0, 1].tolist() == [4, 5, 6]
    assert without_pose(joints) == [UNREADABLE]
    assert predictor.sizes == [3, 2, 1]


def test_with_a_network_on_the_cpu_other_threads_make_the_samples():
    crops = NumberedCrops()
    predict_samples(NumberReader("cpu"), crops, "crops", batch_size=3)
    assert threading.current_thread() not in crops.threads
    crops = NumberedCrops()
    predict_samples(NumberReader("cuda"), crops, "crops", batch_size=3)
    assert crops.threads == {threading.current_thread()}
