"""Rendered biopsies beside their truth: fractions by the panel, and what makes the error."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from imganalysis.panel import load_panel

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
A = load_panel("apoptosis")
VITAL, DEAD, LOST = "tumour_vital", "tumour_apoptotic", "tumour_apoptotic_melanA_lost"


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import the benchmark's file, as it is when it is run."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("_rendered")


def test_the_causes_add_up_to_the_error(rendered: Any) -> None:
    rng = np.random.default_rng(3)
    names = [VITAL, DEAD, LOST, "non_tumour", "unresolved"]
    cells = pd.DataFrame(
        {
            "phenotype": rng.choice(names, 500),
            "true_group": rng.choice(names[:4], 500),
            "true_cell": np.arange(1, 501),
            "best_of_cell": True,
            "true_evaluable": True,
        }
    )
    cells.loc[:9, "true_cell"] = 0
    cells.loc[10:19, "true_evaluable"] = False
    cells.loc[20:29, "best_of_cell"] = False
    lost = pd.DataFrame({"group": [DEAD] * 20 + ["non_tumour"] * 7})
    (whole,) = A.fractions
    table = rendered.causes(cells, lost, whole)
    assert table["cells"].sum() == 527
    kept = cells["true_group"][30:].to_list() + lost["group"].to_list()
    share = [
        np.isin(some, whole.numerator).sum() / np.isin(some, whole.denominator).sum()
        for some in (cells["phenotype"], kept)
    ]
    assert table["points"].sum() == pytest.approx(100 * (share[0] - share[1]))
    assert set(table["true"]) >= {"no cell", "outside the true frame", "again a counted cell"}
    none = table[(table["true"] == "non_tumour") & (table["found"] == "not counted")]
    assert none["points"].tolist() == [0.0]
    assert (table.loc[table["true"] == table["found"], "points"] == 0).all()


def test_each_variant_of_a_fraction_is_taken_of_the_truth(rendered: Any) -> None:
    counts = {VITAL: 30, DEAD: 10, LOST: 10, "tumour_candidate": 50}
    truth = pd.DataFrame([{"biopsy": "P", "week": 1, "panel": A.name}])
    truth = truth.assign(**{f"n_{name}": n for name, n in counts.items()})
    name = A.fractions[0].name
    found = pd.DataFrame([{"biopsy": "P", name: 0.5, f"{name}_lo": 0.3, f"{name}_hi": 0.6}])
    found = found.assign(**{f"{name}_{v}": 0.5 for v in A.fractions[0].variants})
    table = rendered.biopsy_rows(found, truth, A).set_index("fraction")
    assert table.loc[name, "truth"] == 40.0
    assert table.loc[f"{name}_strict", "truth"] == 25.0
    assert table.loc[f"{name}_sens", "truth"] == 20.0
    assert table.loc[name, "covered"]
    assert table["found"].tolist() == [50.0] * 4
