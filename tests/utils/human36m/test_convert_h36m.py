"""scripts/convert_h36m.py: from the release's CDF files to HDF5."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from command_line import call_script, load_script
from h36m_folders import some_positions

from utils.human36m.files import find_sequences, load_motions

CONVERTER = load_script("scripts", "convert_h36m")


@pytest.fixture
def release(tmp_path):
    """A folder laid out like the release; `.cdf` files are .npy of the variable Pose, which a stand-in reads."""
    release = tmp_path / "release"
    for number, (subject, name) in enumerate([(1, "TakingPhoto 1"), (1, "_ALL"), (9, "Walking"), (2, "Eating")]):
        for kind in ("D3_Positions", "D3_Positions_mono"):
            path = release / f"S{subject}" / "MyPoseFeatures" / kind / f"{name}.cdf"
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                np.save(file, some_positions(4 + number, number).reshape(1, -1, 96))
    numbers = [0, 0, 0, 1, 2, 3] * 44 + [1100, 1100, 500, 500, 0.1, 0.2, 0.3, 0.4, 0.5] * 4
    (release / "metadata.xml").write_text(f"<a><w0>[{' '.join(map(str, numbers))}]</w0></a>")
    return release


class CDF:
    """Stands in for `cdflib.CDF`."""

    def __init__(self, path):
        self.path = path

    def varget(self, name):
        assert name == "Pose"
        return np.load(self.path)


def test_the_release_is_converted(release, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cdflib", SimpleNamespace(CDF=CDF))
    result = call_script(CONVERTER, release, "--output_dir", tmp_path / "h36m")
    [warning] = result.warnings()
    assert "2 files left out" in warning
    assert "2 sequences, 10 frames and 28 cameras" in result.out
    files = find_sequences(tmp_path / "h36m")
    assert [one.label for one in files.sequences] == ["S1 Photo 1", "S9 Walking"]
    np.testing.assert_array_equal(load_motions([files.sequences[0]])[0].positions, some_positions(4, 0))
    assert files.cameras()[9, 4].T.tolist() == [1, 2, 3]


def test_the_converter_refuses_in_one_line(release, tmp_path, monkeypatch):
    def error(*arguments):
        return call_script(CONVERTER, *arguments, "--output_dir", tmp_path / "h36m").refusal()

    monkeypatch.setitem(sys.modules, "cdflib", None)
    assert "pip install cdflib" in error(release)
    monkeypatch.setitem(sys.modules, "cdflib", SimpleNamespace(CDF=CDF))
    (release / "S1" / "MyPoseFeatures" / "D3_Positions" / "TakingPhoto 1.cdf").write_bytes(b"")
    assert "TakingPhoto 1.cdf: no readable Pose" in error(release)
    assert "no S*/MyPoseFeatures/D3_Positions" in error(tmp_path / "empty", "--metadata", release / "metadata.xml")
    assert not (tmp_path / "h36m").exists()


def test_real_cdf_files_are_read(tmp_path):
    cdflib = pytest.importorskip("cdflib")
    path = tmp_path / "Walking.cdf"
    writer = cdflib.cdfwrite.CDF(path)
    specification = {"Variable": "Pose", "Data_Type": 21, "Num_Elements": 1, "Rec_Vary": True, "Dim_Sizes": [5, 96]}
    writer.write_var(specification, var_data=some_positions().reshape(1, 5, 96))
    writer.close()
    np.testing.assert_array_equal(CONVERTER.read_cdf(path), some_positions())
