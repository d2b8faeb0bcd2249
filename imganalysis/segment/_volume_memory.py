"""What a stack takes of memory, and the tiles it is cut into if that is too much."""

from __future__ import annotations

import math
import os

from imganalysis.errors import ImageError
from imganalysis.segment.tiles import tile_overlap

MOST = 2**32
"""Bytes: a stack that needs more at once is analysed in tiles of half as much."""

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
_LABELS = 4  # of all voxels, in tiles


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
    side = tile_side(shape, network_px, diameter_px, anisotropy)
    if side >= max(shape[1:]):
        return _at_once(shape, network_px, diameter_px, anisotropy)
    seen = [min(size, side + 2 * tile_overlap(diameter_px)) for size in shape[1:]]
    tile = _at_once((shape[0], *seen), network_px, diameter_px, anisotropy)
    return tile + _LABELS * math.prod(shape)


def _at_once(
    shape: tuple[int, ...], network_px: float, diameter_px: float, anisotropy: float
) -> int:
    voxels, factor = math.prod(shape), network_px / diameter_px
    step = anisotropy * factor
    sides = from_sides(shape[0], step, network_px)
    depth = max(1, shape[0] * step) if sides else shape[0]
    scaled = depth * shape[1] * shape[2] * factor**2
    return round(max(_NUMBERED * voxels, _HELD * voxels + _FOLLOWED * scaled))


def tile_side(
    shape: tuple[int, ...], network_px: float, diameter_px: float, anisotropy: float
) -> int:
    """Side of the tiles of a stack, pixels; its longer side if it is analysed in one piece.

    It hangs on the stack only, not on the machine, so that the labels do not either.
    """
    needed = _at_once(shape, network_px, diameter_px, anisotropy)
    if needed <= MOST:
        return max(shape[1:])
    seen = math.sqrt(MOST / 2 * shape[1] * shape[2] / needed)
    overlap = tile_overlap(diameter_px)
    return max(overlap, int(seen) - 2 * overlap)


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


def from_sides(planes: int, step: float, diameter: float) -> bool:
    """Whether views from the side are asked for; step and diameter at the network's scale."""
    deep = planes >= _LEAST and planes * step >= _DEEP * diameter
    return deep and step <= _APART * diameter


def _memory_of_machine() -> int | None:
    """In bytes; None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
