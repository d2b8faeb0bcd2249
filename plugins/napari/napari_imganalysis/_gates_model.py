"""Gates of a folder of results, moved, undone and saved, and what follows from them. No window."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis.classify.gates import Gate
from imganalysis.classify.gates_file import change_gate, write_gates
from imganalysis.errors import GatesError, ImganalysisError
from imganalysis.gate_changes import set_by_hand
from imganalysis.gate_review import rated_gates, review_gates, shown_values
from imganalysis.held import held_results, recalled_cells
from imganalysis.moving import move_gates
from imganalysis.panel import markers_needed
from imganalysis.quantify.summary import fraction_names
from napari_imganalysis._gates_draft import keep_draft, take_draft

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from imganalysis.panel import FractionOf

Values = tuple["NDArray[np.float64]", "NDArray[np.float64]", "NDArray[np.float64]"]

BY_HAND = "gates_by_hand.json"
"""Gates file in a folder of results that keeps what a person set; as `imganalysis gate --set`."""


@dataclass(frozen=True)
class Number:
    """A fraction of a biopsy under the gates of the run, and under the gates as they are.

    Parameters
    ----------
    biopsy, fraction
        Which.
    before, now
        Percent, with its interval, or why it is NA.
    n_before, n_now
        Cells of its denominator; empty where it has none.
    changed
        Whether the two differ.
    """

    biopsy: str
    fraction: str
    before: str
    now: str
    n_before: str
    n_now: str
    changed: bool


class GatesModel:
    """Gates of a folder of results.

    Parameters
    ----------
    folder
        Of the results.

    Raises
    ------
    ImganalysisError
        It holds no results that gates can be moved on.
    """

    def __init__(self, folder: Path) -> None:
        found = held_results(folder)
        self.folder, self.held, self.biopsies = folder, found.held, found.biopsies
        self.panels, self.settings = found.review.panels, found.review.settings
        self.run = found.review.gates
        """Of the run: what the tables in the folder rest on."""
        self.note = ""
        """What to know of gates that were set or moved by hand before."""
        self.saved = self.run
        """As they were last saved."""
        if self.target.is_file():
            try:
                self.saved = review_gates(folder, self.target).gates
            except ImganalysisError as error:
                self.note = f"{error.message}. The gates of the run are shown"
        self.gates, since = take_draft(folder, self.saved)
        """As they are."""
        if since:
            self.note += "\n" * bool(self.note) + (
                f"Gates that were moved and not saved ({since[:16].replace('T', ' ')} UTC) are "
                "moved again; save them in Gates, or take them back with Undo"
            )
        self.before = move_gates(self.held, self.run)
        self.now = self.before
        self._undo: list[tuple[Gate, ...]] = [self.saved] if since else []
        self._redo: list[tuple[Gate, ...]] = []
        self._values = {
            _key(one.gate): (np.sort(one.samples), np.sort(one.controls), np.sort(one.reference))
            for one in shown_values(found.review)
        }
        self._set(self.gates)

    @property
    def target(self) -> Path:
        """Where gates are saved: beside those of the run, which say what its tables rest on."""
        return self.folder / BY_HAND

    # Moving

    def try_gate(self, i: int, value: float) -> None:
        """Move a gate for now, as while it is dragged; `keep` makes it a step that can be undone.

        Raises
        ------
        GatesError
            The value is no number above 0.
        """
        if not (math.isfinite(value) and value > 0):
            raise GatesError(
                f"a gate is a grey level above 0, found {value:g}; the gate of "
                f"{self.gates[i].marker} stays as it was"
            )
        own = self.saved[i]
        if own.value is None or not math.isclose(value, own.value, rel_tol=1e-9):
            own = change_gate(own, Gate(marker=own.marker, value=value, method="manual"))
        self._set((*self.gates[:i], own, *self.gates[i + 1 :]))

    def keep(self, before: tuple[Gate, ...]) -> bool:
        """Make a step of what was moved since; gives whether anything was."""
        if before == self.gates:
            return False
        self._undo.append(before)
        self._redo.clear()
        self._keep_draft()
        return True

    def _keep_draft(self) -> None:
        keep_draft(self.folder, self.gates, self.moved)

    def reset(self, i: int) -> bool:
        """Put a gate back to what is saved, as a step; gives whether it was another."""
        before = self.gates
        self._set((*self.gates[:i], self.saved[i], *self.gates[i + 1 :]))
        return self.keep(before)

    @property
    def can_undo(self) -> bool:
        """Whether a step can be undone."""
        return bool(self._undo)

    @property
    def can_redo(self) -> bool:
        """Whether an undone step can be made again."""
        return bool(self._redo)

    def undo(self) -> None:
        """Take the last step back."""
        if self._undo:
            self._redo.append(self.gates)
            self._set(self._undo.pop())
            self._keep_draft()

    def redo(self) -> None:
        """Make the last undone step again."""
        if self._redo:
            self._undo.append(self.gates)
            self._set(self._redo.pop())
            self._keep_draft()

    def _set(self, gates: tuple[Gate, ...]) -> None:
        self.gates = gates
        self.now = move_gates(self.now.held, gates)

    @property
    def moved(self) -> list[int]:
        """Gates that are not as saved."""
        return [i for i, gate in enumerate(self.gates) if gate.value != self.saved[i].value]

    @property
    def by_hand(self) -> list[int]:
        """Gates that are not as in the run, saved or not."""
        return [i for i, gate in enumerate(self.gates) if gate.value != self.run[i].value]

    def recalled(self, field: str, cells: pd.DataFrame) -> pd.DataFrame:
        """Give a field's table, as the results have it, the calls and classes of the gates."""
        return recalled_cells(self.now.held, field, cells)

    # Saving

    def save(self, user: str, reason: str) -> Path:
        """Append the moved gates to the gates file of the folder; what they were is kept there.

        Raises
        ------
        GatesError
            No user, no reason, nothing moved, or the file that is there is wrong.
        OutputError
            The file cannot be written. Nothing is lost: the gates stay moved.
        """
        changed = self.moved
        if not changed:
            raise GatesError("no gate was moved since the last save")
        if not user.strip() or not reason.strip():
            missing = "your name" if not user.strip() else "the reason"
            raise GatesError(f"say {missing}: it stands beside the gate for good")
        # Another program may have written there since.
        there = self.target if self.target.is_file() else None
        review = review_gates(self.folder, there)
        gates = review.gates
        for i in changed:
            gate = self.gates[i]
            assert gate.value is not None  # noqa: S101  # a moved gate has one
            gates, _ = set_by_hand(
                gates, gate.marker, gate.value, reason, user=user, panel=gate.panel,
                batch=gate.batch, acquisition=gate.acquisition, column=gate.column,
            )  # fmt: skip
        gates = rated_gates(review, gates)
        write_gates(self.target, gates)
        self.saved = gates
        self._undo.clear()
        self._redo.clear()
        self._set(gates)
        self._keep_draft()
        return self.target

    # What is shown

    def title(self, i: int) -> str:
        """Marker and panel, and of several gates of a marker what tells this one from them."""
        gate = self.gates[i]
        mine = [g for g in self.gates if (g.marker, g.panel) == (gate.marker, gate.panel)]
        parts = [gate.marker, gate.panel]
        for name in ("batch", "acquisition", "column"):
            if len({getattr(g, name) for g in mine}) > 1:
                parts.append(f"{'' if name == 'column' else name + ' '}{getattr(gate, name)}")
        return ", ".join(parts)

    def gate_for(self, panel: str, batch: str, acquisition: str) -> int | None:
        """First gate that a field's cells are called by."""
        for i, gate in enumerate(self.gates):
            if gate.fits(panel, gate.column, batch, acquisition):
                return i
        return None

    def values(self, i: int) -> Values:
        """Values of the samples, the controls and the reference cells of a gate, ascending."""
        none = np.zeros(0)
        return self._values.get(_key(self.run[i]), (none, none, none))

    def shares(self, i: int) -> tuple[float, float]:
        """Percentages of the samples and of the controls that reach a gate; NaN where none are."""
        value = self.gates[i].value
        found = []
        for values in self.values(i)[:2]:
            if value is None or not values.size:
                found.append(math.nan)
            else:
                below = int(np.searchsorted(values, value, side="left"))
                found.append(100 * (1 - below / values.size))
        return found[0], found[1]

    @property
    def n_changed(self) -> int:
        """Cells of the study whose class is another than in the run."""
        pairs = ((self.before.phenotype[p], self.now.phenotype[p]) for p in self.now.phenotype)
        return sum(int((before != now).sum()) for before, now in pairs)

    def numbers(self, biopsy: str) -> list[Number]:
        """Fractions of a biopsy, before and now."""
        if biopsy not in self.now.fractions.index:
            return []
        return [self._number(biopsy, one) for one in fraction_names(self.panels.values())]

    def endpoints(self) -> list[Number]:
        """List the endpoint of every biopsy of the batch, before and now."""
        ends = [one for one in fraction_names(self.panels.values()) if one.endpoint]
        return [self._number(str(name), one) for name in self.now.fractions.index for one in ends]

    def _number(self, biopsy: str, fraction: FractionOf) -> Number:
        name = fraction.name
        before, now = self.before.fractions.loc[biopsy], self.now.fractions.loc[biopsy]
        columns = [name, f"{name}_lo", f"{name}_hi", fraction.count]
        same = np.array_equal(
            before[columns].to_numpy(float), now[columns].to_numpy(float), equal_nan=True
        )
        told, n_now = self._told(biopsy, fraction), _count(now, fraction)
        n_told = ""
        if biopsy in self.biopsies.index and fraction.count in self.biopsies.columns:
            n_told = _count(self.biopsies.loc[biopsy], fraction)
        if same and not self._touches(fraction):
            return Number(biopsy, name, told, told, n_told, n_told, False)
        shown = _text(now, fraction)
        return Number(biopsy, name, told, shown, n_told, n_now, (shown, n_now) != (told, n_told))

    def _told(self, biopsy: str, fraction: FractionOf) -> str:
        """As in ``biopsies.csv``."""
        if biopsy not in self.biopsies.index or fraction.name not in self.biopsies.columns:
            return "NA"
        row = self.biopsies.loc[biopsy]
        if pd.isna(row[fraction.name]):
            words = str(row["reason"]).split("; ") if isinstance(row["reason"], str) else []
            why = dict(word.split(": ", 1) for word in words if ": " in word)
            return f"NA: {why.get(fraction.name, 'no reason given')}"
        return _text(row, fraction)

    def _touches(self, fraction: FractionOf) -> bool:
        """Whether a gate that is not the run's decides on a fraction."""
        moved = {(self.gates[i].panel, self.gates[i].marker) for i in self.by_hand}
        for panel in self.panels.values():
            own = next((f for f in panel.fractions if f.name == fraction.name), None)
            if own is not None:
                needed = markers_needed(panel, (*own.numerator, *own.denominator))
                if any((panel.name, marker) in moved for marker in needed):
                    return True
        return False


def _key(gate: Gate) -> tuple[str, ...]:
    return gate.marker, gate.panel, gate.batch, gate.acquisition, gate.column


def _text(row: Any, fraction: FractionOf) -> str:
    value = float(row[fraction.name])
    if math.isnan(value):
        n = row[fraction.count]
        return "NA: no gate" if pd.isna(n) else f"NA: {fraction.empty_reason}"
    factor = 1 if fraction.percent else 100
    low, high = (factor * float(row[f"{fraction.name}_{end}"]) for end in ("lo", "hi"))
    return f"{factor * value:.1f} ({low:.1f}\N{EN DASH}{high:.1f})"


def _count(row: Any, fraction: FractionOf) -> str:
    n = row[fraction.count]
    return "" if pd.isna(n) else str(int(n))
