"""Which phenotypes of one parent may win, given calls but not intensities.

In scimap a phenotype's score is the mean over its kinds of conditions: the mean intensity of
``pos``, the mean of 1 - intensity of ``neg``, the greatest of ``anypos`` and of 1 - ``anyneg``, and
0.01 for ``allpos`` and ``allneg``, with the greatest intensity (1 - intensity) if all hold.
Scaled intensities lie in 0-1 with the gate at 0.5. The highest score wins, the first of equal
ones; if all lie under 0.5 no phenotype does. With each intensity on one side of the gate a score
is the greatest of some linear forms, so that whether a phenotype can win is a linear programme.
On a table of calls alone, 0 and 1, each score is one number.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Form = NDArray[np.float64]

GATE = 0.5
EDGE = 0.01
"""What ``allpos`` and ``allneg`` add."""

TIE = 1e-7
"""Scores that differ by less are equal."""

POSITIVE, NEGATIVE = (GATE + 1e-5, 1.0), (0.0, GATE - 1e-5)
"""Where intensities lie; what is exactly at the gate decides nothing."""


@dataclass(frozen=True)
class Rule:
    """A phenotype: its name, and the markers of each kind of condition."""

    name: str
    pos: tuple[str, ...] = ()
    neg: tuple[str, ...] = ()
    anypos: tuple[str, ...] = ()
    anyneg: tuple[str, ...] = ()
    allpos: tuple[str, ...] = ()
    allneg: tuple[str, ...] = ()

    @property
    def markers(self) -> tuple[str, ...]:
        """All markers that it asks for."""
        return (
            *self.pos, *self.neg, *self.anypos, *self.anyneg, *self.allpos, *self.allneg
        )  # fmt: skip


def group_labels(
    rules: Sequence[Rule],
    calls: Mapping[str, bool],
    rest: str,
    likely: str,
    *,
    binary: bool = False,
) -> list[str]:
    """Find the labels that scimap may give cells with these calls under one parent.

    Parameters
    ----------
    rules
        The parent's phenotypes, in order.
    calls
        Marker -> whether it is positive.
    rest
        Label where every score may lie under the gate.
    likely
        Begins the label of a winner of several ``pos`` (or ``neg``) markers of which one fails.
    binary
        Whether intensities are 0 and 1, so that there is one label.

    Returns
    -------
    list of str
        At least one.
    """
    markers = sorted({marker for rule in rules for marker in rule.markers})
    scores = [_forms(rule, calls, markers) for rule in rules]
    if binary:
        point = np.array([1.0, *(float(calls[m]) for m in markers)])
        values = [float((forms @ point).max()) for forms in scores]
        # Rounded, so that sums in another order are equal too.
        best = int(np.argmax(np.round(values, 12)))
        if round(values[best], 12) < GATE:
            return [rest]
        return [_label(rules[best], calls, likely)]
    box = [POSITIVE if calls[m] else NEGATIVE for m in markers]
    tops = [_top(forms, box) for forms in scores]
    open_ = [i for i, top in enumerate(tops) if top >= GATE]
    labels = [_label(rules[i], calls, likely) for i in open_ if _can_win(i, scores, box)]
    if _all_under(scores, box):
        labels.append(rest)
    return list(dict.fromkeys(labels))


def _label(rule: Rule, calls: Mapping[str, bool], likely: str) -> str:
    fails = len(rule.pos) > 1 and not all(calls[m] for m in rule.pos)
    fails |= len(rule.neg) > 1 and any(calls[m] for m in rule.neg)
    return f"{likely}{rule.name}" if fails else rule.name


def _forms(rule: Rule, calls: Mapping[str, bool], markers: Sequence[str]) -> NDArray[np.float64]:
    """Give the linear forms of which a score is the greatest: (F, 1 + markers), constant first."""
    column = {marker: i + 1 for i, marker in enumerate(markers)}
    kinds = [rule.pos, rule.neg, rule.anypos, rule.anyneg, rule.allpos, rule.allneg]
    share = 1.0 / sum(bool(kind) for kind in kinds)
    base = np.zeros(1 + len(markers))
    for marker in rule.pos:
        base[column[marker]] += share / len(rule.pos)
    for marker in rule.neg:
        base[0] += share / len(rule.neg)
        base[column[marker]] -= share / len(rule.neg)
    choices: list[list[Form]] = []
    for wanted, positive, every in (
        (rule.anypos, True, False), (rule.anyneg, False, False),
        (rule.allpos, True, True), (rule.allneg, False, True),
    ):  # fmt: skip
        agree = [m for m in wanted if calls[m] == positive]
        base[0] += share * EDGE if wanted and every else 0.0
        if not wanted or (every and len(agree) < len(wanted)):
            continue
        one = []
        for marker in agree or wanted:  # the greatest is on the right side, if any is
            form = np.zeros_like(base)
            form[0] = 0.0 if positive else share
            form[column[marker]] = share if positive else -share
            one.append(form)
        choices.append(one)
    return np.array([sum(parts, start=base) for parts in product(*choices)])


def _top(forms: NDArray[np.float64], box: Sequence[tuple[float, float]]) -> float:
    """Greatest value that a score can have."""
    low, high = np.array(box).reshape(-1, 2).T
    weights = forms[:, 1:]
    return float((forms[:, 0] + np.where(weights > 0, weights * high, weights * low).sum(1)).max())


def _can_win(i: int, scores: Sequence[Form], box: Sequence[tuple[float, float]]) -> bool:
    """Whether some intensities give a phenotype the highest score, at the gate or above."""
    for own in scores[i]:
        rows, limits = [-own[1:]], [own[0] - GATE]
        for j, forms in enumerate(scores):
            if j != i:
                # Equal scores are won by the first.
                margin = TIE if j < i else 0.0
                rows += [form[1:] - own[1:] for form in forms]
                limits += [own[0] - form[0] - margin for form in forms]
        if _feasible(rows, limits, box):
            return True
    return False


def _all_under(scores: Sequence[Form], box: Sequence[tuple[float, float]]) -> bool:
    """Whether some intensities leave every score under the gate."""
    forms = [form for own in scores for form in own]
    return _feasible([f[1:] for f in forms], [GATE - f[0] - TIE for f in forms], box)


def _feasible(
    rows: Sequence[Form], limits: Sequence[float], box: Sequence[tuple[float, float]]
) -> bool:
    """Whether a point of the box has ``rows @ point <= limits``."""
    a, b = np.array(rows), np.array(limits)
    low, high = np.array(box).T
    least = np.where(a > 0, a * low, a * high).sum(axis=1)
    if (least > b).any():
        return False
    if (np.where(a > 0, a * high, a * low).sum(axis=1) <= b).all():
        return True
    from scipy.optimize import linprog

    found = linprog(np.zeros(a.shape[1]), A_ub=a, b_ub=b, bounds=box, method="highs")
    return bool(found.status == 0)
