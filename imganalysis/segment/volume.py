"""Nuclei in a stack by a network that knows planes: three views, one set of flows."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis.errors import SettingsError
from imganalysis.mapped import release
from imganalysis.segment._network import segment_with_network
from imganalysis.segment._volume_flows import follow_to_labels, rescale_volume_labels
from imganalysis.segment._volume_memory import from_sides, tile_side
from imganalysis.segment._volume_planes import planes_to_labels
from imganalysis.segment._volume_views import errors_in_views, rescale_depth, views
from imganalysis.segment.brightness import darkest, sample
from imganalysis.segment.flows import FLOW_SCALE
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
from imganalysis.segment.windows import predict
from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from imganalysis.segment.onnx import OnnxModel
    from imganalysis.segment.pixels import Box, Sliceable
    from imganalysis.segment.tiles import FindPart, Sliced

_SMALLEST = 0.25  # of the diameter of a nucleus
_STEPS = 6.0  # of the diameter: from the tip of a long nucleus to its centre, and more
_ANISOTROPY = (0.05, 200.0)
_SAMPLE = 2**24  # voxels that dark and bright of a tiled stack are taken from


@dataclass(frozen=True)
class _Scale:
    """What is wanted, at the network's scale."""

    diameter: float
    depth: float  # of the stack
    step: float  # from plane to plane
    smallest: float  # diameter
    threshold: float
    max_error: float
    threads: int

    @property
    def steps(self) -> int:
        return round(_STEPS * self.diameter)

    @property
    def min_area(self) -> int:
        return max(1, round(np.pi / 4 * self.smallest**2))

    @property
    def min_volume(self) -> int:
        """Of the smallest nucleus; one that passes through a thin stack is a disc of it."""
        return max(1, round(min(np.pi / 6 * self.smallest**3, self.min_area * max(1, self.depth))))


def segment_volume(
    image: Sliceable,
    model: OnnxModel,
    diameter_px: float,
    anisotropy: float,
    *,
    threshold: float = 0.0,
    max_error: float = 0.4,
    smallest_px: float | None = None,
    threads: int = 1,
    tile_px: int | None = None,
    out: Sliced | None = None,
    progress: Callable[[str, int, int], object] | None = None,
) -> NDArray[np.uint32]:
    """Find nuclei in a stack with a network that was trained on planes.

    Parameters
    ----------
    image
        (Z, Y, X), any scale of values; anything that gives a numpy array when it is sliced.
        Voxels that are not finite count as dark.
    model
        As `imganalysis.segment.onnx.load_onnx` gives it.
    diameter_px
        Of a typical nucleus along X, in pixels of this image; it is brought to the network's.
    anisotropy
        Distance of two planes over the side of a pixel.
    threshold, max_error
        As in `imganalysis.segment.flows.flows_to_labels`.
    smallest_px
        Diameter of the smallest nucleus along X, in pixels of this image; a quarter of
        ``diameter_px`` if not given.
    threads
        Planes that are computed at a time. The labels do not depend on it.
    tile_px
        Side of the tiles of a large stack, along Y and X; a tile has all planes. If not given,
        `imganalysis.segment._volume_memory.tile_side` says whether and how it is cut.
    out, progress
        As in `imganalysis.segment.tiles.segment_in_tiles`.

    Returns
    -------
    labels : (Z, Y, X) uint32
        0 = background, 1, 2, ... in raster order. All 0 where the image is flat, black or without
        a finite voxel. ``out``, if given.

    Raises
    ------
    SettingsError
        The diameter would change the image's scale absurdly, or the anisotropy is absurd.
    LabelsError
        ``out`` does not fit.

    Notes
    -----
    The stack is brought to the network's scale along all three axes, and the network sees every
    plane, and every slice along Z and X and along Z and Y. Each gives two components of the flows
    and a logit; their means are flows and logits in three dimensions, which are followed to one
    place per nucleus (Stringer et al., Nat Methods 2021;18:100). Levels of brightness are those
    of the whole stack. A nucleus is dropped where the outlines of its own slices explain the
    flows badly.

    A stack of less than 0.3 nucleus diameters, or of one or two planes, shows nothing from the
    side, nor do planes that are more than 0.7 diameters apart: there nuclei are found plane by
    plane, and those that overlap most in neighbouring planes are one nucleus. A single plane
    gives what the network finds in an image of two axes.

    Tiles overlap by four diameters. Their levels of brightness are those of the whole stack, of
    which every second, third, ... pixel is asked along Y and X if it is large; what the network
    sees begins anew with each tile.
    """
    if len(image.shape) != 3:
        axes = plural(len(image.shape), "axis", "axes")
        raise ValueError(f"nuclei of a stack are found in (Z, Y, X); got {axes}")
    shape = (int(image.shape[0]), int(image.shape[1]), int(image.shape[2]))
    factor = network_factor(model.diameter_px, diameter_px)
    if not _ANISOTROPY[0] <= anisotropy <= _ANISOTROPY[1]:
        raise SettingsError(
            f"planes {anisotropy:g} pixels apart; expected {_ANISOTROPY[0]:g} to "
            f"{_ANISOTROPY[1]:g}: check the pixel size and the distance of the planes"
        )
    if shape[0] == 1:
        plane = segment_with_network(
            image[0],
            model,
            diameter_px,
            threshold=threshold,
            max_error=max_error,
            smallest_px=smallest_px,
            threads=max(1, threads),
            progress=progress,
        )
        if out is None:
            return plane[np.newaxis]
        out[0] = plane
        return out  # type: ignore[return-value]
    scale = _Scale(
        diameter=model.diameter_px,
        depth=shape[0] * anisotropy * factor,
        step=anisotropy * factor,
        smallest=(_SMALLEST * diameter_px if smallest_px is None else smallest_px) * factor,
        threshold=threshold,
        max_error=max_error,
        threads=max(1, threads),
    )
    if tile_px is None:
        tile_px = tile_side(shape, model.diameter_px, diameter_px, anisotropy)
    labels: NDArray[np.uint32] = segment_in_tiles(
        shape,
        _finder(image, model, scale, factor),
        overlap_px=min(tile_px, tile_overlap(diameter_px)),
        tile_px=tile_px,
        out=out,
        progress=progress,
    )
    return labels


