"""Minibatches of indices: order, reshuffling, starting in the middle."""

from itertools import chain

import torch

from utils.index_loader import IndexLoader

CPU = torch.device("cpu")


def batches(loader, epoch=0, skip=0):
    loader.batch_sampler.start(epoch, skip)
    return [minibatch["index"].tolist() for minibatch in loader]


def test_in_order_without_a_seed():
    loader = IndexLoader(7, 3, CPU)
    assert len(loader) == 3
    assert batches(loader) == batches(loader, epoch=4) == [[0, 1, 2], [3, 4, 5], [6]]


def test_an_epoch_is_a_permutation_of_its_own():
    loader = IndexLoader(50, 8, CPU, seed=1)
    first, second = batches(loader), batches(loader, epoch=1)
    for epoch in (first, second):
        assert sorted(chain(*epoch)) == list(range(50))
    assert first != second
    assert list(chain(*first)) != list(range(50))
    assert batches(IndexLoader(50, 8, CPU, seed=1)) == first
    assert batches(IndexLoader(50, 8, CPU, seed=2)) != first


def test_it_can_start_anywhere():
    loader = IndexLoader(50, 8, CPU, seed=1)
    assert batches(loader, epoch=3, skip=5) == batches(loader, epoch=3)[5:]
