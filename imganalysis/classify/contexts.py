"""Contexts: what a cell's shape, place and neighbours say where its own calls do not suffice.

Every context is yes, no or unknown. What rests on an indeterminate call, or on something that
was not had, is unknown unless it would be the same either way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from imganalysis import tables as t
from imganalysis.classify.calls import (
    NEGATIVE_CODE,
    POSITIVE_CODE,
    UNKNOWN_CODE,
    batches_of,
    call_codes,
    combine,
    is_present,
    measure_values,
)
from imganalysis.classify.region import inside

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imganalysis.panel import Lonely, Lymphoid, Panel, Shape, Sheet

    Codes = NDArray[np.uint8]


def evaluate_contexts(
    cells: pd.DataFrame,
    panel: Panel,
    region: NDArray[np.bool_] | Mapping[str, NDArray[np.bool_] | None] | None = None,
    grid_um: float = t.GRID_UM,
    traces: Mapping[str, NDArray[np.float64]] | None = None,
) -> pd.DataFrame:
    """Evaluate the contexts of a panel's phenotype table.

    Parameters
    ----------
    cells
        One row per cell of this panel, with positions, shapes and calls. Neighbours are looked
        for within a field; the level under which a marker leaves no trace is that of all
        negative cells given, by batch and acquisition, so give all fields at once. Neighbours
        are near in 3-D in fields whose cells all have a z, else in Y and X.
    panel
        Its `contexts`.
    region
        (Y, X) bool grid of the region: of each field by its name, or one if there is but one
        field. None, or a field without one, is unknown.
    grid_um
        Side of a square of the grid, um.
    traces
        Of `trace_values`, of the other fields of the batch, where `cells` are of one field only.

    Returns
    -------
    table
        Index of `cells`; one nullable boolean column ``is_NAME`` per context.

    Raises
    ------
    TableError
        A column is missing.
    """
    t.require(cells, [t.FIELD, t.Y, t.X, t.DIAMETER, t.ASPECT], source="cells")
    fields = _by_field(cells)
    in_region = _in_region(cells, fields, region, grid_um)
    here = _Cells(cells, panel, in_region, fields, _points(cells, fields), is_present(cells),
                  traces or {})  # fmt: skip
    out: dict[str, Codes] = {}
    for name, context in panel.contexts.items():
        if context.kind == "shape":
            out[name] = _shape(here, context)
        elif context.kind == "in_region":
            out[name] = in_region
        elif context.kind == "lymphoid":
            out[name] = _lymphoid(here, context)
        elif context.kind == "sheet":
            out[name] = _sheet(here, context)
        else:
            out[name] = _lonely(here, context)
    columns = {
        t.context_column(name): pd.arrays.BooleanArray(
            codes == POSITIVE_CODE, codes == UNKNOWN_CODE
        )
        for name, codes in out.items()
    }
    return pd.DataFrame(columns, index=cells.index)


@dataclass(frozen=True)
class _Cells:
    """A table of cells, with what contexts ask of it."""

    table: pd.DataFrame
    panel: Panel
    region: Codes
    fields: list[tuple[str, NDArray[np.intp]]]  # rows of each field
    points: NDArray[np.float64]  # (N, 3) um
    present: NDArray[np.bool_]  # whether it is anybody's neighbour
    traces: Mapping[str, NDArray[np.float64]]  # column -> values of negative cells elsewhere
    known: dict[str, Codes] = field(default_factory=dict)  # calls that were read

    def column(self, name: str) -> NDArray[np.float64]:
        return self.table[name].to_numpy(dtype=np.float64, na_value=np.nan)

    def calls(self, marker: str) -> Codes:
        if marker not in self.known:
            self.known[marker] = np.minimum(call_codes(self.table, marker), UNKNOWN_CODE)
        return self.known[marker]

    def shape(self, name: str) -> Codes:
        shape = self.panel.contexts[name]
        if shape.kind != "shape":
            raise TypeError(f"{name} is no shape")
        return _shape(self, shape)

    def neighbours(
        self, members: NDArray[np.bool_], radius_um: float, asked: NDArray[np.bool_]
    ) -> NDArray[np.intp]:
        """Count the members within a radius in the field, itself left out, of the cells asked."""
        members = members & self.present
        counts = np.zeros(len(self.table), dtype=np.intp)
        for _, rows in self.fields:
            chosen, open_ = rows[members[rows]], rows[asked[rows]]
            if chosen.size and open_.size:
                near = cKDTree(self.points[chosen]).query_ball_point(
                    self.points[open_], radius_um, return_length=True
                )
                counts[open_] = near - members[open_]
        return counts

    def as_many(self, members: Codes, radius_um: float, asked: NDArray[np.bool_], n: int) -> Codes:
        """Whether cells that are asked have n members within a radius, of which some may be none.

        What is possible is counted only where what is sure does not suffice: it takes most of
        the time of a context.
        """
        enough = self.neighbours(members == POSITIVE_CODE, radius_um, asked) >= n
        open_ = asked & ~enough
        most = self.neighbours(members != NEGATIVE_CODE, radius_um, open_)
        return _surely(enough, open_ & (most < n))


def _points(cells: pd.DataFrame, fields: list[tuple[str, NDArray[np.intp]]]) -> NDArray[np.float64]:
    """Positions in z, y and x; in a field where not every cell has a z, all lie at 0."""
    points = np.zeros((len(cells), 3))
    points[:, 1:] = cells[[t.Y, t.X]].to_numpy(dtype=np.float64)
    if t.Z in cells.columns:
        z = cells[t.Z].to_numpy(dtype=np.float64, na_value=np.nan)
        for _, rows in fields:
            if np.isfinite(z[rows]).all():
                points[rows, 0] = z[rows]
    return points


def _in_region(
    cells: pd.DataFrame,
    fields: list[tuple[str, NDArray[np.intp]]],
    region: NDArray[np.bool_] | Mapping[str, NDArray[np.bool_] | None] | None,
    grid_um: float,
) -> Codes:
    codes = np.full(len(cells), UNKNOWN_CODE, dtype=np.uint8)
    points = cells[[t.Y, t.X]].to_numpy(dtype=np.float64)
    for name, rows in fields:
        mask = region.get(name) if isinstance(region, Mapping) else region
        if mask is not None:
            codes[rows] = inside(mask, points[rows], grid_um)
    return codes


def _by_field(cells: pd.DataFrame) -> list[tuple[str, NDArray[np.intp]]]:
    """Positions of the rows of each field."""
    fields, names = pd.factorize(cells[t.FIELD])
    order = np.argsort(fields, kind="stable")
    rows = np.split(order, np.flatnonzero(np.diff(fields[order])) + 1)
    return [(str(names[fields[r[0]]]), r) for r in rows if r.size]


def _not(codes: Codes) -> Codes:
    return np.array([POSITIVE_CODE, NEGATIVE_CODE, UNKNOWN_CODE], dtype=np.uint8)[codes]


def _all(*conditions: Codes) -> Codes:
    return combine(conditions, "all")


def _surely(yes: NDArray[np.bool_], no: NDArray[np.bool_]) -> Codes:
    codes = np.full(yes.shape, UNKNOWN_CODE, dtype=np.uint8)
    codes[yes] = POSITIVE_CODE
    codes[no] = NEGATIVE_CODE
    return codes


def _shape(cells: _Cells, shape: Shape) -> Codes:
    diameter, aspect = cells.column(t.DIAMETER), cells.column(t.ASPECT)
    parts = []
    if shape.min_diameter_um is not None:
        limit = shape.min_diameter_um
        parts.append(_surely(diameter > limit, diameter <= limit))
    if shape.max_diameter_um is not None:
        limit = shape.max_diameter_um
        parts.append(_surely(diameter <= limit, diameter > limit))
    if shape.max_aspect is not None:
        parts.append(_surely(aspect < shape.max_aspect, aspect >= shape.max_aspect))
    return _all(*parts)


def _lymphoid(cells: _Cells, context: Lymphoid) -> Codes:
    shape = cells.shape(context.shape)
    negative = [_not(cells.calls(m)) for m in context.neighbours_negative]
    kin = _all(shape, *negative)
    own = _all(shape, _without_trace(cells, context))
    enough = cells.as_many(kin, context.radius_um, own != NEGATIVE_CODE, context.min_neighbours)
    return _all(own, enough)


def _without_trace(cells: _Cells, context: Lymphoid) -> Codes:
    """Find cells whose marker lies under a percentile of the negative cells of their batch."""
    channel = cells.panel.channel(context.no_trace_of)
    negative = _counted_negative(cells.table, channel.marker)
    keys, batch = batches_of(cells.table)
    parts = []
    for measure, column in zip(channel.measures, channel.columns, strict=True):
        values = measure_values(cells.table, channel.marker, measure)
        usable = negative & np.isfinite(values)
        elsewhere = cells.traces.get(column, np.zeros(0))
        limits = np.full(len(keys), np.nan)
        for i in range(len(keys)):
            own = np.concatenate([values[usable & (batch == i)], elsewhere])
            if own.size:
                limits[i] = np.percentile(own, context.trace_percentile)
        limit = limits[batch]
        parts.append(_surely(values < limit, values >= limit))
    return _all(*parts)


def _counted_negative(cells: pd.DataFrame, marker: str) -> NDArray[np.bool_]:
    negative = np.minimum(call_codes(cells, marker), UNKNOWN_CODE) == NEGATIVE_CODE
    for word in (t.EVALUABLE, t.COMPARABLE):
        if word in cells.columns:
            negative &= cells[word].astype(bool).to_numpy()
    return np.asarray(negative, np.bool_)


def trace_values(cells: pd.DataFrame, panel: Panel) -> dict[str, NDArray[np.float64]]:
    """Give the values of the negative cells by which a marker without a trace is told.

    Parameters
    ----------
    cells
        One row per cell, of one batch and acquisition, with calls.
    panel
        Its contexts of the kind ``lymphoid`` name the markers.

    Returns
    -------
    dict
        Column of a measure -> values, for `evaluate_contexts`.
    """
    found: dict[str, NDArray[np.float64]] = {}
    for context in panel.contexts.values():
        if context.kind != "lymphoid":
            continue
        channel = panel.channel(context.no_trace_of)
        negative = _counted_negative(cells, channel.marker)
        for measure, column in zip(channel.measures, channel.columns, strict=True):
            values = measure_values(cells, channel.marker, measure)
            found[column] = values[negative & np.isfinite(values)]
    return found


def _sheet(cells: _Cells, context: Sheet) -> Codes:
    own = _all(cells.calls(context.positive), *(_not(cells.calls(m)) for m in context.negative))
    shape = cells.shape(context.shape)
    sure, possible = own == POSITIVE_CODE, own != NEGATIVE_CODE

    def n(members: NDArray[np.bool_]) -> NDArray[np.intp]:
        return cells.neighbours(members, context.radius_um, possible)

    others_least = n(sure & (shape == NEGATIVE_CODE))
    others_most = n(possible & (shape != POSITIVE_CODE))
    alike_least = n(sure & (shape == POSITIVE_CODE))
    alike_most = n(possible & (shape != NEGATIVE_CODE))
    enough = n(sure) >= context.min_neighbours
    too_few = n(possible) < context.min_neighbours
    # Shares at their worst and best; without neighbours too_few has decided.
    worst = others_least / np.maximum(others_least + alike_most, 1)
    best = others_most / np.maximum(others_most + alike_least, 1)
    in_sheet = _surely(enough & (worst >= context.min_share), too_few | (best < context.min_share))
    wide = np.zeros(len(own), dtype=bool)
    if context.min_spread is not None:
        wide = _wide(cells, context.positive, context.min_spread)
        beside = _surely(
            wide & (n(sure & ((shape == NEGATIVE_CODE) | wide)) > 0),
            ~wide | (n(possible & ((shape != POSITIVE_CODE) | wide)) == 0),
        )
        in_sheet = combine([in_sheet, beside], "any")
    if context.cut_um is not None:
        diameter = cells.column(t.DIAMETER)
        cut = _surely(diameter <= context.cut_um, diameter > context.cut_um)
        told = combine([_surely(wide, ~wide), cut], "any")
        told = _all(told, _outnumbered(cells, context, own, shape, wide | (cut != NEGATIVE_CODE)))
        in_sheet = combine([in_sheet, told], "any")
    return _all(own, in_sheet)


def _outnumbered(
    cells: _Cells, context: Sheet, own: Codes, shape: Codes, doubtful: NDArray[np.bool_]
) -> Codes:
    """Tell cells of fields where more of the positives have another shape than have the shape.

    Those with the shape whose shape is doubtful do not count.
    """
    codes = np.full(len(own), UNKNOWN_CODE, dtype=np.uint8)
    sure, possible = own == POSITIVE_CODE, own != NEGATIVE_CODE
    for _, rows in cells.fields:
        here = rows[cells.present[rows]]

        def n(which: NDArray[np.bool_], here: NDArray[np.intp] = here) -> int:
            return int(np.count_nonzero(which[here]))

        others = n(sure & (shape == NEGATIVE_CODE)), n(possible & (shape != POSITIVE_CODE))
        alike = (
            n(sure & (shape == POSITIVE_CODE) & ~doubtful),
            n(possible & (shape != NEGATIVE_CODE) & ~doubtful),
        )
        share = context.min_field_share
        least = max(context.min_neighbours, share * n(shape != POSITIVE_CODE))
        most = max(context.min_neighbours, share * n(shape == NEGATIVE_CODE))
        if others[0] >= least and others[0] > alike[1]:
            codes[rows] = POSITIVE_CODE
        elif others[1] < most or others[1] <= alike[0]:
            codes[rows] = NEGATIVE_CODE
    return codes


def _wide(cells: _Cells, marker: str, min_spread: float) -> NDArray[np.bool_]:
    """Find cells with as much of a marker between ring and border as a share of the ring's.

    False where nearly nothing of the cell lies beyond its ring, or its areas are not known.
    """
    columns = [t.measure_column(marker, part, "mean") for part in ("nucleus", "ring", "cell")]
    areas = [t.AREA, t.RING_AREA, t.CELL_AREA]
    if any(column not in cells.table.columns for column in (*columns, *areas)):
        return np.zeros(len(cells.table), dtype=bool)
    means = [cells.column(column) for column in columns]
    nucleus, ring, cell = (cells.column(column) for column in areas)
    beyond = cell - nucleus - ring
    light = means[2] * cell - means[0] * nucleus - means[1] * ring
    # As a product: a ring without light has no ratio.
    wide = (beyond > 0.1 * cell) & (means[1] > 0) & (light >= min_spread * means[1] * beyond)
    return np.asarray(wide, np.bool_)


def _lonely(cells: _Cells, context: Lonely) -> Codes:
    call = cells.calls(context.positive)
    place = _not(cells.region)
    if context.anywhere_without:
        without = _all(*(_not(cells.calls(m)) for m in context.anywhere_without))
        place = combine([place, without], "any")
    own = _all(call, place, _granular(cells, context))
    near = call if context.neighbours is None else _all(call, cells.shape(context.neighbours))
    too_many = cells.as_many(
        near, context.radius_um, own != NEGATIVE_CODE, context.max_neighbours + 1
    )
    return _all(own, _not(too_many))


def _granular(cells: _Cells, context: Lonely) -> Codes:
    columns = [t.measure_column(context.positive, "ring", s) for s in ("sd", "mean")]
    if any(column not in cells.table.columns for column in columns):
        return np.full(len(cells.table), UNKNOWN_CODE, dtype=np.uint8)
    sd, mean = (cells.column(column) for column in columns)
    known = np.isfinite(sd) & np.isfinite(mean)
    # As a product: a mean of 0 or less, after the background is taken off, has no ratio.
    granular = (sd >= context.min_granularity * mean) & (mean > 0)
    return _surely(known & granular, known & ~granular)
