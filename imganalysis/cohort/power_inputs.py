"""What a study of one's own says of the numbers that a question of power starts from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis import tables as t
from imganalysis.cohort.agreement import Statistic
from imganalysis.cohort.power_patients import patient_logits
from imganalysis.errors import TableError
from imganalysis.quantify.statistics import cluster_proportion
from imganalysis.quantify.summary import SIDES
from imganalysis.run_file import read_panels

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

FIELDS = "fields.csv"
LEAST_BIOPSIES = 3
"""With two fields or more each, for the correlation within fields."""
LEAST_PATIENTS = 6
"""For the spread between patients, and for the correlation of their weeks."""


@dataclass(frozen=True)
class PowerInputs:
    """Estimates from a folder of results; NaN with a reason where there is too little.

    Parameters
    ----------
    fraction
        Whose they are.
    shares
        Week -> share over its biopsies, clustered by biopsy, and their number; weeks in order.
        NaN is the week of biopsies that name none, where none does; else they are in no share.
    rho
        Correlation of cells of one field, within biopsies.
    patient_sd
        Standard deviation of patients' logits, sampling error taken off, weeks held apart.
    correlation
        Of the logits of a patient's two weeks.
    cells
        Median, and quartiles, of cells per field.
    n_patients, n_biopsies, n_fields
        That they come from.
    """

    fraction: str
    shares: dict[float, tuple[Statistic, int]]
    rho: Statistic
    patient_sd: Statistic
    correlation: Statistic
    cells: Statistic
    n_patients: int
    n_biopsies: int
    n_fields: int


def read_inputs(folder: Path, *, fraction: str | None = None) -> PowerInputs:
    """Estimate what a question of power needs from the results of a run.

    Parameters
    ----------
    folder
        Of results: ``fields.csv`` and ``run.json`` are read.
    fraction
        Its name; the panels' endpoint by default.

    Raises
    ------
    StudyError
        No results of a run.
    TableError
        No such fraction, or no cell of it.
    """
    counts = field_counts(folder, fraction)
    return estimate_inputs(counts, counts.attrs["fraction"])


def field_counts(folder: Path, fraction: str | None = None) -> pd.DataFrame:
    """Count cells of a fraction's numerator and denominator in each field of a run.

    Returns
    -------
    DataFrame
        ``patient``, ``biopsy``, ``week`` (text), ``x``, ``n``; fields with cells only.
    """
    panels = read_panels(folder)
    found = {(f.name, f.endpoint): None for panel in panels.values() for f in panel.fractions}
    chosen = fraction or next((name for name, endpoint in found if endpoint), None)
    if chosen is None or chosen not in {name for name, _ in found}:
        names = ", ".join(dict.fromkeys(name for name, _ in found)) or "none"
        raise TableError(f"{folder}: no fraction {chosen or 'that is an endpoint'}; it has {names}")
    fields = t.read_csv(folder / FIELDS, dtype={"patient": str, t.BIOPSY: str, "week": str})
    needed = ["patient", t.BIOPSY, "week", t.PANEL, "status"]
    t.require(fields, needed, source=str(folder / FIELDS))
    fields = fields[fields["status"] == "analysed"]
    rows = []
    for name, panel in panels.items():
        own = next((f for f in panel.fractions if f.name == chosen), None)
        mine = fields[fields[t.PANEL] == name]
        if own is None or mine.empty:
            continue
        # Those that biopsies.csv is made of: also cells whose open class does not matter.
        columns = {key: t.side_column(chosen, side) for key, side in zip("xn", SIDES, strict=True)}
        t.require(mine, list(columns.values()), source=str(folder / FIELDS))
        one = mine[["patient", t.BIOPSY, "week"]].fillna("")
        for key, column in columns.items():
            one[key] = mine[column]
        rows.append(one)
    table = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=["n"])
    table = table[table["n"] > 0].reset_index(drop=True)
    if table.empty:
        raise TableError(f"{folder}: no field with a cell of the denominator of {chosen}")
    table[["x", "n"]] = table[["x", "n"]].astype(float)
    # Without a name every biopsy is taken for a patient of its own.
    table["patient"] = table["patient"].where(table["patient"] != "", table[t.BIOPSY])
    table.attrs["fraction"] = chosen
    return table


def estimate_inputs(counts: pd.DataFrame, fraction: str) -> PowerInputs:
    """Estimate shares and spreads from counts per field.

    Parameters
    ----------
    counts
        As `field_counts` gives them.
    fraction
        Its name.
    """
    biopsies = counts.groupby(t.BIOPSY, sort=False).agg(
        patient=("patient", "first"), week=("week", "first"), x=("x", "sum"), n=("n", "sum"),
        fields=("n", "size"),
    )  # fmt: skip
    rho = _rho_with_interval(counts)
    quartiles = np.quantile(counts["n"], (0.25, 0.5, 0.75))
    deviation, noise = _deviations(biopsies, 0.0 if np.isnan(rho.value) else max(rho.value, 0.0))
    return PowerInputs(
        fraction,
        _shares(biopsies),
        rho,
        *_spread(biopsies, deviation, noise),
        Statistic(float(quartiles[1]), float(quartiles[0]), float(quartiles[2]), "quartiles"),
        biopsies["patient"].nunique(),
        len(biopsies),
        len(counts),
    )


def _shares(biopsies: pd.DataFrame) -> dict[float, tuple[Statistic, int]]:
    """Share of each week; a share over weeks would be of no biopsy that there is."""
    week = pd.to_numeric(biopsies["week"], errors="coerce")
    if week.isna().all():
        week = week.fillna(np.inf)  # a group of its own
    found = {}
    for at, own in biopsies.groupby(week):
        e = cluster_proportion(own["x"].to_numpy(), own["n"].to_numpy())
        name = float("nan") if np.isinf(at) else float(at)
        found[name] = (Statistic(e.value, e.lo, e.hi, e.method), len(own))
    return found


def pooled_rho(groups: Sequence[tuple[NDArray[Any], NDArray[Any]]]) -> float:
    """Correlation of cells of one field, pooled over biopsies.

    Parameters
    ----------
    groups
        For each biopsy with two fields or more: (fields,) cells with the property, and all.

    Returns
    -------
    float
        NaN where it cannot be had. Of one biopsy the same as `anova_icc`.

    Notes
    -----
    One-way analysis of variance of the fields within biopsies (Ridout, Demetrio and Firth,
    Biometrics 1999;55:137, estimator AOV, sums of squares pooled).
    """
    between = within = n0 = 0.0
    df = cells = 0
    for x, n in groups:
        p, total = x / n, float(n.sum())
        between += float((n * (p - x.sum() / total) ** 2).sum())
        within += float((n * p * (1 - p)).sum())
        n0 += total - float((n**2).sum()) / total
        df += len(n) - 1
        cells += int(total) - len(n)
    if df < 1 or cells < 1:
        return float("nan")
    between, within, n0 = between / df, within / cells, n0 / df
    whole = between + (n0 - 1) * within
    return (between - within) / whole if whole > 0 else float("nan")


def _rho_with_interval(counts: pd.DataFrame) -> Statistic:
    """Pooled correlation with the interval of the jackknife over biopsies."""
    from scipy import stats

    groups = [
        (g["x"].to_numpy(), g["n"].to_numpy())
        for _, g in counts.groupby(t.BIOPSY, sort=False)
        if len(g) > 1
    ]
    k = len(groups)
    value = pooled_rho(groups) if groups else float("nan")
    if k < LEAST_BIOPSIES or np.isnan(value):
        return Statistic(value, reason="too_few_fields")
    left = np.array([pooled_rho(groups[:i] + groups[i + 1 :]) for i in range(k)])
    pseudo = k * value - (k - 1) * left
    half = float(stats.t.ppf(0.975, k - 1) * pseudo.std(ddof=1) / np.sqrt(k))
    return Statistic(value, max(value - half, -1.0), min(value + half, 1.0), "jackknife")


def _deviations(biopsies: pd.DataFrame, rho: float) -> tuple[pd.Series[float], float]:
    """Logit of each biopsy less its week's mean, and the mean variance by counting alone."""
    x, n = biopsies["x"].to_numpy(), biopsies["n"].to_numpy()
    logit = pd.Series(patient_logits(x, n), index=biopsies.index)
    p = (x + 0.5) / (n + 1)
    deff = 1 + (n / biopsies["fields"].to_numpy() - 1) * rho
    noise = float((deff / ((n + 1) * p * (1 - p))).mean())
    return logit - logit.groupby(biopsies["week"]).transform("mean"), noise


