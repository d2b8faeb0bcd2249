"""Networks as ONNX files: written from trained weights, run without torch.

The graph is written operator by operator, so that the file depends on the weights only, not on
the version of an exporter. Weights are stored as 16-bit floats and computed with as 32-bit.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis.errors import MissingLibraryError, ModelError, OutputError
from imganalysis.segment.pixels import CHANNELS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    State = Mapping[str, NDArray[np.float32]]

_MARK = "imganalysis"  # the entry of the metadata that holds what is to be known
_FORMAT = "imganalysis onnx 1"
_INSTALL = "pip install 'imganalysis[train]'"


@dataclass(frozen=True)
class OnnxModel:
    """A network that is ready to run.

    Parameters
    ----------
    name
        Its own.
    diameter_px
        Of the nuclei that it was trained on.
    channels
        Of its input, see `imganalysis.segment.pixels.as_input`.
    multiple
        Height and width of its input are multiples of this.
    sha256
        Of the file.
    about
        All that the file says of itself.
    session
        Of onnxruntime.
    """

    name: str
    diameter_px: float
    channels: int
    multiple: int
    sha256: str
    about: dict[str, Any]
    session: Any

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, C, Y, X) to (N, 3, Y, X)."""
        return np.asarray(self.session.run(None, {"image": batch})[0], np.float32)


