"""Exact rank tests against scipy, and by trying every order."""

from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats

from imganalysis.cohort.exact import rank_sum_p, shift_one, shift_two, signed_rank_p

RNG = np.random.default_rng(3)


@pytest.mark.parametrize("n", [5, 6, 9, 14])
def test_without_ties_the_tests_are_those_of_scipy(n: int) -> None:
    d = RNG.normal(0.4, 1, n)
    assert signed_rank_p(d) == pytest.approx(stats.wilcoxon(d, method="exact").pvalue)
    a, b = RNG.normal(0, 1, n), RNG.normal(0.7, 1, n + 2)
    theirs = stats.mannwhitneyu(a, b, method="exact").pvalue
    assert rank_sum_p(a, b) == pytest.approx(theirs)


def test_smallest_p_of_few_patients() -> None:
    assert signed_rank_p([1, 2, 3, 4, 5]) == pytest.approx(0.0625)
    assert signed_rank_p([1, 2, 3, 4, 5, 6]) == pytest.approx(0.03125)
    assert rank_sum_p([1, 2, 3], [4, 5, 6]) == pytest.approx(0.1)
    assert rank_sum_p([1, 2, 3, 4], [5, 6, 7, 8]) == pytest.approx(2 / 70)
    assert signed_rank_p([0, 0]) == 1


def test_with_ties_every_order_is_counted() -> None:
    d = np.array([1, 1, -1, 2, 2, 3, 0.0])
    told = d[d != 0]
    ranks = stats.rankdata(np.abs(told))
    seen = ranks[told > 0].sum()
    sums = [(np.array(s) * ranks).sum() for s in product((0, 1), repeat=told.size)]
    tail = min(np.mean(np.array(sums) <= seen), np.mean(np.array(sums) >= seen))
    assert signed_rank_p(d) == pytest.approx(min(1, 2 * tail))
    a, b = np.array([1, 1, 2, 5.0]), np.array([1, 2, 2, 3, 7.0])
    ranks = stats.rankdata([*a, *b])
    sums = np.array([ranks[list(c)].sum() for c in combinations(range(9), 4)])
    tail = min(np.mean(sums <= ranks[:4].sum()), np.mean(sums >= ranks[:4].sum()))
    assert rank_sum_p(a, b) == pytest.approx(min(1, 2 * tail))


def test_intervals_hold_the_shifts_that_the_tests_do_not_reject() -> None:
    d = RNG.normal(1, 2, 9)
    value, lo, hi = shift_one(d, 0.95)
    walsh = [(x + y) / 2 for i, x in enumerate(d) for y in d[i:]]
    assert value == pytest.approx(np.median(walsh))
    for end, sign in ((lo, -1), (hi, 1)):
        assert (
            signed_rank_p(d - (end + sign * 1e-6)) <= 0.05 < signed_rank_p(d - (end - sign * 1e-6))
        )
    a, b = RNG.normal(2, 1, 7), RNG.normal(0, 1, 8)
    value, lo, hi = shift_two(a, b, 0.95)
    assert value == pytest.approx(np.median(np.subtract.outer(a, b)))
    for end, sign in ((lo, -1), (hi, 1)):
        outside, inside = (rank_sum_p(a - (end + s * 1e-6), b) for s in (sign, -sign))
        assert outside <= 0.05 < inside


def test_too_few_for_an_interval() -> None:
    assert np.isnan(shift_one([1.0, 2.0, 3.0], 0.95)[1])
    assert shift_one([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 0.95)[1:] == (1.0, 6.0)
