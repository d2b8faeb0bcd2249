"""Nuclei by a network: at its scale, in windows, and back to the image's pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from imganalysis.mapped import release
from imganalysis.segment.brightness import darkest, sample
from imganalysis.segment.flows import FLOW_SCALE, flows_to_labels
from imganalysis.segment.limits import network_factor
from imganalysis.segment.pixels import (
    levels,
    needed,
    normalise,
    rescale_labels_part,
    rescale_part,
    scaled_shape,
)
from imganalysis.segment.tiles import segment_in_tiles, tile_overlap
from imganalysis.segment.windows import Window, assemble, look, window_grid
from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from imganalysis.segment.onnx import OnnxModel
    from imganalysis.segment.pixels import Box, Sliceable
    from imganalysis.segment.tiles import FindPart, Sliced

TILE = 4096
"""Largest side of a tile, pixels of the image."""

_TILE = 2048  # the same at the network's scale
_SMALLEST = 0.25  # of the network's diameter
_STEPS = 6.0  # of the network's diameter: from the rim of a long nucleus to its centre, and more
_SAMPLE = 2**22  # pixels at the network's scale that dark and bright are taken from
_KEPT = 256  # answers of windows that the next tiles may ask for again


@dataclass(frozen=True)
class NetworkPlan:
    """What is the same for every part of an image.

    Parameters
    ----------
    shape
        (Y, X) of the whole image.
    scaled
        (Y, X) at the network's scale.
    factor
        From the image's scale to the network's.
    between
        Values that become 0 and 1; None where the image is flat and shows nothing.
    dark
        In place of pixels that are not finite.
    """

    shape: tuple[int, int]
    scaled: tuple[int, int]
    factor: float
    between: tuple[float, float] | None
    dark: float


def plan_network(
    image: Sliceable, model: OnnxModel, diameter_px: float, *, threads: int = 1
) -> NetworkPlan:
    """Look at a whole image, strip by strip.

    Parameters
    ----------
    image
        (Y, X), any scale of values; anything that gives a numpy array when it is sliced.
    model, diameter_px
        As in `segment_with_network`.
    threads
        Strips at a time. The result does not depend on it.

    Returns
    -------
    NetworkPlan

    Raises
    ------
    SettingsError
        The diameter would change the image's scale absurdly.

    Notes
    -----
    Dark and bright are percentiles of the image at the network's scale, of every pixel as far as
    there are no more than four million, of every second, third, ... in both directions beyond.
    """
    if len(image.shape) != 2:
        raise ValueError(
            f"a network finds nuclei in (Y, X); got {plural(len(image.shape), 'axis', 'axes')}"
        )
    factor = network_factor(model.diameter_px, diameter_px)
    shape = (int(image.shape[0]), int(image.shape[1]))
    scaled = scaled_shape(shape, factor)
    dark = darkest(image)
    between = None
    if dark is not None:
        step = math.ceil(math.sqrt(math.prod(scaled) / _SAMPLE))
        between = levels(sample(image, scaled, dark, step, threads=threads))
    return NetworkPlan(shape, scaled, factor, between, 0.0 if dark is None else dark)


def find_parts(
    image: Sliceable,
    model: OnnxModel,
    plan: NetworkPlan,
    *,
    threshold: float = 0.0,
    max_error: float = 0.4,
    smallest_px: float | None = None,
    threads: int = 1,
) -> FindPart:
    """Make what finds the nuclei of any box of an image.

    Parameters
    ----------
    image, model
        As given to `plan_network`.
    plan
        Its result.
    threshold, max_error, smallest_px, threads
        As in `segment_with_network`.

    Returns
    -------
    callable
        (y0, y1, x0, x1) to (y1 - y0, x1 - x0) int32, 0 = background, in no order. It reads the
        windows that touch the box, and keeps some of their answers for the next box.

    Notes
    -----
    What the network says of a pixel is the same in every box, to the last bit. Nuclei are the same
    in every box that holds them and their neighbours whole.
    """
    between = plan.between
    if between is None:
        return lambda box: np.zeros((box[1] - box[0], box[3] - box[2]), np.int32)

    def read(box: Box) -> NDArray[np.float32]:
        return normalise(rescale_part(image, box, plan.scaled, plan.dark), between)

    @lru_cache(maxsize=_KEPT)
    def ask(window: Window) -> NDArray[np.float32]:
        return look(model.run, read, window, model.channels, plan.scaled)

    grid = window_grid(plan.scaled, model.multiple)
    smallest = _SMALLEST * model.diameter_px if smallest_px is None else smallest_px * plan.factor

    def find(box: Box) -> NDArray[np.int32]:
        seen = needed(box, plan.scaled, plan.shape)
        out = assemble(ask, grid, seen, threads=threads)
        release(image)
        found = flows_to_labels(
            out[:2] / np.float32(FLOW_SCALE),
            out[2],
            threshold=threshold,
            steps=round(_STEPS * model.diameter_px),
            max_error=max_error,
            min_size=max(1, round(np.pi / 4 * smallest**2)),
        )
        return rescale_labels_part(found, seen, plan.scaled, box, plan.shape)

    return find


def segment_with_network(
    image: Sliceable,
    model: OnnxModel,
    diameter_px: float,
    *,
    threshold: float = 0.0,
    max_error: float = 0.4,
    smallest_px: float | None = None,
    threads: int = 1,
    tile_px: int | None = None,
    out: Sliced | None = None,
    progress: Callable[[str, int, int], object] | None = None,
    stop: Callable[[], bool] | None = None,
) -> NDArray[np.uint32]:
    """Find nuclei with a network.

    Parameters
    ----------
    image
        (Y, X), any scale of values; anything that gives a numpy array when it is sliced, so that
        it need not fit into memory. Pixels that are not finite count as dark.
    model
        As `imganalysis.segment.onnx.load_onnx` gives it, best with one thread of its own.
    diameter_px
        Of a typical nucleus in this image; it is brought to the network's.
    threshold, max_error
        As in `imganalysis.segment.flows.flows_to_labels`.
    smallest_px
        Diameter in this image of the smallest nucleus; a quarter of ``diameter_px`` if not given.
    threads
        Windows at a time. The result does not depend on it.
    tile_px
        Side of the tiles of a large image, pixels; at most `TILE` if not given.
    out, progress, stop
        As in `imganalysis.segment.tiles.segment_in_tiles`.

    Returns
    -------
    labels : (Y, X) uint32
        0 = background, 1, 2, ... in raster order. All 0 where the image is flat, black or without
        a finite pixel. ``out``, if given.

    Raises
    ------
    SettingsError
        The diameter would change the image's scale absurdly.
    LabelsError, InterruptedError
        As `imganalysis.segment.tiles.segment_in_tiles` says.

    Notes
    -----
    Masks are made at the network's scale and then enlarged: following flows at the image's own
    scale costs more than the network itself and finds the same nuclei.

    Tiles overlap by four diameters: nuclei up to that size do not depend on ``tile_px``.
    """
    plan = plan_network(image, model, diameter_px, threads=threads)
    find = find_parts(
        image,
        model,
        plan,
        threshold=threshold,
        max_error=max_error,
        smallest_px=smallest_px,
        threads=threads,
    )
    overlap = tile_overlap(diameter_px)
    if tile_px is None:
        tile_px = max(overlap, min(TILE, round(_TILE / plan.factor)))
    labels: NDArray[np.uint32] = segment_in_tiles(
        plan.shape,
        find,
        overlap_px=overlap,
        tile_px=tile_px,
        out=out,
        progress=progress,
        stop=stop,
    )
    return labels
