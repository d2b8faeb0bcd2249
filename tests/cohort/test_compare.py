"""Which test is taken for how many patients, and that it is the library's."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from imganalysis.cohort.compare import (
    holm,
    many_samples,
    one_sample,
    rank_trend,
    sign_sample,
    two_samples,
)

RNG = np.random.default_rng(11)


@pytest.mark.parametrize(
    ("n", "method"),
    [(2, "t_interval"), (5, "t_interval"), (6, "signed_rank_exact"), (11, "signed_rank_exact"),
     (12, "patient_means_t")],
)  # fmt: skip
def test_the_number_of_patients_decides(n: int, method: str) -> None:
    d = RNG.normal(0.5, 1, n)
    found = one_sample(d)
    assert (found.method, found.n_patients) == (method, n)
    assert np.isnan(found.p) == (n < 6)
    assert (found.reason == "too_few_patients") == (n < 6)
    assert found.lo < found.estimate < found.hi
    if method != "signed_rank_exact":
        ends = stats.ttest_1samp(d, 0).confidence_interval()
        assert (found.lo, found.hi) == pytest.approx((ends.low, ends.high))
    if n == 12:
        assert found.p == pytest.approx(stats.ttest_1samp(d, 0).pvalue)


def test_one_patient_or_none() -> None:
    alone = one_sample([2.0])
    assert (alone.estimate, alone.reason) == (2.0, "too_few_patients")
    assert np.isnan([alone.lo, alone.hi, alone.p]).all()
    assert one_sample([]).reason == "no_pairs"
    # Equal but for rounding, too; a spread that is not seen gives no interval of width 0.
    for values in (np.ones(12), np.append(np.full(11, 0.3), 0.1 + 0.2)):
        found = one_sample(values)
        assert found.reason == "no_variation" and np.isnan([found.lo, found.hi, found.p]).all()
    few = one_sample([0.5, 0.5, 0.5])
    assert few.estimate == 0.5 and np.isnan([few.lo, few.hi]).all()


@pytest.mark.parametrize(
    ("n", "m", "method"),
    [(3, 3, "welch_interval"), (2, 4, "welch_interval"), (1, 20, "welch_interval"),
     (3, 5, "rank_sum_exact"), (4, 4, "rank_sum_exact"), (11, 30, "rank_sum_exact"),
     (12, 12, "welch")],
)  # fmt: skip
def test_a_test_only_where_it_could_reach_5_percent(n: int, m: int, method: str) -> None:
    x, y = RNG.normal(1, 1, n), RNG.normal(0, 2, m)
    found = two_samples(x, y)
    assert (found.method, found.n_patients, found.n_reference) == (method, n, m)
    assert np.isnan(found.p) == (method == "welch_interval")
    theirs = stats.ttest_ind(x, y, equal_var=False)
    if method == "welch":
        assert found.p == pytest.approx(theirs.pvalue)
    if method != "rank_sum_exact" and n > 1:
        ends = theirs.confidence_interval()
        assert (found.lo, found.hi) == pytest.approx((ends.low, ends.high))
        assert found.estimate == pytest.approx(x.mean() - y.mean())
    assert two_samples(x, []).reason == "one_group"


def test_many_groups_and_a_dose_against_scipy() -> None:
    groups = [RNG.normal(0.6 * i, 1, 9) for i in range(3)]
    found = many_samples(groups)
    assert found.p == pytest.approx(stats.kruskal(*groups).pvalue, abs=0.02)
    assert np.isnan(found.estimate) and found.n_patients == 27
    assert many_samples(groups) == found  # the same seed
    assert many_samples([[1.0], [2.0], [3.0]]).reason == "too_few_patients"
    dose = np.repeat([1.0, 2, 3, 4, 5], 5)
    y = 0.3 * dose + RNG.normal(0, 1, 25)
    trend = rank_trend(y, dose)
    theirs = stats.spearmanr(y, dose)
    assert trend.estimate == pytest.approx(theirs.statistic)
    assert trend.p == pytest.approx(theirs.pvalue, abs=0.02)
    assert trend.lo < trend.estimate < trend.hi
    assert rank_trend(y[:4], dose[[0, 5, 10, 15]]).reason == "too_few_patients"
    assert rank_trend(y, np.ones(25)).reason == "no_variation"


def test_signs_where_some_are_infinite() -> None:
    found = sign_sample([np.inf, 1, 2, 3, 4, 5, -1])
    assert (found.estimate, found.method) == (3, "sign_exact")
    assert found.p == pytest.approx(stats.binomtest(6, 7).pvalue)
    assert (found.lo, found.hi) == (-1, np.inf)
    assert np.isnan(sign_sample([1.0, np.inf]).p)
    # The interval holds at least what it says.
    k = 1
    assert 1 - 2 * stats.binom.cdf(k - 1, 7, 0.5) >= 0.95


def test_holm_leaves_what_was_not_tested() -> None:
    p = [0.01, np.nan, 0.04, 0.03]
    found = holm(p)
    assert np.isnan(found[1])
    assert [found[i] for i in (0, 2, 3)] == pytest.approx(
        list(multipletests([0.01, 0.04, 0.03], method="holm")[1])
    )
    assert found[0] == pytest.approx(0.03)
