"""Scores of classes of cells, with intervals that know that cells come in clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis.cohort.agreement import Statistic
from imganalysis.quantify.statistics import cluster_proportion

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEFF_DEFAULT = 5.0
"""Design effect where one cluster, or no variation, leaves it unknown."""


def confusion(
    clusters: NDArray[np.integer[Any]],
    first: NDArray[np.integer[Any]],
    second: NDArray[np.integer[Any]],
    n_classes: int,
) -> NDArray[np.int64]:
    """Count cells per cluster, class of the first and class of the second reading.

    Parameters
    ----------
    clusters, first, second
        (cells,) codes from 0.
    n_classes
        Of either reading.

    Returns
    -------
    (clusters, classes, classes) int64
    """
    k = n_classes
    n = int(clusters.max()) + 1 if clusters.size else 0
    flat = np.bincount((clusters * k + first) * k + second, minlength=n * k * k)
    return flat.reshape(n, k, k).astype(np.int64)


def proportion(
    x: NDArray[Any], n: NDArray[Any], *, reason: str = "no_cells", confidence: float = 0.95
) -> Statistic:
    """Give a share of cells over clusters its design-effect Wilson interval.

    Parameters
    ----------
    x, n
        (clusters,) cells with the property, and all.
    reason
        Where there is no cell.
    confidence
        Of the interval.
    """
    e = cluster_proportion(x, n, confidence=confidence, deff_default=DEFF_DEFAULT)
    return Statistic(e.value, e.lo, e.hi, e.method, "" if e.method else reason)


def f1_score(
    tp: NDArray[Any], fp: NDArray[Any], fn: NDArray[Any], *, confidence: float = 0.95
) -> Statistic:
    """F1 of a class.

    Parameters
    ----------
    tp, fp, fn
        (clusters,) cells of the class in both readings, in the second only, in the first only.

    Notes
    -----
    F1 = 2 J / (1 + J), where J = tp / (tp + fp + fn) is a share of cells: those of the class in
    both readings among those of the class in either. The interval is that of J, carried over.
    """
    j = proportion(tp, tp + fp + fn, confidence=confidence)
    value, lo, hi = (2 * v / (1 + v) for v in (j.value, j.lo, j.hi))
    return Statistic(value, lo, hi, j.method, j.reason)


def pabak(agree: NDArray[Any], n: NDArray[Any], *, confidence: float = 0.95) -> Statistic:
    """Prevalence- and bias-adjusted kappa of two classes: twice the agreement, less one.

    Notes
    -----
    Byrt, Bishop and Carlin, J Clin Epidemiol 1993;46:423.
    """
    p = proportion(agree, n, confidence=confidence)
    return Statistic(2 * p.value - 1, 2 * p.lo - 1, 2 * p.hi - 1, p.method, p.reason)


def cohen_kappa(counts: NDArray[Any], *, confidence: float = 0.95) -> Statistic:
    """Cohen's kappa over clusters.

    Parameters
    ----------
    counts
        (clusters, classes, classes) cells by class of the first and of the second reading.
    confidence
        Of the interval.

    Returns
    -------
    Statistic
        NaN where there is no cell, or both readings know one and the same class only; without an
        interval where one of them knows one class only, or they never differ.

    Notes
    -----
    Cohen, Educ Psychol Meas 1960;20:37. The variance is that of the linearised ratio, summed
    over clusters as in `cluster_proportion`, but never less than that of independent cells,
    which is the one of Fleiss, Cohen and Everitt, Psychol Bull 1969;72:323. The t quantile of
    clusters - 1; with one cluster `DEFF_DEFAULT` times the variance of independent cells.
    """
    from scipy import stats

    counts = np.asarray(counts, dtype=float)
    counts = counts[counts.sum(axis=(1, 2)) > 0]
    total, m = float(counts.sum()), len(counts)
    if total == 0:
        return Statistic(reason="no_matched_cells")
    p = counts.sum(axis=0) / total
    rows, columns, po = p.sum(axis=1), p.sum(axis=0), float(np.trace(p))
    pe = float(rows @ columns)
    if 1 - pe < 1e-12:
        return Statistic(reason="one_class")
    value = (po - pe) / (1 - pe)
    if max(rows.max(), columns.max()) > 1 - 1e-12:
        # A constant reading agrees by chance, whatever the cells: no interval measures that.
        return Statistic(0.0, reason="one_class")
    if po > 1 - 1e-12:
        return Statistic(1.0, reason="no_disagreement")
    by_chance = columns[:, np.newaxis] + rows - 2 * pe
    influence = ((np.eye(len(p)) - po) * (1 - pe) - (1 - po) * by_chance) / (1 - pe) ** 2
    naive = float((counts.sum(axis=0) * influence**2).sum()) / total**2
    at = 0.5 + confidence / 2
    if m == 1:
        half = float(stats.norm.ppf(at)) * np.sqrt(DEFF_DEFAULT * naive)
        method = "linearised_deff_default"
    else:
        of_clusters = (counts * influence).sum(axis=(1, 2))
        variance = m / (m - 1) * float((of_clusters**2).sum()) / total**2
        half = float(stats.t.ppf(at, m - 1)) * np.sqrt(max(variance, naive))
        method = "linearised_deff_t"
    return Statistic(value, max(-1.0, value - half), min(1.0, value + half), method)
