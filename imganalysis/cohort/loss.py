"""Whether dying tumour cells have lost the tumour's marker: by field, then over patients."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis import tables as t
from imganalysis import tables_cohort as c
from imganalysis.classify.calls import measure_values
from imganalysis.cohort.compare import Comparison, one_sample, sign_sample
from imganalysis.cohort.weeks import effect_columns
from imganalysis.quantify.association import loss_odds_ratio, rank_correlation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imganalysis.panel import Measure, Panel

MARKER_LOSS = "marker_loss"
TUMOUR = "tumour"
SENS = "sens"
"""Variant of the endpoint whose denominator has the large nuclei without either marker too."""
NO_P = "cells_uncertain"
"""Why no p stands beside the odds ratio over patients."""

ERRS = (
    "marker loss has no p: its odds ratio is too low where large nuclei of other kinds lie in the "
    "tumour (they count as loss without dying), and too high where many lymphocytes die there "
    "(they count as dying cells that lost the marker)"
)
LOSS_COLUMNS: dict[str, str] = {
    c.PATIENT: "the patient",
    "state": "marker of the state",
    "lost": "marker that may be lost",
    "odds_ratio": "odds of having lost the marker, of cells in the state over cells without it; "
    "Mantel and Haenszel's, stratified by field; mostly too low, see above",
    c.LO: "its interval by resampling fields; too narrow with few fields, and it does not know of "
    "cells of other kinds",
    c.HI: "the other end",
    "rank_correlation": "Spearman's correlation of the two markers' levels in the same cells, "
    "within fields: under 0 where cells high in the one are low in the other; errs likewise",
    "rank_correlation_lo": "its interval by resampling fields",
    "rank_correlation_hi": "the other end",
    "n_fields": "fields that tell something",
    "n_cells": "their cells",
    c.REASON: "why the odds ratio or its interval is empty: `no_contrast`, `one_field`, "
    "`no_interval`",
    "rank_correlation_reason": "likewise of the correlation",
}


@dataclass(frozen=True)
class Markers:
    """Between which markers of a panel a loss is looked for, and in which cells.

    Parameters
    ----------
    state, kept
        The death marker, and the tumour's own marker.
    classes
        Classes that may be tumour cells with or without either marker.
    min_diameter_um
        Of the nuclei without the state that count.
    measures
        Of the state and of the marker: their levels.
    """

    state: str
    kept: str
    classes: tuple[str, ...]
    min_diameter_um: float
    measures: tuple[Measure, Measure]


def loss_markers(panel: Panel) -> Markers | None:
    """Find what a loss is looked for in.

    Returns
    -------
    Markers or None
        None where the panel has no death marker, not one marker of its tumour region beside it,
        or no variant `SENS` of its endpoint, which says what a tumour cell without either
        marker is.
    """
    if panel.death_marker is None or panel.region is None:
        return None
    own = [m for m in panel.region.positive if m != panel.death_marker]
    variants = [f.variants[SENS] for f in panel.fractions if f.endpoint and SENS in f.variants]
    if len(own) != 1 or len(variants) != 1:
        return None
    classes = tuple(variants[0].denominator)
    levels = [panel.channel(name).measures[0] for name in (panel.death_marker, own[0])]
    return Markers(
        panel.death_marker, own[0], classes, panel.region.min_diameter_um, (levels[0], levels[1])
    )


def countable(cells: pd.DataFrame, markers: Markers) -> pd.DataFrame:
    """Cells of which a loss can be told: ``state``, ``kept``, their two levels, ``field``.

    Parameters
    ----------
    cells
        Of one field, columns as in ``cells/``.
    markers
        From `loss_markers`.

    Returns
    -------
    DataFrame
        Evaluable cells of the tumour region and of a class that may be tumour; of those without
        the state only large nuclei, as of those without either marker no others can be told from
        lymphocytes. So who counts depends on the state and the size, not on the marker that may
        be lost, and the odds ratio is not turned by it. But some are of other kinds: large
        nuclei with neither marker count as loss without the state, so that the ratio errs towards
        no loss; and lymphocytes in the state that do not look lymphoid count as loss with it.
    """
    calls = [t.call_column(m) for m in (markers.state, markers.kept)]
    t.require(cells, [t.FIELD, t.LABEL, t.CELL_ID, t.DIAMETER, t.EVALUABLE, t.REGION,
                      t.PHENOTYPE, *calls], source="cells/")  # fmt: skip
    keep = cells[t.EVALUABLE].astype(bool) & (cells[t.LABEL] == cells[t.CELL_ID])
    keep &= (cells[t.REGION] == TUMOUR) & cells[t.PHENOTYPE].isin(markers.classes)
    for column in calls:
        keep &= cells[column].isin([t.POSITIVE, t.NEGATIVE])
    has = cells[calls[0]] == t.POSITIVE
    keep &= has | (cells[t.DIAMETER] >= markers.min_diameter_um)
    mine = cells[keep]
    state, kept = ((mine[column] == t.POSITIVE).to_numpy(bool) for column in calls)
    pairs = zip((markers.state, markers.kept), markers.measures, strict=True)
    levels = [measure_values(mine, marker, measure) for marker, measure in pairs]
    field = mine[t.FIELD].astype(str).to_numpy()
    found = {"state": state, "kept": kept, "state_level": levels[0], "kept_level": levels[1]}
    return pd.DataFrame({**found, "field": field})


def patient_losses(
    cells: Mapping[str, pd.DataFrame], markers: Markers, *, confidence: float = 0.95
) -> pd.DataFrame:
    """Odds ratio of loss of each patient, and correlation of the levels, by field.

    Parameters
    ----------
    cells
        patient -> `countable` of all of its fields.
    markers
        From `loss_markers`.
    confidence
        Of the intervals.

    Returns
    -------
    DataFrame
        One row per patient, columns `LOSS_COLUMNS`.
    """
    rows = []
    for patient in sorted(cells):
        mine = cells[patient]
        found = loss_odds_ratio(mine["state"], mine["kept"], mine["field"], confidence=confidence)
        rank = rank_correlation(
            mine["kept_level"], mine["state_level"], mine["field"], confidence=confidence
        )
        rows.append(
            {
                c.PATIENT: patient,
                "state": markers.state,
                "lost": markers.kept,
                "odds_ratio": found.value,
                c.LO: found.lo,
                c.HI: found.hi,
                "rank_correlation": rank.value,
                "rank_correlation_lo": rank.lo,
                "rank_correlation_hi": rank.hi,
                "n_fields": found.n_fields,
                "n_cells": found.n_cells,
                c.REASON: found.reason,
                "rank_correlation_reason": rank.reason,
            }
        )
    return pd.DataFrame(rows, columns=list(LOSS_COLUMNS))


def loss_over_patients(losses: pd.DataFrame, *, confidence: float = 0.95) -> dict[str, Any]:
    """Combine the patients' odds ratios: one value per patient, whatever its number of cells.

    Returns
    -------
    dict
        A row of tests.csv, without p: what is found hangs on cells of other kinds, more so the
        more patients there are, and a test would call that a finding.
    """
    ratio = losses["odds_ratio"].to_numpy(np.float64)
    ratio = ratio[~np.isnan(ratio)]
    with np.errstate(divide="ignore"):
        logs = np.log(ratio)
    if logs.size == 0:
        found = Comparison(reason="no_contrast")
    elif np.isfinite(logs).all():
        found = one_sample(logs, confidence=confidence, t_method="patient_t")
    else:
        found = sign_sample(logs, confidence=confidence)
    if logs.size:
        found = replace(found, p=float("nan"), reason=NO_P)
    state, lost = losses["state"].iloc[0], losses["lost"].iloc[0]
    return {
        c.QUESTION: MARKER_LOSS,
        c.ENDPOINT: f"{lost} lost with {state}",
        c.TITLE: f"{lost} lost in {state} positive cells",
        c.REFERENCE: f"{state} negative",
        c.GROUP: f"{state} positive",
        **effect_columns(found, "odds_ratio"),
        c.N_NA: int(losses["odds_ratio"].isna().sum()),
    }