class _Graph:
    """Collects nodes; each adds one operator and gives back the name of its result."""

    def __init__(self, state: State, half: bool) -> None:
        from onnx import helper, numpy_helper

        self.helper, self.numpy_helper = helper, numpy_helper
        self.state, self.half = state, half
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        out = f"v{len(self.nodes)}"
        self.nodes.append(self.helper.make_node(operator, list(inputs), [out], **attributes))
        return out

    def constant(self, name: str, value: NDArray[Any]) -> str:
        self.weights.append(self.numpy_helper.from_array(value, name))
        return name

    def weight(self, name: str, value: NDArray[np.float32] | None = None) -> str:
        value = self.state[name] if value is None else value
        if not self.half:
            return self.constant(name, value)
        stored = self.constant(name, value.astype(np.float16))
        return self.add("Cast", stored, to=1)  # 1: float32

    def norm(self, x: str, name: str) -> str:
        """Batch normalisation, as a factor and an offset for each channel, and ReLU."""
        scale = self.state[f"{name}.weight"] / np.sqrt(self.state[f"{name}.running_var"] + 1e-5)
        shift = self.state[f"{name}.bias"] - self.state[f"{name}.running_mean"] * scale
        x = self.add("Mul", x, self.column(f"{name}.scale", scale))
        x = self.add("Add", x, self.column(f"{name}.shift", shift))
        return self.add("Relu", x)

    def column(self, name: str, value: NDArray[np.float32]) -> str:
        # Factors of a few channels may lie outside 16 bit, and weigh next to nothing in the file.
        return self.constant(name, value.astype(np.float32).reshape(1, -1, 1, 1))

    def unit(self, x: str, name: str, size: int) -> str:
        x = self.norm(x, f"{name}.0")
        bias = self.constant(f"{name}.2.bias", self.state[f"{name}.2.bias"])
        return self.add("Conv", x, self.weight(f"{name}.2.weight"), bias, pads=[size // 2] * 4)

    def projection(self, x: str, name: str) -> str:
        """Normalisation and a convolution of one pixel are together one such convolution."""
        scale = self.state[f"{name}.0.weight"] / np.sqrt(self.state[f"{name}.0.running_var"] + 1e-5)
        shift = self.state[f"{name}.0.bias"] - self.state[f"{name}.0.running_mean"] * scale
        kernel = self.state[f"{name}.1.weight"]
        bias = self.state[f"{name}.1.bias"] + kernel[:, :, 0, 0] @ shift
        weight = self.weight(f"{name}.weight", kernel * scale[None, :, None, None])
        return self.add("Conv", x, weight, self.constant(f"{name}.bias", bias))

    def down(self, x: str, name: str) -> str:
        inner = self.unit(self.unit(x, f"{name}.conv.conv_0", 3), f"{name}.conv.conv_1", 3)
        x = self.add("Add", self.projection(x, f"{name}.proj"), inner)
        inner = self.unit(self.unit(x, f"{name}.conv.conv_2", 3), f"{name}.conv.conv_3", 3)
        return self.add("Add", x, inner)

    def styled(self, x: str, style: str, name: str) -> str:
        matrix = self.weight(f"{name}.full.weight")
        bias = self.constant(f"{name}.full.bias", self.state[f"{name}.full.bias"])
        full = self.add("Gemm", style, matrix, bias, transB=1)
        full = self.add("Unsqueeze", full, "last_axes")
        return self.unit(self.add("Add", x, full), f"{name}.conv", 3)

    def up(self, x: str, skip: str, style: str, name: str) -> str:
        inner = self.add("Add", self.unit(x, f"{name}.conv.conv_0", 3), skip)
        inner = self.styled(inner, style, f"{name}.conv.conv_1")
        x = self.add("Add", self.projection(x, f"{name}.proj"), inner)
        inner = self.styled(x, style, f"{name}.conv.conv_2")
        return self.add("Add", x, self.styled(inner, style, f"{name}.conv.conv_3"))


def write_onnx(weights: Path, path: Path, *, half: bool = True) -> None:
    """Write trained weights as an ONNX file with all that they say of themselves.

    Parameters
    ----------
    weights
        As `imganalysis train` writes them.
    path
        File to write; the same weights give the same bytes.
    half
        Store kernels as 16-bit floats: half the size.

    Raises
    ------
    ModelError
        The weights cannot be read, or do not fit into 16 bit.
    MissingLibraryError
        onnx or torch is not installed.
    OutputError
        The file cannot be written.
    """
    try:
        import onnx

        from imganalysis.segment.network import OUTPUTS, load_weights
    except ImportError as error:
        raise MissingLibraryError(f"writing ONNX needs onnx and torch: {_INSTALL}") from error
    network, about = load_weights(weights)
    state = {n: np.asarray(v.numpy(), np.float32) for n, v in network.state_dict().items()}
    if half and any(np.abs(v).max() > 6e4 for v in state.values() if v.ndim > 1):
        raise ModelError(
            f"{weights}: weights too large for 16 bit; something went wrong in training"
        )
    graph = _Graph(state, half)
    graph.constant("last_axes", np.array([2, 3], np.int64))
    _wire(graph, len(network.architecture.width))
    tensor = onnx.helper.make_tensor_value_info
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            graph.nodes,
            "network",
            [tensor("image", 1, ["n", network.architecture.channels, "y", "x"])],
            [tensor(graph.nodes[-1].output[0], 1, ["n", OUTPUTS, "y", "x"])],
            graph.weights,
        ),
        opset_imports=[onnx.helper.make_opsetid("", 17)],
        ir_version=8,
        producer_name="imganalysis",
    )
    facts = {
        **about,
        "format": _FORMAT,
        "architecture": network.architecture.model_dump(mode="json"),
        "multiple": network.architecture.multiple,
    }
    onnx.helper.set_model_props(model, {_MARK: json.dumps(facts, sort_keys=True)})
    onnx.checker.check_model(model)
    content = model.SerializeToString(deterministic=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        temporary.unlink(missing_ok=True)


def _wire(graph: _Graph, levels: int) -> str:
    """Connect the blocks as `imganalysis.segment.network.Network.forward` does."""
    x, skips = "image", []
    for n in range(levels):
        if n:
            x = graph.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
        x = graph.down(x, f"downsample.down.res_down_{n}")
        skips.append(x)
    pooled = graph.add("ReduceMean", x, axes=[2, 3], keepdims=0)
    squares = graph.add("ReduceSumSquare", pooled, axes=[1], keepdims=1)
    tiny = graph.constant("tiny", np.array(1e-12, np.float32))
    style = graph.add("Div", pooled, graph.add("Sqrt", graph.add("Add", squares, tiny)))
    double = graph.constant("double", np.array([1, 1, 2, 2], np.float32))
    for n in reversed(range(levels)):
        if n < levels - 1:
            x = graph.add(
                "Resize", x, "", double, mode="nearest",
                coordinate_transformation_mode="asymmetric", nearest_mode="floor",
            )  # fmt: skip
        x = graph.up(x, skips[n], style, f"upsample.up.res_up_{n}")
    return graph.unit(x, "output", 1)


def load_onnx(path: Path, *, threads: int = 2) -> OnnxModel:
    """Load a network; a process loads each file once.

    Parameters
    ----------
    path
        As `write_onnx` writes it.
    threads
        Of onnxruntime.

    Raises
    ------
    ModelError
        Not there, damaged, or not made by this package.
    MissingLibraryError
        onnxruntime is not installed.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error})") from None
    return _load(content, str(path), threads)


@lru_cache(maxsize=4)
def _load(content: bytes, path: str, threads: int) -> OnnxModel:
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise MissingLibraryError(
            "running a network needs onnxruntime: pip install onnxruntime"
        ) from error
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what is wrong is raised
    # Threads that wait sleep: spinning ones would take the cores from other fields' processes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        about = json.loads(session.get_modelmeta().custom_metadata_map[_MARK])
        if about["format"] != _FORMAT:
            raise KeyError("format")
        model = OnnxModel(
            name=str(about.get("name", "")),
            diameter_px=float(about["diameter_px"]),
            channels=int(about["architecture"]["channels"]),
            multiple=int(about["multiple"]),
            sha256=hashlib.sha256(content).hexdigest(),
            about=about,
            session=session,
        )
    except KeyError as error:
        raise ModelError(
            f"{path}: an ONNX file without the entry {error} of this package; its networks are "
            "made by imganalysis train"
        ) from None
    except Exception as error:
        # onnxruntime raises classes of its own, without a common base, for what is damaged.
        said = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise ModelError(f"{path}: no network in ONNX, or damaged ({said})") from None
    if not (6 <= model.diameter_px <= 200 and 1 <= model.channels <= CHANNELS):
        raise ModelError(f"{path}: impossible diameter or channels in its metadata")
    return model