def _spread(
    biopsies: pd.DataFrame, deviation: pd.Series[float], noise: float
) -> tuple[Statistic, Statistic]:
    """Spread between patients, and correlation of their first two weeks."""
    from scipy import stats

    patients = biopsies["patient"].nunique()
    df = len(biopsies) - biopsies["week"].nunique()
    if patients < LEAST_PATIENTS or df < 1:
        few = Statistic(reason="too_few_patients")
        return few, few
    total = float((deviation**2).sum()) / df
    # Biopsies of one patient are alike: no more degrees of freedom than patients.
    free = min(df, patients - 1)
    ends = [total * free / float(stats.chi2.ppf(q, free)) - noise for q in (0.975, 0.025)]
    variance = max(total - noise, 0.0)
    lo, hi = (float(np.sqrt(max(v, 0.0))) for v in ends)
    sd = Statistic(float(np.sqrt(variance)), lo, hi, "moments")
    pairs = [
        g.to_numpy()[:2]
        for _, g in deviation.groupby(biopsies["patient"], sort=False)
        if len(g) > 1
    ]
    if len(pairs) < LEAST_PATIENTS:
        return sd, Statistic(reason="too_few_patients")
    if variance <= 0:
        return sd, Statistic(reason="within_counting")
    both = np.array(pairs)
    raw = float(np.clip((both[:, 0] * both[:, 1]).mean() / (both**2).mean(), -0.999, 0.999))
    half = 1.96 / np.sqrt(len(pairs) - 3)
    less = total / variance  # counting alone makes weeks look less alike
    ends = [float(np.tanh(np.arctanh(raw) + s * half)) * less for s in (-1, 1)]
    value, lo, hi = (float(np.clip(v, -1, 1)) for v in (raw * less, *ends))
    return sd, Statistic(value, lo, hi, "moments")
