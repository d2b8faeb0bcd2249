"""What is asked of agreement with readers, and whether it is met."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis.cohort.agreement import Statistic
from imganalysis.words import ACCEPT_ALL, MET, NOT_JUDGED, NOT_MET

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imganalysis.cohort.biopsy_agreement import Comparison

ICC_LOWER, BIAS_POINTS, LIMIT_POINTS = 0.75, 5.0, 15.0
"""Lower end of ICC(2,1) ("good" or better: Koo and Li, 2016); bias and limits in percent points."""

VERDICT_BIOPSIES = 20
"""Biopsies from which on a verdict is given: the least set of a validation, of which each of four
strata (before, first week, later, regressed) has five. Not a setting: fewer can look well by luck.
"""

TOO_FEW = "too_few_for_verdict"
"""Reason, in `imganalysis.words.AGREEMENT`."""

AGREEMENT_COLUMNS = (
    "comparison", "kind", "n", "statistic", "value", "lo", "hi", "method", "target", "verdict",
    "reason",
)  # fmt: skip


def agreement_row(
    comparison: str, kind: str, n: int, statistic: str, value: Statistic
) -> dict[str, Any]:
    """Give a row of ``agreement.csv`` that nothing is asked of."""
    return {
        "comparison": comparison, "kind": kind, "n": n, "statistic": statistic,
        "value": value.value, "lo": value.lo, "hi": value.hi, "method": value.method,
        "target": "", "verdict": "", "reason": value.reason,
    }  # fmt: skip


def judge_biopsies(one: Comparison, readers_reach: float) -> list[dict[str, Any]]:
    """Judge a comparison of ours with a reader by what is asked of it.

    Parameters
    ----------
    one
        Ours against a reader.
    readers_reach
        The farther limit of agreement among readers, percent points; NaN with one reader.

    Returns
    -------
    list of dict
        A row for each of ICC, bias, limits, and all together.
    """
    n, found = one.bland_altman.n, one.bland_altman
    bias, reach = abs(found.bias.value), one.reach
    wide = max(LIMIT_POINTS, readers_reach) if np.isfinite(readers_reach) else LIMIT_POINTS
    beside = f" or {readers_reach:.1f} as among readers" if np.isfinite(readers_reach) else ""
    beyond = float(np.max(np.abs((found.lower.lo, found.upper.hi))))
    parts: list[tuple[str, float, float, float, str, bool]] = [
        ("accept_icc", one.icc.value, one.icc.lo, one.icc.hi, f"lower end >= {ICC_LOWER}",
         one.icc.lo >= ICC_LOWER),
        ("accept_bias", found.bias.value, found.bias.lo, found.bias.hi,
         f"|bias| <= {BIAS_POINTS:g} points", bias <= BIAS_POINTS),
        ("accept_limits", reach, float("nan"), beyond,
         f"limits within {LIMIT_POINTS:g} points{beside}", reach <= wide),
    ]  # fmt: skip
    rows, verdicts = [], []
    for name, value, lo, hi, target, holds in parts:
        known = bool(np.isfinite(one.icc.lo if name == "accept_icc" else value))
        verdicts.append(_verdict(holds, n, known=known))
        reason = "" if known else one.icc.reason or found.bias.reason
        statistic = Statistic(value, lo, hi, reason=reason or _why(n))
        row = agreement_row(one.name, one.kind, n, name, statistic)
        rows.append({**row, "target": target, "verdict": verdicts[-1]})
    return [*rows, _all(one.name, one.kind, n, n, "all of these", verdicts)]


def judge_classes(
    comparison: str, kind: str, n_cells: int, n_biopsies: int, scores: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Judge F1 of each class that something is asked of, on matched cells.

    Parameters
    ----------
    comparison, kind
        Ours against a reader.
    n_cells, n_biopsies
        Matched cells, and the biopsies that they are of.
    scores
        A row per class with ``class`` and ``f1``; ``target`` and ``verdict`` are put in.

    Returns
    -------
    dict
        The row of all classes together.
    """
    verdicts = []
    for row in scores:
        least = least_f1().get(row["class"])
        row |= {"target": "", "verdict": ""}
        if least is not None:
            known = bool(np.isfinite(row["f1"]))
            verdicts.append(_verdict(row["f1"] >= least, n_biopsies, known=known))
            row |= {"target": f"F1 >= {least:.2f}", "verdict": verdicts[-1]}
    target = "F1 of every class that has a target"
    return _all(comparison, kind, n_cells, n_biopsies, target, verdicts)


@cache
def least_f1() -> Mapping[str, float]:
    """Class -> F1 asked of it, by the list that stands beside the panels."""
    text = (files("imganalysis") / "panels" / "acceptance.csv").read_text(encoding="utf-8")
    return {row["class"]: float(row["least_f1"]) for row in csv.DictReader(text.splitlines())}


def _verdict(holds: Any, n_biopsies: int, *, known: bool) -> str:
    if not known or n_biopsies < VERDICT_BIOPSIES:
        return NOT_JUDGED
    return MET if holds else NOT_MET


def _why(n_biopsies: int) -> str:
    return TOO_FEW if n_biopsies < VERDICT_BIOPSIES else ""


def _all(
    comparison: str, kind: str, n: int, n_biopsies: int, target: str, verdicts: Sequence[str]
) -> dict[str, Any]:
    whole = next((word for word in (NOT_MET, NOT_JUDGED) if word in verdicts), MET)
    if not verdicts:
        whole = NOT_JUDGED
    elif n_biopsies < VERDICT_BIOPSIES:
        whole = f"too few biopsies for a verdict ({n_biopsies} of {VERDICT_BIOPSIES})"
    row = agreement_row(comparison, kind, n, ACCEPT_ALL, Statistic(reason=_why(n_biopsies)))
    return {**row, "target": target, "verdict": whole}
