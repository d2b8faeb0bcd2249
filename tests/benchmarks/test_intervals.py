"""Simulated trials, small: intervals cover, the naive ones do not, no p-value pools cells."""

from __future__ import annotations

import ast
import importlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from imganalysis.panel import load_panel
from imganalysis.settings import Settings
from imganalysis.simulate.trial import Trial

ROOT = Path(__file__).resolve().parents[2]
A = load_panel("apoptosis")


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a file of the benchmarks, as it is when it is run."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module


def test_intervals_cover_the_expected_value_of_each_biopsy(load: Any) -> None:
    trials = load("_trials")
    tables = [
        trials.quick_trial(Trial(), A, seed, Settings(), drawn=False) for seed in range(100, 112)
    ]
    every = pd.concat(tables)
    every = every[every["expected"].notna()]
    middle = every[every["expected"].between(0.3, 0.5)]
    assert len(every) == 12 * 71 and len(middle) > 100
    assert trials.covered(every).mean() >= 0.92
    assert 0.9 <= trials.covered(middle).mean() <= 0.99
    assert trials.covered(middle, "naive_lo", "naive_hi").mean() < 0.7


def test_contexts_from_the_truth_are_those_from_the_neighbours(load: Any) -> None:
    trials = load("_trials")
    trial = Trial(patients=4)
    whole = trials.whole_trial(trial, A, 8, Settings())
    quick = trials.quick_trial(trial, A, 8, Settings())
    with_tumour = whole["expected"].notna().to_numpy()
    assert with_tumour.sum() == 11
    for column in ("value", "lo", "hi", "total_lo", "total_hi"):
        apart = np.abs(whole[column].to_numpy() - quick[column].to_numpy())[with_tumour]
        assert apart.max() < 0.02, column
    assert trials.covered(whole)[with_tumour].mean() >= 0.8
    gone = whole[~with_tumour].iloc[0]
    assert math.isnan(gone["value"])
    assert "apoptotic_fraction: no_evaluable_tumour" in gone["reason"]


def test_fields_of_alike_cells(load: Any) -> None:
    (row,) = load("intervals").beta_binomial(5, 300)
    assert 0.91 <= row[4] <= 0.98 and row[6] < 0.7


def test_no_test_in_the_package_takes_cells_for_independent() -> None:
    """Tests of tables of counts, and of two samples, have no place where cells are counted."""
    forbidden = {
        "chi2_contingency", "fisher_exact", "chisquare", "power_divergence", "barnard_exact",
        "boschloo_exact", "ttest_ind", "mannwhitneyu", "ks_2samp", "proportions_ztest",
        "proportions_chisquare", "test_proportions_2indep", "binomtest",
    }  # fmt: skip
    paths = [*ROOT.glob("imganalysis/quantify/*.py"), *ROOT.glob("imganalysis/classify/*.py")]
    paths += [ROOT / "imganalysis" / f"{n}.py" for n in ("counting", "counted", "doubts", "moving")]
    assert len(paths) > 30
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(node, "attr", getattr(node, "id", getattr(node, "name", "")))
            assert name not in forbidden, f"{path.name}: {name}"
