"""What else is to be known of a fraction: gates not known exactly, false calls, fields apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from imganalysis.quantify.misclassified import (
    UNKNOWN_BLANK_RATE,
    UNKNOWN_SENSITIVITY,
    Corrected,
    correct_fraction,
    deciding_marker,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import ArrayLike, NDArray

    from imganalysis.panel import FractionOf, Panel
    from imganalysis.quantify.statistics import Estimate
    from imganalysis.quantify.study_counts import FractionCounts
    from imganalysis.settings import Summary

    Floats = NDArray[np.float64]

NAN = float("nan")

UNEVEN = "fields_uneven"
"""Flag where the mean over fields differs by more than `UNEVEN_SHARE` from all fields together."""

UNEVEN_SHARE = 0.1
UNKNOWN_SE, NO_PROBABILITY = "gate_se_unknown", "no_probability"


def field_mean(x: ArrayLike, n: ArrayLike) -> float:
    """Mean over the fields that have something of x / n; NaN where none has."""
    above, below = np.asarray(x, np.float64), np.asarray(n, np.float64)
    some = below > 0
    return float(np.mean(above[some] / below[some])) if some.any() else NAN


def is_uneven(pooled: float, mean: float) -> bool:
    """Whether a mean over fields differs much from what all fields give together."""
    return bool(abs(mean - pooled) > UNEVEN_SHARE * abs(pooled))


def total_interval(
    drawn: Floats, headline: Estimate, *, confidence: float = 0.95, deff_default: float = 5.0
) -> tuple[float, float]:
    """Widen the interval of a proportion by what is not known of the gates.

    Parameters
    ----------
    drawn
        (draws, fields, 2) cells with the property, and all cells, under each set of gates.
    headline
        As `imganalysis.quantify.statistics.cluster_proportion` gives it for the gates as they are.
    confidence, deff_default
        As there.

    Returns
    -------
    lo, hi
        Never inside the headline's; NaN where something drawn is NaN, or has no cell.

    Notes
    -----
    Each set of gates has an interval at every confidence, that is a distribution of the true
    proportion (Schweder & Hjort, Scand J Stat 2002;29:309). The ends are the quantiles of the
    equal mixture of these distributions; gates that are known exactly give the headline.
    """
    from scipy.optimize import brentq
    from scipy.special import ndtr, stdtr

    if not np.isfinite(drawn).all() or not np.isfinite(headline.value):
        return NAN, NAN
    x, n = drawn[..., 0], drawn[..., 1]
    total = n.sum(axis=1)
    x, n, total = x[total > 0], n[total > 0], total[total > 0]
    if not len(total):
        return NAN, NAN
    p, m = x.sum(axis=1) / total, (n > 0).sum(axis=1)
    told = (m > 1) & (p > 0) & (p < 1)
    variance = np.square(x - p[:, np.newaxis] * n).sum(axis=1) / total**2
    variance *= m / np.maximum(m - 1, 1)
    binomial = np.where(told, p * (1 - p) / total, 1.0)
    deff = np.where(told, np.maximum(1.0, variance / binomial), deff_default)

    def below(truth: float) -> float:
        """How sure it is, over all draws, that the proportion is more than this one."""
        z = (p - truth) / np.sqrt(truth * (1 - truth) * deff / total)
        return float(np.mean(np.where(told, stdtr(np.maximum(m - 1, 1), z), ndtr(z))))

    tiny = 1e-12
    ends = []
    for goal in (0.5 + confidence / 2, 0.5 - confidence / 2):
        if below(tiny) <= goal:
            ends.append(0.0)
        elif below(1 - tiny) >= goal:
            ends.append(1.0)
        else:
            ends.append(float(brentq(_less(below, goal), tiny, 1 - tiny, xtol=1e-12)))
    return min(ends[0], headline.lo), max(ends[1], headline.hi)


def _less(function: Callable[[float], float], goal: float) -> Callable[[float], float]:
    return lambda value: function(value) - goal


@dataclass(frozen=True)
class Doubts:
    """What `doubts` adds to the row of a biopsy; see `imganalysis.quantify.summary.FractionRow`."""

    columns: dict[str, float]
    flags: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


def doubts(
    read: FractionCounts,
    at: NDArray[np.intp],
    settings: Summary,
    estimate: Estimate,
    per_field: tuple[Floats, Floats],
    clusters: Callable[[Floats], Floats],
) -> Doubts:
    """Columns of one fraction of one biopsy beside its value and its intervals.

    Parameters
    ----------
    read, at, settings
        As `imganalysis.quantify.summary.fraction_row` takes them.
    estimate
        The fraction, NaN where it cannot be had.
    per_field
        Cells of its numerator and denominator in each field.
    clusters
        Sums numbers of fields, along the last axis, to numbers of clusters.

    Returns
    -------
    Doubts
        ``_lob`` and ``_lod``, ``_rg`` with its interval where one marker decides, and for the
        endpoint ``_total_lo``, ``_total_hi``, ``_soft`` and ``_field_mean``.
    """
    fraction = read.fraction
    name, scale = fraction.name, 100.0 if fraction.percent else 1.0
    known = bool(np.isfinite(estimate.value))
    row: dict[str, float] = {}
    why: list[str] = []
    flags: list[str] = []
    total = float(per_field[1].sum())

    def enter(column: str, value: float, word: str) -> None:
        row[f"{name}_{column}"] = value = scale * value if known else NAN
        if known and np.isnan(value):
            why.append(f"{name}_{column}: {word}")

    for column, of in (("lob", "numerator"), ("lod", "detectable")):
        there = of in read.blank and total > 0
        cells = float(read.blank[of][at].sum()) if there else NAN
        enter(column, cells / total if there else NAN, UNKNOWN_BLANK_RATE)
    if is_decided(fraction, read.panels):
        found = _corrected(read, at, estimate) if known else None
        enter("rg", found.value if found else NAN, found.reason if found else "")
        for end in ("lo", "hi"):
            value = getattr(found, end) if found else NAN
            row[f"{name}_rg_{end}"] = scale * value
    if not fraction.endpoint:
        return Doubts(row, tuple(flags), tuple(why))
    lo, hi = NAN, NAN
    if known and read.drawn is not None:
        mine = np.moveaxis(read.drawn[:, at], 1, 2)
        lo, hi = total_interval(
            np.moveaxis(clusters(mine), 2, 1), estimate,
            confidence=settings.confidence, deff_default=settings.deff_default,
        )  # fmt: skip
    enter("total_lo", lo, UNKNOWN_SE)
    row[f"{name}_total_hi"] = scale * hi
    soft = NAN
    if known and read.soft is not None:
        above, below = (read.soft[side][at].sum() for side in ("numerator", "denominator"))
        soft = float(above / below) if below else NAN
    enter("soft", soft, NO_PROBABILITY)
    mean = field_mean(*per_field) if known else NAN
    row[f"{name}_field_mean"] = scale * mean
    if known and is_uneven(estimate.value, mean):
        flags.append(UNEVEN)
    return Doubts(row, tuple(flags), tuple(why))


def is_decided(fraction: FractionOf, panels: Mapping[str, Panel]) -> bool:
    """Whether in some panel one marker decides on a fraction of this name."""
    same = ((p, own) for p in panels.values() for own in p.fractions if own.name == fraction.name)
    return any(deciding_marker(panel, own) is not None for panel, own in same)


def _corrected(read: FractionCounts, at: NDArray[np.intp], estimate: Estimate) -> Corrected:
    if read.decided is None or read.undecided[at].any():
        return Corrected(reason=UNKNOWN_SENSITIVITY)
    return correct_fraction(read.decided[at], estimate.lo, estimate.hi)
