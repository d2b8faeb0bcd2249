"""The graph of a network in ONNX, written operator by operator.

So the file depends on the weights only, not on the version of an exporter. Weights are stored as
16-bit floats and computed with as 32-bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    State = Mapping[str, NDArray[np.float32]]

INPUT = "image"
"""Name of what the graph takes."""


class Graph:
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


def wire(graph: Graph, levels: int) -> str:
    """Connect the blocks as `imganalysis.segment.network.Network.forward` does."""
    x, skips = INPUT, []
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
