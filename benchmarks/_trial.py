"""A made-up cohort at the level of tables: cells counted in fields, fields of biopsies, patients.

No patient stands behind any of it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from imganalysis.cohort.endpoints import FRACTION, Endpoint
from imganalysis.cohort.join import stack_biopsies
from imganalysis.quantify.statistics import cluster_proportion

ENDPOINT = Endpoint("apoptotic_fraction", FRACTION, "fraction", "n_tumour", main=True)
PATIENT_SD, FIELD_SD = 0.8, 0.5


def trial(
    seed: int,
    *,
    patients: int = 24,
    weeks: tuple[float, ...] = (0.0, 1.0, 4.0),
    logit: float = -0.4,
    change: float = 0.0,
    group_shift: float = 0.0,
    visit_sd: float = 0.4,
    fields: int = 6,
    cells: int = 80,
    lesions: int = 1,
    lesion_sd: float = 0.0,
    without: int = 0,
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Simulate the biopsies of a cohort.

    Parameters
    ----------
    seed
        Same seed, same cohort.
    patients, weeks, fields, cells, lesions
        How many, and tumour cells of a field on average.
    logit, change, group_shift
        Of the fraction at the start; of every later week; of the second half of the patients.
    visit_sd, lesion_sd
        Of the patients' weeks, the same for all lesions, and of lesions; logit scale.
    without
        Patients whose last biopsy has no evaluable tumour cell.

    Returns
    -------
    biopsies, group
        As `imganalysis.cohort.join.stack_biopsies`; patient -> ``a`` or ``b``.
    """
    rng = np.random.default_rng(seed)
    rows = []
    group = {f"P{i + 1:02}": "a" if i < patients // 2 else "b" for i in range(patients)}
    for i, (patient, name) in enumerate(group.items()):
        own = logit + group_shift * (name == "b") + rng.normal(0, PATIENT_SD)
        visit = {week: rng.normal(0, visit_sd) for week in weeks}
        for lesion in range(lesions):
            there = own + rng.normal(0, lesion_sd) if lesion_sd else own
            for week in weeks:
                level = there + change * (week > weeks[0]) + visit[week]
                n = rng.poisson(cells, fields)
                if week == weeks[-1] and i < without:
                    n[:] = 0
                p = 1 / (1 + np.exp(-(level + rng.normal(0, FIELD_SD, fields))))
                x = rng.binomial(n, p)
                found = cluster_proportion(x, n)
                rows.append(
                    _row(patient, f"L{lesion + 1}", week, int(n.sum()), found.value)
                    | {"apoptotic_fraction_lo": found.lo, "apoptotic_fraction_hi": found.hi}
                )
    return stack_biopsies([("trial", pd.DataFrame(rows))]), group


def biopsies_of(x: np.ndarray, n: np.ndarray) -> pd.DataFrame:
    """One biopsy per patient, of so many positive and tumour cells."""
    rows = [
        _row(f"P{i + 1:02}", "L1", 0.0, int(total), positive / total)
        for i, (positive, total) in enumerate(zip(x, n, strict=True))
    ]
    return stack_biopsies([("trial", pd.DataFrame(rows))])


def _row(patient: str, lesion: str, week: float, n: int, value: float) -> dict[str, object]:
    return {
        "biopsy": f"{patient}-{lesion}-W{week:g}",
        "patient": patient,
        "lesion": lesion,
        "week": week,
        "n_tumour": n,
        "apoptotic_fraction": value,
        "apoptotic_fraction_lo": np.nan,
        "apoptotic_fraction_hi": np.nan,
        "death_marker_form": "unknown",
        "flags": "",
        "reason": "" if n else "apoptotic_fraction: no_evaluable_tumour",
    }
