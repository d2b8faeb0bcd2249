"""A trial without pictures: tables of measured cells, with their truth, for many patients.

Patients differ, fields of one biopsy differ, and cells come from log-normal intensities; controls
hold negatives only. What is called, gated and counted from it is the second half's own work. No
marker is named here: one lineage marker and the death marker of a panel are made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from imganalysis import tables as t

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imganalysis.panel import Panel

    Floats = NDArray[np.float64]

VITAL, DYING, OTHER = range(3)
"""Kinds of cells, in the column `TRUE_KIND`."""

TRUE_KIND = "true_kind"
SIDE_UM = 238.0
CONTROL_ROLE = "secondary_only"


@dataclass(frozen=True)
class Trial:
    """What the tissue and the stains of a trial are like.

    Parameters
    ----------
    patients, weeks
        One biopsy per patient and week.
    share
        Dying tumour cells at each week, in a patient and field like the middle one.
    patient_sd, field_sd
        On the logit of that share.
    without_tumour
        Weeks at which the first patient has no tumour left.
    fields
        Of each biopsy.
    tumour_cells, others
        Cells of a field, on average (Poisson).
    tumour_side
        Share of the field's width in which the tumour lies; the others lie beyond.
    loss
        A dying cell's lineage marker is that of a vital one times exp(-loss s), s uniform.
    low
        Share of vital cells whose lineage marker is a tenth.
    lineage_ratio, death_ratio
        Median of the positive cells over that of the negative ones.
    negative_sd, positive_sd
        Of log intensities.
    control_fields, control_cells
        Fields of controls, and cells of each.
    field_jitter
        SD of the log of a field's brightness, controls too.
    """

    patients: int = 24
    weeks: tuple[int, ...] = (0, 1, 4)
    share: tuple[float, ...] = (0.01, 0.4, 0.05)
    patient_sd: float = 0.8
    field_sd: float = 0.5
    without_tumour: tuple[int, ...] = (4,)
    fields: int = 5
    tumour_cells: float = 80.0
    others: float = 60.0
    tumour_side: float = 0.6
    loss: float = 3.0
    low: float = 0.07
    lineage_ratio: float = 9.0
    death_ratio: float = 9.0
    negative_sd: float = 0.35
    positive_sd: float = 0.35
    control_fields: int = 9
    control_cells: int = 250
    field_jitter: float = 0.0


@dataclass(frozen=True)
class TrialCells:
    """Cells of a trial, all fields together.

    Parameters
    ----------
    cells
        One row per cell: place, shape, measures, `TRUE_KIND`.
    fields
        One row per field: the columns of `imganalysis.records.PLACE`, patient and week.
    expected
        Biopsy -> its apoptotic fraction if every call were true and it had fields without end:
        dying tumour cells over these and the vital ones with a lineage marker of at least a
        quarter of the middle one's; NaN without tumour.
    """

    cells: pd.DataFrame
    fields: pd.DataFrame
    expected: pd.Series


def expit(x: Floats) -> Floats:
    """Logistic function."""
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


def mean_share(logit: Floats, sd: float, points: int = 41) -> Floats:
    """Mean of expit(logit + sd Z) over a normal Z, by Gauss and Hermite's rule."""
    from scipy.special import roots_hermitenorm

    nodes, weights = roots_hermitenorm(points)
    values = expit(np.asarray(logit)[..., np.newaxis] + sd * nodes)
    return np.asarray(values @ weights / weights.sum())


def simulate_trial(trial: Trial, panel: Panel, *, seed: int) -> TrialCells:
    """Make the cells of a trial.

    Parameters
    ----------
    trial
        What it is like.
    panel
        Has a death marker, and a lineage marker: the first of its gated channels of that role.
    seed
        The same seed gives the same cells.

    Returns
    -------
    TrialCells
        Samples first, then controls.
    """
    rng = np.random.default_rng(seed)
    weeks, m = len(trial.weeks), trial.fields
    centre = np.log(np.array(trial.share) / (1 - np.array(trial.share)))
    person = rng.normal(0, trial.patient_sd, trial.patients)
    logit = (person[:, np.newaxis] + centre).ravel()  # patient by patient, week by week
    alive = np.ones(logit.size, dtype=bool)
    alive[:weeks] = ~np.isin(trial.weeks, trial.without_tumour)
    dying = mean_share(logit, trial.field_sd)
    # Vital cells that are truly faint are negative by definition, so not in the denominator.
    expected = np.where(alive, dying / (dying + (1 - dying) * (1 - trial.low)), np.nan)
    of_field = expit(np.repeat(logit, m) + rng.normal(0, trial.field_sd, logit.size * m))
    n_tumour = np.where(np.repeat(alive, m), rng.poisson(trial.tumour_cells, of_field.size), 0)
    n_other = rng.poisson(trial.others, of_field.size)
    n_control = np.full(trial.control_fields, trial.control_cells)
    field = np.concatenate(
        [
            np.repeat(np.arange(of_field.size), n_tumour),
            np.repeat(np.arange(of_field.size), n_other),
            np.repeat(of_field.size + np.arange(trial.control_fields), n_control),
        ]
    )
    first, of_tumour = int(n_tumour.sum()), np.arange(field.size) < int(n_tumour.sum())
    kind = np.full(field.size, OTHER)
    kind[:first] = np.where(rng.random(first) < of_field[field[:first]], DYING, VITAL)
    order = np.argsort(field, kind="stable")
    field, kind, of_tumour = field[order], kind[order], of_tumour[order]
    values = _measures(rng, trial, panel, field, kind)
    names, places = _places(trial, panel, of_field.size)
    shapes = _shapes(rng, trial, field, of_tumour)
    cells = pd.DataFrame({t.FIELD: names[field], **shapes, **values, TRUE_KIND: kind})
    biopsies = [f"P{p:02d}w{week}" for p in range(trial.patients) for week in trial.weeks]
    return TrialCells(cells, places, pd.Series(expected, index=biopsies))


