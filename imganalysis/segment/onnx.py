"""Networks as ONNX files: written from trained weights, run without torch.

A file holds the checksum of its own content, so that one that was damaged on its way is refused.
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
from imganalysis.segment._onnx_checksum import (
    BLANK,
    KEY,
    checksum_fits,
    has_checksum,
    with_checksum,
)
from imganalysis.segment._onnx_graph import INPUT, Graph, wire
from imganalysis.segment.pixels import CHANNELS

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_MARK = "imganalysis"  # the entry of the metadata that holds what is to be known
_FORMAT = "imganalysis onnx 2"
_WITHOUT_CHECKSUM = "imganalysis onnx 1"  # of networks that were made before
_AGAIN = "copy it again, or make it anew by imganalysis train"
_OUTPUTS = 3  # flows along Y and X, and a logit
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
    path
        How messages call the file.
    """

    name: str
    diameter_px: float
    channels: int
    multiple: int
    sha256: str
    about: dict[str, Any]
    session: Any
    path: str = ""

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, C, Y, X) to (N, 3, Y, X).

        Raises
        ------
        ModelError
            The network cannot take the batch, or what it says is no such array of finite numbers.
        """
        try:
            out = np.asarray(self.session.run(None, {INPUT: batch})[0], np.float32)
        except Exception as error:
            # onnxruntime raises classes of its own, also where memory ends.
            if "alloc" in str(error):
                raise MemoryError(_first_line(error)) from None
            raise ModelError(
                f"{self.path}: the network cannot be run ({_first_line(error)}); {_AGAIN}"
            ) from None
        wanted = (batch.shape[0], _OUTPUTS, *batch.shape[2:])
        if out.shape != wanted:
            raise ModelError(
                f"{self.path}: the network says {out.shape} of an image of {batch.shape}, "
                f"expected {wanted}; it is none of imganalysis train"
            )
        if not np.isfinite(out).all():
            raise ModelError(
                f"{self.path}: what the network says is not all finite, so that its weights are "
                f"damaged; {_AGAIN}"
            )
        return out


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

        from imganalysis.segment.network import load_weights
    except ImportError as error:
        raise MissingLibraryError(f"writing ONNX needs onnx and torch: {_INSTALL}") from error
    network, about = load_weights(weights)
    state = {n: np.asarray(v.numpy(), np.float32) for n, v in network.state_dict().items()}
    if half and any(np.abs(v).max() > 6e4 for v in state.values() if v.ndim > 1):
        raise ModelError(
            f"{weights}: weights too large for 16 bit; something went wrong in training"
        )
    graph = Graph(state, half)
    graph.constant("last_axes", np.array([2, 3], np.int64))
    wire(graph, len(network.architecture.width))
    tensor = onnx.helper.make_tensor_value_info
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            graph.nodes,
            "network",
            [tensor(INPUT, 1, ["n", network.architecture.channels, "y", "x"])],
            [tensor(graph.nodes[-1].output[0], 1, ["n", _OUTPUTS, "y", "x"])],
            graph.weights,
        ),
        opset_imports=[onnx.helper.make_opsetid("", 17)],
        ir_version=8,
        producer_name="imganalysis",
    )
    facts = {
        **about,
        "format": _FORMAT,
        KEY: BLANK,
        "architecture": network.architecture.model_dump(mode="json"),
        "multiple": network.architecture.multiple,
    }
    onnx.helper.set_model_props(model, {_MARK: json.dumps(facts, sort_keys=True)})
    onnx.checker.check_model(model)
    content = with_checksum(model.SerializeToString(deterministic=True))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        temporary.unlink(missing_ok=True)


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
            "method network needs onnxruntime, which is not installed: pip install onnxruntime. "
            "Method scikit-image does without."
        ) from error
    checked = has_checksum(content)
    if checked and not checksum_fits(content):
        raise ModelError(f"{path}: damaged: its content is not what its checksum is of; {_AGAIN}")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what is wrong is raised
    # Threads that wait sleep: spinning ones would take the cores from other fields' processes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        about = json.loads(session.get_modelmeta().custom_metadata_map[_MARK])
        if about["format"] != (_FORMAT if checked else _WITHOUT_CHECKSUM):
            raise KeyError(KEY if about["format"] == _FORMAT else "format")
        model = OnnxModel(
            name=str(about.get("name", "")),
            diameter_px=float(about["diameter_px"]),
            channels=int(about["architecture"]["channels"]),
            multiple=int(about["multiple"]),
            sha256=hashlib.sha256(content).hexdigest(),
            about=about,
            session=session,
            path=path,
        )
    except KeyError as error:
        raise ModelError(
            f"{path}: an ONNX file without the entry {error} of this package; its networks are "
            "made by imganalysis train"
        ) from None
    except Exception as error:
        # onnxruntime raises classes of its own, without a common base, for what is damaged.
        raise ModelError(f"{path}: no network in ONNX, or damaged ({_first_line(error)})") from None
    if not (6 <= model.diameter_px <= 200 and 1 <= model.channels <= CHANNELS):
        raise ModelError(f"{path}: impossible diameter or channels in its metadata")
    _check_ends(model)
    return model


def _check_ends(model: OnnxModel) -> None:
    """Refuse a graph that takes or gives something else than its metadata say."""
    ends = (model.session.get_inputs(), model.session.get_outputs())
    taken, given = ([(end.type, *end.shape[1:2]) for end in side] for side in ends)
    float32 = "tensor(float)"
    named = [end.name for end in ends[0]] == [INPUT]
    four = all(len(end.shape) == 4 for side in ends for end in side)
    right = taken == [(float32, model.channels)] and given == [(float32, _OUTPUTS)]
    if not (named and four and right):
        found = " to ".join(
            ", ".join(f"{end.name} {end.type} {end.shape}" for end in side) for side in ends
        )
        raise ModelError(
            f"{model.path}: expected a network from {INPUT} {float32} "
            f"[n, {model.channels}, y, x] to [n, {_OUTPUTS}, y, x], found one from {found}; it is "
            "none of imganalysis train"
        )
    side = model.multiple
    if not 1 <= side <= 64:
        raise ModelError(f"{model.path}: impossible multiple {side} in its metadata")
    # What does not fit inside the graph shows when it is run.
    model.run(np.zeros((1, model.channels, side, side), np.float32))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
