"""Kaplan-Meier curves and the log-rank test, by what was known when the time began."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis import tables_cohort as c
from imganalysis.cohort.compare import FEWEST, NAN, Comparison
from imganalysis.cohort.weeks import effect_columns
from imganalysis.errors import SettingsError
from imganalysis.quantify.statistics import two_sided

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imganalysis.cohort.clinical import Followed
    from imganalysis.cohort.groups import Grouping

SURVIVAL = "survival"
IMMORTAL = (
    "a patient must live until a response is seen, so that responders live longer even if "
    "treatment does nothing (immortal-time bias); give --landmark WEEK: then only patients still "
    "followed at that week are compared, by what was known of them by then"
)


def to_unit(weeks: float, column: str) -> float:
    """Weeks in the unit of a column of times."""
    return weeks * c.TIMES["time_weeks"] / c.TIMES[column]


def from_landmark(followed: Mapping[str, Followed], landmark: float) -> dict[str, Followed]:
    """Patients still followed after the landmark, with the time from there on."""
    return {
        patient: type(found)(found.time - landmark, found.event)
        for patient, found in followed.items()
        if found.time > landmark
    }


def check_landmark(columns: list[str], landmark: float | None) -> None:
    """Refuse survival by response from the start, and a landmark that is no week after it.

    Raises
    ------
    SettingsError
        Says why.
    """
    if landmark is not None and not 0 <= landmark < math.inf:
        raise SettingsError(f"--landmark: expected a week from 0 on, e.g. 8; found {landmark:g}")
    if c.RESPONSE in columns and landmark is None:
        raise SettingsError(f"survival by {c.RESPONSE} is not given from the start: {IMMORTAL}")


def curve(followed: Mapping[str, Followed], *, confidence: float = 0.95) -> pd.DataFrame:
    """Kaplan-Meier estimate of a group.

    Parameters
    ----------
    followed
        patient -> time and event.
    confidence
        Of the interval, which is on the log-log scale (Kalbfleisch & Prentice, 1980).

    Returns
    -------
    DataFrame
        ``time``, ``n_at_risk``, ``n_events``, ``n_censored``, ``survival``, ``lo``, ``hi``: the
        start, then every time at which somebody left.
    """
    from statsmodels.duration.survfunc import SurvfuncRight

    time = np.array([f.time for f in followed.values()], np.float64)
    event = np.array([f.event for f in followed.values()], bool)
    steps = {0.0: (1.0, 1.0, 1.0)}
    if event.any():
        # statsmodels gives the times at which somebody had the event.
        found = SurvfuncRight(time, event.astype(float))
        z = two_sided(confidence)
        for at, s, error in zip(found.surv_times, found.surv_prob, found.surv_prob_se, strict=True):
            steps[float(at)] = (float(s), *_log_log(float(s), float(error), z))
    rows = []
    value = (1.0, 1.0, 1.0)
    for at in sorted({0.0, *time}):
        value = steps.get(float(at), value)
        rows.append(
            {
                "time": float(at),
                "n_at_risk": int((time >= at).sum()),
                "n_events": int(((time == at) & event).sum()),
                "n_censored": int(((time == at) & ~event).sum()),
                "survival": value[0],
                c.LO: value[1],
                c.HI: value[2],
            }
        )
    return pd.DataFrame(rows)


def _log_log(survival: float, error: float, z: float) -> tuple[float, float]:
    if not 0 < survival < 1 or not np.isfinite(error):
        return NAN, NAN
    half = z * error / (survival * abs(np.log(survival)))
    return float(survival ** np.exp(half)), float(survival ** np.exp(-half))


def curves(
    followed: Mapping[str, Followed],
    groups: Grouping | None,
    unit: str,
    landmark: float | None = None,
    *,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Kaplan-Meier estimates of all patients, or of each group.

    Returns
    -------
    DataFrame
        Columns `imganalysis.tables_cohort.SURVIVAL_COLUMNS`.
    """
    parts = []
    for name in ("",) if groups is None else groups.groups:
        mine = {p: f for p, f in followed.items() if groups is None or groups.of.get(p, "") == name}
        if mine:
            own = curve(mine, confidence=confidence)
            own[c.GROUP_BY] = "" if groups is None else groups.name
            own[c.GROUP] = name
            own["landmark"] = np.nan if landmark is None else landmark
            own["unit"] = unit.partition("_")[2]
            parts.append(own)
    if not parts:
        return pd.DataFrame(columns=list(c.SURVIVAL_COLUMNS))
    return pd.concat(parts, ignore_index=True)[list(c.SURVIVAL_COLUMNS)]


def log_rank(
    followed: Mapping[str, Followed], groups: Grouping, unit: str, landmark: float | None = None
) -> dict[str, Any]:
    """Compare the survival of groups of patients.

    Returns
    -------
    dict
        A row of tests.csv; no p with fewer than `FEWEST` patients or without an event.
    """
    from statsmodels.duration.survfunc import survdiff

    told = {p: f for p, f in sorted(followed.items()) if groups.of.get(p, "")}
    names = np.array([groups.of[p] for p in told], str)
    event = np.array([f.event for f in told.values()], float)
    time = np.array([f.time for f in told.values()], np.float64)
    found = Comparison(n_patients=len(told), method="log_rank")
    if groups.varies:
        found = Comparison(reason="varies_within_patient")
    elif len(set(names)) < 2:
        found = Comparison(n_patients=len(told), reason="one_group")
    elif len(told) < FEWEST or np.unique(names, return_counts=True)[1].min() < 2:
        found = Comparison(n_patients=len(told), reason="too_few_patients")
    elif not event.any():
        found = Comparison(n_patients=len(told), reason="no_events")
    else:
        p = float(survdiff(time, event, names)[1])
        found = Comparison(p=p, method="log_rank", n_patients=len(told))
    return {
        c.QUESTION: SURVIVAL,
        c.ENDPOINT: unit,
        c.TITLE: f"survival, {unit.partition('_')[2]}",
        c.WEEK: np.nan if landmark is None else landmark,
        c.GROUP_BY: groups.name,
        **effect_columns(found, ""),
        c.N_UNKNOWN: len(followed) - len(told),
    }
