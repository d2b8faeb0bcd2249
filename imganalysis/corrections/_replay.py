"""Replay: edits of nuclei on a label image, one after the other, always with the same result."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis import words
from imganalysis.corrections._cut import LEAST_UM2, cut_by_line, cut_by_markers
from imganalysis.corrections._edits import CLASS, DELETE, DRAW, MERGE, NUCLEAR, SPLIT, Cell, Edit
from imganalysis.errors import LabelsError
from imganalysis.quantify.polygons import polygon_mask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SAME_SIZE = 1.5
"""A nucleus this many times larger or smaller than when it was edited is another one."""

_LARGEST = 2**32 - 1
_MADE = {MERGE: "merged", SPLIT: "split", DRAW: "drawn"}


@dataclass(frozen=True)
class Outcome:
    """What became of one edit.

    Parameters
    ----------
    edit
        Which.
    lost
        Word of `imganalysis.words.LOST`, empty if it was applied.
    message
        The same for people.
    new
        Numbers of the nuclei that it made.
    """

    edit: Edit
    lost: str = ""
    message: str = ""
    new: tuple[int, ...] = ()


@dataclass(frozen=True)
class Replay:
    """A label image after its edits.

    Parameters
    ----------
    labels
        Shape of the labels that were given, uint32.
    outcomes
        One per edit, in their order.
    made
        Label -> what a person did to the nucleus: ``merged``, ``split``, ``drawn``.
    classes
        Label -> the edit that gave its class, in the order of the edits.
    """

    labels: NDArray[np.uint32]
    outcomes: tuple[Outcome, ...] = ()
    made: dict[int, str] = field(default_factory=dict)
    classes: dict[int, Edit] = field(default_factory=dict)

    @property
    def lost(self) -> tuple[Outcome, ...]:
        """Edits that do not fit."""
        return tuple(o for o in self.outcomes if o.lost)


def apply_corrections(
    labels: NDArray[Any],
    edits: Sequence[Edit],
    spacing_um: tuple[float, ...],
    classes: Sequence[str] | None = None,
    *,
    earlier: Replay | None = None,
    above: int = 0,
) -> Replay:
    """Apply the edits of one field to its labels.

    Parameters
    ----------
    labels
        (Y, X) or (Z, Y, X) whole numbers, 0 = background. Never changed.
    edits
        Those that hold, in their order (`active_edits`); those of other kinds are passed over.
    spacing_um
        ([Z,] Y, X) size of a pixel, um.
    classes
        That the panel knows; any if not given.
    earlier
        Replay whose labels are given, to go on from it.
    above
        New numbers are larger than this.

    Returns
    -------
    replay
        An edit that does not fit is lost, with the reason, and changes nothing: its nucleus is
        not there, lies elsewhere, or has another size than when it was made.

    Notes
    -----
    A nucleus that no edit names keeps its number and its pixels. Of a split nucleus the largest
    part keeps the number; merged nuclei get that of the first one named. New numbers are those
    that the edit wrote down if they are free, else the next ones above all numbers of the field
    and of its edits. A drawn nucleus takes background only.
    """
    state = _State(np.array(labels, dtype=np.uint32), spacing_um, edits, above)
    outcomes: list[Outcome] = []
    if earlier is not None:
        outcomes += earlier.outcomes
        state.made, state.classes = dict(earlier.made), dict(earlier.classes)
    for edit in edits:
        if edit.kind not in (CLASS, *NUCLEAR):
            continue
        try:
            state.apply(edit, classes)
        except _LostError as lost:
            outcomes.append(Outcome(edit, lost.word, f"{words.LOST[lost.word]} ({lost})"))
        else:
            outcomes.append(Outcome(edit, new=state.issued))
    return Replay(state.labels, tuple(outcomes), state.made, state.classes)


class _LostError(Exception):
    def __init__(self, word: str, text: str) -> None:
        super().__init__(text)
        self.word = word


class _State:
    """A label image that edits change."""

    def __init__(
        self,
        labels: NDArray[np.uint32],
        spacing_um: tuple[float, ...],
        edits: Sequence[Edit],
        above: int,
    ) -> None:
        self.labels, self.spacing = labels, spacing_um
        self.made: dict[int, str] = {}
        self.classes: dict[int, Edit] = {}
        named = [label for edit in edits for label in edit.new_labels]
        named += [cell.label for edit in edits for cell in edit.cells]
        self.next = max([above, int(labels.max(initial=0)), *named]) + 1
        self.taken = set(np.unique(labels).tolist()) if any(e.new_labels for e in edits) else set()
        self.issued: tuple[int, ...] = ()

    def apply(self, edit: Edit, classes: Sequence[str] | None) -> None:
        self.issued = ()
        places = [self.find(cell) for cell in edit.cells]
        if edit.kind == CLASS:
            name = edit.after["class"]
            if classes is not None and name not in classes:
                known = ", ".join(classes) or "none"
                raise _LostError("unknown_class", f"{name}; the panel has {known}")
            label = edit.cells[0].label
            self.classes.pop(label, None)  # the order is that of the last edit
            self.classes[label] = edit
        elif edit.kind == DELETE:
            self.labels[places[0]] = 0
            self._forget(edit.cells[0].label)
        elif edit.kind == MERGE:
            first, *others = (cell.label for cell in edit.cells)
            for label, place in zip(others, places[1:], strict=True):
                self.labels[place] = first
                self._forget(label)
            self.made[first] = _MADE[MERGE]
        elif edit.kind == SPLIT:
            self._split(edit, places[0])
        else:
            self._draw(edit)

    def find(self, cell: Cell) -> tuple[NDArray[np.intp], ...]:
        """Pixels of a nucleus, in raster order, once it is the one that was meant."""
        shape, axes = self.labels.shape, self.labels.ndim
        if axes == 3 and cell.z is None:
            raise _LostError("not_at_point", "the edit is of a plane, the field is a stack")
        point = [cell.y, cell.x] if axes == 2 else [cell.z or 0.0, cell.y, cell.x]
        pixel = tuple(
            int(np.floor(v / step + 1e-9)) for v, step in zip(point, self.spacing, strict=True)
        )
        where = f"x {cell.x:g}, y {cell.y:g} um"
        if not all(0 <= i < n for i, n in zip(pixel, shape, strict=True)):
            raise _LostError("outside", where)
        found = int(self.labels[pixel])
        if found != cell.label:
            there = f"nucleus {found}" if found else "background"
            here = "" if (self.labels == cell.label).any() else ", which is not in the field"
            raise _LostError(
                "not_at_point" if not here else "no_such_label",
                f"nucleus {cell.label}{here}; at {where} lies {there}",
            )
        place = np.nonzero(self.labels == cell.label)
        size = place[0].size * float(np.prod(self.spacing))
        old = cell.area_um2
        if old is not None and not old / SAME_SIZE <= size <= old * SAME_SIZE:
            raise _LostError(
                "other_size", f"nucleus {cell.label}: {size:.4g}, was {old:.4g} um{axes}"
            )
        return place

    def _forget(self, label: int) -> None:
        self.made.pop(label, None)
        self.classes.pop(label, None)

    def _new(self, edit: Edit, count: int) -> list[int]:
        """Numbers for new nuclei."""
        written = edit.new_labels
        if len(written) == count and not set(written) & self.taken:
            self.taken.update(written)
            self.issued = written
            return list(written)
        if self.next + count - 1 > _LARGEST:
            raise LabelsError(f"no number is left for a new nucleus: the largest is {_LARGEST}")
        numbers = list(range(self.next, self.next + count))
        self.next += count
        self.taken.update(numbers)
        self.issued = tuple(numbers)
        return numbers

    def _split(self, edit: Edit, place: tuple[NDArray[np.intp], ...]) -> None:
        label, what = edit.cells[0].label, edit.what
        corner = [int(axis.min()) for axis in place]
        mask = np.zeros([int(a.max()) - c + 1 for a, c in zip(place, corner, strict=True)], bool)
        mask[tuple(axis - c for axis, c in zip(place, corner, strict=True))] = True
        cut = cut_by_line if "line" in what else cut_by_markers
        points = np.array(what["line" if "line" in what else "markers"], np.float64)
        shift = np.array([corner[-1] * self.spacing[-1], corner[-2] * self.spacing[-2]])
        parts = cut(mask, points - shift, self.spacing)
        n = int(parts.max(initial=0))
        if n < 2:
            how = "the line does not cross" if "line" in what else "fewer than two markers lie in"
            raise _LostError("not_divided", f"{how} nucleus {label}")
        numbers = np.array([0, label, *self._new(edit, n - 1)], np.uint32)
        self.labels[place] = numbers[parts[mask]]
        for number in numbers[1:].tolist():
            self.made[number] = _MADE[SPLIT]

    def _draw(self, edit: Edit) -> None:
        if self.labels.ndim != 2:
            raise _LostError("not_a_plane", "nuclei can be drawn in a plane only")
        ring = np.array(edit.what["polygon"], np.float64)[:, ::-1]
        spacing = (self.spacing[0], self.spacing[1])
        shape = (self.labels.shape[0], self.labels.shape[1])
        mask = polygon_mask([(ring,)], shape, spacing)
        if not mask.any():
            raise _LostError("outside", "nothing of the outline lies in the image")
        mask &= self.labels == 0
        if mask.sum() * float(np.prod(spacing)) < LEAST_UM2:
            raise _LostError("covered", "other nuclei lie where it was drawn")
        (label,) = self._new(edit, 1)
        self.labels[mask] = label
        self.made[label] = _MADE[DRAW]
