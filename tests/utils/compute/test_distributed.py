import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from launchers import ENGINES, LAUNCHERS
from ranks import rank_of
from several_processes import FORKED_KINDS, KINDS, network, ten_steps
from torch import nn

from utils.compute import distributed, engines
from utils.compute.distributed import ALONE, AnyRankLater, Processes
from utils.osutils import UserError

CASES = [
    # Launchers have each process import torch anew.
    (engine, kind, () if engine == "forked" else pytest.mark.long)
    for engine in ("forked", "torchrun", "horovodrun")
    for kind in (FORKED_KINDS if engine == "forked" else KINDS)
]


def results(folder: Path, name: str = "rank") -> list[dict]:
    return [torch.load(folder / f"{name}_{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.fixture(scope="module", params=ENGINES)
def ranks(request, launched) -> list[dict]:
    """What two processes found; those of torchrun meet on the loopback, one dies, and both start again."""
    return results(launched(request.param) / "exchanges")


# ------------------------------------------------------------------------------------------ exchange
def test_ranks(ranks):
    assert [one["place"] for one in ranks] == [[0, 2, True], [1, 2, False]]


def test_sums_and_means(ranks):
    for one in ranks:
        assert one["sum"].tolist() == [3, 21]
        assert one["mean"].tolist() == [1.5, 10.5]


def test_sums_by_name_count_missing_entries_as_zero(ranks):
    for one in ranks:
        assert {name: value.tolist() for name, value in one["sums"].items()} == {"all": [2, 2], "late": [1]}


def test_objects(ranks):
    for one in ranks:
        assert one["from_main"] == {"rank": 0}
        assert one["objects"] == ["of 0", "of 1"]


def test_unequal_parts_are_gathered_whole_and_in_order(ranks):
    assert [one["shard"] for one in ranks] == [[0, 1, 2], [3, 4, 5, 6]]
    for one in ranks:
        assert one["gathered"].tolist() == [[1, 1, 1], [1, 1, 1]]
        assert one["whole"].tolist() == list(range(7))


def test_a_yes_of_one_rank_reaches_all_at_the_same_step(ranks):
    for one in ranks:
        assert one["any"] == [True, False]
        assert one["later"] == [False, False, True, False]


def test_rank_0_works_for_all_and_fails_for_all(ranks):
    for one in ranks:
        assert one["on_main"] == "done by 0"
        assert one["refused_on_main"] == "refused by rank 0"


# ------------------------------------------------------------------------------------------ networks
def test_networks_and_optimizers_come_from_rank_0(ranks):
    first, second = ranks
    for name in ("model", "optimizer"):
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=0)
    assert first["optimizer"]["param_groups"][0]["lr"] == 0.1
    assert first["optimizer"]["state"][0]["step"] == 1


def test_running_statistics_are_averaged(ranks):
    first, second = ranks
    assert not torch.equal(first["own_statistics"], second["own_statistics"])
    for one in ranks:
        torch.testing.assert_close(one["statistics"], (first["own_statistics"] + second["own_statistics"]) / 2)
        assert one["counted"] == 6


def test_wrapped_networks_look_like_those_that_were_given(ranks, request):
    by_torch = request.node.callspec.params["ranks"] != "horovodrun"
    for one in ranks:
        found = one["wrapped"]
        assert found["parallel"] == [False, by_torch, by_torch, False]
        assert not any(found["given"])
        assert found["shared"]
        assert found["attribute"] == 2
        assert found["names"]
        assert found["no_gradients"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("ranks", "kind"),
    [pytest.param(engine, kind, marks=marks) for engine, kind, marks in CASES],
    indirect=["ranks"],
)
def test_two_processes_train_like_one_with_the_double_batch(kind, ranks):
    expected, first = ten_steps(kind, compiled=False), network(kind).state_dict()
    assert max((expected[name] - first[name]).abs().max() for name in first) > 0.01
    for one in ranks:
        torch.testing.assert_close(one["steps"][kind], expected, rtol=1e-6, atol=1e-6)


def test_compressed_gradients_are_nearly_the_same(ranks):
    exact = ten_steps("plain")
    for one in ranks:
        torch.testing.assert_close(one["compressed"], exact, rtol=0, atol=1e-3)
        assert any(not torch.equal(one["compressed"][name], exact[name]) for name in exact)
    torch.testing.assert_close(ranks[0]["compressed"], ranks[1]["compressed"], rtol=0, atol=0)


# ------------------------------------------------------------------------------------------ restarts
@pytest.mark.long  # a launcher, and two processes that import torch twice
def test_a_restarted_job_knows_itself(launched):
    folder = launched("torchrun") / "exchanges"
    for one in results(folder, "first"):
        assert one == {"known": False, "renamed": False, "stranger": False}
    for one in results(folder):
        assert one["restart"] == {"known": True, "renamed": True, "stranger": False}


# ------------------------------------------------------------------------------------------ alone
@pytest.fixture
def no_launcher(monkeypatch):
    for name in LAUNCHERS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def two_processes() -> Processes:
    return rank_of(1, 2)


def test_alone_everything_is_as_it_was(no_launcher):
    processes = distributed.join()
    assert processes is ALONE
    model, row = nn.Linear(2, 1), torch.ones(1, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    assert (processes.rank, processes.local_rank, processes.size) == (0, 0, 1)
    assert (processes.local_size, processes.is_main, processes.job()) == (1, True, None)
    assert processes.wrap_model(model) is model
    assert processes.wrap_optimizer(optimizer, model) is optimizer
    assert processes.wrap_optimizer((optimizer, optimizer), model) == (optimizer, optimizer)
    assert processes.gather(row) is row
    assert processes.gather_objects(row) == [row]
    assert processes.broadcast_object(row) is row
    assert processes.all_reduce_mean(row).tolist() == [[1, 1]]
    assert processes.sum_over_ranks({"row": row})["row"].tolist() == [[1, 1]]
    assert processes.on_main(lambda: 3) == 3
    assert [processes.any_rank(flag) for flag in (True, False)] == [True, False]
    assert AnyRankLater()(True) is True
    assert processes.local_device(torch.device("cuda")) == torch.device("cuda")
    assert not processes.restarted({"token": "x", "run_id": "none"})
    assert processes.lost_process(RuntimeError("Connection closed by peer")) is None
    before = [value.clone() for value in (*model.state_dict().values(), *row)]
    for nothing in (processes.barrier, lambda: processes.broadcast_model(model), processes.close):
        nothing()
    processes.broadcast_optimizer(optimizer)
    processes.average_batch_norms(model)
    with processes.reduced_gradients(optimizer):
        pass
    assert all(map(torch.equal, before, (*model.state_dict().values(), *row)))


def test_without_horovod_the_option_says_what_to_run(no_launcher, monkeypatch):
    monkeypatch.setitem(sys.modules, "horovod.torch", None)
    with pytest.raises(
        UserError, match=r"^--use_horovod: Horovod is not installed; build it with scripts/install_horovod.sh"
    ):
        distributed.join(use_horovod=True)


def test_the_option_and_the_launcher_must_agree(no_launcher, monkeypatch):
    for name in distributed.TORCHRUN:
        monkeypatch.setenv(name, "0")
    with pytest.raises(UserError, match=r"^--use_horovod: started by torchrun"):
        distributed.join(use_horovod=True)
    monkeypatch.setenv("HOROVOD_RANK", "0")
    with pytest.raises(UserError, match=r"started by horovodrun: add --use_horovod"):
        distributed.join()


def test_horovod_for_cpus_is_refused_on_a_gpu(no_launcher, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    built = Namespace(init=lambda: None, nccl_built=lambda: 0)
    monkeypatch.setattr(engines, "import_module", lambda name: built)
    with pytest.raises(UserError, match=r"--use_horovod: this Horovod was built for CPUs; .*--gpu"):
        distributed.join(use_horovod=True)


def test_each_process_takes_its_own_gpu(two_processes, monkeypatch):
    current = []
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert two_processes.local_device(torch.device("cpu")) == torch.device("cpu")
    assert two_processes.local_device(torch.device("cuda")) == torch.device("cuda:1")
    assert current == [1]
    with pytest.raises(UserError, match=r"^--device cuda:1: each process uses its own GPU"):
        two_processes.local_device(torch.device("cuda:1"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match="2 processes on a machine with 1 GPUs"):
        two_processes.local_device(torch.device("cuda"))


def test_the_end_of_another_rank_is_told_from_other_errors(two_processes):
    gone = two_processes.lost_process(RuntimeError("[gloo/pair.cc:534] Connection closed by peer [127.0.0.1]:5123"))
    line = "rank 1: another process of this job has ended; the last checkpoint is intact, continue with --resume"
    assert gone == f"{line} (RuntimeError: [gloo/pair.cc:534] Connection closed by peer [127.0.0.1]:5123)"
    assert two_processes.lost_process(RuntimeError("shape mismatch")) is None
    assert two_processes.lost_process(torch.distributed.DistNetworkError("no route")).startswith(line)
