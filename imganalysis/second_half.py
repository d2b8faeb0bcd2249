"""The second half: from one row per object to counts per field. No pixel is touched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis import tables as t
from imganalysis.classify.calls import POSITIVE_CODE, call_cells, call_codes, measure_values
from imganalysis.classify.contexts import evaluate_contexts
from imganalysis.classify.gates import gates_from_controls, scale_gates, select_gate
from imganalysis.classify.gates_file import adopt_gates
from imganalysis.classify.phenotypes import classify_cells
from imganalysis.classify.region import field_region
from imganalysis.quantify.summary import Counts, fraction_bounds, tally
from imganalysis.study import SAMPLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from imganalysis.classify.gates import Gate
    from imganalysis.panel import FractionOf, Panel
    from imganalysis.settings import Settings

GATE_CONTROLS = ("secondary_only", "isotype")
"""Roles of the controls that show what a marker's channel holds without the marker."""

FEW_NEGATIVES, MANY_POSITIVES, ENOUGH_CELLS = 0.05, 0.7, 100
"""There is no negative population where so few cells look like the control, so many are
positive, and so many cells tell."""


@dataclass(frozen=True)
class Judged:
    """Cells with their calls and classes, and the counts that follow.

    Parameters
    ----------
    cells
        One row per object of every sample field, all panels.
    tables
        Field -> its rows, with its own panel's columns only.
    counts
        Evaluable cells per field and class.
    excluded
        Objects per field and reason of exclusion, of controls too.
    region_mm2
        Field -> counted area of the region, of panels that have one.
    gates
        The gates that were used.
    no_negatives
        (biopsy, marker) pairs whose cells show no negative population.
    """

    cells: pd.DataFrame
    tables: dict[str, pd.DataFrame]
    counts: Counts
    excluded: pd.DataFrame
    region_mm2: dict[str, float]
    gates: tuple[Gate, ...]
    no_negatives: frozenset[tuple[str, str]]


def judge(
    objects: Mapping[str, pd.DataFrame],
    fields: pd.DataFrame,
    grids: Mapping[str, NDArray[Any]],
    panels: Mapping[str, Panel],
    settings: Settings,
    gates: Sequence[Gate] | None = None,
    scopes: Sequence[tuple[str, str, str]] = (),
    **stamp: Any,
) -> Judged:
    """Set gates, call markers, classify cells and count them.

    Parameters
    ----------
    objects
        Field -> one row per object, with the columns of `fields`; samples and controls.
    fields
        One row per analysed field, also of those without an object: ``field``, ``biopsy``,
        ``role``, ``panel``, ``batch``, ``acquisition``.
    grids
        Field -> counted tissue in um2 on the coarse grid.
    panels
        By name.
    settings
        Of the run.
    gates
        Gates that somebody set; they go before those of the controls.
    scopes
        (panel, batch, acquisition) of fields that were not analysed: a gate for them is no
        mistake.
    stamp
        For the gates' record: hashes, user, time, version.
    """
    role = fields[t.ROLE]
    controls = _together(objects, fields[role.isin(GATE_CONTROLS)])
    controls = controls[controls[t.EVALUABLE].astype(bool)].reset_index(drop=True)
    places = fields[role == SAMPLE].reset_index(drop=True)
    names = pd.Index(places[t.FIELD])
    used = gates_from_controls(controls, places, panels, settings.gating, **stamp)
    if gates is not None:
        used = adopt_gates(gates, used, scopes)
    parts = []
    for name, panel in panels.items():
        mine = places[places[t.PANEL] == name]
        if not mine.empty:
            found = _together(objects, mine)
            parts.append(_judge_panel(found, mine, panel, used, grids, settings))
    cells = [part.cells for part in parts]
    return Judged(
        pd.concat(cells, ignore_index=True) if cells else _together(objects, places),
        {name: table for part in parts for name, table in _by_field(part.cells).items()},
        _counts(parts, names, panels, used),
        tally_exclusions(list(objects.values()), pd.Index(fields[t.FIELD])),
        {name: area for part in parts for name, area in part.region_mm2.items()},
        used,
        frozenset(
            pair for part in parts for pair in _no_negatives(part.cells, controls, part.panel)
        ),
    )


@dataclass(frozen=True)
class _Part:
    """The cells of one panel."""

    panel: Panel
    fields: pd.DataFrame
    cells: pd.DataFrame
    counted: pd.DataFrame  # the evaluable ones
    possible: NDArray[np.bool_]  # (counted, classes)
    moved: dict[str, tuple[pd.DataFrame, pd.DataFrame]]  # marker -> counted cells, gate moved
    at_risk: dict[str, NDArray[np.bool_]]  # marker -> (counted, classes), were it positive
    region_mm2: dict[str, float]


def _together(objects: Mapping[str, pd.DataFrame], fields: pd.DataFrame) -> pd.DataFrame:
    """Objects of several fields in one table, in the fields' order."""
    if fields.empty:
        return pd.DataFrame(columns=[*fields.columns, t.EVALUABLE, t.EXCLUSION])
    return pd.concat([objects[name] for name in fields[t.FIELD]], ignore_index=True)


