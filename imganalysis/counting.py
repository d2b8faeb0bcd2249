"""From cells with calls and classes to counts per field, and what false calls would give."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis import tables as t
from imganalysis.classify.calls import POSITIVE_CODE, UNKNOWN_CODE, call_codes, measure_values
from imganalysis.classify.gates import ungated_markers
from imganalysis.counted import Counted, markers_asked, membership
from imganalysis.doubts import decided_counts, drawn_counts, soft_counts
from imganalysis.quantify.summary import Counts, scaled_key, tally_codes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from imganalysis.classify.recall import Recall
    from imganalysis.counted import Part
    from imganalysis.panel import FractionOf, Panel
    from imganalysis.settings import Gating

FEW_NEGATIVES, MANY_POSITIVES, ENOUGH_CELLS = 0.05, 0.7, 100
"""There is no negative population where so few cells look like the control, so many are
positive, and so many cells tell."""


def count_cells(
    parts: Sequence[Part],
    fields: pd.Index[str],
    panels: Mapping[str, Panel],
    gating: Gating,
    unmerged: Sequence[Part] = (),
) -> Counts:
    """Count the evaluable cells of every field, as they are called and with each gate moved.

    `unmerged` holds the same as objects that count by themselves.
    """
    classes = [*dict.fromkeys(name for p in panels.values() for name in p.classes), t.UNRESOLVED]
    counted = [Counted(part, fields, classes) for part in parts]
    certain: dict[str, dict[str, NDArray[np.int64]]] = {}

    def count(key: str, states: Any, cells: Sequence[Counted], keep: Any = None) -> pd.DataFrame:
        """Count the cells of all panels; those whose class is open but does not matter too."""
        total = np.zeros((len(fields), len(classes)), np.int64)
        certain[key] = {}
        for one in cells:
            some = slice(None) if keep is None else keep(one)
            found = states(one)[some]
            total += one.tally(found, some)
            for name, more in one.certain(found, some).items():
                _add(certain[key], name, more)
        return pd.DataFrame(total, index=pd.Index(fields), columns=pd.Index(classes))

    called = count("called", lambda one: one.recall.states, counted)
    uncapped = count(
        "uncapped", lambda one: one.recall.states, counted,
        lambda one: ~one.part.counted[t.CAP].to_numpy(dtype=bool),
    )  # fmt: skip
    scaled: dict[str, tuple[pd.DataFrame, pd.DataFrame]] = {}
    for marker in dict.fromkeys(c.marker for part in parts for c in part.panel.gated):
        low, high = (
            count(scaled_key(marker, end), partial(_with_factor, marker, factor), counted)
            for end, factor in enumerate(gating.sensitivity_factors)
        )
        scaled[marker] = (low, high)
    bounds: dict[str, pd.DataFrame] = {}
    blanks: dict[str, pd.DataFrame] = {}
    soft: dict[str, pd.DataFrame] = {}
    drawn: dict[str, NDArray[np.float64]] = {}
    decided: dict[str, NDArray[np.float64]] = {}
    for one in counted:
        for fraction in one.part.panel.fractions:
            _add(bounds, fraction.name, _open_cells(one, fraction))
            _add(blanks, fraction.name, _false_positives(one, fraction))
            _add(decided, fraction.name, decided_counts(one, fraction))
            if fraction.endpoint:
                _add(drawn, fraction.name, drawn_counts(one, fraction))
                _add(soft, fraction.name, soft_counts(one, fraction))
    apart = None
    if unmerged:
        pieces = [Counted(part, fields, classes) for part in unmerged]
        apart = count("unmerged", lambda one: one.recall.states, pieces)
    return Counts(
        called=called,
        uncapped=uncapped,
        scaled=scaled,
        bounds=bounds,
        false_positives=blanks,
        ungated=ungated_fields(parts),
        certain=certain,
        unmerged=apart,
        indeterminate=_indeterminate(counted, fields),
        drawn=drawn,
        soft=soft,
        decided=decided,
    )


def _with_factor(marker: str, factor: float, one: Counted) -> NDArray[np.int64]:
    return one.with_factor(marker, factor)


def _add(into: dict[str, Any], name: str, table: Any) -> None:
    """Add what a panel counted to what others did: each has 0 in the fields of the others."""
    into[name] = into[name] + table if name in into else table


def _open_cells(one: Counted, fraction: FractionOf) -> pd.DataFrame:
    """Count the cells that are certainly in the denominator, and perhaps in the numerator."""
    outside = ~np.isin(one.part.panel.classes, fraction.denominator)
    possible = one.recall.table.classes
    inside = possible.any(axis=1) & ~possible[:, outside].any(axis=1)
    open_ = inside & ~membership(one, fraction)[1]
    rows = one.rows[open_[one.recall.states]]
    return pd.DataFrame({"open": np.bincount(rows, minlength=len(one.fields))}, index=one.fields)


def _false_positives(one: Counted, fraction: FractionOf) -> pd.DataFrame:
    """Count the cells that false calls alone would give; NaN in fields without that limit."""
    panel, recall, blanks = one.part.panel, one.recall, one.part.blanks
    ruled = np.ones(len(one.rows), bool) if blanks is None else ~blanks.judged
    added = {} if blanks is None else blanks.expected[fraction.name]
    none = np.zeros(len(one.rows))
    sides = {}
    for side in ("numerator", "denominator"):
        classes = getattr(fraction, side)
        inside = np.isin(panel.classes, classes)
        within = np.append(inside, False)[recall.found][recall.states]
        may_be = recall.table.classes[:, inside].any(axis=1)
        expected = added.get(side, none).copy()
        found = added.get("detectable", none).copy()
        for marker in markers_asked(panel, classes):
            blank, detected = _limits(recall, marker)
            # Cells that a false call would bring in, and those that it may have brought in.
            risk = ruled & (within | may_be[recall.set_to(marker, POSITIVE_CODE)])
            expected += np.where(risk, blank[recall.batch], 0.0)
            found += np.where(risk, detected[recall.batch], 0.0)
        sides[side] = np.bincount(one.rows, weights=expected, minlength=len(one.fields))
        if side == "numerator":
            sides["detectable"] = np.bincount(one.rows, found, minlength=len(one.fields))
    return pd.DataFrame(sides, index=one.fields)


def _limits(recall: Recall, marker: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Limits of blank and of detection of the gates of each batch; NaN where a gate has none."""
    gates = recall.markers[marker].gates
    blank, detected = np.zeros(len(gates[0])), np.zeros(len(gates[0]))
    for column in gates:
        rates = [None if gate is None else gate.control_fpr for gate in column]
        blank += np.array([np.nan if r is None else r.blank_limit for r in rates])
        detected += np.array([np.nan if r is None else r.detection_limit for r in rates])
    return blank, detected


