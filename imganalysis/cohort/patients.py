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
    keys = [PATIENT, WEEK]
    by = table.groupby(keys, sort=True)
    out = by.size().rename(N_BIOPSIES).to_frame()
    out[N_LESIONS] = by[LESION].nunique()
    columns = [e.name + end for e in endpoints for end in ("", SCALED)]
    means = table.groupby([*keys, LESION], sort=True)[columns].mean().groupby(keys).mean()
    alone = out[N_BIOPSIES] == 1
    for endpoint in endpoints:
        name = endpoint.name
        out[name] = means[name]
        for end in (LO, HI):
            out[name + end] = by[name + end].first().where(alone)
        out[name + SCALED] = means[name + SCALED]
        out[name + N_NA] = by[name + REASON].agg(lambda words: int((words != "").sum()))
        out[name + REASON] = by[name + REASON].agg(_joined)
    out[FLAGS] = by[FLAGS].agg(_joined)
    return out.reset_index()


def _joined(texts: pd.Series[Any]) -> str:
    """Put the words of several cells together, each once."""
    words = ";".join(texts.fillna("").astype(str)).split(";")
    return ";".join(dict.fromkeys(word for word in words if word))


def biopsy_values(biopsies: pd.DataFrame, endpoint: Endpoint) -> pd.DataFrame:
    """Give the biopsies with a value, on the scale of the tests, for a mixed model."""
    table = biopsies[[PATIENT, LESION, WEEK]].assign(value=endpoint.scaled(biopsies))
    told: pd.DataFrame = table[np.isfinite(table["value"])].reset_index(drop=True)
    return told