def _measures(
    rng: np.random.Generator, trial: Trial, panel: Panel, field: NDArray[np.intp], kind: Floats
) -> dict[str, Floats]:
    """Values that gates are set on; rings are even, so that no cell looks granular."""
    lineage = next(c for c in panel.gated if c.role == "lineage")
    death = panel.channel(panel.death_marker or "")
    n = field.size
    bright = np.exp(rng.normal(0, trial.field_jitter, int(field.max(initial=0)) + 1))[field]
    lost = np.exp(-trial.loss * rng.random(n))
    faint = np.where(rng.random(n) < trial.low, 0.1, 1.0)
    signal = {
        lineage.marker: np.select([kind == VITAL, kind == DYING], [faint, lost], 0.0)
        * (trial.lineage_ratio - 1),
        death.marker: (kind == DYING) * (trial.death_ratio - 1.0),
    }
    found: dict[str, Floats] = {}
    for channel in (lineage, death):
        level = signal[channel.marker]
        # Stain upon a background that every cell has; a cell without stain is the background's.
        spread = np.where(level > 0, trial.positive_sd, trial.negative_sd)
        value = 10.0 * bright * (1.0 + level) * np.exp(rng.normal(0, 1, n) * spread)
        found |= dict.fromkeys(channel.columns, value)
        for part in ("nucleus", "ring"):
            found[t.measure_column(channel.marker, part, "mean")] = value
        found[t.measure_column(channel.marker, "ring", "sd")] = 0.3 * value
    return found


def _shapes(
    rng: np.random.Generator, trial: Trial, field: NDArray[np.intp], of_tumour: NDArray[np.bool_]
) -> dict[str, NDArray[np.generic]]:
    n = field.size
    edge = trial.tumour_side * SIDE_UM
    x = np.where(of_tumour, rng.uniform(0, edge, n), rng.uniform(edge, SIDE_UM, n))
    start = np.searchsorted(field, field)
    return {
        t.LABEL: np.arange(n) - start + 1,
        t.Y: rng.uniform(0, SIDE_UM, n),
        t.X: x,
        t.DIAMETER: np.where(of_tumour, rng.normal(9.5, 0.7, n), rng.normal(6.5, 0.5, n)),
        t.ASPECT: np.full(n, 1.1),
        t.CAP: np.zeros(n, dtype=bool),
        t.EVALUABLE: np.ones(n, dtype=bool),
        t.EXCLUSION: np.full(n, "", dtype=object),
    }


def _places(trial: Trial, panel: Panel, samples: int) -> tuple[NDArray[np.object_], pd.DataFrame]:
    """Names of the fields, and where each is from."""
    rows = []
    for i in range(samples):
        biopsy, number = divmod(i, trial.fields)
        person, week = divmod(biopsy, len(trial.weeks))
        rows.append((f"P{person:02d}", trial.weeks[week], f"f{number}", "sample"))
    rows += [("", -1, f"control{i}", CONTROL_ROLE) for i in range(trial.control_fields)]
    table = [
        {
            t.FIELD: f"{patient}w{week}{name}" if patient else name,
            t.BIOPSY: f"{patient}w{week}" if patient else "",
            t.SECTION: "S1",
            t.ROLE: role,
            t.PANEL: panel.name,
            t.BATCH: "B1",
            t.ACQUISITION: "A1",
            "patient": patient,
            "week": week,
        }
        for patient, week, name, role in rows
    ]
    places = pd.DataFrame(table)
    return places[t.FIELD].to_numpy(dtype=object), places
