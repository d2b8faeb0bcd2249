"""From cells with calls and classes to counts per field, and what false calls would give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis import tables as t
from imganalysis.classify.calls import POSITIVE_CODE, call_codes, measure_values
from imganalysis.classify.gates import select_gate
from imganalysis.quantify.summary import Counts, fraction_bounds, tally

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from imganalysis.classify.gates import Gate
    from imganalysis.panel import FractionOf, Panel

FEW_NEGATIVES, MANY_POSITIVES, ENOUGH_CELLS = 0.05, 0.7, 100
"""There is no negative population where so few cells look like the control, so many are
positive, and so many cells tell."""


@dataclass(frozen=True)
class Part:
    """The cells of one panel."""

    panel: Panel
    fields: pd.DataFrame
    cells: pd.DataFrame
    counted: pd.DataFrame  # the evaluable ones
    possible: NDArray[np.bool_]  # (counted, classes)
    moved: dict[str, tuple[pd.DataFrame, pd.DataFrame]]  # marker -> counted cells, gate moved
    at_risk: dict[str, NDArray[np.bool_]]  # marker -> (counted, classes), were it positive
    region_mm2: dict[str, dict[str, float]]  # field -> area of each region


def count_cells(
    parts: Sequence[Part],
    fields: pd.Index[str],
    panels: Mapping[str, Panel],
    gates: Sequence[Gate],
    unmerged: Sequence[pd.DataFrame] = (),
) -> Counts:
    """Count the evaluable cells of every field, as they are called and with each gate moved.

    `unmerged` holds the same as objects that count by themselves, with their classes.
    """
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
        unmerged=tally(fields, classes, pd.concat(unmerged)) if unmerged else None,
    )


def _add(into: dict[str, pd.DataFrame], name: str, table: pd.DataFrame) -> None:
    into[name] = into[name] + table if name in into else table


def _per_field(cells: pd.DataFrame, mask: NDArray[np.bool_], fields: pd.Index[str]) -> Any:
    return cells[t.FIELD][mask].value_counts().reindex(fields, fill_value=0)


def _open_cells(part: Part, fraction: FractionOf, fields: pd.Index[str]) -> pd.DataFrame:
    unresolved = (part.counted[t.PHENOTYPE] == t.UNRESOLVED).to_numpy()
    inside, sure = fraction_bounds(fraction, part.possible, part.panel.classes)
    return pd.DataFrame(
        {
            "open": _per_field(part.counted, inside & unresolved, fields),
            "sure": _per_field(part.counted, sure & unresolved, fields),
        }
    )


def _false_positives(
    part: Part, fraction: FractionOf, fields: pd.Index[str], gates: Sequence[Gate]
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
        for column in panel.channel(marker).columns:
            gate = select_gate(gates, marker, column, **place)
            rates = None if gate is None else gate.control_fpr
            out[rows] += np.nan if rates is None else rates.blank_limit
    return out


def _ungated(parts: Sequence[Part], gates: Sequence[Gate]) -> frozenset[tuple[str, str]]:
    found = set()
    for part in parts:
        scope = part.fields[[t.FIELD, t.BATCH, t.ACQUISITION]].astype(str)
        for name, batch, acquisition in scope.itertuples(index=False):
            place = {"panel": part.panel.name, "batch": batch, "acquisition": acquisition}
            for channel in part.panel.gated:
                for column in channel.columns:
                    gate = select_gate(gates, channel.marker, column, **place)
                    if gate is None or gate.value is None:
                        found.add((name, channel.marker))
    return frozenset(found)


def without_negatives(
    cells: pd.DataFrame, controls: pd.DataFrame, panel: Panel
) -> list[tuple[str, str]]:
    """(biopsy, marker) pairs without cells like those of the control."""
    scope = [t.BATCH, t.ACQUISITION]
    mine = controls[controls[t.PANEL] == panel.name]
    if mine.empty:
        return []
    counted = cells[cells[t.EVALUABLE].astype(bool)]
    if t.COMPARABLE in cells.columns:
        counted = counted[counted[t.COMPARABLE].astype(bool)]
        mine = mine[mine[t.COMPARABLE].astype(bool)]
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