def _by_field(cells: pd.DataFrame) -> dict[str, pd.DataFrame]:
    groups = cells.groupby(t.FIELD, sort=False)
    return {str(name): table.reset_index(drop=True) for name, table in groups}


def _judge_panel(
    cells: pd.DataFrame,
    fields: pd.DataFrame,
    panel: Panel,
    gates: Sequence[Gate],
    grids: Mapping[str, NDArray[Any]],
    settings: Settings,
) -> _Part:
    band = settings.gating.indeterminate_band
    cells = cells.reset_index(drop=True)
    calls = call_cells(cells, panel, gates, band)
    called = pd.concat([cells, calls], axis=1)
    regions = _regions(called, panel, {name: grids[name] for name in fields[t.FIELD]})
    region_mm2 = {name: float(grids[name][mask].sum()) / 1e6 for name, mask in regions.items()}
    contexts = evaluate_contexts(called, panel, regions, t.GRID_UM)
    table = pd.concat([called, contexts], axis=1)
    result = classify_cells(table, panel)
    table[t.PHENOTYPE], table[t.WHY] = result.phenotype, result.why
    mask = table[t.EVALUABLE].to_numpy(dtype=bool)
    counted = table[mask]
    moved, at_risk = {}, {}
    for channel in panel.gated:
        ends = []
        for factor in settings.gating.sensitivity_factors:
            other = scale_gates(gates, channel.marker, factor)
            # The region and all else that hangs on neighbours stay as they are.
            recalled = counted.assign(**call_cells(counted, panel, other, band))
            ends.append(recalled.assign(**{t.PHENOTYPE: classify_cells(recalled, panel).phenotype}))
        moved[channel.marker] = (ends[0], ends[1])
        if_positive = counted.assign(**{t.call_column(channel.marker): t.POSITIVE})
        at_risk[channel.marker] = classify_cells(if_positive, panel).possible
    return _Part(panel, fields, table, counted, result.possible[mask], moved, at_risk, region_mm2)


def _regions(
    cells: pd.DataFrame, panel: Panel, grids: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[np.bool_]]:
    """Field -> grid of the panel's region, where it can be had."""
    if panel.region is None:
        return {}
    columns = [t.FIELD, t.Y, t.X, t.DIAMETER, t.EVALUABLE, t.EXCLUSION]
    columns += [t.call_column(channel.marker) for channel in panel.gated]
    slim = cells[columns]
    rows = slim.groupby(t.FIELD, sort=False).indices
    none = np.zeros(0, dtype=np.intp)
    found = {}
    for name, grid in grids.items():
        group = slim.iloc[rows.get(name, none)]
        mask = field_region(group, panel.region, grid.shape, t.GRID_UM)
        if mask is not None:
            found[name] = mask
    return found


def _counts(
    parts: Sequence[_Part],
    fields: pd.Index[str],
    panels: Mapping[str, Panel],
    gates: Sequence[Gate],
) -> Counts:
    classes = [*dict.fromkeys(name for p in panels.values() for name in p.classes), t.UNRESOLVED]
    none = pd.DataFrame({t.FIELD: [], t.PHENOTYPE: [], t.CAP: []})
    counted = pd.concat([part.counted for part in parts]) if parts else none
    scaled: dict[str, tuple[pd.DataFrame, pd.DataFrame]] = {}
    for marker in dict.fromkeys(m for part in parts for m in part.moved):
        # A panel without the marker counts as it did.
        ends = [[p.moved.get(marker, (p.counted, p.counted))[i] for p in parts] for i in (0, 1)]
        low, high = (tally(fields, classes, pd.concat(end)) for end in ends)
        scaled[marker] = (low, high)
    bounds: dict[str, pd.DataFrame] = {}
    blanks: dict[str, pd.DataFrame] = {}
    for part in parts:
        for fraction in part.panel.fractions:
            _add(bounds, fraction.name, _open_cells(part, fraction, fields))
            _add(blanks, fraction.name, _false_positives(part, fraction, fields, gates))
    return Counts(
        called=tally(fields, classes, counted),
        uncapped=tally(fields, classes, counted[~counted[t.CAP].astype(bool)]),
        scaled=scaled,
        bounds=bounds,
        false_positives=blanks,
        ungated=_ungated(parts, gates),
    )


def _add(into: dict[str, pd.DataFrame], name: str, table: pd.DataFrame) -> None:
    into[name] = into[name] + table if name in into else table


def _per_field(cells: pd.DataFrame, mask: NDArray[np.bool_], fields: pd.Index[str]) -> Any:
    return cells[t.FIELD][mask].value_counts().reindex(fields, fill_value=0)


