"""How a classifier does on corrected cells, beside the rules. The unit is the patient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis.tables import UNRESOLVED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

BINS = 10
REPEATS = 1000
SEED = 2003
CONFIDENCE = 0.95
MIN_TESTED = 6
"""Under so many patients there is an estimate and an interval, and no test."""


@dataclass(frozen=True)
class Judgement:
    """What rules and model said of corrected cells, one row each.

    Parameters
    ----------
    truth, rules, model
        (N,) classes of the reader, of the rules, and as a run with the model gives them.
    patient
        (N,) patient.
    given
        (N,) whether the model may judge the cell; else its class is that of the rules.
    chance
        (N, classes) probabilities, where `given`.
    classes
        Of the model.
    """

    truth: NDArray[np.object_]
    rules: NDArray[np.object_]
    model: NDArray[np.object_]
    patient: NDArray[np.object_]
    given: NDArray[np.bool_]
    chance: NDArray[np.float64]
    classes: tuple[str, ...]


def scores(found: Judgement) -> dict[str, Any]:
    """Score a classifier; plain values, as they stand in its card.

    Returns
    -------
    dict
        ``n_cells``, ``n_patients``, ``coverage`` (share that the model may judge),
        ``rules_agree``, ``rules_unresolved``, ``model_unresolved`` (shares), ``classes``,
        ``patients``, ``difference`` (of the share right, where unresolved is not right),
        ``difference_decided`` (the same of cells that the rules resolve) and ``calibration``.
    """
    patients = sorted(set(found.patient))
    right_rules, right_model = found.rules == found.truth, found.model == found.truth
    by_patient = []
    for patient in patients:
        own = found.patient == patient
        by_patient.append(
            {
                "patient": patient,
                "n_cells": int(own.sum()),
                "rules_right": _rounded(right_rules[own].mean()),
                "model_right": _rounded(right_model[own].mean()),
                "only_rules_right": int((right_rules & ~right_model)[own].sum()),
                "only_model_right": int((right_model & ~right_rules)[own].sum()),
            }
        )
    gains = _gains(found, np.ones(len(found.truth), dtype=bool))
    return {
        "n_cells": len(found.truth),
        "n_patients": len(patients),
        "coverage": _rounded(found.given.mean()) if len(found.given) else None,
        "rules_agree": _rounded(right_rules.mean()) if len(right_rules) else None,
        "rules_unresolved": _rounded((found.rules == UNRESOLVED).mean()),
        "model_unresolved": _rounded((found.model == UNRESOLVED).mean()),
        "classes": [
            _of_class(found, name, patients)
            for name in [*found.classes, *sorted(set(found.truth) - set(found.classes))]
        ],
        "patients": by_patient,
        "difference": mean_over_patients(gains),
        "difference_decided": mean_over_patients(_gains(found, found.rules != UNRESOLVED)),
        "calibration": calibration(found),
    }


def _gains(found: Judgement, of: NDArray[np.bool_]) -> list[float]:
    """Share right with the model less that of the rules, patient by patient."""
    change = (found.model == found.truth).astype(float) - (found.rules == found.truth)
    groups = [of & (found.patient == patient) for patient in sorted(set(found.patient[of]))]
    return [float(change[own].mean()) for own in groups]


def verdict(difference: dict[str, Any]) -> str:
    """Say what the interval of the mean difference over patients allows."""
    low, high = difference["lo"], difference["hi"]
    if low is None and difference["n_patients"] > 1 and difference["mean"] < 0:
        return "worse"  # in each patient by as much
    if low is not None and low > 0:
        return "better"
    return "worse" if high is not None and high < 0 else "not_shown"


def mean_over_patients(values: Sequence[float]) -> dict[str, Any]:
    """Mean of a difference of shares per patient, its t interval, and an exact test of none.

    Parameters
    ----------
    values
        One per patient.

    Returns
    -------
    dict
        ``mean``, ``lo`` and ``hi`` (between -1 and 1; None under two patients, and where all have
        the same value, as their spread is then not known), ``p`` (sign flips of the patients'
        values, all of them up to 13 patients, Wilcoxon's test above; None under six patients).
    """
    from scipy import stats

    x = np.asarray(values, dtype=np.float64)
    if x.size < 2:
        mean = _rounded(x.mean()) if x.size else None
        return {"n_patients": int(x.size), "mean": mean, "lo": None, "hi": None, "p": None}
    half = stats.t.ppf((1 + CONFIDENCE) / 2, x.size - 1) * x.std(ddof=1) / np.sqrt(x.size)
    p = None
    if x.size >= MIN_TESTED and np.any(x):
        if x.size <= 13:
            flips = stats.permutation_test(
                (x,), lambda a, axis: np.mean(a, axis=axis), permutation_type="samples",
                n_resamples=2**14, vectorized=True,
            )  # fmt: skip
            p = _rounded(flips.pvalue)
        else:
            p = _rounded(stats.wilcoxon(x).pvalue)
    mean, alike = float(x.mean()), bool(np.ptp(x) < 1e-12)
    return {
        "n_patients": int(x.size),
        "mean": _rounded(mean),
        "lo": None if alike else _rounded(max(mean - half, -1.0)),
        "hi": None if alike else _rounded(min(mean + half, 1.0)),
        "p": p,
    }


def _of_class(found: Judgement, name: str, patients: Sequence[str]) -> dict[str, Any]:
    gains = []
    for patient in patients:
        own = found.patient == patient
        if (found.truth[own] == name).any():
            rules, model = (
                f1(found.truth[own], said[own], name) for said in (found.rules, found.model)
            )
            gains.append((model or 0.0) - (rules or 0.0))
    real = found.truth == name
    return {
        "class": name,
        "n_cells": int(real.sum()),
        "n_patients": len(set(found.patient[real])),
        "f1_rules": _rounded(f1(found.truth, found.rules, name)),
        "f1_model": _rounded(f1(found.truth, found.model, name)),
        "difference_by_patient": mean_over_patients(gains),
    }


def f1(truth: NDArray[Any], said: NDArray[Any], name: str) -> float | None:
    """F1 of one class; None where nobody gives it."""
    hits = int(((truth == name) & (said == name)).sum())
    total = int((truth == name).sum() + (said == name).sum())
    return 2 * hits / total if total else None


def calibration(found: Judgement) -> dict[str, Any]:
    """Hold probabilities against what the reader said, for cells that the model judges.

    Returns
    -------
    dict
        ``n``; ``brier`` (sum over the classes of the squared differences); ``ece`` (mean gap
        between the likeliest class's probability and how often it is right, ten bins of equal
        width), ``ece_lo`` and ``ece_hi`` (percentiles over patients drawn with replacement; rough
        with few patients); ``table`` of the bins.
    """
    own = found.given
    n = int(own.sum())
    if not n:
        return {"n": 0, "brier": None, "ece": None, "ece_lo": None, "ece_hi": None, "table": []}
    chance, truth, patient = found.chance[own], found.truth[own], found.patient[own]
    real = truth[:, None] == np.array(found.classes, dtype=object)
    top, right = chance.max(axis=1), real[np.arange(n), chance.argmax(axis=1)]
    place = np.minimum((top * BINS).astype(int), BINS - 1)
    # Per patient and bin: cells, sum of probabilities, right ones; a draw is then a sum of rows.
    names, code = np.unique(patient.astype(str), return_inverse=True)
    sums = np.zeros((3, len(names), BINS))
    for row, values in enumerate((np.ones(n), top, right.astype(float))):
        np.add.at(sums[row], (code.reshape(-1), place), values)
    draws = np.random.default_rng(SEED).integers(0, len(names), (REPEATS, len(names)))
    repeated = [_ece(sums[:, draw].sum(axis=1)) for draw in draws]
    ends = np.percentile(repeated, [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)])
    total = sums.sum(axis=1)
    table = [
        {
            "from": b / BINS,
            "to": (b + 1) / BINS,
            "n": int(total[0, b]),
            "mean_probability": _rounded(total[1, b] / total[0, b]),
            "share_right": _rounded(total[2, b] / total[0, b]),
        }
        for b in range(BINS)
        if total[0, b]
    ]
    return {
        "n": n,
        "brier": _rounded(((chance - real) ** 2).sum(axis=1).mean()),
        "ece": _rounded(_ece(total)),
        "ece_lo": _rounded(ends[0]) if len(names) > 1 else None,
        "ece_hi": _rounded(ends[1]) if len(names) > 1 else None,
        "table": table,
    }


def _ece(sums: NDArray[np.float64]) -> float:
    return float(np.abs(sums[1] - sums[2]).sum() / sums[0].sum())


def _rounded(value: Any) -> float | None:
    return None if value is None else float(f"{float(value):.6g}")