def ungated_fields(parts: Sequence[Part]) -> frozenset[tuple[str, str]]:
    """(field, marker) pairs of which a measure has no gate, by the gates the cells have now."""
    found: set[tuple[str, str]] = set()
    for part in parts:
        found |= ungated_markers(part.panel, part.fields, part.recall.gates)
    return frozenset(found)


def _indeterminate(counted: Sequence[Counted], fields: pd.Index[str]) -> pd.DataFrame:
    """Count the cells whose call is indeterminate; NaN in fields that do not show the marker."""
    names = dict.fromkeys(c.marker for one in counted for c in one.part.panel.gated)
    found = {marker: np.full(len(fields), np.nan) for marker in names}
    for one in counted:
        own = fields.get_indexer(pd.Index(one.part.fields[t.FIELD]))
        for marker, values in one.recall.markers.items():
            n = np.bincount(one.rows[values.digits == UNKNOWN_CODE], minlength=len(fields))
            found[marker][own] = n[own]
    return pd.DataFrame(found, index=fields)


def without_negatives(
    cells: pd.DataFrame, controls: pd.DataFrame, panel: Panel
) -> list[tuple[str, str]]:
    """(biopsy, marker) pairs without cells like those of the control."""
    scope = [t.BATCH, t.ACQUISITION]
    mine = controls[controls[t.PANEL] == panel.name]
    if mine.empty:
        return []
    keep = cells[t.EVALUABLE].to_numpy(dtype=bool)
    if t.COMPARABLE in cells.columns:
        keep = keep & cells[t.COMPARABLE].to_numpy(dtype=bool)
        mine = mine[mine[t.COMPARABLE].astype(bool)]
    counted = cells.loc[keep, [t.BIOPSY, *scope]]
    found = []
    for channel in panel.gated:
        measure = channel.measures[0]
        blank = mine.assign(value=measure_values(mine, channel.marker, measure))
        medians = blank.groupby(scope)["value"].median().to_dict()
        values = counted.assign(
            value=measure_values(cells, channel.marker, measure)[keep],
            positive=(call_codes(cells, channel.marker) == POSITIVE_CODE)[keep],
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
    words = pd.Index(t.EXCLUSIONS)
    names, codes = [np.zeros(0, object)], [np.zeros(0, np.intp)]
    for cells in parts:
        code = words.get_indexer(pd.Index(cells[t.EXCLUSION]))
        out = np.flatnonzero(code >= 0)
        if out.size:
            names.append(cells[t.FIELD].to_numpy(dtype=object)[out])
            codes.append(code[out])
    rows = fields.get_indexer(pd.Index(np.concatenate(names)))
    found = tally_codes(rows, np.concatenate(codes), (len(fields), len(words)))
    return pd.DataFrame(found, index=fields, columns=list(words))
