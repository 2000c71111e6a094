"""`run.py export`: the files give the networks' results, describe themselves, and are written whole or not at all."""

import json
import runpy
import shutil
import sys
from collections.abc import Callable
from importlib import util
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from command_line import Result, call, files
from shown_options import assert_all_shown
from tiny_checkpoints import stitched_file
from tiny_fine_tuning import make_images, make_networks

from stacked_hourglass import demo_weights, load_hourglass
from stitched import estimate_poses, export, load_network
from stitched.exported_networks import ExportedNetwork
from twod_threed import load_lifter
from utils.imaging.heatmaps import decode_heatmaps, heatmap_to_crop
from utils.training.checkpoints import write_checkpoint
from utils.transform import H36M, H36M_2D, MPII

SHOWN_SCRIPTS = [("run", "export")]
pytestmark = pytest.mark.usefixtures("one_level")

EXAMPLE = Path(__file__).parents[2] / "docs" / "onnx_example.py"
# The way is one for all three; the export of an hourglass takes a quarter of a minute, a lifter's two seconds.
of_an_hourglass = pytest.mark.long
KINDS = ("lifter", *(pytest.param(kind, marks=of_an_hourglass) for kind in ("hourglass", "stitched")))
TO_PHOTO = torch.tensor([[2.0, 0, 10], [0, 2, 20]])


@pytest.fixture(scope="module")
def networks(tmp_path_factory) -> dict[str, Path]:
    """The options that load an untrained hourglass and an untrained 3D baseline."""
    folder = tmp_path_factory.mktemp("networks")
    options = make_networks(folder, make_images(folder / "h36m"))
    return dict(zip(options[::2], options[1::2], strict=True))


@pytest.fixture(scope="module")
def loads(networks) -> dict[str, tuple]:
    """Kind -> the options that select what to export."""
    hourglass, lifter = networks.values()
    both = tuple(value for pair in networks.items() for value in pair)
    return {"hourglass": ("--load", hourglass), "lifter": ("--load", lifter), "stitched": both}


@pytest.fixture(scope="module")
def exported(loads, tmp_path_factory) -> Callable[[str], tuple[Path, Result]]:
    """The folder and the output of an export of this kind; each is made once."""
    done: dict[str, tuple[Path, Result]] = {}

    def once(kind: str) -> tuple[Path, Result]:
        if kind not in done:
            folder = tmp_path_factory.mktemp(kind)
            done[kind] = folder, call("run", "export", *loads[kind], "--output_dir", folder).succeeded()
        return done[kind]

    return once


@pytest.fixture
def run(tmp_path) -> Callable[..., Result]:
    """`run("--load", …)` into `tmp_path / "out"`."""
    return lambda *argv: call("run", "export", *argv, "--output_dir", tmp_path / "out", cwd=tmp_path)


def session(folder: Path, kind: str) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(folder / f"{kind}.onnx", providers=["CPUExecutionProvider"])


