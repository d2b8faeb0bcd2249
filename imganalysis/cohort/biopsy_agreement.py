"""Our fraction of each biopsy against readers', and the readers against each other."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis import tables as t
from imganalysis.cohort.acceptance import (
    AGREEMENT_COLUMNS,
    VERDICT_BIOPSIES,
    agreement_row,
    judge_biopsies,
)
from imganalysis.cohort.agreement import (
    MINIMUM,
    BlandAltman,
    Statistic,
    band,
    bland_altman,
    concordance,
    correlation,
    icc_agreement,
)
from imganalysis.errors import TableError
from imganalysis.words import plural

if TYPE_CHECKING:
    from imganalysis.cohort.readings import Readings

OURS = "imganalysis"
READERS, TOOL, MEAN, ALL = "reader-reader", "ours-reader", "ours-mean", "all readers"
"""Kinds of comparison."""


@dataclass(frozen=True)
class Comparison:
    """Two readings of the same biopsies.

    Parameters
    ----------
    first, second
        Who; differences are second minus first.
    kind
        `READERS`, `TOOL` or `MEAN`.
    pairs
        One row per biopsy of either side: ``first_percent``, ``second_percent``, ``mean``,
        ``difference``, ``status``.
    """

    first: str
    second: str
    kind: str
    pairs: pd.DataFrame
    bland_altman: BlandAltman
    ccc: Statistic
    icc: Statistic
    pearson: Statistic

    @property
    def name(self) -> str:
        """As shown: what is subtracted stands second."""
        return f"{self.second} - {self.first}"

    @property
    def reach(self) -> float:
        """The limit of agreement that is farther from 0, percent points."""
        limits = (self.bland_altman.lower.value, self.bland_altman.upper.value)
        return float(np.max(np.abs(limits)))


@dataclass(frozen=True)
class BiopsyAgreement:
    """All comparisons, readers among each other first.

    Parameters
    ----------
    agreement
        One row per comparison and statistic, columns `AGREEMENT_COLUMNS`.
    pairs
        One row per comparison and biopsy.
    notes
        What a reader of the numbers must know, in sentences.
    """

    comparisons: tuple[Comparison, ...]
    agreement: pd.DataFrame
    pairs: pd.DataFrame
    notes: tuple[str, ...]


def compare_biopsies(
    ours: Readings, theirs: Readings, *, confidence: float = 0.95
) -> BiopsyAgreement:
    """Compare our readings with those of one or more readers.

    Parameters
    ----------
    ours
        One reader.
    theirs
        One or more.
    confidence
        Of the intervals.

    Raises
    ------
    TableError
        No biopsy is in both tables.
    """
    own = ours.values.iloc[:, 0]
    if not set(own.index) & set(theirs.values.index):
        raise TableError(
            f"{theirs.source}: no biopsy of ours is in it; ours are called "
            f"{_some(own.index)}, theirs {_some(theirs.values.index)}"
        )
    readers = list(theirs.values.columns)
    label = OURS if OURS not in readers else f"{OURS} (ours)"
    made = [
        _compare(theirs.values[a], theirs.values[b], a, b, READERS, {}, confidence)
        for a, b in combinations(readers, 2)
    ]
    made += [
        _compare(theirs.values[r], own, r, label, TOOL, ours.reasons, confidence) for r in readers
    ]
    if len(readers) > 1:
        # Of biopsies that every reader has read: else the mean would be of changing readers.
        mean = theirs.values.mean(axis=1, skipna=False)
        made.append(_compare(mean, own, "mean of readers", label, MEAN, ours.reasons, confidence))
    rows = [row for one in made for row in _rows(one)]
    if len(readers) > 2:
        rows.append(_all_readers(theirs.values.dropna(), confidence))
    reach = _readers_reach(made)
    rows += [row for one in made if one.kind == TOOL for row in judge_biopsies(one, reach)]
    pairs = [
        one.pairs.assign(comparison=one.name, kind=one.kind, first=one.first, second=one.second)
        for one in made
    ]
    table = pd.concat(pairs, ignore_index=True)
    table.insert(1, "patient", [ours.patients.get(str(name), "") for name in table[t.BIOPSY]])
    order = ["comparison", "kind", t.BIOPSY, "patient", "first", "second"]
    return BiopsyAgreement(
        tuple(made),
        pd.DataFrame(rows, columns=list(AGREEMENT_COLUMNS)),
        table[[*order, *(c for c in table if c not in order)]],
        tuple(_notes(made, ours)),
    )


def _compare(
    first: pd.Series[float],
    second: pd.Series[float],
    name_a: str,
    name_b: str,
    kind: str,
    reasons: dict[str, str],
    confidence: float,
) -> Comparison:
    names = list(dict.fromkeys([*first.index, *second.index]))
    a, b = first.reindex(names), second.reindex(names)
    status = [
        _status(name in first.index, name in second.index, np.isnan(u), np.isnan(v))
        for name, u, v in zip(names, a, b, strict=True)
    ]
    pairs = pd.DataFrame(
        {
            t.BIOPSY: names,
            "first_percent": a.to_numpy(),
            "second_percent": b.to_numpy(),
            "mean": ((a + b) / 2).to_numpy(),
            "difference": (b - a).to_numpy(),
            "status": status,
            "reason": [reasons.get(str(n), "") if np.isnan(v) else "" for n, v in b.items()],
        }
    )
    both = pairs[pairs["status"] == "paired"]
    x, y = both["first_percent"].to_numpy(), both["second_percent"].to_numpy()
    return Comparison(
        name_a,
        name_b,
        kind,
        pairs,
        bland_altman(x, y, confidence=confidence),
        concordance(x, y, confidence=confidence),
        icc_agreement(np.column_stack([x, y]), confidence=confidence),
        correlation(x, y, confidence=confidence),
    )


def _status(in_first: bool, in_second: bool, na_first: bool, na_second: bool) -> str:
    if not in_first or not in_second:
        return "only_second" if in_second else "only_first"
    if na_first or na_second:
        return "na_both" if na_first and na_second else "na_first" if na_first else "na_second"
    return "paired"


def _rows(one: Comparison) -> list[dict[str, Any]]:
    found = one.bland_altman
    parts = {
        "bias_points": found.bias,
        "limit_lower_points": found.lower,
        "limit_upper_points": found.upper,
        "sd_difference_points": Statistic(found.sd, reason=found.bias.reason),
        "slope_difference_on_mean": found.slope,
        "ccc": one.ccc,
        "icc_2_1": one.icc,
        "pearson_hides_bias": one.pearson,
    }
    rows = [
        agreement_row(one.name, one.kind, found.n, name, value) for name, value in parts.items()
    ]
    rows[-2]["verdict"] = band(one.icc)
    return rows


def _all_readers(values: pd.DataFrame, confidence: float) -> dict[str, Any]:
    """ICC of all readers at once, over the biopsies that all have read."""
    icc = icc_agreement(values.to_numpy(), confidence=confidence)
    row = agreement_row(plural(values.shape[1], "reader"), ALL, len(values), "icc_2_1", icc)
    return {**row, "verdict": band(icc)}


def _readers_reach(made: list[Comparison]) -> float:
    """Mean over pairs of readers of the farther limit; NaN where there is no pair."""
    reaches = [one.reach for one in made if one.kind == READERS and np.isfinite(one.reach)]
    return float(np.mean(reaches)) if reaches else float("nan")


def _notes(made: list[Comparison], ours: Readings) -> list[str]:
    """Say what was left out and what the intervals do not know."""
    said = {
        "only_first": "only in the table of {first}",
        "only_second": "only in the table of {second}",
        "na_first": "without a value of {first}",
        "na_second": "without a value of {second}",
        "na_both": "without a value of either",
    }
    notes = []
    for one in made:
        if one.kind == MEAN:
            continue
        for word, text in said.items():
            left = one.pairs[one.pairs["status"] == word]
            if len(left):
                names = [
                    f"{biopsy} ({reason})" if reason else str(biopsy)
                    for biopsy, reason in zip(left[t.BIOPSY], left["reason"], strict=True)
                ]
                what = text.format(first=one.first, second=one.second)
                notes.append(f"{one.name}: {len(left)} left out, {what}: {', '.join(names)}")
        if one.bland_altman.n < MINIMUM:
            notes.append(
                f"{one.name}: {plural(one.bland_altman.n, 'biopsy')} with both readings; "
                f"{MINIMUM} are the least, a verdict needs {VERDICT_BIOPSIES}"
            )
    if not any(one.kind == READERS for one in made):
        notes.append(
            "one reader only: how far readers differ from each other is not known, and it is what "
            "ours would have to be judged by"
        )
    patients = [ours.patients.get(str(b), "") for b in ours.values.dropna().index]
    if all(patients) and 0 < len(set(patients)) < len(patients):
        notes.append(
            f"{plural(len(patients), 'biopsy')} of {plural(len(set(patients)), 'patient')}: the "
            "intervals take biopsies for independent, so that they are too narrow if a patient's "
            "are alike"
        )
    return notes


def _some(names: pd.Index[Any]) -> str:
    shown = ", ".join(map(str, names[:3]))
    return shown if len(names) <= 3 else f"{shown} ..."
