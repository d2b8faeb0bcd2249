"""Intervals against published and computed figures."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from imganalysis.quantify.statistics import anova_icc, cluster_density, cluster_proportion, wilson

X, N = [30, 50, 10, 45, 20], [80, 90, 60, 100, 70]


@pytest.mark.parametrize(
    ("x", "n", "lo", "hi"),
    [(40, 100, 0.3094, 0.4980), (0, 50, 0.0, 0.0713), (3, 500, 0.0020, 0.0175)],
)
def test_wilson_oracles(x: int, n: int, lo: float, hi: float) -> None:
    assert wilson(x, n) == (pytest.approx(lo, abs=5e-5), pytest.approx(hi, abs=5e-5))


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_equals_statsmodels(pair: tuple[int, int]) -> None:
    x, n = pair
    assert wilson(x, n) == pytest.approx(proportion_confint(x, n, method="wilson"), abs=1e-12)


def test_cluster_proportion_oracle() -> None:
    e = cluster_proportion(X, N)
    assert e.value == pytest.approx(0.3875)
    assert e.deff == pytest.approx(6.51950, abs=5e-6)
    assert sum(N) / e.deff == pytest.approx(61.3544, abs=5e-5)
    assert (e.lo, e.hi) == (pytest.approx(0.2368, abs=5e-5), pytest.approx(0.5633, abs=5e-5))
    assert e.naive_lo == pytest.approx(0.3410, abs=5e-5)
    assert e.naive_hi == pytest.approx(0.4361, abs=5e-5)
    assert e.icc == pytest.approx(0.0743271, abs=1.1e-7)
    assert math.sqrt(e.deff * 0.3875 * 0.6125 / 400) == pytest.approx(0.0621965, abs=5e-8)


def test_fields_without_cells_say_nothing() -> None:
    assert cluster_proportion([*X, 0], [*N, 0]) == cluster_proportion(X, N)


def test_what_one_field_cannot_tell() -> None:
    one = cluster_proportion([40], [100])
    assert one.method == "wilson_deff_default"
    assert (one.lo, one.hi) == wilson(8, 20)
    none = cluster_proportion([0, 0], [50, 50])
    assert none.lo == 0 and none.method == "wilson_deff_default"
    assert none.hi == pytest.approx(wilson(0, 20)[1])


def test_no_cells_is_nan() -> None:
    assert math.isnan(cluster_proportion([0], [0]).value)
    assert cluster_proportion([], []).method == ""


@pytest.mark.parametrize(("x", "n"), [([3], [2]), ([-1], [2]), ([1, 2], [3])])
def test_impossible_counts(x: list[int], n: list[int]) -> None:
    with pytest.raises(ValueError, match=r"cells|counts|field"):
        cluster_proportion(x, n)


def test_icc_needs_two_fields() -> None:
    assert math.isnan(anova_icc([3], [10]))


@pytest.mark.parametrize("fields", [5, 10])
def test_coverage_of_clustered_cells(fields: int) -> None:
    """The interval covers where cells of a field are alike; the naive one does not."""
    rng = np.random.default_rng(7)
    p, rho, cells, repeats = 0.4, 0.05, 80, 400
    a = p * (1 - rho) / rho
    b = (1 - p) * (1 - rho) / rho
    good = naive = 0
    for _ in range(repeats):
        x = rng.binomial(cells, rng.beta(a, b, fields))
        e = cluster_proportion(x, np.full(fields, cells))
        good += e.lo <= p <= e.hi
        naive += e.naive_lo <= p <= e.naive_hi
    assert 0.91 <= good / repeats <= 0.98
    assert naive / repeats < 0.70


def test_density_equals_garwood_when_fields_agree() -> None:
    e = cluster_density([10, 10, 10, 10], [1.0, 1.0, 1.0, 1.0])
    assert e.value == 10 and e.deff == 1
    # Garwood's exact interval for 40 events is 28.58 to 54.47.
    assert e.naive_lo * 4 == pytest.approx(28.58, abs=5e-3)
    assert e.naive_hi * 4 == pytest.approx(54.47, abs=5e-3)
    assert e.lo < e.naive_lo and e.hi > e.naive_hi


def test_density_of_nothing() -> None:
    assert cluster_density([0, 0], [1.0, 1.0]).value == 0
    assert cluster_density([0, 0], [1.0, 1.0]).hi > 1
    assert math.isnan(cluster_density([0], [0.0]).value)


def test_density_of_two_fields_is_wide_and_finite() -> None:
    e = cluster_density([10, 40], [0.05, 0.05])
    assert 0 <= e.lo < e.value < e.hi < math.inf
    assert e.hi > 5 * e.value


def test_density_interval_covers() -> None:
    """Negative binomial counts in five fields."""
    rng = np.random.default_rng(3)
    good = naive = 0
    for _ in range(400):
        x = rng.poisson(rng.gamma(4, 40 / 4, 5))
        e = cluster_density(x, np.ones(5))
        good += e.lo <= 40 <= e.hi
        naive += e.naive_lo <= 40 <= e.naive_hi
    assert 0.90 <= good / 400 <= 0.99
    assert naive / 400 < 0.6