def inputs_of(kind: str, batch: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(batch)
    images = torch.rand(batch, 3, 256, 256, generator=generator)
    if kind == "lifter":
        return {"joints_2d": 1000 * torch.rand(batch, 16, 2, generator=generator)}
    return {"images": images} | ({"to_photo": TO_PHOTO.expand(batch, 2, 3)} if kind == "stitched" else {})


@torch.no_grad()
def expected(kind: str, networks, inputs: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    """The outputs, computed with the networks themselves."""
    hourglass, lifter = networks.values()
    if kind == "lifter":
        model = load_lifter(lifter)
        poses = model.normalisation.to_mm(model(model.normalisation.input(inputs["joints_2d"])))
        return [poses - poses[:, :1]]
    if kind == "hourglass":
        model = load_hourglass(hourglass)
        maps = model(inputs["images"] - model.mean[:, None, None])[-1]
        points, scores = decode_heatmaps(maps)
        return [maps, heatmap_to_crop(points), scores]
    model = load_network(load_hourglass=hourglass, load_2d3d=lifter)
    found = model(inputs["images"] - model.mean[:, None, None], inputs["to_photo"])
    return [found.heatmaps[-1], found.pose_2d, found.heatmaps[-1].amax((-2, -1)), found.pose_3d]


def assert_near(found, wanted) -> None:
    for one, other in zip(map(torch.as_tensor, found), wanted, strict=True):
        assert one.shape == other.shape
        assert (one - other).abs().max() <= 1e-4 * other.abs().max()


# ------------------------------------------------------------------------------------------ the files
@pytest.mark.parametrize("kind", KINDS)
def test_both_files_give_the_networks_results_for_any_batch(exported, networks, kind):
    folder, _ = exported(kind)
    running, program = session(folder, kind), torch.export.load(folder / f"{kind}.pt2").module()
    for batch in (1, 2, 5):
        inputs = inputs_of(kind, batch)
        wanted = expected(kind, networks, inputs)
        assert_near(running.run(None, {name: value.numpy() for name, value in inputs.items()}), wanted)
        assert_near(program(*inputs.values()), wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_the_files_describe_themselves(exported, kind):
    folder, _ = exported(kind)
    assert files(folder) == [f"{kind}.json", f"{kind}.onnx", f"{kind}.pt2"], "and no file of weights beside them"
    running, facts = session(folder, kind), json.loads((folder / f"{kind}.json").read_text())
    stored = running.get_modelmeta().custom_metadata_map
    assert {name: value if isinstance(facts[name], str) else json.loads(value) for name, value in stored.items()} == (
        facts
    )
    if kind == "lifter":  # the quickest to load
        extra = {"metadata.json": ""}
        torch.export.load(folder / f"{kind}.pt2", extra_files=extra)
        assert json.loads(extra["metadata.json"]) == {name: facts[name] for name in facts if name != "onnx_opset"}
    assert facts["network"] == kind
    for stated, real in ((facts["inputs"], running.get_inputs()), (facts["outputs"], running.get_outputs())):
        assert {name: fact["shape"] for name, fact in stated.items()} == {port.name: port.shape for port in real}
        assert all(port.type == "tensor(float)" for port in real)
        assert all(fact["what"] for fact in stated.values())
    orders = {**facts["inputs"], **facts["outputs"]}
    for name, fact in orders.items():
        order = H36M if name == "joints_3d" else H36M_2D if kind == "lifter" else MPII
        assert fact.get("joints", list(order.joints)) == list(order.joints)
    assert all(len(checkpoint["sha256"]) == 64 for checkpoint in facts["checkpoints"].values())


def test_the_opset_is_as_stated(exported):
    import onnx

    model = onnx.load(exported("lifter")[0] / "lifter.onnx")
    onnx.checker.check_model(model)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", export.OPSET)]


@pytest.mark.parametrize("kind", KINDS)
def test_printed_numbers_have_their_definitions(exported, kind):
    folder, result = exported(kind)
    assert export.DEFINITION in result.out
    assert f"{folder}: {kind}.pt2, {kind}.onnx, {kind}.json" in result.out
    for file in (f"{kind}.pt2", f"{kind}.onnx"):
        [line] = [line for line in result.out.splitlines() if line.startswith(f"{file}: largest differences")]
        assert all(f"{name} " in line for name in json.loads((folder / f"{kind}.json").read_text())["outputs"])


@of_an_hourglass
def test_the_example_needs_only_the_onnx_file(exported, networks, tmp_path, monkeypatch, capsys):
    """The documented lines, unchanged, give the results of `estimate_poses`."""
    rng = np.random.default_rng(0)
    photo = cv2.resize(rng.integers(0, 256, (9, 9, 3), np.uint8), (300, 200))
    cv2.imwrite(str(tmp_path / "photo.jpg"), photo)
    shutil.copy(exported("stitched")[0] / "stitched.onnx", tmp_path)
    monkeypatch.chdir(tmp_path)
    found = runpy.run_path(str(EXAMPLE))
    hourglass, lifter = networks.values()
    decoded = cv2.cvtColor(cv2.imread("photo.jpg"), cv2.COLOR_BGR2RGB)
    people = estimate_poses(decoded, load_hourglass=hourglass, load_2d3d=lifter, device="cpu")
    np.testing.assert_allclose(found["joints_2d"], people.joints_2d, atol=0.01)
    np.testing.assert_allclose(found["scores"], people.scores, atol=1e-4)
    np.testing.assert_allclose(found["joints_3d"], people.joints_3d, atol=0.1)
    lines = capsys.readouterr().out.splitlines()
    assert [len(line.split()) for line in lines] == [3] * 16
    code = EXAMPLE.read_text().split('"""')[2].strip().splitlines()
    imports = [line for line in code if line.startswith("import")]
    assert imports == ["import cv2", "import numpy as np", "import onnxruntime"]
    assert len([line for line in code if line and line not in imports]) == 10


# ------------------------------------------------------------------------------------------ the check
class Doubling(ExportedNetwork):
    """x -> 2 x -> 2 x + 10."""

    kind, inputs, outputs, notes = "doubling", {"x": {}}, {"double": {}, "more": {}}, {}

    def example(self, batch, generator):
        return (1 + torch.rand(batch, 2, generator=generator),)

    def stages(self, x, double, more):
        return 2 * x, double + 10


def test_every_output_is_compared_in_every_batch():
    network = Doubling()
    assert set(export.output_differences(network, lambda inputs: (2 * inputs[0], 2 * inputs[0] + 10), 0).values()) == {
        (0, 0)
    }
    for batch in export.BATCHES:
        for damaged in range(2):

            def run(inputs, damaged=damaged, batch=batch):
                off = [0.1 if damaged == index and len(inputs[0]) == batch else 0.0 for index in range(2)]
                double = 2 * inputs[0] + off[0]
                return double, double + 10 + off[1]

            differences = list(export.output_differences(network, run, 0).values())
            assert differences[damaged].absolute == pytest.approx(0.1, abs=1e-5)
            assert differences[1 - damaged].absolute == 0, "outputs computed from a wrong one are compared on their own"


def test_a_file_that_differs_is_not_written(run, loads, tmp_path, monkeypatch):
    load = export.load_program
    monkeypatch.setattr(export, "load_program", lambda path: lambda inputs: [1.001 * load(path)(inputs)[0]])
    refused = run(*loads["lifter"]).refusal()
    assert "lifter.pt2: its joints_3d differ from PyTorch's by " in refused
    assert "(0.001 of the largest, 0.0001 is allowed); nothing was written" in refused
    assert files(tmp_path / "out") == []


def test_differences_by_hand():
    difference = export._difference(torch.tensor([1.0, -4.5]), torch.tensor([1.25, -5.0]))
    assert difference == (0.5, 0.1)
    assert export._difference(torch.tensor([1.0, torch.nan]), torch.tensor([1.0, 2.0])) == (torch.inf, torch.inf)
    assert export._difference(torch.zeros(1), torch.zeros(2)) == (torch.inf, torch.inf)
    assert export._difference(torch.zeros(2), torch.zeros(2)) == (0, 0)


# ------------------------------------------------------------------------------------------ options
@pytest.mark.shows("output_dir")
def test_without_onnx_the_program_is_written_and_a_line_says_so(run, loads, tmp_path, monkeypatch):
    there = util.find_spec
    monkeypatch.setattr(export, "find_spec", lambda name: None if name == "onnxscript" else there(name))
    [warning] = run(*loads["lifter"]).warnings()
    assert "no ONNX file, since onnxscript is missing: pip install onnxscript" in warning
    assert files(tmp_path / "out") == ["lifter.json", "lifter.pt2"]
    assert "onnx_opset" not in json.loads((tmp_path / "out/lifter.json").read_text())


def test_a_whole_stitched_checkpoint_or_the_demo_weights(run, networks, tmp_path, monkeypatch):
    hourglass, lifter = networks.values()
    path = stitched_file(tmp_path / "whole.pth.tar", hourglass, lifter)

    opened = []
    monkeypatch.setattr(export, "export_network", lambda *given: opened.append(given) or {})
    run("--load", path).succeeded()
    assert f"--load_2d3d ignored: --load {path} is a whole" in run("--load", path, "--load_2d3d", lifter).err
    monkeypatch.setattr(demo_weights, "DEMO_WEIGHTS", tmp_path / "none.pth.tar")
    assert "--load_hourglass and --load_2d3d missing" in run().refusal()
    monkeypatch.setattr(demo_weights, "DEMO_WEIGHTS", path)
    assert f"no checkpoint given: the demo weights {path} are used" in run().succeeded().out
    assert [(network.kind, checkpoints) for network, _, checkpoints, _ in opened] == [("stitched", {"load": path})] * 3
    assert "--load_2d3d missing" in run("--load_hourglass", hourglass).refusal()


# Options that shaped a network: another value than that of the tiny networks, and theirs.
OF_HOURGLASS = (
    ("stacks", 2, 1), ("features", 16, 8), ("blocks", 2, 1), ("num_classes", 14, 16), ("use_layer_norm", True, False),
    ("no_batch_norm_affine", True, False), ("batch_norm_momentum", 0.7, 0.1), ("predict_joint_visibility", True, False),
    ("add_attention", True, False), ("attention_history_length", 3, 8), ("attention_heads", 2, 4),
    ("attention_levels", 2, 1),
)  # fmt: skip
OF_LIFTER = (("linear_size", 32, 16), ("num_stage", 2, 1), ("dataset_normalization", True, "instance"))
PATH_OF = {"hourglass": "--load_hourglass", "lifter": "--load_2d3d"}


@pytest.fixture
def no_onnx(monkeypatch):
    monkeypatch.setattr(export, "find_spec", lambda name: None)


@pytest.mark.usefixtures("no_onnx")
class TestOptions:
    """Without ONNX, which is slow and changes nothing here."""

    @pytest.mark.shows("seed")
    def test_the_seed_changes_the_input_of_the_check(self, run, loads, monkeypatch):
        seen = []
        compare = export.output_differences
        monkeypatch.setattr(export, "output_differences", lambda *given: seen.append(given[-1]) or compare(*given))
        for argv in ((), ("--seed", 5)):
            run(*loads["lifter"], *argv).succeeded()
        assert seen == [0, 5]

    @pytest.mark.shows("load", "load_hourglass", "load_2d3d")
    def test_wrong_checkpoints(self, run, networks, tmp_path):
        hourglass, lifter = networks.values()
        assert "--load_2d3d missing" in run("--load_hourglass", hourglass).refusal()
        assert "swap the two" in run("--load_hourglass", lifter, "--load_2d3d", hourglass).refusal()
        refused = run("--load", hourglass, "--load_2d3d", lifter).refusal()
        assert f"--load_2d3d has no effect: --load {hourglass} is not a stitched network" in refused
        write_checkpoint(tmp_path / "gan.pth.tar", {"script": "3d_pose_gan", "state_dict": {"w": torch.ones(1)}})
        refused = run("--load", tmp_path / "gan.pth.tar").refusal()
        assert "no hourglass, 3D baseline or stitched network (it was written by train.py 3d_pose_gan)" in refused
        content = torch.load(lifter, weights_only=True)
        del content["normalisation"]
        write_checkpoint(tmp_path / "published.pth.tar", content)
        refused = run("--load", tmp_path / "published.pth.tar").refusal()
        assert f"--load {tmp_path / 'published.pth.tar'}: a published checkpoint has no normalisation" in refused
        both = [value for pair in networks.items() for value in pair]
        assert "was trained with instance" in run(*both, "--dataset_normalization").refusal()
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        ("option", "value", "stored"),
        [pytest.param(*case, marks=pytest.mark.shows(case[0])) for case in (*OF_HOURGLASS, *OF_LIFTER)],
    )
    def test_an_option_that_shaped_a_network_must_agree(self, run, loads, networks, tmp_path, option, value, stored):
        own, other = ("hourglass", "lifter") if (option, value, stored) in OF_HOURGLASS else ("lifter", "hourglass")
        for kind in (own, "stitched"):
            refused = run(*loads[kind], f"--{option}", value).refusal()
            assert f"--{option} {value}" in refused
            assert f"{networks[PATH_OF[own]]} was trained with {stored}" in refused
        refused = run(*loads[other], f"--{option}", value).refusal()
        assert f"--{option} has no effect: {loads[other][1]} holds only " in refused
        assert not (tmp_path / "out").exists()

    def test_from_python(self, networks, tmp_path):
        network = export.load_exportable(networks["--load_2d3d"])
        differences = export.export_network(network, tmp_path, seed=3)
        assert files(tmp_path) == ["lifter.json", "lifter.pt2"]
        assert differences["lifter.pt2"]["joints_3d"].relative <= export.TOLERANCE
        assert json.loads((tmp_path / "lifter.json").read_text())["checkpoints"] == {}

    @pytest.mark.shows("allow_unsafe_load", "debug_traceback")
    def test_old_pickles_and_tracebacks(self, run, networks, tmp_path):
        content = torch.load(networks["--load_2d3d"], weights_only=True) | {"made": Path("here")}
        torch.save(content, tmp_path / "old.pth")
        assert "--allow_unsafe_load" in run("--load", tmp_path / "old.pth").refusal()
        assert "Traceback (most recent call last)" in run("--load", tmp_path / "old.pth", "--debug_traceback").err
        run("--load", tmp_path / "old.pth", "--allow_unsafe_load").succeeded()


def test_every_option_has_a_test():
    assert_all_shown(SHOWN_SCRIPTS, [sys.modules[__name__]])
