"""One field, opened: its stack (not yet read), labels, masks and cells, checked. No window."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis import tables as t
from imganalysis.errors import ChannelError, ImganalysisError
from imganalysis.io import read_labels
from imganalysis.panel import match_channels
from imganalysis.reading import read_field
from imganalysis.words import plural

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from imganalysis.panel import Panel
    from imganalysis.stack import Stack
    from imganalysis.study import Field
    from napari_imganalysis._results import Opened

SHOWN_MASKS = ("tissue", "frame")
"""Masks of a field that become layers."""


@dataclass(frozen=True)
class OpenField:
    """A field that is opened.

    Parameters
    ----------
    where
        Which.
    panel
        Its panel; None where none was found.
    stack
        Its pixels, read when they are looked at.
    labels
        (Y, X) or (Z, Y, X) uint32, its nuclei; None where there are none that fit.
    masks
        name -> (Y, X) or (Z, Y, X) bool.
    cells
        One row per object; None where it was not analysed.
    planes
        First and last plane that were measured, from 0.
    notes
        Sentences for the user on what did not fit.
    """

    where: Field
    panel: Panel | None
    stack: Stack
    labels: NDArray[np.uint32] | None = None
    masks: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    cells: pd.DataFrame | None = None
    planes: tuple[int, int] = (0, 0)
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the field."""
        return self.where.name

    @property
    def channels(self) -> dict[str, int]:
        """Marker -> position of its channel; the file's own names where no panel fits."""
        return channel_positions(self.stack, self.panel)

    @property
    def pixel_um(self) -> tuple[float, float]:
        """Sides of a pixel (Y, X) in um; 1 where unknown."""
        size = self.stack.pixel_size
        return (size.y or 1.0, size.x or 1.0)

    @cached_property
    def picture(self) -> dict[str, NDArray[np.float32]]:
        """Marker -> (Y, X) mean of the planes that were measured, as the file has it.

        Bleed-through and background are left in. Reads the pixels.
        """
        first, last = self.planes
        found = {}
        for marker, position in self.channels.items():
            planes = self.stack.data[position, first : last + 1]
            found[marker] = np.asarray(planes, dtype=np.float32).mean(axis=0)
        return found

    def cell(self, label: int) -> pd.Series[Any] | None:
        """Row of an object; None where the table has none of that label."""
        if self.cells is None or label <= 0:
            return None
        rows = self.cells[self.cells[t.LABEL] == label]
        return None if rows.empty else rows.iloc[0]


def channel_positions(stack: Stack, panel: Panel | None) -> dict[str, int]:
    """Marker -> position of its channel, in the panel's order; channels of no marker after them.

    Where the panel does not fit the file, the file's own names stand.
    """
    positions: dict[str, int] = {}
    if panel is not None:
        try:
            positions = match_channels(panel, stack.channels, n_planes=stack.shape[1])
        except ChannelError:
            positions = {}
    for position, name in enumerate(stack.channels):
        if position not in positions.values():
            free = name or f"channel {position}"
            positions[free if free not in positions else f"{free} ({position})"] = position
    return positions


def load_field(opened: Opened, name: str) -> OpenField:
    """Open a field of a study.

    Only its image must be there; of the rest, what is missing or does not fit is left out and
    told in `OpenField.notes`.

    Raises
    ------
    ImganalysisError
        The image is not there, or cannot be read.
    """
    where, panel = opened.field(name), opened.panel_of(name)
    notes: list[str] = []
    stack = open_stack(opened, name)
    labels = _fitting(opened.labels_file(name), stack, notes)
    masks = {}
    for mask in SHOWN_MASKS:
        found = _fitting(opened.mask_file(name, mask), stack, notes)
        if found is not None:
            masks[mask] = found > 0
    cells, gone = None, []
    try:
        cells = opened.cells(name)
        gone += ["cells"] * (cells is None)
    except ImganalysisError as error:
        notes.append(error.message)
    if labels is not None and cells is not None:
        lost = int(np.setdiff1d(np.unique(labels), [0, *cells[t.LABEL]]).size)
        if lost:
            notes.append(
                f"{name}: no row in cells/ for {plural(lost, 'object')} of labels/, drawn as not "
                "classified. Run the analysis again"
            )
    row = opened.row(name)
    gone += ["labels"] * (opened.labels_file(name) is None)
    if gone and opened.analysed and str(row["status"]) == "analysed":
        notes.append(
            f"{name}: was analysed, but {opened.folder} has no {' and no '.join(gone)} of it any "
            "more. Put the files back, or run the analysis again"
        )
    last_plane = stack.shape[1] - 1
    first, last = (row.get(f"projection_{end}_plane") for end in ("first", "last"))
    planes = (0, last_plane)
    if first is not None and last is not None and first == first and last == last:
        planes = (min(int(first), last_plane), min(int(last), last_plane))
    return OpenField(where, panel, stack, labels, masks, cells, planes, tuple(notes))


def open_stack(opened: Opened, name: str) -> Stack:
    """Open the image of a field of a study; its pixels are not yet read.

    Raises
    ------
    ImganalysisError
        It is not there, or cannot be read.
    """
    from imganalysis.io import read_stack

    where, panel = opened.field(name), opened.panel_of(name)
    if panel is not None:
        return read_field(where, opened.settings, panel)
    return read_stack(where.path, where.series, tile=where.tile, allow_rgb=True)


def _fitting(path: Path | None, stack: Stack, notes: list[str]) -> NDArray[np.uint32] | None:
    """Labels of a file, where they are there and of the stack's size."""
    if path is None:
        return None
    try:
        labels = read_labels(path)
    except ImganalysisError as error:
        notes.append(error.message)
        return None
    expected = stack.shape[1:]
    if labels.shape[-2:] != expected[-2:] or (labels.ndim == 3 and labels.shape != expected):
        notes.append(
            f"{path}: {' x '.join(map(str, labels.shape))} pixels, but the image {stack.source} "
            f"has {' x '.join(map(str, expected))} (Z, Y, X); left out. Was the image replaced? "
            "Run the analysis again"
        )
        return None
    return labels
