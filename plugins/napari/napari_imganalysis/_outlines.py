"""Outlines of labelled objects as a picture of codes, made anew in milliseconds. No window.

The pixels of the outlines are found once per label image. A change of classes then only writes
new codes into them: that is what makes a gate that is dragged fluid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

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
        self.shape = labels.shape
        self.size = int(labels.max(initial=0)) + 1
        """Largest label + 1: the length of the codes that `recolour` takes."""
        planes = labels if labels.ndim == 3 else labels[np.newaxis]
        edge = np.stack([_edge(plane, width) for plane in planes]).reshape(labels.shape)
        self._where = np.flatnonzero(edge)
        self._labels = labels.ravel()[self._where]
        x = self._where % labels.shape[-1]
        y = self._where // labels.shape[-1] % labels.shape[-2]
        self._gap = (y + x) // DASH % 2 == 1
        self.data = np.zeros(labels.shape, np.uint8)
        """Code of each pixel, as labels; changed in place by `recolour`."""

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
