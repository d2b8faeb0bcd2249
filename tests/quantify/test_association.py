"""Odds ratios and rank correlations within fields."""

import numpy as np
import pytest

from imganalysis.quantify.association import loss_odds_ratio, mantel_haenszel, rank_correlation

ORACLE = [[[20, 30], [60, 10]], [[15, 25], [70, 20]]]


def cells(tables: list) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """State, kept and field of every cell of some tables."""
    rows = [
        (s == 0, k == 0, f"f{i}")
        for i, table in enumerate(tables)
        for s in (0, 1)
        for k in (0, 1)
        for _ in range(table[s][k])
    ]
    state, kept, field = zip(*rows, strict=True)
    return np.array(state), np.array(kept), np.array(field)


def test_the_odds_ratio_of_the_specification():
    assert mantel_haenszel(ORACLE) == pytest.approx(7.16129, abs=5e-6)
    flipped = np.asarray(ORACLE)[:, :, ::-1]
    assert mantel_haenszel(flipped) == pytest.approx(0.13964, abs=5e-6)
    found = loss_odds_ratio(*cells(ORACLE))
    assert found.value == pytest.approx(7.16129, abs=5e-6)
    assert (found.n_fields, found.n_cells, found.reason) == (2, 250, "")
    # Two fields give three sets: either one twice, or both.
    assert found.lo == pytest.approx(25 * 70 / (15 * 20))
    assert found.hi == pytest.approx(30 * 60 / (20 * 10))


def test_equal_to_statsmodels_on_many_fields():
    from statsmodels.stats.contingency_tables import StratifiedTable

    rng = np.random.default_rng(3)
    tables = rng.integers(1, 40, (12, 2, 2))
    theirs = StratifiedTable([t.astype(float) for t in tables]).oddsratio_pooled
    assert mantel_haenszel(tables) == pytest.approx(1 / theirs)


def test_the_interval_covers_and_does_not_depend_on_chance_or_order():
    rng = np.random.default_rng(5)
    hits = 0
    for trial in range(100):
        tables = []
        for _ in range(12):
            base = rng.uniform(0.1, 0.4)
            odds = 3.0 * base / (1 - base)
            lost = rng.binomial(40, odds / (1 + odds)), rng.binomial(60, base)
            tables.append([[40 - lost[0], lost[0]], [60 - lost[1], lost[1]]])
        found = loss_odds_ratio(*cells(tables), seed=trial, resamples=400)
        hits += found.lo <= 3.0 <= found.hi
    assert 86 <= hits <= 99
    state, kept, field = cells(tables)
    order = rng.permutation(state.size)
    again = loss_odds_ratio(state[order], kept[order], field[order], seed=99, resamples=400)
    assert again == found


def test_fields_that_say_nothing():
    alone = loss_odds_ratio(*cells(ORACLE[:1]))
    assert alone.value == pytest.approx(9.0) and np.isnan(alone.lo)
    assert alone.reason == "one_field"
    no_state = loss_odds_ratio(*cells([[[0, 0], [5, 5]]]))
    assert np.isnan(no_state.value) and no_state.reason == "no_contrast"
    assert loss_odds_ratio([], [], []).reason == "no_contrast"
    never_kept = loss_odds_ratio(*cells([[[0, 5], [5, 5]], [[0, 9], [5, 5]]]))
    assert never_kept.value == np.inf and never_kept.lo == np.inf
    with pytest.raises(ValueError, match="equal length"):
        loss_odds_ratio([True], [True, False], ["a"])
    with pytest.raises(ValueError, match=r"\(fields, 2, 2\)"):
        mantel_haenszel([[1, 2], [3, 4]])


def test_rank_correlation_is_within_fields():
    rng = np.random.default_rng(7)
    field = np.repeat(np.arange(6), 80)
    x = rng.normal(size=480)
    # Between fields the two rise together, within each they fall.
    y = -x + rng.normal(size=480) + 20 * field
    x = x + 20 * field
    found = rank_correlation(x, y, field)
    assert -0.8 < found.lo < found.value < found.hi < -0.5
    assert (found.n_fields, found.n_cells) == (6, 480)
    x[0] = np.nan
    assert rank_correlation(x, y, field).n_cells == 479
    assert rank_correlation([1, 1, 1, 1], [1, 2, 3, 4], ["a"] * 4).reason == "no_contrast"
