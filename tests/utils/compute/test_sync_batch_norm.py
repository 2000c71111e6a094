import copy

import pytest
import torch
from ranks import rank_of
from torch import nn

from utils.compute.batch_parts import Part
from utils.compute.distributed import ALONE, Processes
from utils.compute.sync_batch_norm import synchronise_batch_norms


def twin() -> Processes:
    """Rank 0 of two that have the same samples: every sum over both is twice its own."""

    def doubled(tensor):
        tensor.mul_(2)
        return lambda: None

    return rank_of(0, 2, doubled)


def norms(kind=nn.BatchNorm2d, processes: Processes | None = None, **settings) -> tuple[nn.Module, nn.Module]:
    """A batch norm with gains and biases of its own, and the same one synchronised."""
    norm = kind(3, **settings)
    for parameter in norm.parameters():
        nn.init.uniform_(parameter)
    synchronised = copy.deepcopy(norm)
    synchronise_batch_norms(nn.Sequential(synchronised), processes or twin())
    return norm, synchronised


def loss_of(output: torch.Tensor) -> torch.Tensor:
    return (output * torch.linspace(-1, 2, output[0].numel()).view(output[0].shape)).square().sum()


@pytest.mark.parametrize(
    ("kind", "shape"), [(nn.BatchNorm2d, (4, 3, 5, 2)), (nn.BatchNorm1d, (4, 3)), (nn.BatchNorm1d, (4, 3, 5))]
)
@pytest.mark.parametrize(
    "settings", [{}, {"affine": False}, {"momentum": None}, {"momentum": 0.3}, {"track_running_stats": False}]
)
def test_two_ranks_are_one_with_both_their_samples(kind, shape, settings):
    plain, synchronised = norms(kind, **settings)
    for step in range(2):
        own = (1000 + 3 * torch.randn(shape, generator=torch.Generator().manual_seed(step))).requires_grad_()
        output, expected = synchronised(own), plain(torch.cat([own, own]))
        torch.testing.assert_close(output, expected[: len(own)], rtol=1e-3, atol=1e-3)
        (gradient,) = torch.autograd.grad(loss_of(output), own, retain_graph=True)
        # The twin's samples follow from the same numbers here, and on the other rank from its own.
        (both,) = torch.autograd.grad(loss_of(expected), own, retain_graph=True)
        torch.testing.assert_close(2 * gradient, both, rtol=1e-3, atol=1e-3)
        for parameter, other in zip(synchronised.parameters(), plain.parameters(), strict=True):
            (part,), (whole,) = (
                torch.autograd.grad(loss_of(values), one, retain_graph=True)
                for values, one in ((output, parameter), (expected, other))
            )
            torch.testing.assert_close(2 * part, whole, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(synchronised.state_dict(), plain.state_dict(), rtol=1e-5, atol=1e-5)


def test_half_precision_has_its_statistics_in_full():
    plain, synchronised = norms()
    images = (100 + torch.randn(8, 3, 4, 4)).bfloat16()
    output = synchronised(images)
    assert output.dtype == torch.bfloat16
    torch.testing.assert_close(output.float(), plain(images.float()), rtol=0.02, atol=0.02)
    assert synchronised.running_mean.dtype == torch.float32


@pytest.mark.parametrize("alone", [True, False])
def test_it_is_an_ordinary_batch_norm_without_other_ranks_or_gradients(alone):
    """Without gradients: in a validation the ranks have unequal numbers of minibatches."""
    plain, synchronised = norms(processes=ALONE if alone else twin())
    images = torch.randn(4, 3, 2, 2)
    with torch.set_grad_enabled(alone):
        for training in (True, False):
            assert torch.equal(synchronised.train(training)(images), plain.train(training)(images))
    torch.testing.assert_close(synchronised.state_dict(), plain.state_dict(), rtol=0, atol=0)


def test_networks_keep_their_parameters_and_names():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 4), nn.BatchNorm1d(4))
    before = {name: id(value) for name, value in model.state_dict(keep_vars=True).items()}
    synchronise_batch_norms(model, twin())
    assert {name: id(value) for name, value in model.state_dict(keep_vars=True).items()} == before
    assert [isinstance(model[1], nn.BatchNorm2d), isinstance(model[4], nn.BatchNorm1d)] == [True, True]


def test_only_steps_and_gradients_wait_for_the_other_rank():
    """Passes without gradients wait within a training step, not in a validation that uses batch statistics."""
    plain, synchronised = norms()
    samples = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        torch.testing.assert_close(synchronised(samples), plain(samples), rtol=0, atol=0)
        with synchronised.shared.training_on(Part(0, 4, 8)):
            synchronised(samples)
            plain(torch.cat([samples, samples]))
    torch.testing.assert_close(synchronised.running_var, plain.running_var)


def test_statistics_stay_without_track_running_stats():
    _, synchronised = norms()
    synchronised.track_running_stats = False
    synchronised(torch.randn(4, 3, 2, 2) + 5)
    assert synchronised.running_mean.tolist() == [0, 0, 0]


def test_the_placeholder_of_a_rank_without_samples_does_not_count():
    """It repeats one sample, which adds nothing to the sums over the ranks."""
    seen = []

    def only_ours(tensor):
        seen.append(tensor.clone())
        tensor += 1
        return lambda: None

    _, synchronised = norms(processes=rank_of(0, 2, only_ours))
    with synchronised.shared.training_on(Part(0, 0, 1)):
        synchronised(torch.ones(1, 3, 2, 2))
    assert not torch.cat(seen).any()
