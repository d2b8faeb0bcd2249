"""Cellpose 3 as its users run it, with our network in the place of its own."""

from __future__ import annotations

import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis.methods import CellposeMethod
from imganalysis.segment._embedded import load_model
from imganalysis.segment.models import model_path
from imganalysis.segment.pixels import as_input

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from imganalysis.methods import NetworkMethod

_EPSILON = 1e-5  # of torch's batch normalisation


def cellpose_missing(network_missing: str) -> str:
    """Say why Cellpose 3 cannot be measured; empty if it can."""
    try:
        cellpose = version("cellpose")
        version("onnx")
    except PackageNotFoundError as error:
        return f"not measured: {error.name} is not installed"
    if not cellpose.startswith("3."):
        return f"not measured: cellpose {cellpose} has another network"
    return network_missing


def cellpose_state(path: Path, diameter_px: float) -> dict[str, Any]:
    """Weights of a network in ONNX under the names that Cellpose 3 gives them.

    In the file a batch normalisation is a factor and an offset for each channel, and that before
    a convolution of one pixel is part of the convolution.
    """
    import onnx
    import torch

    def normalisation(name: str, scale: Any, shift: Any) -> dict[str, Any]:
        return {
            f"{name}.weight": scale,
            f"{name}.bias": shift,
            f"{name}.running_mean": torch.zeros_like(scale),
            f"{name}.running_var": torch.full_like(scale, 1 - _EPSILON),
            f"{name}.num_batches_tracked": torch.tensor(0),
        }

    stored = {
        entry.name: torch.from_numpy(onnx.numpy_helper.to_array(entry).astype(np.float32))
        for entry in onnx.load(path).graph.initializer
    }
    state = {name: torch.tensor([diameter_px]) for name in ("diam_mean", "diam_labels")}
    for name, value in stored.items():
        unit, _, last = name.rpartition(".")
        if last == "scale":
            state |= normalisation(unit, value.flatten(), stored[f"{unit}.shift"].flatten())
        elif unit.endswith(".proj"):
            state[f"{unit}.1.{last}"] = value
            if last == "weight":
                ones = torch.ones(value.shape[1])
                state |= normalisation(f"{unit}.0", ones, torch.zeros_like(ones))
        elif unit and last != "shift":
            state[name] = value
    return state


def cellpose_eval(
    settings: NetworkMethod, pixel_um: float, threads: int
) -> Callable[[NDArray[Any]], NDArray[np.uint32]]:
    """Put our network into Cellpose 3 and give what finds nuclei with its ``eval``."""
    import torch
    from cellpose.models import CellposeModel

    from imganalysis.segment._cellpose_network import load_network

    torch.set_num_threads(threads)
    ours = load_model(settings)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "same"
        torch.save(cellpose_state(model_path(settings.model), ours.diameter_px), path)
        module = load_network(CellposeMethod(model=str(path))).module

    def second_channel(_: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
        return (torch.from_numpy(as_input(given[0][:, 0].numpy(), ours.channels)),)

    if ours.channels == 2:
        module.register_forward_pre_hook(second_channel)
    model = CellposeModel(device=torch.device("cpu"), diam_mean=ours.diameter_px)
    model.net = module
    pixels = np.pi / 4 * (settings.smallest_nucleus_um / pixel_um) ** 2

    def find(image: NDArray[Any]) -> NDArray[np.uint32]:
        masks = model.eval(
            image,
            channels=[0, 0],
            diameter=settings.nucleus_diameter_um / pixel_um,
            min_size=round(pixels),
        )[0]
        return np.asarray(masks, np.uint32)

    return find
