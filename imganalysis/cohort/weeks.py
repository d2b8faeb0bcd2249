"""How a fraction or density changes over weeks; the unit is the patient."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis import tables_cohort as c
from imganalysis.cohort.compare import ENOUGH, Comparison, one_sample
from imganalysis.cohort.mixed import known_weeks, t_interval, week_effects
from imganalysis.cohort.patients import SCALED, biopsy_values

if TYPE_CHECKING:
    import pandas as pd

    from imganalysis.cohort.endpoints import Endpoint

OVER_WEEKS = "over_weeks"


def week_changes(
    biopsies: pd.DataFrame, patients: pd.DataFrame, endpoint: Endpoint, *, confidence: float = 0.95
) -> list[dict[str, Any]]:
    """Compare every later week with the first.

    Parameters
    ----------
    biopsies
        From `imganalysis.cohort.join.stack_biopsies`.
    patients
        From `imganalysis.cohort.patients.patient_weeks`.
    endpoint
        What is compared.
    confidence
        Of the intervals.

    Returns
    -------
    list of dict
        Rows of tests.csv, one per later week. With `ENOUGH` patients that have a value in both
        weeks a mixed model over all biopsies; with fewer the patients' differences alone.
    """
    column = endpoint.name + SCALED
    wide = patients.pivot(index=c.PATIENT, columns=c.WEEK, values=column)
    weeks = known_weeks(patients[c.WEEK].tolist())
    first = weeks[0]
    paired = {w: (wide[w] - wide[first]).dropna() for w in weeks[1:]}
    model = None
    if any(len(d) >= ENOUGH for d in paired.values()):
        values = biopsy_values(biopsies, endpoint)
        model = week_effects(values)
    rows = []
    for week, differences in paired.items():
        found, word = one_sample(differences.to_numpy(), confidence=confidence), ""
        if len(differences) >= ENOUGH and model is not None:
            word = model.model
            if week in model.effects:
                n = len(differences)
                numbers = t_interval(model.effects[week], n, confidence)
                found = Comparison(*numbers, method="mixed_t", n_patients=n)
        mine = patients[patients[c.WEEK] == week]
        rows.append(
            {
                c.QUESTION: OVER_WEEKS,
                c.ENDPOINT: endpoint.name,
                c.TITLE: endpoint.title,
                c.WEEK: week,
                c.REFERENCE: f"week {first:g}",
                **effect_columns(found, endpoint.effect),
                c.MODEL: word,
                c.N_NA: int(mine[column].isna().sum()),
            }
        )
    return rows


def effect_columns(found: Comparison, effect: str) -> dict[str, Any]:
    """Columns of tests.csv that a comparison fills; ratios are exponentials of differences."""
    ends = [found.estimate, found.lo, found.hi]
    if effect.endswith("ratio"):
        with np.errstate(over="ignore"):
            ends = [float(np.exp(end)) for end in ends]
    return {
        c.EFFECT: effect,
        c.ESTIMATE: ends[0],
        c.LO: ends[1],
        c.HI: ends[2],
        c.P: found.p,
        c.METHOD: found.method,
        c.N_PATIENTS: found.n_patients,
        c.N_REFERENCE: found.n_reference if found.n_reference else np.nan,
        c.REASON: found.reason,
    }
