"""Minibatches of indices: order, reshuffling, starting in the middle."""

from itertools import chain

import torch
from ranks import rank_of

from utils.training.samplers import IndexLoader

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


def test_two_ranks_have_the_whole_of_every_minibatch():
    """In training a rank has its part of each doubled minibatch, in validation its part of the samples in order."""
    whole = batches(IndexLoader(50, 16, CPU, seed=1))
    trained, validated = [], []
    for rank in range(2):
        processes = rank_of(rank, 2)
        loader = IndexLoader(50, 8, CPU, seed=1, processes=processes)
        trained.append(batches(loader))
        assert [loader.part(number).size for number in range(len(loader))] == [len(one) for one in trained[-1]]
        validated += [index for batch in batches(IndexLoader(50, 8, CPU, processes=processes)) for index in batch]
    assert [one + other for one, other in zip(*trained, strict=True)] == whole
    assert validated == list(range(50))


def test_a_rank_may_be_left_without_samples():
    loader = IndexLoader(2, 8, CPU, processes=rank_of(0, 3))
    assert (len(loader), batches(loader)) == (0, [])
