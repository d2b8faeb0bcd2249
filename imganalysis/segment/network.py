"""The network: a residual U-Net with a style vector, in the architecture of Cellpose.

Stringer et al., Nat Methods 2021;18:100. Modules are named as in Cellpose's own class, so that a
state of one fits the other if the widths are the same. Its input is not: see `as_input`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn
from torch.nn import functional

from imganalysis.errors import ModelError, OutputError
from imganalysis.segment._torch_files import read_torch
from imganalysis.segment.pixels import CHANNELS
from imganalysis.words import plural

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = "imganalysis network 1"
OUTPUTS = 3
"""Flow along Y, flow along X (both times `FLOW_SCALE`), logit of being in a nucleus."""


class Architecture(BaseModel):
    """Everything that is needed to build the network of a file.

    Parameters
    ----------
    channels
        Of the input, as `imganalysis.segment.pixels.as_input` makes them.
    width
        Feature maps at each scale, from full resolution down by halves.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    channels: int = Field(2, ge=1, le=CHANNELS)
    width: tuple[int, ...] = Field((16, 32, 64, 128), min_length=2, max_length=6)

    def model_post_init(self, _: Any) -> None:
        """Refuse widths that no machine could build."""
        if not all(1 <= width <= 1024 for width in self.width):
            raise ValueError(f"widths lie between 1 and 1024, got {self.width}")

    @property
    def multiple(self) -> int:
        """Height and width of the input are multiples of this."""
        return int(2 ** (len(self.width) - 1))


