"""Counts of cells per field become fractions and densities per biopsy."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis import tables as t
from imganalysis.quantify.statistics import Estimate, cluster_density, cluster_proportion
from imganalysis.quantify.uncertainty import doubts, field_mean
from imganalysis.tables_biopsies import ESTIMATED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from imganalysis.panel import FractionOf, Panel
    from imganalysis.quantify.study_counts import FractionCounts
    from imganalysis.settings import Summary

NAN = float("nan")
SIDES = ("numerator", "denominator")

EMPTY = "empty_denominator"
"""Why a variant of a fraction cannot be had where the fraction can."""

BELOW_BLANK = "below_LoD"
"""Flag of a fraction whose interval's lower end is no higher than the limit of blank."""

UNKNOWN_BLANK = "lod_unknown"
"""Flag of a fraction of which that cannot be told."""


@dataclass(frozen=True)
class Counts:
    """Evaluable cells per field and class, as called and as they might have been.

    Parameters
    ----------
    called
        Index: field; columns: classes.
    uncapped
        The same without caps.
    scaled
        marker -> (with its gate lowered, with its gate raised).
    bounds
        fraction -> column ``open``: unresolved cells that are certainly in the denominator, and
        perhaps in the numerator.
    false_positives
        fraction -> columns ``numerator`` and ``denominator``: cells per field that false calls
        alone would put there, at the limit of blank of the gates, and ``detectable``: in the
        numerator, at their limit of detection; NaN where it is unknown.
    ungated
        (field, marker) pairs without a gate.
    certain
        Name of a table (``called``, ``uncapped``, ``unmerged``, `scaled_key`) -> fraction/variant
        -> (fields, 2) unresolved cells that are in its numerator, and in its denominator, whatever
        their class is.
    unmerged
        As `called`, every fragment counted as a cell; None where that is not known.
    indeterminate
        Index: field; columns: markers; cells whose call is indeterminate, NaN in fields that do
        not show the marker.
    drawn
        fraction -> (draws, fields, 2) cells in the numerator and denominator with every gate
        moved by its standard error; NaN in fields with a gate that has none.
    soft
        fraction -> columns ``numerator`` and ``denominator``: sums of the cells' probabilities;
        NaN where a marker has none.
    decided
        fraction -> (fields, 34) as `imganalysis.quantify.misclassified` reads it.
    """

    called: pd.DataFrame
    uncapped: pd.DataFrame
    scaled: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]] = field(default_factory=dict)
    bounds: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    false_positives: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    ungated: frozenset[tuple[str, str]] = frozenset()
    certain: Mapping[str, Mapping[str, NDArray[np.int64]]] = field(default_factory=dict)
    unmerged: pd.DataFrame | None = None
    indeterminate: pd.DataFrame | None = None
    drawn: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    soft: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    decided: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    def table(self, key: str) -> pd.DataFrame | None:
        """Find the counts by class under a name of `certain`."""
        for marker, pair in self.scaled.items():
            for end, table in enumerate(pair):
                if key == scaled_key(marker, end):
                    return table
        return {"called": self.called, "uncapped": self.uncapped, "unmerged": self.unmerged}.get(
            key
        )


def scaled_key(marker: str, end: int) -> str:
    """Name of the counts with a marker's gate lowered (0) or raised (1)."""
    return f"{marker}/{end}"


def tally(
    fields: Sequence[str] | pd.Index[str], classes: Sequence[str], cells: pd.DataFrame
) -> pd.DataFrame:
    """Count cells per field and class.

    Parameters
    ----------
    fields, classes
        Rows and columns of the result, in this order, also where nothing was counted.
    cells
        One row per cell that counts, with the columns ``field`` and ``phenotype``.
    """
    rows = pd.Index(fields).get_indexer(pd.Index(cells[t.FIELD]))
    columns = pd.Index(classes).get_indexer(pd.Index(cells[t.PHENOTYPE]))
    if (rows < 0).any() or (columns < 0).any():
        raise ValueError("a cell of an unknown field or class")
    flat = np.bincount(rows * len(classes) + columns, minlength=len(fields) * len(classes))
    shaped = flat.reshape(len(fields), len(classes))
    return pd.DataFrame(shaped, index=pd.Index(fields), columns=pd.Index(classes))


