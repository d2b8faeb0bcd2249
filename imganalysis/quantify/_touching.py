"""Where labelled objects touch: crossings of the pixel lattice's lines, and what faces whom."""

from __future__ import annotations

import itertools
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

_RINGS = 400  # of directions on the half sphere, by which solid angles are told


@cache
def lattice(spacing_um: tuple[float, ...]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Directions of the pixel lattice's lines, and what one crossing of an outline weighs.

    Parameters
    ----------
    spacing_um
        Size of a pixel along each of two or three axes, um.

    Returns
    -------
    steps : (4 or 13, axes) int64, from one pixel to the next along a line
    weights : um in 2-D, um2 in 3-D

    Notes
    -----
    Crofton's formula: lines of one direction that stand for an area a each (in 2-D, a distance)
    cross an outline I times; the outline's length is the integral of a I over all directions of
    the plane, divided by 2, and its area the integral over those of the half sphere, divided by
    pi. Each direction of the lattice stands for those that are nearer to it than to the others.
    """
    axes = len(spacing_um)
    steps = [s for s in itertools.product((-1, 0, 1), repeat=axes) if s > (0,) * axes]
    ways = np.array(steps) * np.asarray(spacing_um)
    lengths = np.linalg.norm(ways, axis=1)
    ways /= lengths[:, np.newaxis]
    if axes == 2:
        angles = (np.arange(_RINGS**2) + 0.5) * np.pi / _RINGS**2
        directions = np.column_stack([np.sin(angles), np.cos(angles)])
        whole = np.pi / 2
    else:
        # Rings of equal height cut the sphere into equal areas (Archimedes).
        height, turn = np.meshgrid(
            (np.arange(_RINGS) + 0.5) / _RINGS, (np.arange(_RINGS) + 0.5) * 2 * np.pi / _RINGS
        )
        flat = np.sqrt(1 - height.ravel() ** 2)
        directions = np.column_stack(
            [height.ravel(), flat * np.sin(turn.ravel()), flat * np.cos(turn.ravel())]
        )
        whole = 2.0
    # Rounded, so that directions half way between two fall the same way on every processor.
    nearest = np.round(np.abs(directions @ ways.T), 9).argmax(axis=1)
    share = np.bincount(nearest, minlength=len(steps)) / len(nearest)
    return np.array(steps, np.int64), share * whole * np.prod(spacing_um) / lengths


def crossings(
    rows: NDArray[np.int32], n: int, steps: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Count where the lattice's lines leave an object, and where from one into another.

    Parameters
    ----------
    rows
        (Y, X) or (Z, Y, X) row of the object of each pixel, -1 for background.
    n
        Number of objects.
    steps
        As `lattice` gives them.

    Returns
    -------
    outline : (n, steps) crossings out of each object, the image's border included
    pairs : (P, 2) rows of objects that touch, the smaller first, in ascending order
    shared : (P, steps) crossings between them
    """
    deep, moves = _three_axes(rows, steps)
    outline = np.zeros((n, len(steps)), np.int64)
    keys = np.empty(_cross(deep, moves, n, outline, np.empty(0, np.int64)), np.int64)
    outline[:] = 0
    _cross(deep, moves, n, outline, keys)
    found, counts = np.unique(keys, return_counts=True)
    pair, way = np.divmod(found, len(steps))
    which, place = np.unique(pair, return_inverse=True)
    shared = np.zeros((which.size, len(steps)), np.int64)
    shared[place.reshape(-1), way] = counts
    return outline, np.column_stack(np.divmod(which, max(n, 1))), shared


def facing(
    ring: NDArray[np.int32],
    owners: NDArray[np.int32],
    spacing_um: tuple[float, ...],
    reach_um: float,
) -> NDArray[np.int32]:
    """For each pixel of a ring, the other object that is nearest, within a reach.

    Parameters
    ----------
    ring, owners
        (Y, X) or (Z, Y, X) row of the object whose ring, and whose cell, each pixel is; -1
        for none.
    spacing_um
        Size of a pixel along each axis, um.
    reach_um
        Farthest distance from pixel to pixel, um.

    Returns
    -------
    array
        int32, shape of `ring`; -1 outside rings and where no other object is in reach. Of
        objects equally near the one that comes first in raster order around the pixel.
    """
    reach = [int(reach_um / step) for step in spacing_um]
    around = np.array(
        [s for s in itertools.product(*(range(-r, r + 1) for r in reach)) if any(s)], np.int64
    ).reshape(-1, len(spacing_um))
    distance = np.round(np.sqrt(((around * np.asarray(spacing_um)) ** 2).sum(axis=1)), 9)
    order = np.argsort(distance, kind="stable")
    near, moves = _three_axes(ring, around[order][distance[order] <= reach_um])
    out = np.full(near.shape, -1, np.int32)
    _face(near, owners.reshape(near.shape), moves, out)
    return out.reshape(ring.shape)


def near_border(rows: NDArray[np.int32], star_px: int) -> NDArray[np.bool_]:
    """Pixels of objects that have a pixel of another object or of background within a star.

    Parameters
    ----------
    rows
        (Y, X) or (Z, Y, X) row of the object of each pixel, -1 for background.
    star_px
        Steps along the axes, taken together.
    """
    span = range(-star_px, star_px + 1)
    star = [s for s in itertools.product(span, repeat=rows.ndim) if sum(map(abs, s)) <= star_px]
    deep, moves = _three_axes(rows, np.array(star, np.int64))
    out = np.zeros(deep.shape, np.bool_)
    _border(deep, moves, out)
    return out.reshape(rows.shape)


def _three_axes(
    image: NDArray[np.int32], steps: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """View a plane as a stack of one plane, and steps in it as steps in the stack."""
    lack = 3 - image.ndim
    deep = np.ascontiguousarray(image, np.int32).reshape((1,) * lack + image.shape)
    return deep, np.pad(steps, ((0, 0), (lack, 0)))


@njit(cache=True)
def _cross(rows: Any, steps: Any, n: int, outline: Any, keys: Any) -> int:
    """Fill `outline`, and `keys` as far as it reaches; gives how many keys there are."""
    depth, height, width = rows.shape
    count = 0
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                a = rows[z, y, x]
                if a < 0:
                    continue
                for k in range(len(steps)):
                    for sign in (1, -1):
                        i, j, m = (
                            z + sign * steps[k, 0],
                            y + sign * steps[k, 1],
                            x + sign * steps[k, 2],
                        )
                        b = -1
                        if 0 <= i < depth and 0 <= j < height and 0 <= m < width:
                            b = rows[i, j, m]
                        if a == b:
                            continue
                        outline[a, k] += 1
                        if b > a:  # each crossing is met from both sides
                            if count < len(keys):
                                keys[count] = (np.int64(a) * n + b) * len(steps) + k
                            count += 1
    return count


@njit(cache=True)
def _face(ring: Any, owners: Any, around: Any, out: Any) -> None:
    depth, height, width = ring.shape
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                a = ring[z, y, x]
                if a < 0:
                    continue
                for k in range(len(around)):
                    i, j, m = z + around[k, 0], y + around[k, 1], x + around[k, 2]
                    if 0 <= i < depth and 0 <= j < height and 0 <= m < width:
                        b = owners[i, j, m]
                        if b >= 0 and b != a:
                            out[z, y, x] = b
                            break


@njit(cache=True)
def _border(rows: Any, star: Any, out: Any) -> None:
    depth, height, width = rows.shape
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                a = rows[z, y, x]
                if a < 0:
                    continue
                for k in range(len(star)):
                    i, j, m = z + star[k, 0], y + star[k, 1], x + star[k, 2]
                    inside = 0 <= i < depth and 0 <= j < height and 0 <= m < width
                    if inside and rows[i, j, m] != a:
                        out[z, y, x] = True
                        break
