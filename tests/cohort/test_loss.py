"""Loss of the tumour's marker: by field within a patient, one value per patient after that."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from imganalysis.cohort.loss import (
    countable,
    loss_markers,
    loss_over_patients,
    patient_losses,
)
from imganalysis.panel import load_panel
from imganalysis.quantify.association import mantel_haenszel
from imganalysis.tables_cohort import NO_TEST

MARKERS = loss_markers(load_panel("apoptosis"))


def cells(tables: list, patient: str = "A") -> pd.DataFrame:
    """Cells of tables [[a, b], [c, d]]: rows dying or not, columns kept or lost."""
    rows = [
        (s == 0, k == 0, f"{patient}{i}")
        for i, table in enumerate(tables)
        for s in (0, 1)
        for k in (0, 1)
        for _ in range(table[s][k])
    ]
    found = pd.DataFrame(rows, columns=["state", "kept", "field"])
    rng = np.random.default_rng(0)
    levels = {
        f"{name}_level": found[name] + rng.normal(0, 0.1, len(found)) for name in ("state", "kept")
    }
    return found.assign(**levels)


def test_the_markers_of_the_panels() -> None:
    assert MARKERS is not None and (MARKERS.state, MARKERS.kept) == ("casp3", "MelanA")
    assert "tumour_candidate" in MARKERS.classes and "non_tumour" not in MARKERS.classes
    joint = loss_markers(load_panel("joint"))
    assert joint is not None and (joint.state, joint.kept) == ("casp3", "MelanA")
    assert loss_markers(load_panel("infiltrate")) is None


def test_the_oracle_of_the_specification_per_patient() -> None:
    oracle = [[[20, 30], [60, 10]], [[15, 25], [70, 20]]]
    found = patient_losses({"A": cells(oracle)}, MARKERS)
    assert found.loc[0, "odds_ratio"] == pytest.approx(7.16129, abs=5e-6)
    assert (found.loc[0, "n_fields"], found.loc[0, "n_cells"]) == (2, 250)
    assert -1 < found.loc[0, "rank_correlation"] < -0.1, "dying cells have less of the marker"


def test_a_patient_with_many_cells_counts_as_one() -> None:
    rng = np.random.default_rng(1)
    tables = {f"P{i}": rng.integers(5, 40, (3, 2, 2)).tolist() for i in range(8)}
    losses = patient_losses({p: cells(t, p) for p, t in tables.items()}, MARKERS)
    row = loss_over_patients(losses)
    logs = [np.log(mantel_haenszel(t)) for t in tables.values()]
    assert (row["method"], row["n_patients"]) == ("signed_rank_exact", 8)
    walsh = [(a + b) / 2 for i, a in enumerate(logs) for b in logs[i:]]
    assert row["estimate"] == pytest.approx(np.exp(np.median(walsh)))
    many = patient_losses(
        {p: cells((50 * np.array(t)).tolist() if p == "P0" else t, p) for p, t in tables.items()},
        MARKERS,
    )
    assert loss_over_patients(many)["estimate"] == pytest.approx(row["estimate"])
    few = loss_over_patients(losses[:4])
    assert few["estimate"] == pytest.approx(np.exp(np.mean(logs[:4])))


def test_an_infinite_odds_ratio_is_kept_as_one() -> None:
    ever = [[[0, 5], [5, 5]], [[0, 9], [5, 5]]]
    some = [[[20, 30], [60, 10]]]
    parts = {f"P{i}": cells(ever if i < 2 else some, f"P{i}") for i in range(7)}
    row = loss_over_patients(patient_losses(parts, MARKERS))
    assert row["method"] == "sign_exact"
    assert row["estimate"] == pytest.approx(9) and row["hi"] == np.inf
    none = patient_losses({"A": cells([[[0, 0], [5, 5]]])}, MARKERS)
    assert none.loc[0, "reason"] == "no_contrast"
    assert loss_over_patients(none)["reason"] == "no_contrast"


def test_no_p_stands_beside_a_ratio_that_hangs_on_other_cells() -> None:
    rng = np.random.default_rng(1)
    for n in (3, 8, 14):
        tables = {f"P{i}": rng.integers(5, 40, (3, 2, 2)).tolist() for i in range(n)}
        row = loss_over_patients(
            patient_losses({p: cells(t, p) for p, t in tables.items()}, MARKERS)
        )
        assert np.isfinite(row["estimate"]) and np.isfinite(row["lo"])
        assert np.isnan(row["p"]) and row["reason"] == "cells_uncertain" in NO_TEST


def test_who_counts_does_not_depend_on_the_marker_that_may_be_lost() -> None:
    base = {
        "field": "F", "label": 1, "cell_id": 1, "equivalent_diameter_um": 10.0, "evaluable": True,
        "region": "tumour", "phenotype": "tumour_vital", "casp3_call": "negative",
        "MelanA_call": "positive", "MelanA_ring_mean": 7.0, "casp3_nucleus_mean": 2.0,
        "casp3_ring_mean": 3.0, "ring_area_um2": 20.0,
    }  # fmt: skip
    found = countable(pd.DataFrame([base]), MARKERS)
    assert found[["state_level", "kept_level"]].to_numpy().tolist() == [[3.0, 7.0]]
    rows = [
        ({}, True),
        ({"phenotype": "tumour_candidate", "MelanA_call": "negative"}, True),
        ({"equivalent_diameter_um": 7.0}, False),  # small, without the state: with the marker too
        ({"equivalent_diameter_um": 7.0, "phenotype": "tumour_candidate",
          "MelanA_call": "negative"}, False),
        ({"casp3_call": "positive", "phenotype": "tumour_apoptotic",
          "equivalent_diameter_um": 5.0}, True),
        ({"casp3_call": "positive", "phenotype": "tumour_apoptotic_melanA_lost",
          "MelanA_call": "negative", "equivalent_diameter_um": 5.0}, True),
        ({"MelanA_call": "indeterminate", "phenotype": "unresolved"}, False),
        ({"region": "stroma"}, False),
        ({"evaluable": False}, False),
        ({"label": 2}, False),  # a fragment of cell 1
        ({"phenotype": "non_tumour", "MelanA_call": "negative"}, False),
    ]  # fmt: skip
    for change, counts in rows:
        found = countable(pd.DataFrame([base | change]), MARKERS)
        assert len(found) == counts, change