def _open_cells(part: _Part, fraction: FractionOf, fields: pd.Index[str]) -> pd.DataFrame:
    unresolved = (part.counted[t.PHENOTYPE] == t.UNRESOLVED).to_numpy()
    inside, sure = fraction_bounds(fraction, part.possible, part.panel.classes)
    return pd.DataFrame(
        {
            "open": _per_field(part.counted, inside & unresolved, fields),
            "sure": _per_field(part.counted, sure & unresolved, fields),
        }
    )


def _false_positives(
    part: _Part, fraction: FractionOf, fields: pd.Index[str], gates: Sequence[Gate]
) -> pd.DataFrame:
    """Count the cells that false calls alone would give; NaN in fields without that limit."""
    rows = fields.get_indexer(pd.Index(part.counted[t.FIELD]))
    sides = {}
    for side in ("numerator", "denominator"):
        classes = getattr(fraction, side)
        needed = {
            marker
            for row in part.panel.phenotypes
            if row.name in classes
            for marker, call in row.when.items()
            if call == "pos"
        }
        inside = np.isin(part.panel.classes, classes)
        within = part.counted[t.PHENOTYPE].isin(classes).to_numpy()
        expected = np.zeros(len(part.counted))
        for marker in needed:
            limits = _limits(part.counted, part.panel, marker, gates)
            # Cells that a false call would bring in, and those that it may have brought in.
            risk = within | part.at_risk[marker][:, inside].any(axis=1)
            expected += np.where(risk, limits, 0.0)
        sides[side] = np.bincount(rows, weights=expected, minlength=len(fields))
    return pd.DataFrame(sides, index=fields)


def _limits(
    cells: pd.DataFrame, panel: Panel, marker: str, gates: Sequence[Gate]
) -> NDArray[np.float64]:
    """Limit of blank of the gate of each cell; NaN where a gate has none."""
    out = np.zeros(len(cells))
    keys = cells[[t.BATCH, t.ACQUISITION]].astype(str)
    for batch, acquisition in keys.drop_duplicates().itertuples(index=False):
        rows = ((keys[t.BATCH] == batch) & (keys[t.ACQUISITION] == acquisition)).to_numpy()
        place = {"panel": panel.name, "batch": batch, "acquisition": acquisition}
        for column in _columns(panel, marker):
            gate = select_gate(gates, marker, column, **place)
            rates = None if gate is None else gate.control_fpr
            out[rows] += np.nan if rates is None else rates.blank_limit
    return out


def _columns(panel: Panel, marker: str) -> list[str]:
    return [
        t.measure_column(marker, measure.compartment, measure.statistic)
        for measure in panel.channel(marker).measures
    ]


def _ungated(parts: Sequence[_Part], gates: Sequence[Gate]) -> frozenset[tuple[str, str]]:
    found = set()
    for part in parts:
        scope = part.fields[[t.FIELD, t.BATCH, t.ACQUISITION]].astype(str)
        for name, batch, acquisition in scope.itertuples(index=False):
            place = {"panel": part.panel.name, "batch": batch, "acquisition": acquisition}
            for channel in part.panel.gated:
                for column in _columns(part.panel, channel.marker):
                    gate = select_gate(gates, channel.marker, column, **place)
                    if gate is None or gate.value is None:
                        found.add((name, channel.marker))
    return frozenset(found)


def _no_negatives(
    cells: pd.DataFrame, controls: pd.DataFrame, panel: Panel
) -> list[tuple[str, str]]:
    """(biopsy, marker) pairs without cells like those of the control."""
    scope = [t.BATCH, t.ACQUISITION]
    mine = controls[controls[t.PANEL] == panel.name]
    if mine.empty:
        return []
    counted = cells[cells[t.EVALUABLE].astype(bool)]
    found = []
    for channel in panel.gated:
        measure = channel.measures[0]
        blank = mine.assign(value=measure_values(mine, channel.marker, measure))
        medians = blank.groupby(scope)["value"].median().to_dict()
        values = counted.assign(
            value=measure_values(counted, channel.marker, measure),
            positive=call_codes(counted, channel.marker) == POSITIVE_CODE,
        )
        for (biopsy, batch, acquisition), group in values.groupby([t.BIOPSY, *scope]):
            median = medians.get((batch, acquisition))
            if len(group) < ENOUGH_CELLS or median is None:
                continue
            # Half of all negatives lie under the control's median (Storey, 2002).
            like = 2 * float((group["value"] <= median).mean())
            if like < FEW_NEGATIVES and float(group["positive"].mean()) > MANY_POSITIVES:
                found.append((str(biopsy), channel.marker))
    return found


def tally_exclusions(parts: Sequence[pd.DataFrame], fields: pd.Index[str]) -> pd.DataFrame:
    """Count objects per field and reason of exclusion.

    Returns
    -------
    DataFrame
        Index: `fields`; columns: `imganalysis.tables.EXCLUSIONS`.
    """
    found = pd.DataFrame(0, index=fields, columns=list(t.EXCLUSIONS))
    for cells in parts:
        out = cells[cells[t.EXCLUSION] != ""]
        for (name, word), group in out.groupby([t.FIELD, t.EXCLUSION], observed=True):
            found.loc[name, word] = len(group)
    return found
