"""Sessions of ONNX Runtime: from bytes and from a file, with any number of threads, run by several at once."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from onnx import TensorProto, helper

from utils.compute.onnx_sessions import cpu_session


@pytest.fixture(scope="module")
def product() -> bytes:
    """(N, N) matrices to their squares."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ("N", "N")) for name in ("matrix", "square")]
    graph = helper.make_graph([helper.make_node("MatMul", ["matrix", "matrix"], ["square"])], "square", *zip(ends))
    opsets = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("in_file", [False, True])
def test_several_threads_run_a_session_at_once(product, tmp_path, in_file, threads):
    path = tmp_path / "square.onnx"
    path.write_bytes(product)
    session = cpu_session(path if in_file else product, threads)
    matrices = [np.random.default_rng(size).random((size, size), np.float32) for size in range(1, 40)]
    with ThreadPoolExecutor(4) as pool:
        squares = list(pool.map(lambda matrix: session.run(["square"], {"matrix": matrix})[0], matrices))
    for matrix, square in zip(matrices, squares, strict=True):
        np.testing.assert_allclose(square, matrix @ matrix, rtol=1e-5)