def tally_codes(
    rows: NDArray[np.intp], columns: NDArray[np.intp], shape: tuple[int, int]
) -> NDArray[np.int64]:
    """Count cells by the position of their field and class.

    Parameters
    ----------
    rows, columns
        (N,) of each cell.
    shape
        Number of fields and classes.

    Returns
    -------
    array
        (fields, classes).
    """
    return np.bincount(rows * shape[1] + columns, minlength=shape[0] * shape[1]).reshape(shape)


def fraction_names(panels: Iterable[Panel]) -> list[FractionOf]:
    """Fractions of all panels, endpoints first; of those of one name the first."""
    seen: dict[str, FractionOf] = {}
    for panel in panels:
        for fraction in panel.fractions:
            seen.setdefault(fraction.name, fraction)
    return sorted(seen.values(), key=lambda fraction: not fraction.endpoint)


def _many_sections(fields: pd.DataFrame) -> int:
    """Most sections of one panel."""
    pairs = set(zip(fields["panel"].tolist(), fields["section"].tolist(), strict=True))
    return max(Counter(panel for panel, section in pairs if pd.notna(section)).values(), default=0)


def clustering(fields: pd.DataFrame) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Say what sums fields to clusters: sections where a panel has three or more, else fields.

    Returns
    -------
    callable
        (..., fields) -> (..., clusters).
    """
    if _many_sections(fields) < 3:
        return lambda values: values
    keys = [fields["panel"].to_numpy(), fields["section"].astype(str).to_numpy()]
    which = pd.Series(0, index=range(len(fields))).groupby(keys, sort=True).ngroup().to_numpy()
    sections = which == np.arange(which.max() + 1)[:, np.newaxis]
    return lambda values: values @ sections.T.astype(values.dtype)


@dataclass(frozen=True)
class FractionRow:
    """What one fraction adds to the row of a biopsy.

    Parameters
    ----------
    columns
        Name -> value.
    gates
        Name -> value with one gate moved.
    flags
        Fixed words.
    reason
        Fixed word where the fraction cannot be had, else empty.
    reasons
        ``column: word`` of its further columns that cannot be had where the fraction can.
    """

    columns: dict[str, Any]
    gates: dict[str, float]
    flags: tuple[str, ...]
    reason: str
    reasons: tuple[str, ...] = ()


def fraction_row(
    read: FractionCounts, at: NDArray[np.intp], fields: pd.DataFrame, settings: Summary
) -> FractionRow:
    """All columns of one fraction of one biopsy.

    Parameters
    ----------
    read
        What the fields of the study count for it.
    at
        Positions there of the biopsy's analysed fields of panels that have the fraction.
    fields
        These fields: columns ``panel``, ``section``.
    settings
        Confidence, minimums.
    """
    fraction = read.fraction
    name, scale = fraction.name, 100.0 if fraction.percent else 1.0
    clusters = clustering(fields)

    def ratio(key: str) -> float:
        above, below = (read.sums[f"/{side}", key][at].sum() for side in SIDES)
        return float(scale * above / below) if below else NAN

    reason = "not_stained" if not len(at) else "ungated" if read.ungated[at].any() else ""
    apart = [read.sums[f"/{side}", "called"][at] for side in SIDES]
    x, n = map(clusters, apart)
    row: dict[str, Any] = {fraction.count: NAN if reason else int(n.sum())}
    blank = _blank(read, at)
    # No more cells than the controls alone would give are no cells to speak of.
    if not reason and n.sum() <= (0 if blank is None else blank["denominator"]):
        reason = fraction.empty_reason
    e = Estimate() if reason else _estimate(x, n, settings)
    row |= estimate_columns(name, e, scale)
    flags = [] if reason else _flags(fraction, apart[1], fields, settings)
    if not reason and blank is None:
        flags.append(UNKNOWN_BLANK)
    elif not reason and blank is not None and e.lo * n.sum() <= blank["numerator"]:
        flags.append(BELOW_BLANK)
    more = doubts(read, at, settings, e, (apart[0], apart[1]), clusters)
    row |= more.columns
    flags += more.flags
    why = list(more.reasons)
    for variant in fraction.variants:
        sides = [clusters(read.sums[f"{variant}/{side}", "called"][at]) for side in SIDES]
        other = Estimate() if reason else _estimate(sides[0], sides[1], settings)
        row |= estimate_columns(f"{name}_{variant}", other, scale)
        if not reason and np.isnan(other.value):
            why.append(f"{name}_{variant}: {EMPTY}")
    if not fraction.endpoint:
        return FractionRow(row, {}, tuple(flags), reason, tuple(why))
    open_ = float(read.open[at].sum())
    most = n.sum() + open_
    known = not reason and most > 0
    row[f"{name}_bound_lo"] = scale * x.sum() / most if known else NAN
    row[f"{name}_bound_hi"] = scale * (x.sum() + open_) / most if known else NAN
    row[f"{name}_uncapped"] = NAN if reason else ratio("uncapped")
    row[f"{name}_unmerged"] = NAN if reason else ratio("unmerged")
    moved: dict[str, float] = {}
    for marker in read.markers:
        for end, word in enumerate(("low", "high")):
            value = NAN if reason else ratio(scaled_key(marker, end))
            moved[f"{name}_gate_{marker}_{word}"] = value
    return FractionRow(row, moved, tuple(flags), reason, tuple(why))


def estimate_columns(name: str, e: Estimate, scale: float) -> dict[str, Any]:
    """Columns of a fraction, or of a variant of it, with its intervals.

    Parameters
    ----------
    name
        Of the fraction's column.
    e
        The fraction, 0 to 1.
    scale
        100 where it is in percent.
    """
    ends = (*(scale * v for v in (e.lo, e.hi, e.naive_lo, e.naive_hi)), e.deff, e.icc, e.method)
    columns = {f"{name}_{end}": value for end, value in zip(ESTIMATED, ends, strict=True)}
    return {name: scale * e.value, **columns}


def _estimate(x: NDArray[Any], n: NDArray[Any], settings: Summary) -> Estimate:
    return cluster_proportion(
        x, n, confidence=settings.confidence, deff_default=settings.deff_default
    )


def _blank(read: FractionCounts, at: NDArray[np.intp]) -> dict[str, float] | None:
    """Cells that false calls alone would give in a biopsy, where that is known."""
    if not read.blank:
        return None
    found = {side: float(read.blank[side][at].sum()) for side in SIDES}
    return found if np.isfinite(sum(found.values())) else None


def _flags(
    fraction: FractionOf,
    n: NDArray[Any],
    fields: pd.DataFrame,
    settings: Summary,
) -> list[str]:
    flags = []
    total, n_fields = int(n.sum()), int((n > 0).sum())
    if fraction.endpoint and (total < settings.minimum_cells or n_fields < settings.minimum_fields):
        flags.append("below_minimum")
    if total < settings.low_cells or (fraction.endpoint and n_fields < settings.low_fields):
        flags.append("low_count")
    if _many_sections(fields) > 1:
        flags.append("adjacent_sections")
    if fields["panel"].nunique() > 1:
        flags.append("panels_pooled")
    return flags


def density_columns(
    name: str, counts: ArrayLike, areas_mm2: ArrayLike, settings: Summary
) -> dict[str, float]:
    """Columns of the density of one class in one biopsy, cells per mm2 of tissue.

    Parameters
    ----------
    name
        The class.
    counts, areas_mm2
        One number per field; an unknown area (NaN) makes the density unknown.
    settings
        Confidence, design effect where the fields cannot tell it.
    """
    areas = np.asarray(areas_mm2, dtype=float)
    e = Estimate()
    if areas.size and np.isfinite(areas).all():
        # Cells without tissue under them are not evaluable, so an area of 0 has count 0.
        e = cluster_density(
            counts, areas, confidence=settings.confidence, deff_default=settings.deff_default
        )
    column = f"{name}_per_mm2"
    mean = field_mean(counts, areas) if np.isfinite(e.value) else NAN
    ends = {f"{column}_lo": e.lo, f"{column}_hi": e.hi}
    return {column: e.value, **ends, f"{column}_field_mean": mean}
