"""The third rung of the ladder: two populations in the samples themselves, if they are there."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis.classify.gate_parts import Mixture, Verdict
from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from imganalysis.settings_gating import Ladder

    Numbers = NDArray[np.float64]

SMALLEST_SD = 1e-3
"""Of a population's logarithms: narrower is a heap of equal values, not a population."""


def mixture_rung(
    values: Numbers, ladder: Ladder, others: Mapping[str, float]
) -> tuple[Verdict, dict[str, Any]]:
    """Set a gate between two populations of the samples, if there are two.

    Parameters
    ----------
    values
        (N,) statistic of the samples' cells of one scope.
    ladder
        Guards, and how far the gate may lie from the other rungs'.
    others
        Rung -> its gate, where it has one.

    Returns
    -------
    Verdict
        The value at which the posterior is 0.5, or why there is none; with the guards' numbers.
    dict
        The mixture, where it holds.

    Notes
    -----
    Normal distributions of the logarithm, by expectation and maximisation from one fixed start:
    both halves about the median. Sorted values go in, so that the order of the cells does not
    matter. From another start rare populations would be found more often; from this one they
    are refused rather than guessed. The standard error is that of maximum likelihood (outer
    product of the scores) carried to the gate by the delta method; cells count as independent.
    """
    guards = ladder.guards
    values = np.sort(values[np.isfinite(values)])
    found: dict[str, Any] = {"rung": "mixture", "n": int(values.size)}
    values = values[values > 0]  # what is not above 0 is negative, and has no logarithm
    if values.size < guards.min_cells:
        note = (
            f"{plural(values.size, 'cell')} with a value above 0, at least {guards.min_cells} are "
            "needed"
        )
        return Verdict(**found, reason="mixture_too_few_cells", note=note), {}
    logs = np.log(thinned(values, guards.max_fitted))
    fit = fit_two(logs)
    if fit is None:
        return Verdict(**found, reason="mixture_one_population"), {}
    weight, means, sds, gain = fit
    distance = ashman_d(means, sds)
    found |= {"bic_gain": gain, "ashman_d": distance, "weight": weight}
    if gain <= guards.min_bic_gain:
        note = f"BIC gain {gain:.3g}, more than {guards.min_bic_gain:g} is needed"
        return Verdict(**found, reason="mixture_one_population", note=note), {}
    if distance <= guards.min_ashman_d:
        note = f"Ashman's D {distance:.3g}, more than {guards.min_ashman_d:g} is needed"
        return Verdict(**found, reason="mixture_overlap", note=note), {}
    low, high = guards.weight
    if not low <= weight <= high:
        note = f"the positive one is {100 * weight:.2g} %, {100 * low:g}-{100 * high:g} % are taken"
        return Verdict(**found, reason="mixture_weight", note=note), {}
    ends = [
        crossing(weight, means, sds, p) for p in (guards.posterior[0], 0.5, guards.posterior[1])
    ]
    if any(end is None for end in ends):
        return Verdict(**found, reason="mixture_overlap", note="the posterior stays between"), {}
    cuts = [float(np.exp(end)) for end in ends if end is not None]
    value = cuts[1]
    se = gate_se(logs, weight, means, sds, value, int(values.size))
    for rung, other in others.items():
        ratio = max(value / other, other / value)
        if ratio > ladder.max_ratio:
            note = f"{value:.4g} is {ratio:.2f} times off the {rung.replace('_', ' ')} {other:.4g}"
            refused = {"value": value, "se": se, "reason": "mixture_far_from_others", "note": note}
            return Verdict(**found, **refused), {}
    mixture = Mixture(
        weight=weight, means=means, sds=sds, value=value, low=cuts[0], high=cuts[2],
        bic_gain=gain, ashman_d=distance, n=int(values.size), n_fitted=int(logs.size),
    )  # fmt: skip
    return Verdict(**found, value=value, se=se), {"mixture": mixture}


def thinned(values: Numbers, most: int) -> Numbers:
    """Take evenly spaced quantiles of sorted values, where there are more than `most`."""
    if values.size <= most:
        return values
    return np.asarray(np.quantile(values, (np.arange(most) + 0.5) / most))