def _unit(inside: int, outside: int, size: int, *, relu: bool = True) -> nn.Sequential:
    norm = nn.BatchNorm2d(inside, eps=1e-5, momentum=0.05)
    conv = nn.Conv2d(inside, outside, size, padding=size // 2)
    return nn.Sequential(norm, nn.ReLU(), conv) if relu else nn.Sequential(norm, conv)


class _Down(nn.Module):
    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.conv = nn.Sequential()
        self.proj = _unit(inside, outside, 1, relu=False)
        for t in range(4):
            self.conv.add_module(f"conv_{t}", _unit(outside if t else inside, outside, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.proj(x) + self.conv[1](self.conv[0](x))
        return x + self.conv[3](self.conv[2](x))  # type: ignore[no-any-return]


class _Styled(nn.Module):
    def __init__(self, width: int, style: int) -> None:
        super().__init__()
        self.conv = _unit(width, width, 3)
        self.full = nn.Linear(style, width)

    def forward(self, style: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x + self.full(style)[:, :, None, None])  # type: ignore[no-any-return]


class _Up(nn.Module):
    def __init__(self, inside: int, outside: int, style: int) -> None:
        super().__init__()
        self.conv = nn.Sequential()
        self.conv.add_module("conv_0", _unit(inside, outside, 3))
        for t in (1, 2, 3):
            self.conv.add_module(f"conv_{t}", _Styled(outside, style))
        self.proj = _unit(inside, outside, 1, relu=False)

    def forward(self, x: torch.Tensor, skip: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
        x = self.proj(x) + self.conv[1](style, self.conv[0](x) + skip)
        return x + self.conv[3](style, self.conv[2](style, x))  # type: ignore[no-any-return]


class _Scales(nn.Module):
    """Holds the blocks of one half of the network under the name that Cellpose gives them."""

    def __init__(self, name: str, blocks: list[tuple[str, nn.Module]]) -> None:
        super().__init__()
        self.name = name
        half = nn.Sequential()
        for key, block in blocks:
            half.add_module(key, block)
        self.add_module(name, half)

    def __getitem__(self, index: int) -> nn.Module:
        return getattr(self, self.name)[index]  # type: ignore[no-any-return]


class Network(nn.Module):
    """Image to flows and probability.

    Parameters
    ----------
    architecture
        What to build.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        width, last = architecture.width, architecture.width[-1]
        down = [architecture.channels, *width]
        up = [*width, last]
        self.downsample = _Scales(
            "down",
            [(f"res_down_{n}", _Down(down[n], down[n + 1])) for n in range(len(width))],
        )
        self.upsample = _Scales(
            "up",
            [(f"res_up_{n}", _Up(up[n + 1], up[n], last)) for n in range(len(width))],
        )
        self.output = _unit(width[0], OUTPUTS, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, Y, X) to (N, 3, Y, X); Y and X are multiples of `Architecture.multiple`."""
        skips: list[torch.Tensor] = []
        for n in range(len(self.architecture.width)):
            x = self.downsample[n](functional.max_pool2d(x, 2) if n else x)
            skips.append(x)
        style = x.mean(dim=(2, 3))
        # A constant in place of Cellpose's bare norm: an all-zero style gives zero, not NaN.
        style = style / (style.square().sum(dim=1, keepdim=True) + 1e-12).sqrt()
        for n in reversed(range(len(self.architecture.width))):
            if n < len(self.architecture.width) - 1:
                x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = self.upsample[n](x, skips[n], style)
        return self.output(x)  # type: ignore[no-any-return]


def run_network(network: Network, batch: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run a network in inference mode.

    Parameters
    ----------
    network
        Left in evaluation mode.
    batch
        (N, C, Y, X).

    Returns
    -------
    (N, 3, Y, X) float32
    """
    network.eval()
    with torch.inference_mode():
        out = network(torch.from_numpy(np.ascontiguousarray(batch, np.float32)))
    return np.asarray(out.numpy(), np.float32)


def save_weights(network: Network, path: Path, about: dict[str, Any]) -> None:
    """Write a network with what is to be known of it, its kernels as 16-bit floats.

    Parameters
    ----------
    network
        Its architecture goes with it.
    path
        File to write.
    about
        Plain values: name, diameter_px, data, licence, ...

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    state = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
    # Kernels are nearly all of the file; 16 bit are enough for them.
    state = {name: value.half() if value.ndim > 1 else value for name, value in state.items()}
    save_atomic(
        {
            "format": FORMAT,
            "architecture": network.architecture.model_dump(mode="json"),
            "about": about,
            "state": state,
        },
        path,
    )


def save_atomic(content: dict[str, Any], path: Path) -> None:
    """`torch.save` under another name, then rename: a stop never leaves half a file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            torch.save(content, file)
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        temporary.unlink(missing_ok=True)


def load_plain(path: Path, kind: str) -> dict[str, Any]:
    """Read a file of `torch.save` that may hold tensors and plain values only, never code.

    Parameters
    ----------
    path
        The file.
    kind
        Its ``format`` entry.

    Raises
    ------
    ModelError
        Not there, damaged, foreign, or with code in it.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such file; expected network weights")
    content = read_torch(path, str(path), "network weights")
    if not isinstance(content, dict) or content.get("format") != kind:
        raise ModelError(
            f"{path}: expected a file with the mark {kind!r}, found another one; "
            "weights are made by imganalysis train"
        )
    return content


def load_weights(path: Path) -> tuple[Network, dict[str, Any]]:
    """Read a network that `save_weights` wrote.

    Returns
    -------
    network
        In evaluation mode.
    about
        What is known of it.

    Raises
    ------
    ModelError
        Not there, damaged, foreign, with code in it, or the weights do not fit.
    """
    content = load_plain(Path(path), FORMAT)
    network = build(content, Path(path))
    about = content.get("about")
    return network.eval(), about if isinstance(about, dict) else {}


def build(content: dict[str, Any], path: Path, *, entry: str = "state") -> Network:
    """Make the network that a file describes, and fill it.

    Raises
    ------
    ModelError
        The architecture is impossible, or the weights do not fit it or are not finite.
    """
    try:
        architecture = Architecture.model_validate(content.get("architecture"))
    except ValidationError as error:
        raise ModelError(f"{path}: not a known architecture: {error.errors()[0]['msg']}") from None
    state = content.get(entry)
    with torch.device("meta"):
        network = Network(architecture)
    wanted = {name: value.shape for name, value in network.state_dict().items()}
    found = (
        {name: value.shape for name, value in state.items() if isinstance(value, torch.Tensor)}
        if isinstance(state, dict)
        else {}
    )
    if found != wanted:
        wrong = sorted(name for name in {*wanted, *found} if wanted.get(name) != found.get(name))
        raise ModelError(
            f"{path}: its weights do not fit width {architecture.width}: "
            f"{plural(len(wrong), 'entry')} of another shape, the first is {wrong[0]}"
        )
    assert isinstance(state, dict)  # noqa: S101
    if not all(bool(torch.isfinite(value).all()) for value in state.values()):
        raise ModelError(f"{path}: its weights are not all finite")
    network = network.to_empty(device="cpu")
    network.load_state_dict(state)
    return network
