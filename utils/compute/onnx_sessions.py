"""Networks in ONNX Runtime on a CPU."""

from pathlib import Path
from typing import Any


def cpu_session(network: bytes | Path, threads: int = 1) -> Any:
    """A session of an ONNX model, or of its file. Several Python threads may run it at once.

    With one thread, it computes in the thread that runs it. With several, it has threads of its own, which do not
    outlive a fork.
    """
    import onnxruntime  # noqa: PLC0415 - 0.2 s, which most scripts do without

    how = onnxruntime.SessionOptions()
    how.intra_op_num_threads, how.inter_op_num_threads = threads, 1
    how.enable_mem_pattern = False  # would keep memory for each input size it has seen
    # Between two runs the cores belong to others; threads that wait for the next in a loop would keep them.
    how.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(network, how, providers=["CPUExecutionProvider"])
