"""Intervals widened by the gates' standard error; means over fields."""

from __future__ import annotations

import math

import numpy as np
import pytest

from imganalysis.quantify.statistics import Estimate, cluster_proportion
from imganalysis.quantify.uncertainty import field_mean, is_uneven, total_interval

X, N = np.array([30, 50, 10, 45, 20]), np.array([80, 90, 60, 100, 70])


def drawn(x: np.ndarray, n: np.ndarray) -> np.ndarray:
    return np.stack([x, n], axis=-1).astype(float)


@pytest.mark.parametrize("x", [X, np.zeros(5, int), N])
def test_gates_known_exactly_give_the_headline(x: np.ndarray) -> None:
    e = cluster_proportion(x, N)
    lo, hi = total_interval(drawn(np.tile(x, (7, 1)), np.tile(N, (7, 1))), e)
    assert (lo, hi) == (pytest.approx(e.lo, abs=1e-9), pytest.approx(e.hi, abs=1e-9))


def test_the_interval_widens_with_the_gates() -> None:
    e = cluster_proportion(X, N)
    rng = np.random.default_rng(0)
    widths = []
    for spread in (1, 4, 8):
        x = np.clip(X + rng.integers(-spread, spread + 1, (200, 1)), 0, N)
        lo, hi = total_interval(drawn(x, np.tile(N, (200, 1))), e)
        assert lo <= e.lo and hi >= e.hi
        widths.append(hi - lo)
    assert e.hi - e.lo < widths[0] < widths[1] < widths[2]


def test_quantiles_of_the_mixture_by_simulation() -> None:
    """Draws from each set's own distribution of the truth, found by its Wilson bounds."""
    from scipy import stats

    from imganalysis.quantify.statistics import wilson

    rng = np.random.default_rng(1)
    x = np.clip(X + rng.integers(-9, 10, (60, 1)), 0, N)
    truths = []
    for own in x:
        e = cluster_proportion(own, N)
        for z in stats.t.ppf((np.arange(400) + 0.5) / 400, 4):
            lo, hi = wilson(e.value * 400 / e.deff, 400 / e.deff, z=abs(z))
            truths.append(lo if z < 0 else hi)
    ends = total_interval(drawn(x, np.tile(N, (60, 1))), cluster_proportion(X, N))
    assert ends == pytest.approx(tuple(np.quantile(truths, [0.025, 0.975])), abs=2e-3)


def test_what_cannot_be_widened() -> None:
    e = cluster_proportion(X, N)
    lost = drawn(np.tile(X, (5, 1)), np.tile(N, (5, 1)))
    lost[2, 1, 0] = np.nan
    assert all(map(math.isnan, total_interval(lost, e)))
    assert all(map(math.isnan, total_interval(np.zeros((5, 3, 2)), e)))
    assert all(map(math.isnan, total_interval(drawn(X[None], N[None]), Estimate())))


def test_means_over_fields() -> None:
    assert field_mean([1, 3, 0], [2, 4, 0]) == pytest.approx(0.625)
    assert math.isnan(field_mean([0], [0]))
    assert is_uneven(0.4, 0.45) and not is_uneven(0.4, 0.43) and not is_uneven(0.0, 0.0)
    assert not is_uneven(math.nan, math.nan)
