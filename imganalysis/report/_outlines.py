"""Outlines of nuclei and masks, drawn into pixels: crisp, and the same in every run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

DIM = (165, 165, 165)
"""Colour of what is not evaluable."""

DASH = 4
"""Length of a dash in pixels."""


def enlarge(image: NDArray[Any], factor: int) -> NDArray[Any]:
    """Repeat every pixel of (Y, X) or (Y, X, 3) in Y and X."""
    return image if factor == 1 else image.repeat(factor, axis=0).repeat(factor, axis=1)


def inner_edge(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels of objects that touch, by a side, another object or the background.

    Parameters
    ----------
    labels
        (Y, X), 0 = background.
    """
    edge = np.zeros(labels.shape, dtype=bool)
    down = labels[1:] != labels[:-1]
    right = labels[:, 1:] != labels[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= right
    edge[:, :-1] |= right
    inside: NDArray[np.bool_] = edge & (labels != 0)
    return inside


def _dashes(shape: tuple[int, ...], length: int = DASH) -> NDArray[np.bool_]:
    y, x = np.ogrid[: shape[0], : shape[1]]
    return np.asarray((y + x) // length % 2 == 0, dtype=bool)


def _halo(line: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels beside a line."""
    around = line.copy()
    around[1:] |= line[:-1]
    around[:-1] |= line[1:]
    around[:, 1:] |= line[:, :-1]
    around[:, :-1] |= line[:, 1:]
    return around & ~line


def draw_nuclei(
    picture: NDArray[np.uint8],
    labels: NDArray[Any],
    colours: NDArray[np.uint8],
    solid: NDArray[np.bool_],
    width: int,
) -> None:
    """Draw the outlines of nuclei into a picture.

    Parameters
    ----------
    picture
        (Y, X, 3) uint8, changed in place.
    labels
        (Y, X), 0 = background, at the size of the picture; numbers of no great gaps.
    colours
        (largest label + 1, 3) uint8.
    solid
        (largest label + 1,) whether the outline is a solid line; else thin, grey and dashed.
    width
        Of solid lines, in pixels.
    """
    evaluable = np.where(solid[labels], labels, 0)
    line = inner_edge(evaluable)
    inside = evaluable
    for _ in range(width - 1):
        inside = np.where(inner_edge(inside), 0, inside)
        line |= inner_edge(inside)
    # The line is parted from a stain of its own colour: dark lines by white, others by black.
    beside = _halo(line)
    nearest = _neighbour_light(line, labels, colours)
    picture[beside] = np.where(nearest[beside, np.newaxis] < 60, 255, 0)
    picture[line] = colours[labels[line]]
    dim = inner_edge(np.where(solid[labels], 0, labels)) & _dashes(labels.shape)
    picture[dim] = DIM


def draw_links(
    picture: NDArray[np.uint8],
    labels: NDArray[Any],
    groups: Sequence[Sequence[int]],
    colours: NDArray[np.uint8],
) -> None:
    """Join the objects of one cell by thin lines between their centres.

    Parameters
    ----------
    picture
        (Y, X, 3) uint8, changed in place.
    labels
        (Y, X), 0 = background, at the size of the picture.
    groups
        Labels of each cell, the first of which the others are joined to.
    colours
        (largest label + 1, 3) uint8.
    """
    from skimage import draw

    line: Any = draw.line
    for first, *others in groups:
        ends = []
        for label in (first, *others):
            y, x = np.nonzero(labels == label)
            if y.size:
                ends.append((int(y.mean()), int(x.mean())))
        for end in ends[1:]:
            picture[line(*ends[0], *end)] = colours[first]


def _neighbour_light(
    line: NDArray[np.bool_], labels: NDArray[Any], colours: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Luminance (0 to 255) of the brightest line that a pixel touches."""
    weights = np.array((0.2126, 0.7152, 0.0722), np.float32)
    light = np.where(line, (colours.astype(np.float32) @ weights)[labels], -1)
    out = light.copy()
    out[1:] = np.maximum(out[1:], light[:-1])
    out[:-1] = np.maximum(out[:-1], light[1:])
    out[:, 1:] = np.maximum(out[:, 1:], light[:, :-1])
    out[:, :-1] = np.maximum(out[:, :-1], light[:, 1:])
    return out


def draw_mask_edge(
    picture: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    colour: tuple[int, int, int],
    *,
    dash: int = 0,
    width: int = 1,
) -> None:
    """Draw the border of a mask, (Y, X) bool at the size of the picture, into it.

    The picture's own border is no border of the mask.
    """
    line = inner_edge(mask)
    inside = mask
    for _ in range(width - 1):
        inside = inside & ~inner_edge(inside)
        line |= inner_edge(inside)
    picture[line & _dashes(mask.shape, dash) if dash else line] = colour
