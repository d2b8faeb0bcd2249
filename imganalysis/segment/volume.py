"""Nuclei in a stack by a network that knows planes: three views, one set of flows."""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis.errors import ImageError, SettingsError
from imganalysis.segment._network import segment_with_network
from imganalysis.segment._volume_flows import follow_to_labels, rescale_volume_labels
from imganalysis.segment._volume_planes import planes_to_labels
from imganalysis.segment._volume_views import errors_in_views, rescale_depth, views
from imganalysis.segment.flows import FLOW_SCALE
from imganalysis.segment.labels import relabel
from imganalysis.segment.limits import network_factor
from imganalysis.segment.pixels import as_float32, levels, normalise, rescale, rescale_labels
from imganalysis.segment.windows import predict
from imganalysis.words import plural

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imganalysis.segment.onnx import OnnxModel

_SMALLEST = 0.25  # of the diameter of a nucleus
_STEPS = 6.0  # of the diameter: from the tip of a long nucleus to its centre, and more
_ANISOTROPY = (0.05, 200.0)
# When views from the side say more than planes taken one by one. Measured on simulated stacks:
# from 0.3 diameters of depth on they find as many nuclei or more; with planes further apart than
# 0.7 diameters they find fewer.
_DEEP = 0.3
_APART = 0.7
_LEAST = 3  # planes
# Bytes that a stack needs while it is analysed: for each of its voxels while they are numbered;
# or for each of them and each at the network's scale while flows are followed. Measured.
_NUMBERED = 34
_HELD, _FOLLOWED = 12, 52


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


def memory_needed(
    shape: tuple[int, ...], network_px: float, diameter_px: float, anisotropy: float
) -> int:
    """Estimate the memory that `segment_volume` takes at its peak, in bytes.

    Parameters
    ----------
    shape
        (Z, Y, X) of the stack.
    network_px, diameter_px
        Of a typical nucleus at the network's scale, and in the image.
    anisotropy
        Distance of two planes over the side of a pixel.
    """
    voxels, factor = math.prod(shape), network_px / diameter_px
    step = anisotropy * factor
    sides = _from_sides(shape[0], step, network_px)
    depth = max(1, shape[0] * step) if sides else shape[0]
    scaled = depth * shape[1] * shape[2] * factor**2
    return round(max(_NUMBERED * voxels, _HELD * voxels + _FOLLOWED * scaled))


def check_memory(
    shape: tuple[int, ...], network_px: float, diameter_px: float, anisotropy: float
) -> None:
    """Refuse a stack that needs more memory than the machine has, before the work starts.

    Raises
    ------
    ImageError
        With the reason ``memory``.
    """
    has, needed = _memory_of_machine(), memory_needed(shape, network_px, diameter_px, anisotropy)
    if shape[0] > 1 and has is not None and needed > has:
        raise ImageError(
            f"a stack of {' x '.join(map(str, shape))} voxels (Z, Y, X) needs about "
            f"{needed / 2**30:.1f} GiB of memory at once, this machine has {has / 2**30:.1f} GiB: "
            "crop it, save it with larger pixels, or analyse a projection of its planes",
            reason="memory",
        )


def _from_sides(planes: int, step: float, diameter: float) -> bool:
    """Whether views from the side are asked for; step and diameter at the network's scale."""
    deep = planes >= _LEAST and planes * step >= _DEEP * diameter
    return deep and step <= _APART * diameter


def _memory_of_machine() -> int | None:
    """In bytes; None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def segment_volume(
    image: NDArray[Any],
    model: OnnxModel,
    diameter_px: float,
    anisotropy: float,
    *,
    threshold: float = 0.0,
    max_error: float = 0.4,
    smallest_px: float | None = None,
    threads: int = 1,
) -> NDArray[np.uint32]:
    """Find nuclei in a stack with a network that was trained on planes.

    Parameters
    ----------
    image
        (Z, Y, X), any scale of values. Voxels that are not finite count as dark.
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

    Returns
    -------
    labels : (Z, Y, X) uint32
        0 = background, 1, 2, ... in raster order. All 0 where the image is flat, black or without
        a finite voxel.

    Raises
    ------
    SettingsError
        The diameter would change the image's scale absurdly, or the anisotropy is absurd.

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
    """
    if image.ndim != 3:
        raise ValueError(
            f"nuclei of a stack are found in (Z, Y, X); got {plural(image.ndim, 'axis', 'axes')}"
        )
    factor = network_factor(model.diameter_px, diameter_px)
    if not _ANISOTROPY[0] <= anisotropy <= _ANISOTROPY[1]:
        raise SettingsError(
            f"planes {anisotropy:g} pixels apart; expected {_ANISOTROPY[0]:g} to "
            f"{_ANISOTROPY[1]:g}: check the pixel size and the distance of the planes"
        )
    if len(image) == 1:
        plane = segment_with_network(
            image[0],
            model,
            diameter_px,
            threshold=threshold,
            max_error=max_error,
            smallest_px=smallest_px,
            threads=max(1, threads),
        )
        return plane[np.newaxis]
    empty = np.zeros(image.shape, np.uint32)
    stack = as_float32(image)
    finite = np.isfinite(stack)
    if not finite.any():
        return empty
    if not finite.all():
        stack = np.where(finite, stack, stack[finite].min())
    planes = np.stack([rescale(plane, factor) for plane in stack])
    between = levels(planes)
    if between is None:
        return empty
    scale = _Scale(
        diameter=model.diameter_px,
        depth=len(stack) * anisotropy * factor,
        step=anisotropy * factor,
        smallest=(_SMALLEST * diameter_px if smallest_px is None else smallest_px) * factor,
        threshold=threshold,
        max_error=max_error,
        threads=max(1, threads),
    )
    sides = _from_sides(len(stack), scale.step, scale.diameter)
    find = _from_all_sides if sides else _plane_by_plane
    return relabel(find(normalise(planes, between), model, scale, image.shape))


def _plane_by_plane(
    planes: NDArray[np.float32], model: OnnxModel, scale: _Scale, shape: tuple[int, ...]
) -> NDArray[np.int32]:
    with ThreadPoolExecutor(scale.threads) as pool:
        answers = np.stack(list(pool.map(lambda plane: _ask(model, plane), planes)), axis=1)
    found = planes_to_labels(
        answers[:2] / np.float32(FLOW_SCALE),
        answers[2],
        threshold=scale.threshold,
        steps=scale.steps,
        max_error=scale.max_error,
        min_area=scale.min_area,
    )
    return np.stack([rescale_labels(plane, (shape[1], shape[2])) for plane in found])


def _from_all_sides(
    planes: NDArray[np.float32], model: OnnxModel, scale: _Scale, shape: tuple[int, ...]
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
    return rescale_volume_labels(found, (shape[0], shape[1], shape[2]))


def _ask(model: OnnxModel, plane: NDArray[np.float32]) -> NDArray[np.float32]:
    return predict(model.run, plane, model.channels, multiple=model.multiple)