def fit_two(
    logs: Numbers,
) -> tuple[float, tuple[float, float], tuple[float, float], float] | None:
    """Fit two normal distributions to sorted values.

    Returns
    -------
    weight, means, sds, gain or None
        Share of the upper one; mean and SD of both, the lower first; BIC of one population less
        that of two. None where one of the two shrinks to a point, or has no cell.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    half = logs.size // 2
    halves = (logs[:half], logs[half:])
    variances = np.array([max(float(h.var()), SMALLEST_SD**2) for h in halves])
    column = logs[:, None]
    model = GaussianMixture(
        2,
        weights_init=[0.5, 0.5],
        means_init=[[h.mean()] for h in halves],
        precisions_init=(1 / variances).reshape(2, 1, 1),
        tol=1e-5,
        max_iter=1000,
        reg_covar=SMALLEST_SD**2,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is asked for below
        model.fit(column)
    means, sds = model.means_.ravel(), np.sqrt(model.covariances_.ravel())
    first, second = np.argsort(means, kind="stable")
    spread = float(logs.std())
    flat = not model.converged_ or min(sds) < 2 * SMALLEST_SD or spread < 2 * SMALLEST_SD
    if flat or means[first] == means[second]:
        return None
    one = float(-0.5 * logs.size * (np.log(2 * np.pi * spread**2) + 1))
    gain = 2 * float(model.score(column)) * logs.size - 2 * one - 3 * np.log(logs.size)
    return (
        float(model.weights_[second]),
        (float(means[first]), float(means[second])),
        (float(sds[first]), float(sds[second])),
        float(gain),
    )


def ashman_d(means: tuple[float, float], sds: tuple[float, float]) -> float:
    """Distance of two populations, over 2: apart (Ashman et al., Astron J 1994;108:2348)."""
    return float(np.sqrt(2) * (means[1] - means[0]) / np.hypot(*sds))


def log_odds(
    logs: Numbers, weight: float, means: tuple[float, float], sds: tuple[float, float]
) -> Numbers:
    """Log odds of belonging to the upper population; never falling as the value rises.

    Where the two SDs differ, the odds of a mixture turn back in one of its tails: beyond that
    point they are kept as they are there.
    """
    z = np.asarray(logs, dtype=np.float64)
    curve = 1 / sds[0] ** 2 - 1 / sds[1] ** 2
    if curve:
        turn = (means[0] / sds[0] ** 2 - means[1] / sds[1] ** 2) / curve
        z = np.maximum(z, turn) if curve > 0 else np.minimum(z, turn)
    squares = ((z - means[0]) / sds[0]) ** 2 - ((z - means[1]) / sds[1]) ** 2
    prior = np.log(weight / (1 - weight)) - np.log(sds[1] / sds[0])
    return np.asarray(prior + 0.5 * squares)


def posterior(values: Numbers, mixture: Mixture) -> Numbers:
    """Probability of the upper population; 0 for values that are not above 0, NaN for NaN."""
    from scipy.special import expit

    x = np.asarray(values, dtype=np.float64)
    positive = x > 0
    logs = np.log(np.where(positive, x, 1.0))
    found = expit(log_odds(logs, mixture.weight, mixture.means, mixture.sds))
    return np.asarray(np.where(positive, found, np.where(np.isnan(x), np.nan, 0.0)))


def crossing(
    weight: float, means: tuple[float, float], sds: tuple[float, float], probability: float
) -> float | None:
    """Find where the posterior reaches a probability; None where it does not."""
    from scipy.optimize import brentq

    level = float(np.log(probability / (1 - probability)))
    reach = 8 * max(sds)
    low, high = means[0] - reach, means[1] + reach

    def over(z: float) -> float:
        return float(log_odds(np.asarray(z), weight, means, sds)) - level

    if over(low) >= 0 or over(high) <= 0:
        return None
    return float(brentq(over, low, high, xtol=1e-12))


def gate_se(
    logs: Numbers,
    weight: float,
    means: tuple[float, float],
    sds: tuple[float, float],
    value: float,
    n: int,
) -> float | None:
    """Estimate the standard error of a mixture's gate; None where the fit does not tell it.

    Parameters
    ----------
    logs
        What was fitted.
    weight, means, sds
        The mixture.
    value
        Its gate, on the scale of the measure.
    n
        Cells that `logs` stands for.
    """
    z = logs[:, None]
    mu, sd = np.array(means), np.array(sds)
    parts = np.array([1 - weight, weight]) * np.exp(-0.5 * ((z - mu) / sd) ** 2) / sd
    share = parts / parts.sum(axis=1, keepdims=True)
    scores = np.column_stack(
        [
            share[:, 1] / weight - share[:, 0] / (1 - weight),
            share * (z - mu) / sd**2,
            share * (((z - mu) / sd) ** 2 - 1) / sd,
        ]
    )
    information = scores.T @ scores * (n / logs.size)
    at = np.array([weight, *means, *sds])
    slope = np.zeros(5)
    for i in range(5):
        step = 1e-5 * max(abs(at[i]), 1e-2)
        ends = []
        for sign in (-1, 1):
            moved = at.copy()
            moved[i] += sign * step
            w, a, b, c, d = (float(v) for v in moved)
            ends.append(crossing(w, (a, b), (c, d), 0.5))
        if ends[0] is None or ends[1] is None:
            return None
        slope[i] = (ends[1] - ends[0]) / (2 * step)
    try:
        variance = float(slope @ np.linalg.solve(information, slope))
    except np.linalg.LinAlgError:
        return None
    return float(value * np.sqrt(variance)) if np.isfinite(variance) and variance >= 0 else None
