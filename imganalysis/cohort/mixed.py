"""Change over weeks by a linear mixed model: patients are random, lesions a variance component."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from imganalysis.quantify.statistics import two_sided
from imganalysis.tables_cohort import LESION, PATIENT, WEEK

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

VALUE = "value"
LEAST_SHARE = 0.02
"""A variance under this share of the residual's is taken for 0, near which its fit is not sound."""


@dataclass(frozen=True)
class WeekEffects:
    """Change of each week against the first, on the scale of the values.

    Parameters
    ----------
    effects
        week -> (estimate, standard error); empty where the model cannot be had.
    model
        Word of `imganalysis.tables_cohort.MODELS`.
    """

    effects: dict[float, tuple[float, float]]
    model: str


def week_effects(data: pd.DataFrame) -> WeekEffects:
    """Fit ``value ~ week`` by REML.

    Parameters
    ----------
    data
        One row per biopsy with a finite value: `PATIENT`, `LESION`, `WEEK`, `VALUE`; at least
        two weeks.

    Returns
    -------
    WeekEffects
        Where a patient has several lesions, lesions and visits are variance components: what
        happens to a patient in a week happens to all lesions. One that comes out as 0 is left
        out. Where the patients' variance does, or the fit does not converge, there is no model.

    Notes
    -----
    statsmodels MixedLM. Weeks are levels, not a line.
    """
    weeks = [float(week) for week in sorted(data[WEEK].unique())]
    names = {week: f"week_{i}" for i, week in enumerate(weeks) if i}
    table = data.assign(
        **{name: (data[WEEK] == week).astype(float) for week, name in names.items()}
    )
    # Numbers for names: a lesion may be called what a formula would take for a command.
    for name, column in (("unit", PATIENT), ("lesion_", LESION), ("visit_", WEEK)):
        table[name] = table[column].astype("category").cat.codes
    several = table.groupby("unit")["lesion_"].nunique().max() > 1
    parts: tuple[str, ...] = ("lesion_", "visit_") if several else ()
    formula = f"{VALUE} ~ " + " + ".join(names.values())
    while True:
        fit, empty, why = _fit(formula, table, parts)
        if fit is not None and not empty:
            found = {w: (float(fit.fe_params[n]), float(fit.bse_fe[n])) for w, n in names.items()}
            return WeekEffects(found, "_".join(["patient", *(p.strip("_") for p in parts)]))
        if fit is None:
            # Never without a component because it could not be fitted: errors would be too small.
            return WeekEffects({}, why)
        parts = tuple(part for part in parts if part not in empty)


def _fit(
    formula: str, table: pd.DataFrame, parts: tuple[str, ...]
) -> tuple[Any, tuple[str, ...], str]:
    """Fit once: the model if there is one, components at 0, and why there is none."""
    from statsmodels.regression.mixed_linear_model import MixedLM

    components = {part: f"0 + C({part})" for part in parts} or None
    with warnings.catch_warnings():
        # What they say is seen from the result.
        warnings.simplefilter("ignore")
        try:
            model = MixedLM.from_formula(
                formula, table, groups="unit", re_formula="1", vc_formula=components
            )
            fit = model.fit(reml=True)
            errors = np.asarray(fit.bse_fe, np.float64)
            least = LEAST_SHARE * float(fit.scale)
            patient = float(np.asarray(fit.cov_re)[0, 0])
            sizes = dict(zip(model.exog_vc.names, map(float, fit.vcomp), strict=True))
        except (np.linalg.LinAlgError, ValueError):
            return None, (), "not_converged"
    if not fit.converged or not np.isfinite(errors).all() or (errors <= 0).any():
        return None, (), "not_converged"
    empty = tuple(part for part in parts if sizes[part] < least)
    if patient < least and not empty:
        return None, (), "no_patient_variance"
    return fit, empty, ""


def t_interval(
    effect: tuple[float, float], patients: int, confidence: float
) -> tuple[float, float, float, float]:
    """Interval and p of a fixed effect.

    Parameters
    ----------
    effect
        Estimate and standard error.
    patients
        That tell of it; degrees of freedom are one less, as of a paired t test.

    Returns
    -------
    estimate, lo, hi, p
    """
    estimate, error = effect
    half = two_sided(confidence, patients - 1) * error
    p = 2 * float(stats.t.sf(abs(estimate / error), patients - 1))
    return estimate, estimate - half, estimate + half, p


def known_weeks(weeks: Sequence[float]) -> list[float]:
    """Weeks in order, the first being what the others are compared with."""
    return sorted(dict.fromkeys(float(week) for week in weeks))
