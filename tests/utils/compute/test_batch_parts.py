import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ranks import rank_of

from utils.compute.batch_parts import (
    BatchGenerator,
    Part,
    integers,
    mean_of_counted,
    normal,
    part_of,
    shard,
    uniform,
)
from utils.compute.devices import batch_generator


def parts_of(total: int, ranks: int) -> list[Part]:
    """The parts of all ranks."""
    return [part_of(total, rank_of(rank, ranks)) for rank in range(ranks)]


@given(st.integers(1, 200), st.integers(1, 20))
def test_parts_are_the_whole_in_order_and_of_equal_size(total, ranks):
    parts = parts_of(total, ranks)
    assert [row for part in parts for row in range(part.start, part.start + part.size)] == list(range(total))
    sizes = {part.size for part in parts}
    assert max(sizes) - min(sizes) <= (0 if total % ranks == 0 else 1)
    assert sum(part.weight for part in parts) == pytest.approx(ranks)
    for part in parts:
        rows = range(total)[part.rows]
        assert list(rows) == (list(range(part.start, part.start + part.size)) or [0])


@given(st.integers(1, 40), st.integers(1, 6))
def test_weighted_means_of_the_parts_make_the_mean(total, ranks):
    values = torch.arange(total, dtype=torch.float64).square()
    parts = parts_of(total, ranks)
    means = [part.weight * values[part.rows].mean() for part in parts]
    assert torch.stack(means).mean().item() == pytest.approx(values.mean().item())


def test_shards_may_be_empty():
    assert shard([7, 8], rank_of(0, 3)) == []
    assert shard([7, 8], rank_of(2, 3)) == [8]


def test_alone_a_shard_is_all():
    assert shard("abc") == "abc"
    assert part_of(5) == Part(0, 5, 5)


def test_the_weight_of_a_part():
    assert part_of(5, rank_of(0, 2)).weight == 2 * 2 / 5
    assert part_of(5, rank_of(1, 2)).weight == 2 * 3 / 5
    assert part_of(5).weight == 1


@pytest.mark.parametrize(("draw", "as_torch"), [(uniform, torch.rand), (normal, torch.randn)])
def test_ranks_draw_the_rows_of_the_whole_minibatch(draw, as_torch):
    whole = as_torch(5, 2, 3, generator=torch.Generator().manual_seed(4))
    parts = parts_of(5, 2)
    drawn = [draw(part.size, 2, 3, generator=BatchGenerator(part=part).manual_seed(4)) for part in parts]
    assert torch.equal(torch.cat(drawn), whole)
    assert torch.equal(draw(3, 2, 3, generator=batch_generator(0, 4, part=parts[1])), drawn[1])
    assert torch.equal(draw(5, 2, 3, generator=torch.Generator().manual_seed(4)), whole)
    assert torch.equal(draw(5, 2, 3, generator=BatchGenerator().manual_seed(4)), whole)


def test_later_draws_stay_in_step():
    """However many rows a rank takes, its generator goes on from where the whole minibatch's does."""
    generators = [BatchGenerator(part=part).manual_seed(0) for part in parts_of(3, 2)]
    first = [uniform(size, generator=one) for size, one in zip((1, 2), generators, strict=True)]
    second = [uniform(size, generator=one) for size, one in zip((1, 2), generators, strict=True)]
    alone = torch.Generator().manual_seed(0)
    assert torch.equal(torch.cat(first), torch.rand(3, generator=alone))
    assert torch.equal(torch.cat(second), torch.rand(3, generator=alone))


def test_ranks_draw_their_rows_of_whole_numbers():
    whole = torch.randint(7, (5, 2), generator=torch.Generator().manual_seed(4))
    parts = parts_of(5, 2)
    drawn = [integers(7, part.size, 2, generator=BatchGenerator(part=part).manual_seed(4)) for part in parts]
    assert torch.equal(torch.cat(drawn), whole)


def test_numbers_of_another_type():
    assert uniform(2, generator=BatchGenerator(), dtype=torch.float64).dtype == torch.float64


def test_a_wrong_number_of_samples_is_noticed():
    with pytest.raises(ValueError, match="3 samples, but the rank's part of the minibatch has 2"):
        uniform(3, generator=BatchGenerator(part=Part(0, 2, 5)))


@given(st.lists(st.tuples(st.floats(-5, 5), st.booleans()), min_size=1, max_size=12), st.integers(1, 5))
def test_the_mean_of_what_counts_is_that_of_all_ranks(samples, ranks):
    """Though some ranks have more that counts than others."""
    values, counted = (torch.tensor(part, dtype=torch.float64) for part in zip(*samples, strict=True))
    everybodys = counted.sum()

    def sum_over_all(count):
        count.copy_(everybodys)
        return lambda: None

    total = []
    for rank in range(ranks):
        part = part_of(len(samples), rank_of(rank, ranks, sum_over_all))
        own, its = values[part.rows], counted[part.rows]
        total.append(mean_of_counted((own * its).sum(), its.sum(), part) * part.weight)
    expected = (values * counted).sum() / counted.sum().clamp(min=1)
    torch.testing.assert_close(torch.stack(total).mean(), expected)
