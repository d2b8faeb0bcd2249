"""Scores of classes against reference implementations, and their intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics
from statsmodels.stats.inter_rater import cohens_kappa
from statsmodels.stats.proportion import proportion_confint

from imganalysis.cohort.cell_scores import cohen_kappa, confusion, f1_score, pabak, proportion

RNG = np.random.default_rng(5)
FIRST = RNG.choice(4, 400, p=[0.5, 0.3, 0.15, 0.05])
SECOND = np.where(RNG.random(400) < 0.75, FIRST, RNG.choice(4, 400))
FIELDS = np.repeat(np.arange(8), 50)


def test_confusion_and_kappa_are_those_of_scikit_learn():
    counts = confusion(FIELDS, FIRST, SECOND, 4)
    assert counts.shape == (8, 4, 4)
    np.testing.assert_array_equal(counts.sum(axis=0), metrics.confusion_matrix(FIRST, SECOND))
    kappa = cohen_kappa(counts)
    assert kappa.value == pytest.approx(metrics.cohen_kappa_score(FIRST, SECOND))


def test_one_vs_rest_scores_are_those_of_scikit_learn():
    counts = confusion(FIELDS, FIRST, SECOND, 4)
    for i in range(4):
        tp = counts[:, i, i]
        fn, fp = counts[:, i].sum(axis=1) - tp, counts[:, :, i].sum(axis=1) - tp
        a, b = FIRST == i, SECOND == i
        assert f1_score(tp, fp, fn).value == pytest.approx(metrics.f1_score(a, b))
        assert proportion(tp, tp + fn).value == pytest.approx(metrics.recall_score(a, b))
        n = counts.sum(axis=(1, 2))
        tn = n - tp - fn - fp
        assert proportion(tn, tn + fp).value == pytest.approx(metrics.recall_score(~a, ~b))
        expected = 2 * metrics.accuracy_score(a, b) - 1
        assert pabak(tp + tn, n).value == pytest.approx(expected)


def test_kappa_of_single_cells_has_the_variance_of_statsmodels():
    # Every cell a cluster of its own: the variance of Fleiss, Cohen and Everitt, n / (n - 1) apart.
    counts = confusion(np.arange(400), FIRST, SECOND, 4)
    found = cohen_kappa(counts)
    reference = cohens_kappa(metrics.confusion_matrix(FIRST, SECOND))
    assert found.value == pytest.approx(reference.kappa)
    from scipy import stats

    se = (found.hi - found.lo) / 2 / stats.t.ppf(0.975, 399)
    assert se == pytest.approx(reference.std_kappa * np.sqrt(400 / 399), rel=1e-9)


def test_an_interval_of_cells_that_are_not_alike_is_wilson_with_t():
    # Fields exactly as even as can be: design effect 1, so Wilson at all cells with t instead of z.
    x, n = np.array([20, 20, 20]), np.array([50, 50, 50])
    found = proportion(x, n)
    lo, hi = proportion_confint(60, 150, method="wilson", alpha=0.05)
    assert found.lo < lo < hi < found.hi
    one = proportion(np.array([40]), np.array([100]))  # one field: a design effect of 5
    assert (one.lo, one.hi) == pytest.approx(proportion_confint(8, 20, method="wilson"))


def test_clustered_intervals_of_kappa_cover_and_naive_ones_do_not():
    rng = np.random.default_rng(6)
    true_agree, hits, naive = 0.8, [], []
    for _ in range(400):
        # Two classes, half of each; agreement differs between fields.
        skill = rng.beta(true_agree * 9, (1 - true_agree) * 9, 12)
        fields = np.repeat(np.arange(12), 60)
        first = rng.integers(0, 2, 720)
        second = np.where(rng.random(720) < skill[fields], first, 1 - first)
        found = cohen_kappa(confusion(fields, first, second, 2))
        hits.append(found.lo <= 2 * true_agree - 1 <= found.hi)
        alone = cohen_kappa(confusion(np.arange(720), first, second, 2))
        naive.append(alone.lo <= 2 * true_agree - 1 <= alone.hi)
    assert np.mean(hits) >= 0.91
    assert np.mean(naive) < 0.7


def test_kappa_where_it_cannot_be_had():
    one = confusion(np.zeros(9, int), np.zeros(9, int), np.zeros(9, int), 2)
    assert (np.isnan(cohen_kappa(one).value), cohen_kappa(one).reason) == (True, "one_class")
    constant = confusion(np.zeros(4, int), np.array([0, 1, 0, 1]), np.zeros(4, int), 2)
    assert (cohen_kappa(constant).value, cohen_kappa(constant).reason) == (0.0, "one_class")
    perfect = confusion(np.zeros(4, int), np.array([0, 1, 0, 1]), np.array([0, 1, 0, 1]), 2)
    assert (cohen_kappa(perfect).value, cohen_kappa(perfect).reason) == (1.0, "no_disagreement")
    assert cohen_kappa(np.zeros((0, 2, 2))).reason == "no_matched_cells"
    assert f1_score(np.zeros(2), np.zeros(2), np.zeros(2)).reason == "no_cells"


@given(arrays(int, (3, 3, 3), elements=st.integers(0, 20)))
@settings(max_examples=80, deadline=None)
def test_kappa_is_the_same_with_readers_and_classes_exchanged(counts):
    one = cohen_kappa(counts)
    for other in (cohen_kappa(counts.transpose(0, 2, 1)), cohen_kappa(counts[:, ::-1, ::-1])):
        for name in ("value", "lo", "hi"):
            assert getattr(one, name) == pytest.approx(getattr(other, name), nan_ok=True)
    if np.isfinite(one.value):
        assert -1 <= one.value <= 1
    if np.isfinite(one.lo):
        assert -1 <= one.lo <= one.value <= one.hi <= 1
