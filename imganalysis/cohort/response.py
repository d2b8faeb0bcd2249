"""Response of lesions and patients by the sum of products of perpendicular diameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis import tables_cohort as c
from imganalysis.quantify.statistics import cluster_proportion

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from imganalysis.cohort.clinical import Visit

PARTIAL, PROGRESSIVE, FEWEST_WEEKS = 0.5, 1.25, 4.0
COMPLETE, STABLE, UNKNOWN = "complete", "stable", "not_assessable"


def judge(baseline: float, later: Sequence[tuple[float, float]], start: float) -> dict[str, Any]:
    """Judge one series of sizes.

    Parameters
    ----------
    baseline
        Sum of products before treatment, mm2; NaN where it is not known.
    later
        (week, sum) of every later visit, in order.
    start
        Week of the baseline.

    Returns
    -------
    dict
        Columns of response.csv. The response is that at the last visit. Progressive is taken
        against the smallest sum so far, the baseline among them, so that it covers both growth
        and regrowth; complete is gone at the last visit.

    Notes
    -----
    Complete: gone. Partial: down by more than 50 %. Progressive: up by more than 25 %, or
    regrowth. Not assessable: followed for under 4 weeks (Radny et al., Br J Cancer
    2003;89:1620).
    """
    row: dict[str, Any] = {
        "baseline_mm2": baseline,
        "smallest_mm2": np.nan,
        "last_mm2": np.nan,
        "change_percent": np.nan,
        c.FOLLOWED: np.nan,
        c.N_VISITS: len(later),
        c.RESPONSE: UNKNOWN,
        "best_response": UNKNOWN,
        c.RESPONSE_WEEK: np.nan,
        c.REASON: "",
    }
    if not baseline > 0:
        return row | {c.REASON: "no_baseline"}
    if not later:
        return row | {c.REASON: "no_visit"}
    week, last = later[-1]
    before = [baseline, *(size for _, size in later[:-1])]
    row |= {
        "smallest_mm2": min(before),
        "last_mm2": last,
        "change_percent": 100 * (last / baseline - 1),
        c.FOLLOWED: week - start,
        c.RESPONSE_WEEK: week,
    }
    if week - start < FEWEST_WEEKS:
        return row | {c.REASON: "followed_under_4_weeks"}
    best = min(size for _, size in later)
    row["best_response"] = _by_size(best, baseline)
    if last > PROGRESSIVE * min(before):
        grew = "grew" if min(before) == baseline else "regrowth"
        return row | {c.RESPONSE: "progressive", c.REASON: grew}
    return row | {c.RESPONSE: _by_size(last, baseline)}


def _by_size(size: float, baseline: float) -> str:
    if size == 0:
        return COMPLETE
    if size < PARTIAL * baseline:
        return "partial"
    return "progressive" if size > PROGRESSIVE * baseline else STABLE


def responses(
    visits: Iterable[Visit],
    patients: Iterable[str],
    *,
    given: Mapping[str, str] | None = None,
    until: float | None = None,
) -> pd.DataFrame:
    """Judge every lesion and every patient.

    Parameters
    ----------
    visits
        Sizes of lesions, in any order.
    patients
        All who were treated: those without a measured lesion are not assessable, and count.
    given
        patient -> response that somebody wrote down, to stand beside.
    until
        Only visits up to this week.

    Returns
    -------
    DataFrame
        Columns `imganalysis.tables_cohort.RESPONSE_COLUMNS`; of each patient its own row, then
        its lesions. The baseline is the last visit at week 0 or before. A patient is judged by
        the lesions with a baseline, at visits at which all of them were measured; of a lesion
        that was gone and is back, the patient is progressive.
    """
    sizes: dict[str, dict[str, dict[float, float]]] = {p: {} for p in patients}
    for visit in visits:
        if until is None or visit.week <= until:
            mine = sizes.setdefault(visit.patient, {}).setdefault(visit.lesion, {})
            mine[visit.week] = visit.mm2
    rows = []
    for patient in sorted(sizes):
        lesions = sizes[patient]
        told = {name: _series(weeks) for name, weeks in sorted(lesions.items())}
        own = [
            {c.LEVEL: c.LESION, c.PATIENT: patient, c.LESION: name, c.N_LESIONS: 1}
            | judge(base, later, start)
            for name, (base, later, start) in told.items()
        ]
        whole = {c.LEVEL: c.PATIENT, c.PATIENT: patient, c.LESION: ""} | _patient(told)
        whole["given"] = (given or {}).get(patient, "")
        rows += [whole, *own]
    table = pd.DataFrame(rows, columns=list(c.RESPONSE_COLUMNS))
    table["given"] = table["given"].fillna("")
    return table


Series = tuple[float, list[tuple[float, float]], float]
"""Baseline, later visits, week of the baseline."""


def _series(weeks: Mapping[float, float]) -> Series:
    before = [week for week in weeks if week <= 0]
    if not before:
        return np.nan, sorted(weeks.items()), np.nan
    start = max(before)
    return weeks[start], sorted((w, s) for w, s in weeks.items() if w > start), start


def _patient(lesions: Mapping[str, Series]) -> dict[str, Any]:
    known = {name: series for name, series in lesions.items() if series[0] > 0}
    count = {c.N_LESIONS: len(known)}
    if not known:
        return count | judge(np.nan, [], np.nan)
    at = [dict(later) for _, later, _ in known.values()]
    weeks = sorted(set.intersection(*(set(sizes) for sizes in at)))
    sums = [(week, sum(sizes[week] for sizes in at)) for week in weeks]
    start = max(start for _, _, start in known.values())
    row = judge(sum(base for base, _, _ in known.values()), sums, start)
    if row[c.RESPONSE] != UNKNOWN:
        back = any(
            sizes[weeks[-1]] > 0 and any(size == 0 for w, size in sizes.items() if w < weeks[-1])
            for sizes in at
        )
        if back:
            row |= {c.RESPONSE: "progressive", c.REASON: "regrowth"}
    return count | row


def response_rates(table: pd.DataFrame, *, confidence: float = 0.95) -> pd.DataFrame:
    """Share of each response, of all patients and of all lesions that were treated.

    Parameters
    ----------
    table
        From `responses`, or with its columns ``level``, ``patient`` and ``response``.

    Returns
    -------
    DataFrame
        ``level``, ``response``, ``n``, ``of`` (intent to treat: who is not assessable counts
        below the line), ``percent``, ``lo``, ``hi``. Of patients Clopper and Pearson's interval;
        of lesions one that knows lesions of one patient are alike.
    """
    from statsmodels.stats.proportion import proportion_confint

    rows = []
    for level in (c.PATIENT, c.LESION):
        mine = table[table[c.LEVEL] == level]
        if mine.empty:
            continue
        for word in c.RESPONSES:
            is_it = mine[c.RESPONSE] == word
            n, of = int(is_it.sum()), len(mine)
            if level == c.PATIENT:
                lo, hi = proportion_confint(n, of, alpha=1 - confidence, method="beta")
            else:
                by = is_it.groupby(mine[c.PATIENT]).agg(["sum", "count"])
                found = cluster_proportion(by["sum"], by["count"], confidence=confidence)
                lo, hi = found.lo, found.hi
            rows.append(
                {
                    c.LEVEL: level,
                    c.RESPONSE: word,
                    "n": n,
                    "of": of,
                    "percent": 100 * n / of,
                    c.LO: 100 * float(lo),
                    c.HI: 100 * float(hi),
                }
            )
    columns = [c.LEVEL, c.RESPONSE, "n", "of", "percent", c.LO, c.HI]
    return pd.DataFrame(rows, columns=columns)
