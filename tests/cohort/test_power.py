"""Questions of power against exact calculations and known tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.power import TTestIndPower, TTestPower

from imganalysis.cohort.power import draw_fields, precision_table, rare_table, share_se
from imganalysis.cohort.power_patients import (
    chosen_test,
    draw_patients,
    field_sd_of,
    paired_p,
    patient_logits,
    power_table,
    unpaired_p,
)
from imganalysis.quantify.statistics import anova_icc, wilson


def test_fields_have_the_correlation_that_is_asked():
    rng = np.random.default_rng(1)
    cells = np.full(40, 60)
    x = draw_fields(rng, 0.4, 0.1, cells, 300)
    assert x.sum() / (300 * 40 * 60) == pytest.approx(0.4, abs=0.01)
    assert np.mean([anova_icc(row, cells) for row in x]) == pytest.approx(0.1, abs=0.005)
    assert np.var(draw_fields(rng, 0.4, 0.0, cells, 2000)) == pytest.approx(60 * 0.24, rel=0.03)


# field correlation, fields, then coverage / mean width: naive Wilson, bootstrap, Wilson on n_eff.
KNOWN = [
    (0.0, 5, 0.95, 0.096, 0.84, 1.00, 0.149),
    (0.05, 5, 0.59, 0.096, 0.80, 0.95, 0.272),
    (0.05, 10, 0.60, 0.068, 0.90, 0.94, 0.171),
    (0.10, 3, 0.47, 0.123, 0.77, 0.97, 0.544),
    (0.10, 20, 0.44, 0.048, 0.92, 0.94, 0.156),
]


@pytest.mark.parametrize(("rho", "m", "naive", "narrow", "bootstrap", "clustered", "wide"), KNOWN)
def test_the_known_table_of_coverage(rho, m, naive, narrow, bootstrap, clustered, wide):
    row = precision_table(0.4, rho, [m], [80], repeats=500, bootstrap=True).iloc[0]
    # Both tables are simulated: 0.02 each at worst, twice their joint error and a little more.
    assert row["naive_coverage"] == pytest.approx(naive, abs=0.07)
    assert row["bootstrap_coverage"] == pytest.approx(bootstrap, abs=0.06)
    assert row["coverage"] == pytest.approx(clustered, abs=0.03)
    assert row["naive_half_width_points"] / 50 == pytest.approx(narrow, abs=0.003)
    assert row["half_width_points"] / 50 == pytest.approx(wide, rel=0.06)


@pytest.mark.parametrize(
    ("rho", "expected"), [(0.1, (0.47, 0.78, 0.91)), (0.2, (None, None, 0.81))]
)
def test_coverage_where_the_share_is_small(rho, expected):
    row = precision_table(0.05, rho, [5], [80], repeats=500, bootstrap=True).iloc[0]
    for name, value in zip(
        ("naive_coverage", "bootstrap_coverage", "coverage"), expected, strict=True
    ):
        if value is not None:
            assert row[name] == pytest.approx(value, abs=0.06), name


def test_six_points_take_twenty_fields_of_eighty_cells():
    table = precision_table(0.4, 0.05, [10, 20], [80], repeats=300).set_index("fields")
    assert table.loc[20, "half_width_points"] < 6 < table.loc[10, "half_width_points"]


def test_without_correlation_the_naive_interval_covers_as_the_binomial_says():
    p, m, n = 0.3, 4, 25
    k = np.arange(m * n + 1)
    ends = np.array([wilson(float(v), m * n) for v in k])
    mass = stats.binom.pmf(k, m * n, p)
    covers = mass @ ((ends[:, 0] <= p) & (p <= ends[:, 1]))
    width = mass @ (ends[:, 1] - ends[:, 0])
    row = precision_table(p, 0.0, [m], [n], repeats=1000).iloc[0]
    assert abs(row["naive_coverage"] - covers) < 3 * row["naive_coverage_se"]
    assert row["naive_half_width_points"] / 50 == pytest.approx(width, rel=0.01)


def test_the_standard_error_is_that_of_the_repeats():
    shares = [precision_table(0.4, 0.05, [4], [40], repeats=60, seed=s).iloc[0] for s in range(25)]
    table = pd.DataFrame(shares)
    for name in ("half_width_points", "naive_coverage"):
        spread = table[name].std(ddof=1)
        assert spread == pytest.approx(table[f"{name}_se"].mean(), rel=0.45)
    assert share_se(100, 100) > 0


def test_no_cell_of_a_rare_class_is_as_likely_as_the_binomial_says():
    table = rare_table(0.03, 0.0, [50, 100, 500], 50, repeats=600)
    for row in table.itertuples():
        assert abs(row.p_none - 0.97**row.lymphocytes) < 3 * max(row.p_none_se, 1e-3)
    assert table["expected_cells"].tolist() == [1.5, 3, 15]
    assert table["fields"].tolist() == [1, 2, 10]
    assert (np.diff(table["p_none"]) < 0).all()
    clustered = rare_table(0.03, 0.1, [500], 50, repeats=400)
    assert clustered["p_none"][0] > table["p_none"][2]
    assert clustered["half_width_points"][0] > table["half_width_points"][2]


@pytest.mark.parametrize("n", [12, 20])
def test_power_of_two_groups_is_that_of_the_t_test(n):
    # Hardly any noise within patients: logits are normal with a known standard deviation.
    sd, difference = 0.8, 0.9
    p = 1 / (1 + np.exp(-difference))
    table = power_table(
        0.5, p, [n], [1], 10**6, designs=["unpaired"], patient_sd=sd, field_sd=0.0, repeats=4000
    )
    exact = TTestIndPower().power(difference / sd, n, 0.05)
    row = table.iloc[0]
    assert row["test"] == "welch"
    assert abs(row["power"] - exact) < 3 * row["power_se"] + 0.003


@pytest.mark.parametrize("correlation", [0.2, 0.8])
def test_power_of_two_weeks_is_that_of_the_paired_t_test(correlation):
    sd, difference, n = 0.8, 0.5, 15
    p = 1 / (1 + np.exp(-difference))
    table = power_table(
        0.5, p, [n], [1], 10**6, designs=["paired"], patient_sd=sd, field_sd=0.0,
        correlation=correlation, repeats=4000,
    )  # fmt: skip
    of_difference = sd * np.sqrt(2 * (1 - correlation))
    exact = TTestPower().power(difference / of_difference, n, 0.05)
    row = table.iloc[0]
    assert row["test"] == "paired_t"
    assert abs(row["power"] - exact) < 3 * row["power_se"] + 0.003


def test_fields_widen_the_logits_as_the_normal_theory_says():
    rng = np.random.default_rng(2)
    x = draw_patients(rng, 0.5, np.zeros((1, 4000)), 8, 4000, 0.5).sum(axis=2)
    spread = patient_logits(x, 32000.0).std()
    assert spread == pytest.approx(0.5 / np.sqrt(8), rel=0.05)


def test_patients_and_not_cells_are_compared():
    """Under the null the pooled cells are nearly always 'different', the patients are not."""
    row = power_table(0.4, 0.4, [12], [10], 80, designs=["unpaired"], repeats=2000).iloc[0]
    assert 0.035 < row["power"] < 0.065
    assert 0.03 < row["power_rank"] < 0.065
    rng = np.random.default_rng(3)
    bad, total = 0, 12 * 10 * 80
    for _ in range(200):
        a, b = (
            int(draw_patients(rng, 0.4, 0.8 * rng.standard_normal((1, 12)), 10, 80, 0.5).sum())
            for _ in "ab"
        )
        table = [[a, total - a], [b, total - b]]
        bad += stats.chi2_contingency(table, correction=False).pvalue < 0.05
    assert bad / 200 > 0.7


def test_p_values_are_those_of_scipy():
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(20, 7)), rng.normal(1, 2, size=(20, 7))
    t, rank = unpaired_p(a, b)
    np.testing.assert_allclose(t, [stats.ttest_ind(u, v, equal_var=False).pvalue
                                   for u, v in zip(a, b, strict=True)])  # fmt: skip
    np.testing.assert_allclose(rank, [stats.mannwhitneyu(u, v, method="exact").pvalue
                                      for u, v in zip(a, b, strict=True)])  # fmt: skip
    t, rank = paired_p(b - a)
    np.testing.assert_allclose(t, [stats.ttest_1samp(d, 0).pvalue for d in b - a])
    np.testing.assert_allclose(rank, [stats.wilcoxon(d, method="exact").pvalue for d in b - a])


def test_patients_that_are_all_alike_are_no_difference():
    same = np.zeros((2, 6))
    assert unpaired_p(same, same)[0].tolist() == paired_p(same)[0].tolist() == [1, 1]
    assert paired_p(same)[1].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("design", "n", "test"),
    [
        ("paired", 5, ""), ("paired", 6, "signed_rank_exact"), ("paired", 12, "paired_t"),
        ("unpaired", 3, ""), ("unpaired", 4, "rank_sum_exact"), ("unpaired", 12, "welch"),
    ],
)  # fmt: skip
def test_the_test_is_that_of_so_many_patients(design, n, test):
    assert chosen_test(design, n) == test
    row = power_table(0.4, 0.1, [n], [3], 50, designs=[design], repeats=50).iloc[0]
    assert (row["test"], row["reason"]) == (test, "" if test else "too_few_patients")
    assert np.isnan(row["power"]) == (test == "")


@pytest.mark.parametrize(("p", "rho"), [(0.4, 0.05), (0.05, 0.1), (0.5, 0.3)])
def test_the_spread_of_fields_that_goes_with_a_correlation(p, rho):
    rng = np.random.default_rng(5)
    shift = np.zeros((1, 1))
    x = draw_patients(rng, p, shift, 200_000, 10**6, field_sd_of(p, rho))[0, 0] / 10**6
    assert x.var() / (x.mean() * (1 - x.mean())) == pytest.approx(rho, rel=0.03)
    assert field_sd_of(p, 0.0) == 0


def test_a_row_does_not_depend_on_the_other_rows():
    whole = precision_table(0.4, 0.05, [3, 5], [20, 40], repeats=50, seed=9)
    one = precision_table(0.4, 0.05, [5], [40], repeats=50, seed=9)
    pd.testing.assert_frame_equal(whole.iloc[[3]].reset_index(drop=True), one)
    other = precision_table(0.4, 0.05, [5], [40], repeats=50, seed=10)
    assert other["half_width_points"][0] != one["half_width_points"][0]
