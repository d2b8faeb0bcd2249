"""Agreement of readings per biopsy: oracles, references, and what cannot be had."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from imganalysis.cohort.agreement import (
    Statistic,
    band,
    bland_altman,
    concordance,
    correlation,
    icc_agreement,
)

A = [12, 25, 31, 40, 48, 55, 62, 70]
B = [15, 24, 36, 41, 55, 58, 70, 73]
# Six targets and four judges of Shrout and Fleiss, Psychol Bull 1979;86:420, table 2.
JUDGES = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]


def test_bland_altman_of_the_known_pairs():
    found = bland_altman(A, B)
    assert found.n == 8
    assert found.bias.value == 3.625
    assert found.lower.value == pytest.approx(-2.20226, abs=5e-6)
    assert found.upper.value == pytest.approx(9.45226, abs=5e-6)


def test_the_interval_of_the_bias_is_that_of_a_paired_t_test():
    from scipy import stats

    found = bland_altman(A, B)
    expected = stats.ttest_rel(B, A).confidence_interval(0.95)
    assert (found.bias.lo, found.bias.hi) == pytest.approx(tuple(expected))


def test_the_slope_is_that_of_least_squares_in_statsmodels():
    import statsmodels.api as sm

    a, b = np.array(A, float), np.array(B, float)
    fit = sm.OLS(b - a, sm.add_constant((a + b) / 2)).fit()
    found = bland_altman(A, B)
    assert found.slope.value == pytest.approx(fit.params[1])
    assert (found.slope.lo, found.slope.hi) == pytest.approx(tuple(fit.conf_int()[1]))
    assert found.intercept == pytest.approx(fit.params[0])


def test_intervals_of_the_limits_cover_what_they_say():
    # Exact for normal differences: 95 % of the intervals hold the true limit, also at n = 8.
    rng = np.random.default_rng(1)
    bias, sd = 2.0, 5.0
    hits = []
    for _ in range(700):
        d = rng.normal(bias, sd, 8)
        found = bland_altman(np.zeros(8) + np.arange(8), np.arange(8) + d)
        true = (bias - 1.96 * sd, bias + 1.96 * sd)
        hits.append(
            [
                end.lo <= value <= end.hi
                for end, value in zip((found.lower, found.upper), true, strict=True)
            ]
        )
    assert np.mean(hits, axis=0) == pytest.approx([0.95, 0.95], abs=3 * np.sqrt(0.0475 / 700))


def test_intervals_of_the_limits_are_those_of_bland_and_altman_where_there_are_many():
    rng = np.random.default_rng(2)
    d = rng.normal(0, 1, 4000)
    found = bland_altman(np.arange(4000.0), np.arange(4000.0) + d)
    se = np.sqrt(d.var(ddof=1) * (1 / 4000 + 1.96**2 / (2 * 3999)))
    assert found.upper.hi - found.upper.value == pytest.approx(1.96 * se, rel=0.02)


def test_concordance_of_the_known_pairs():
    assert concordance(A, B).value == pytest.approx(0.971695, abs=5e-7)
    a, b = np.array(A, float), np.array(B, float)
    # With variances over n - 1 it would be another number.
    other = 2 * np.cov(a, b)[0, 1] / (a.var(ddof=1) + b.var(ddof=1) + (a.mean() - b.mean()) ** 2)
    assert other == pytest.approx(0.973864, abs=5e-7)


def test_the_interval_of_concordance_covers_what_it_says():
    rng = np.random.default_rng(3)
    rho, shift, scale = 0.9, 0.3, 1.2
    true = 2 * rho * scale / (1 + scale**2 + shift**2)
    hits = []
    for _ in range(700):
        a = rng.normal(size=30)
        b = shift + scale * (rho * a + np.sqrt(1 - rho**2) * rng.normal(size=30))
        found = concordance(a, b)
        hits.append(found.lo <= true <= found.hi)
    assert 0.925 <= np.mean(hits) <= 0.975


def test_icc_of_the_known_pairs_and_of_shrout_and_fleiss():
    # In whole numbers, by hand: MSR 823.42, MSC 52.5625, MSE 4.41964.
    assert icc_agreement(np.column_stack([A, B])).value == pytest.approx(6552 / 6719, abs=1e-12)
    found = icc_agreement(JUDGES)
    # As printed by Shrout and Fleiss (.29), interval as R's psych and irr print it.
    assert found.value == pytest.approx(0.2898, abs=5e-5)
    assert (found.lo, found.hi) == pytest.approx((0.0188, 0.7611), abs=5e-5)


def test_icc_is_that_of_an_analysis_of_variance():
    import pandas as pd
    import statsmodels.formula.api as smf
    from statsmodels.stats.anova import anova_lm

    x = np.array(JUDGES, float)
    n, k = x.shape
    long = pd.DataFrame(
        [(i, j, x[i, j]) for i in range(n) for j in range(k)], columns=["target", "judge", "y"]
    )
    table = anova_lm(smf.ols("y ~ C(target) + C(judge)", long).fit())
    msr, msc, mse = table["mean_sq"]
    expected = (msr - mse) / (msr + (k - 1) * mse + k * (msc - mse) / n)
    assert icc_agreement(x).value == pytest.approx(expected)


def test_the_interval_of_icc_covers_what_it_says():
    rng = np.random.default_rng(4)
    between, error, readers = 1.0, 0.3, 0.3
    true = between / (between + error + readers)
    hits = []
    for _ in range(700):
        x = (
            rng.normal(0, np.sqrt(between), (20, 1))
            + rng.normal(0, np.sqrt(readers), (1, 4))
            + rng.normal(0, np.sqrt(error), (20, 4))
        )
        found = icc_agreement(x)
        hits.append(found.lo <= true <= found.hi)
    assert 0.92 <= np.mean(hits) <= 0.98


def test_a_bias_lowers_icc_and_concordance_but_not_pearson():
    a = np.array(A, float)
    b = a + 20
    assert correlation(a, b).value == pytest.approx(1)
    assert icc_agreement(np.column_stack([a, b])).value < 0.7
    assert concordance(a, b).value < 0.7
    assert correlation(A, B).value == pytest.approx(0.9917, abs=5e-5)


def test_two_readings_are_too_few():
    found = bland_altman([1, 2], [2, 3])
    every = [
        found.bias, found.lower, found.upper, found.slope, concordance([1, 2], [2, 3]),
        icc_agreement([[1, 2], [2, 3]]), correlation([1, 2], [2, 3]),
    ]  # fmt: skip
    assert [one.reason for one in every] == ["too_few_biopsies"] * len(every)
    assert np.isnan([one.value for one in every]).all()


def test_the_same_table_twice_has_no_interval():
    for found in (concordance(A, A), icc_agreement(np.column_stack([A, A]))):
        assert (found.value, found.reason) == (1.0, "no_difference")
        assert np.isnan([found.lo, found.hi]).all()


def test_constant_readings():
    same = [5.0] * 4
    assert concordance(same, same).reason == "no_spread"
    assert icc_agreement(np.column_stack([same, same])).reason == "no_spread"
    assert correlation(same, [1, 2, 3, 4]).reason == "no_spread"
    assert concordance(same, [1, 2, 3, 4]).value == 0
    assert bland_altman(same, same).slope.reason == "no_spread"


@pytest.mark.parametrize("bad", [[1, 2, np.nan], [1, 2, np.inf]])
def test_values_that_are_no_numbers_are_refused(bad):
    with pytest.raises(ValueError, match="finite"):
        bland_altman([1, 2, 3], bad)
    with pytest.raises(ValueError, match="none missing"):
        icc_agreement(np.column_stack([[1, 2, 3], bad]))


@pytest.mark.parametrize(
    ("lo", "hi", "said"),
    [
        (0.2, 0.4, "poor"), (0.5, 0.74, "moderate"), (0.76, 0.95, "good to excellent"),
        (0.91, 0.99, "excellent"), (float("nan"), 1.0, ""),
    ],
)  # fmt: skip
def test_the_band_is_that_of_the_interval(lo, hi, said):
    assert band(Statistic(0.95, lo, hi)) == said


percents = arrays(float, st.integers(3, 12), elements=st.integers(0, 100).map(float))


@given(percents, st.data())
@settings(max_examples=60, deadline=None)
def test_turning_the_readings_round(a, data):
    b = data.draw(arrays(float, len(a), elements=st.integers(0, 100).map(float)))
    one, other = bland_altman(a, b), bland_altman(b, a)
    assert one.bias.value == pytest.approx(-other.bias.value)
    assert one.lower.value == pytest.approx(-other.upper.value)
    assert (one.lower.lo, one.lower.hi) == pytest.approx(
        (-other.upper.hi, -other.upper.lo), nan_ok=True
    )
    for f in (concordance, correlation):
        assert f(a, b).value == pytest.approx(f(b, a).value, nan_ok=True)
    icc = icc_agreement(np.column_stack([a, b]))
    assert icc.value == pytest.approx(icc_agreement(np.column_stack([b, a])).value, nan_ok=True)
    for s in (one.bias, one.lower, one.upper, concordance(a, b), icc):
        if np.isfinite(s.lo + s.hi):
            assert s.lo <= s.value + 1e-9
            assert s.value <= s.hi + 1e-9
        elif np.isnan(s.value):
            assert s.reason


@given(percents, st.floats(0.1, 10), st.floats(-50, 50))
@settings(max_examples=40, deadline=None)
def test_units_do_not_matter(a, scale, shift):
    b = a[::-1] + np.arange(len(a))
    x, y = np.column_stack([a, b]), np.column_stack([a, b]) * scale + shift
    one, other = icc_agreement(x), icc_agreement(y)
    assert one.value == pytest.approx(other.value, nan_ok=True, abs=1e-6)
    assert concordance(*x.T).value == pytest.approx(concordance(*y.T).value, nan_ok=True, abs=1e-6)
