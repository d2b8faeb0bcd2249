"""Biopsies become one value per patient and week."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis.tables_cohort import FLAGS, LESION, N_BIOPSIES, N_LESIONS, PATIENT, WEEK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imganalysis.cohort.endpoints import Endpoint

SCALED, N_NA, REASON, LO, HI = "_scaled", "_n_NA", "_reason", "_lo", "_hi"


def patient_weeks(biopsies: pd.DataFrame, endpoints: Sequence[Endpoint]) -> pd.DataFrame:
    """Average each patient's biopsies of a week: over those of a lesion, then over lesions.

    Parameters
    ----------
    biopsies
        From `imganalysis.cohort.join.stack_biopsies`.
    endpoints
        What is averaged.

    Returns
    -------
    DataFrame
        One row per patient and week, sorted; columns
        `imganalysis.tables_cohort.COHORT_COLUMNS`. Cells are never pooled.
    """
    extra: dict[str, Any] = {}
    for endpoint in endpoints:
        extra[endpoint.name + SCALED] = endpoint.scaled(biopsies)
        extra[endpoint.name + REASON] = endpoint.reasons(biopsies)
    table = pd.concat([biopsies, pd.DataFrame(extra, index=biopsies.index)], axis=1)
    rows = []
    for (patient, week), group in table.groupby([PATIENT, WEEK], sort=True):
        row: dict[str, Any] = {
            PATIENT: patient,
            WEEK: week,
            N_BIOPSIES: len(group),
            N_LESIONS: group[LESION].nunique(),
        }
        for endpoint in endpoints:
            row |= _values(group, endpoint.name)
        flags = ";".join(group[FLAGS].fillna("").astype(str)).split(";")
        row[FLAGS] = ";".join(dict.fromkeys(word for word in flags if word))
        rows.append(row)
    return pd.DataFrame(rows)


def _values(group: pd.DataFrame, name: str) -> dict[str, Any]:
    alone = len(group) == 1
    why = [word for word in group[name + REASON] if word]
    return {
        name: mean_of_lesions(group, name),
        name + LO: float(group[name + LO].iloc[0]) if alone else np.nan,
        name + HI: float(group[name + HI].iloc[0]) if alone else np.nan,
        name + SCALED: mean_of_lesions(group, name + SCALED),
        name + N_NA: len(why),
        name + REASON: ";".join(dict.fromkeys(why)),
    }


def mean_of_lesions(group: pd.DataFrame, column: str) -> float:
    """Mean over lesions of the mean over the biopsies of each; NaN where nothing has a value."""
    return float(group.groupby(LESION)[column].mean().mean())


def biopsy_values(biopsies: pd.DataFrame, endpoint: Endpoint) -> pd.DataFrame:
    """Give the biopsies with a value, on the scale of the tests, for a mixed model."""
    table = biopsies[[PATIENT, LESION, WEEK]].assign(value=endpoint.scaled(biopsies))
    told: pd.DataFrame = table[np.isfinite(table["value"])].reset_index(drop=True)
    return told