def _finder(image: Sliceable, model: OnnxModel, scale: _Scale, factor: float) -> FindPart:
    """Make what finds the nuclei of any box of a stack, in the light of the whole."""
    planes = [_Plane(image, z) for z in range(int(image.shape[0]))]
    depth, shape = len(planes), planes[0].shape
    scaled = scaled_shape(shape, factor)
    dark = min((d for d in map(darkest, planes) if d is not None), default=None)
    between = None
    if dark is not None:
        step = math.ceil(math.sqrt(depth * math.prod(scaled) / _SAMPLE))
        between = levels(np.stack([sample(p, scaled, dark, step) for p in planes]))
    sides = from_sides(depth, scale.step, scale.diameter)

    def find(box: Box) -> NDArray[np.int32]:
        if between is None:
            return np.zeros((depth, box[1] - box[0], box[3] - box[2]), np.int32)
        seen = needed(box, scaled, shape)
        picture = np.stack([rescale_part(p, seen, scaled, dark) for p in planes])
        release(image)
        picture = normalise(picture, between)
        if sides:
            found = _from_all_sides(picture, model, scale)
            return rescale_volume_labels(found, seen, scaled, box, (depth, *shape))
        found = _plane_by_plane(picture, model, scale)
        return np.stack([rescale_labels_part(p, seen, scaled, box, shape) for p in found])

    return find


@dataclass(frozen=True)
class _Plane:
    """A plane of a stack of which only what is asked for is read."""

    stack: Sliceable
    z: int

    @property
    def shape(self) -> tuple[int, int]:
        return (int(self.stack.shape[1]), int(self.stack.shape[2]))

    def __getitem__(self, key: Any) -> Any:
        return self.stack[(self.z, *key)]


def _plane_by_plane(
    planes: NDArray[np.float32], model: OnnxModel, scale: _Scale
) -> NDArray[np.int32]:
    with ThreadPoolExecutor(scale.threads) as pool:
        answers = np.stack(list(pool.map(lambda plane: _ask(model, plane), planes)), axis=1)
    return planes_to_labels(
        answers[:2] / np.float32(FLOW_SCALE),
        answers[2],
        threshold=scale.threshold,
        steps=scale.steps,
        max_error=scale.max_error,
        min_area=scale.min_area,
    )


def _from_all_sides(
    planes: NDArray[np.float32], model: OnnxModel, scale: _Scale
) -> NDArray[np.int32]:
    volume = rescale_depth(planes, max(1, round(scale.depth)))
    flows, logit = views(lambda plane: _ask(model, plane), volume, scale.threads)
    flows /= np.float32(FLOW_SCALE)
    found = follow_to_labels(
        flows,
        logit,
        threshold=scale.threshold,
        steps=scale.steps,
        min_size=scale.min_volume,
        threads=scale.threads,
    )
    if scale.max_error > 0 and found.any():
        bad = errors_in_views(found, flows, scale.threads) > scale.max_error
        found = np.where(bad[found], 0, found)
    return found


def _ask(model: OnnxModel, plane: NDArray[np.float32]) -> NDArray[np.float32]:
    return predict(model.run, plane, model.channels, multiple=model.multiple)
