"""What a classifier makes of cells without a stain: its false calls, which no gate bounds.

A cell of the samples gets a marker's measurements of a cell of the control, all else kept, and is
classed again: by the rules, and by the model where it may. What is in a class for that marker
then is there by a false call.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from imganalysis import tables as t
from imganalysis.classify.false_calls import pooled_rate
from imganalysis.classify.learned import classify_with
from imganalysis.classify.phenotypes import classify_cells
from imganalysis.classify.scopes import comparable, evaluable, of_place
from imganalysis.corrections import GIVEN
from imganalysis.counted import Blanks, markers_asked
from imganalysis.guarding import guarded_calls

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from imganalysis.classify.learned import Learned
    from imganalysis.counted import Part
    from imganalysis.panel import Panel

    Bools = NDArray[np.bool_]

SIDES = ("numerator", "denominator")


def with_blanks(part: Part, controls: pd.DataFrame, model: Learned | None) -> Part:
    """Add to the cells of a panel what false calls of a model would give.

    Parameters
    ----------
    part
        With the classes of the model.
    controls
        Evaluable cells of the controls that set gates.
    model
        None, or one for another panel, leaves the cells as they are.
    """
    if model is None or model.panel != part.panel.name:
        return part
    panel, recall = part.panel, part.recall
    cells = part.cells[part.cells[t.EVALUABLE].to_numpy(dtype=bool)].reset_index(drop=True)
    judged = recall.follows == 0
    if GIVEN in cells.columns:
        judged &= (cells[GIVEN].fillna("") == "").to_numpy(dtype=bool)
    expected = {
        fraction.name: {side: np.zeros(len(cells)) for side in (*SIDES, "detectable")}
        for fraction in panel.fractions
    }
    # Which cell meets which of the control must not hang on the order of the study's fields.
    ordered = cells.sort_values([t.FIELD, t.LABEL]).index.to_numpy()
    for i, (batch, acquisition) in enumerate(recall.keys):
        rows = ordered[(judged & (recall.batch == i))[ordered]]
        place = (panel.name, batch, acquisition)
        blank = comparable(evaluable(of_place(controls, place)))
        for channel in panel.gated:
            _add_marker(expected, part, cells, rows, blank, channel.marker, model)
    return replace(part, blanks=Blanks(judged, expected))


def _add_marker(
    expected: dict[str, dict[str, NDArray[np.float64]]],
    part: Part,
    cells: pd.DataFrame,
    rows: NDArray[np.intp],
    blank: pd.DataFrame,
    marker: str,
    model: Learned,
) -> None:
    """Add the limits of one marker to the judged cells of one batch."""
    panel, table = part.panel, part.recall.table
    mine = cells.iloc[rows].reset_index(drop=True)
    ruled = {
        word: classify_cells(mine.assign(**{t.call_column(marker): word}), panel, reasons=False)
        for word in (t.NEGATIVE, t.POSITIVE)
    }
    now = table.classes[part.recall.states[rows]]
    again = list(_classed_again(part, mine, blank, marker, model))
    for fraction in panel.fractions:
        for side in SIDES:
            classes = getattr(fraction, side)
            if marker not in markers_asked(panel, classes):
                continue
            inside = np.isin(panel.classes, classes)
            found = [_within(possible, inside) for possible, _ in again]
            risk = _within(now, inside) | ruled[t.POSITIVE].possible[:, inside].any(axis=1)
            # Another marker puts a cell there that the rules leave there without this one.
            other = _within(ruled[t.NEGATIVE].possible, inside)
            risk = np.any([risk, *found], axis=0) & ~other
            if not risk.any():
                continue
            # As many trials as there are different cells of the control, or of the samples.
            n = [min(many, int(risk.sum())) for _, many in again]
            x = [k * one[risk].mean() for k, one in zip(n, found, strict=True)]
            rate = pooled_rate(x, n)
            limits = (np.nan, np.nan)
            if rate is not None:
                limits = (rate.blank_limit, rate.detection_limit)
            expected[fraction.name][side][rows] += np.where(risk, limits[0], 0.0)
            if side == "numerator":
                expected[fraction.name]["detectable"][rows] += np.where(risk, limits[1], 0.0)


def _classed_again(
    part: Part, mine: pd.DataFrame, blank: pd.DataFrame, marker: str, model: Learned
) -> Iterator[tuple[Bools, int]]:
    """Class cells again with a marker's light of each control field; and how many that has."""
    panel, recall = part.panel, part.recall
    own = [name for name in _columns(mine, panel, marker) if name in blank.columns]
    free = t.measure_column(marker, "ring", t.FREE)
    for _, field in blank.sort_values([t.FIELD, t.LABEL]).groupby(t.FIELD, sort=True):
        which = np.arange(len(mine)) % len(field)
        light = {name: field[name].to_numpy()[which] for name in own}
        if free in mine.columns:  # no neighbour's light was left out of it
            light[free] = np.full(len(mine), np.nan)
        table = mine.assign(**light)
        calls = guarded_calls(table, panel, recall.gates, recall.band)
        table = table.assign(**{name: calls[name] for name in calls.columns})
        yield classify_with(table, panel, model, reasons=False).possible, len(field)


def _columns(cells: pd.DataFrame, panel: Panel, marker: str) -> Sequence[str]:
    """Columns of a marker's measurements, and not those of one whose name begins alike."""
    others = [c.marker for c in panel.channels if c.marker.startswith(f"{marker}_")]
    longer = tuple(f"{other}_" for other in others)
    return [
        str(name)
        for name in cells.columns
        if str(name).startswith(f"{marker}_") and not (longer and str(name).startswith(longer))
    ]


def _within(possible: Bools, inside: Bools) -> Bools:
    """Find the cells of which every class that they may have is one of some."""
    return np.asarray(possible.any(axis=1) & ~possible[:, ~inside].any(axis=1))
