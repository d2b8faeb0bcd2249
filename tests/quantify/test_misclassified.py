"""Rogan and Gladen's correction, and which marker decides."""

from __future__ import annotations

import math

import numpy as np
import pytest

from imganalysis.panel import Channel, load_panel
from imganalysis.quantify.misclassified import (
    PATTERNS,
    WIDTH,
    correct_fraction,
    deciding_marker,
    pattern,
    rogan_gladen,
)
from imganalysis.quantify.statistics import cluster_proportion


@pytest.mark.parametrize(
    ("observed", "true"), [(0.05, 0.0427928), (0.03, 0.0202703), (0.01, 0.0), (0.95, 1.0)]
)
def test_rogan_gladen_oracles(observed: float, true: float) -> None:
    assert rogan_gladen(observed, 0.012, 0.9) == pytest.approx(true, abs=5e-8)


def test_a_stain_that_tells_nothing_has_no_correction() -> None:
    assert math.isnan(rogan_gladen(0.3, 0.2, 0.2)) and math.isnan(rogan_gladen(0.3, 0.2, 0.1))


def test_which_marker_decides() -> None:
    found = {}
    for name in ("apoptosis", "infiltrate", "joint"):
        panel = load_panel(name)
        found[name] = {f.name: deciding_marker(panel, f) for f in panel.fractions}
    composition = {"pct_T": "CD3", "pct_NK": "CD56", "pct_CD3CD56": None}
    assert found["apoptosis"] == {"apoptotic_fraction": "casp3"}
    assert found["infiltrate"] == composition
    assert found["joint"] == {"apoptotic_fraction": "casp3", **composition}


def table(
    *kinds: tuple[list[list[bool]], int, int], fpr: float = 0.012, se: float = 0.9
) -> np.ndarray:
    """One field: ((above, below) each for a negative and a positive call, n negative, positive)."""
    row = np.zeros((1, WIDTH))
    for (above, below), negative, positive in kinds:
        number = pattern(np.array([above]), np.array([below]))[0]
        row[0, number], row[0, PATTERNS + number] = negative, positive
    row[0, -2:] = fpr, se
    return row


WITHIN = [[False, True], [True, True]]  # in the denominator either way
BROUGHT = [[False, True], [False, True]]  # only a positive call brings it in


def test_one_kind_of_cells_is_the_formula() -> None:
    e = cluster_proportion([50], [1000])
    found = correct_fraction(table((WITHIN, 950, 50)), e.lo, e.hi)
    assert found.value == pytest.approx(0.0427928, abs=5e-8)
    ends = [rogan_gladen(end, 0.012, 0.9) for end in (e.lo, e.hi)]
    assert [found.lo, found.hi] == pytest.approx(ends, abs=1e-9)
    none = correct_fraction(table((WITHIN, 1000, 0)), 0.0, 0.02)
    assert none.value == none.lo == 0.0
    assert none.hi == pytest.approx(rogan_gladen(0.02, 0.012, 0.9), abs=1e-9)


def test_false_calls_from_outside_the_denominator_are_taken_out_of_both() -> None:
    """Of 2,000 cells of no lineage 24 are false, as many as are true: the formula misses it."""
    outside, lineage, fpr, se = 2000, 970, 0.012, 0.9
    true = 30
    positive = round(se * true + fpr * outside)
    rows = table((BROUGHT, outside + true - positive, positive), fpr=fpr, se=se)
    apart = table(([[False, False], [True, True]], lineage, 0))
    rows[:, : 2 * PATTERNS] += apart[:, : 2 * PATTERNS]
    observed = positive / (positive + lineage)
    e = cluster_proportion([positive], [positive + lineage])
    found = correct_fraction(rows, e.lo, e.hi)
    assert found.value == pytest.approx(0.03, abs=1e-3)
    assert abs(rogan_gladen(observed, fpr, se) - 0.03) > 0.01
    assert found.lo < 0.03 < found.hi


def test_nk_in_five_fields_is_within_its_interval() -> None:
    """3 % of the lymphocytes, 1.2 % false calls."""
    rng = np.random.default_rng(5)
    inside = 0
    for _ in range(200):
        n = np.full(5, 400)
        true = rng.binomial(n, 0.03)
        x = rng.binomial(true, 0.9) + rng.binomial(n - true, 0.012)
        rows = np.concatenate([table((WITHIN, a - b, b)) for a, b in zip(n, x, strict=True)])
        e = cluster_proportion(x, n)
        found = correct_fraction(rows, e.lo, e.hi)
        inside += found.lo <= 0.03 <= found.hi
    assert inside / 200 >= 0.93


def test_why_there_is_no_correction() -> None:
    cells = (WITHIN, 90, 10)
    assert correct_fraction(table(cells, se=math.nan), 0, 1).reason == "sensitivity_unknown"
    assert correct_fraction(table(cells, fpr=math.nan), 0, 1).reason == "blank_unknown"
    assert correct_fraction(table(cells, se=0.01), 0, 1).reason == "sensitivity_too_low"


def test_a_sensitivity_says_where_it_is_from() -> None:
    with pytest.raises(ValueError, match="sensitivity needs sensitivity_origin"):
        Channel(marker="M", sensitivity=0.9)
    assert Channel(marker="M", sensitivity=0.9, sensitivity_origin="ring trial").sensitivity == 0.9
