"""How many patients are needed to see a difference: studies are drawn and tested as results are.

One logit per patient goes into a test, as everywhere in this package; the number of cells only
makes that logit less noisy.
"""

from __future__ import annotations

from math import comb
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis.cohort.compare import ENOUGH, FEWEST
from imganalysis.cohort.power import share_se, stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from imganalysis.cohort.power import Progress

ALPHA = 0.05
DESIGNS = ("paired", "unpaired")

POWER_COLUMNS = (
    "design", "p_first", "p_second", "patients", "fields", "cells_per_field", "test", "power",
    "power_se", "power_t", "power_rank", "patient_sd", "field_sd", "correlation", "repeats",
    "reason",
)  # fmt: skip


def _logit(p: float) -> float:
    return float(np.log(p / (1 - p)))


def draw_patients(
    rng: np.random.Generator,
    p: float,
    effects: NDArray[np.float64],
    fields: int,
    cells: int,
    field_sd: float,
) -> NDArray[np.int64]:
    """Draw cells with the property in the fields of patients, normal on logits.

    Parameters
    ----------
    rng
        Random numbers.
    p
        Share in the median field of the median patient.
    effects
        (repeats, patients) shift of each patient's logit.
    fields, cells
        Fields per patient, cells per field.
    field_sd
        Standard deviation of the fields' logits.

    Returns
    -------
    (repeats, patients, fields) int64
    """
    shift = field_sd * rng.standard_normal((*effects.shape, fields))
    logits = _logit(p) + effects[..., np.newaxis] + shift
    counts: NDArray[np.int64] = rng.binomial(cells, 1 / (1 + np.exp(-logits)))
    return counts


def patient_logits(x: NDArray[Any], n: NDArray[Any] | float) -> NDArray[np.float64]:
    """Logits of pooled counts, half a cell added to either side (Haldane), one per patient."""
    return np.asarray(np.log((x + 0.5) / (n - x + 0.5)))


