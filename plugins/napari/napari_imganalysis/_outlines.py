"""Outlines of labelled objects as a picture of codes, made anew in milliseconds. No window.

The pixels of the outlines are found once per label image. A change of classes then only writes
new codes into them: that is what makes a gate that is dragged fluid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis._windows import box_of, grown, slices
from imganalysis.report._outlines import DASH, inner_edge

if TYPE_CHECKING:
    from numpy.typing import NDArray


class OutlineMap:
    """The outlines of a label image.

    Parameters
    ----------
    labels
        (Y, X) or (Z, Y, X), 0 = background. Outlines are drawn plane by plane.
    width
        Of the lines, in pixels, to the inside of the objects.
    """

    def __init__(self, labels: NDArray[Any], width: int = 1) -> None:
        self.shape, self.width = labels.shape, width
        self.size = int(labels.max(initial=0)) + 1
        """Largest label + 1: the length of the codes that `recolour` takes."""
        self._of = labels
        self._find(np.flatnonzero(_edges(labels, width)))
        self.data = np.zeros(labels.shape, np.uint8)
        """Code of each pixel, as labels; changed in place by `recolour` and `follow`."""

    def _find(self, where: NDArray[np.intp]) -> None:
        """Take pixels, by their place in the flat image, for those of the outlines."""
        self._where, self._labels = where, self._of.ravel()[where]
        x = where % self.shape[-1]
        y = where // self.shape[-1] % self.shape[-2]
        self._gap = (y + x) // DASH % 2 == 1

    def follow(self, labels: NDArray[Any]) -> tuple[slice, ...] | None:
        """Take edited labels; outlines are found anew only about what differs.

        `recolour` must follow: the new outlines have no code yet.

        Parameters
        ----------
        labels
            Of the shape of those before.

        Returns
        -------
        The box in which labels differ; None where they are the same.

        Raises
        ------
        ValueError
            Another shape.
        """
        if labels.shape != self.shape:
            raise ValueError(f"labels of {labels.shape} given, expected {self.shape}")
        box = box_of(self._of != labels)
        self._of, self.size = labels, int(labels.max(initial=0)) + 1
        if box is None:
            return None
        # A line of some width sees that far; so does what is found of it.
        margin = (0,) * (len(self.shape) - 2) + (self.width, self.width)
        around = grown(box, margin, self.shape)
        near, wide = slices(around), slices(grown(around, margin, self.shape))
        edge = np.zeros([s.stop - s.start for s in wide], bool)
        inner = tuple(
            slice(a.start - b.start, a.stop - b.start) for a, b in zip(near, wide, strict=True)
        )
        edge[inner] = _edges(labels[wide], self.width)[inner]
        at = [i + s.start for i, s in zip(np.nonzero(edge), wide, strict=True)]
        places = np.unravel_index(self._where, self.shape)
        inside = np.ones(len(self._where), bool)
        for place, side in zip(places, near, strict=True):
            inside &= (place >= side.start) & (place < side.stop)
        new = np.ravel_multi_index(at, self.shape)
        self.data[near] = 0
        self._find(np.concatenate([self._where[~inside], new]))
        return slices(box)

    def recolour(self, codes: NDArray[np.uint8], dashed: int = 0) -> None:
        """Write new codes into the outlines.

        Parameters
        ----------
        codes
            (size,) uint8, the code of each label; 0 is no outline.
        dashed
            Code that is drawn as a dashed line; 0 for none.

        Raises
        ------
        ValueError
            Another length than `size`.
        """
        if len(codes) != self.size:
            raise ValueError(f"{len(codes)} codes given, expected {self.size}: largest label + 1")
        drawn = codes[self._labels]
        if dashed:
            drawn[self._gap & (drawn == dashed)] = 0
        self.data.ravel()[self._where] = drawn


def _edges(labels: NDArray[Any], width: int) -> NDArray[np.bool_]:
    planes = labels if labels.ndim == 3 else labels[np.newaxis]
    return np.stack([_edge(plane, width) for plane in planes]).reshape(labels.shape)


def _edge(plane: NDArray[Any], width: int) -> NDArray[np.bool_]:
    line = inner_edge(plane)
    inside = plane
    for _ in range(width - 1):
        inside = np.where(inner_edge(inside), 0, inside)
        line |= inner_edge(inside)
    return line


def label_at(labels: NDArray[Any], position: tuple[float, ...]) -> int:
    """Label at a place, in pixels; 0 outside the image. Axes that the image lacks go first."""
    at = tuple(int(np.floor(v + 0.5)) for v in position[len(position) - labels.ndim :])
    if len(at) != labels.ndim or any(not 0 <= i < n for i, n in zip(at, labels.shape, strict=True)):
        return 0
    return int(labels[at])