def _has_ties(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    ordered = np.sort(values, axis=1)
    return np.asarray((ordered[:, 1:] == ordered[:, :-1]).any(axis=1))


def unpaired_p(
    a: NDArray[np.float64], b: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two-sided p of Welch's t and of Mann and Whitney's test, for each row of (patients,)."""
    from scipy import stats

    va, vb = (x.var(axis=1, ddof=1) / x.shape[1] for x in (a, b))
    with np.errstate(invalid="ignore", divide="ignore"):
        df = (va + vb) ** 2 / (va**2 / (a.shape[1] - 1) + vb**2 / (b.shape[1] - 1))
        apart = np.abs(a.mean(axis=1) - b.mean(axis=1)) / np.sqrt(va + vb)
    t = np.where(va + vb > 0, 2 * stats.t.sf(apart, df), 1.0)
    rank = np.empty(len(a))
    ties = _has_ties(np.concatenate([a, b], axis=1))
    for mine, method in ((~ties, "exact" if a.shape[1] < ENOUGH else "asymptotic"),
                         (ties, "asymptotic")):  # fmt: skip
        if mine.any():
            found = stats.mannwhitneyu(a[mine], b[mine], axis=1, method=method)
            rank[mine] = np.nan_to_num(found.pvalue, nan=1.0)
    return np.asarray(t), rank


def paired_p(d: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two-sided p of the t and of Wilcoxon's test, for each row of differences of (patients,)."""
    from scipy import stats

    se = d.std(axis=1, ddof=1) / np.sqrt(d.shape[1])
    with np.errstate(invalid="ignore", divide="ignore"):
        t = np.where(se > 0, 2 * stats.t.sf(np.abs(d.mean(axis=1)) / se, d.shape[1] - 1), 1.0)
    rank = np.ones(len(d))
    zero = (d == 0).all(axis=1)
    # Exact where nothing is tied, else as near as scipy knows; it judges all rows alike.
    ties = (_has_ties(np.abs(d)) | (d == 0).any(axis=1)) & ~zero
    for mine in (~ties & ~zero, ties):
        if mine.any():
            rank[mine] = stats.wilcoxon(d[mine], axis=1, method="auto").pvalue
    return np.asarray(t), rank


def power_table(
    p_first: float,
    p_second: float,
    patients: Sequence[int],
    fields: Sequence[int],
    cells: int,
    *,
    designs: Sequence[str] = DESIGNS,
    patient_sd: float = 0.8,
    field_sd: float = 0.5,
    correlation: float = 0.5,
    repeats: int = 1000,
    seed: int = 0,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Say how often a difference between groups, or between weeks of the same patients, is seen.

    Parameters
    ----------
    p_first, p_second
        Share in the median patient of the first and second group or week.
    patients, fields
        Numbers of patients (in each group, or in all where they are paired) and of fields of
        each biopsy, of which every pair is tried.
    cells
        Counted in each field.
    designs
        Of ``paired`` (weeks of the same patients) and ``unpaired`` (groups).
    patient_sd, field_sd
        Standard deviations on logits, between patients and between fields of one biopsy.
    correlation
        Of the logits of a patient's two weeks; 1 would mean that all patients respond alike.
    repeats, seed, progress
        As in `precision_table`.

    Returns
    -------
    DataFrame
        Columns `POWER_COLUMNS`. ``power`` is that of the test which the toolkit takes for so
        many patients, named in ``test``; NA where it takes none. With equal shares it is the
        rate of false positives.

    Notes
    -----
    One logit per patient goes into the test, whatever the number of cells.
    """
    rows = []
    jobs = [(design, n, m) for design in designs for m in fields for n in patients]
    for done, (design, n, m) in enumerate(jobs, start=1):
        paired = design == "paired"
        what = (3, paired, p_first, p_second, n, m, cells, patient_sd, field_sd, correlation)
        rng = stream(seed, *what)
        shared = rng.standard_normal((repeats, n))
        own = rng.standard_normal((2, repeats, n))
        r = correlation if paired else 0.0
        effects = patient_sd * (np.sqrt(r) * shared + np.sqrt(1 - r) * own)
        logits = [
            patient_logits(
                draw_patients(rng, p, effect, m, cells, field_sd).sum(axis=2), float(m * cells)
            )
            for p, effect in zip((p_first, p_second), effects, strict=True)
        ]
        row: dict[str, Any] = {
            "design": design, "p_first": p_first, "p_second": p_second, "patients": n,
            "fields": m, "cells_per_field": cells, "patient_sd": patient_sd,
            "field_sd": field_sd, "correlation": correlation if paired else np.nan,
            "repeats": repeats, "reason": "", "test": chosen_test(design, n),
        }  # fmt: skip
        if row["test"]:
            by_t, by_rank = paired_p(logits[1] - logits[0]) if paired else unpaired_p(*logits)
            row["power_t"], row["power_rank"] = (float((v < ALPHA).mean()) for v in (by_t, by_rank))
            row["power"] = row["power_t"] if n >= ENOUGH else row["power_rank"]
            row["power_se"] = share_se(round(row["power"] * repeats), repeats)
        else:
            row["reason"] = "too_few_patients"
        rows.append(row)
        if progress:
            progress("patients", done, len(jobs))
    return pd.DataFrame(rows, columns=list(POWER_COLUMNS))


def chosen_test(design: str, patients: int) -> str:
    """Name the test that is taken for so many patients (in each group), empty for none."""
    if design == "paired":
        if patients < FEWEST:
            return ""
        return "paired_t" if patients >= ENOUGH else "signed_rank_exact"
    if 2 * patients < FEWEST or 2 / comb(2 * patients, patients) > ALPHA:
        return ""
    return "welch" if patients >= ENOUGH else "rank_sum_exact"


def field_sd_of(p: float, rho: float) -> float:
    """Find the standard deviation of fields' logits under which cells of a field correlate by rho.

    Parameters
    ----------
    p
        Share in the median field, above 0 and below 1.
    rho
        Correlation of cells of one field, 0 to 0.9.

    Notes
    -----
    rho is the variance of the fields' shares over m (1 - m), m their mean; both by Gauss and
    Hermite's rule.
    """
    from scipy.optimize import brentq

    if rho <= 0:
        return 0.0
    x, w = np.polynomial.hermite_e.hermegauss(101)  # type: ignore[no-untyped-call]
    w = w / w.sum()

    def over(sd: float) -> float:
        q = 1 / (1 + np.exp(-(_logit(p) + sd * x)))
        mean = float(w @ q)
        return float(w @ (q - mean) ** 2) / (mean * (1 - mean)) - rho

    return float(brentq(over, 1e-6, 30.0, xtol=1e-6))
