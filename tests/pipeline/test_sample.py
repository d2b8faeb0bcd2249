"""The sample study, analysed as a newcomer does it, against its truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from imganalysis.opening import open_study, sample_study
from imganalysis.pipeline import run_study
from imganalysis.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def biopsies(sample_data: Path, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    out = tmp_path_factory.mktemp("demo")
    study = open_study(sample_study(None, out))
    assert study.root == sample_data
    settings = Settings.model_validate({"output": {"overlays": False}})
    return run_study(study, out / "results", settings).biopsies.set_index("biopsy")


@pytest.fixture(scope="module")
def truth(sample_data: Path) -> pd.DataFrame:
    return pd.read_csv(sample_data / "truth" / "biopsies.csv")


def test_the_intervals_hold_the_truth(biopsies: pd.DataFrame, truth: pd.DataFrame) -> None:
    checked = 0
    for _, row in truth.iterrows():
        for name in ("apoptotic_fraction", "pct_T", "pct_NK", "pct_CD3CD56"):
            if np.isfinite(row[name]):
                ours = biopsies.loc[row["biopsy"]]
                assert ours[f"{name}_lo"] <= row[name] <= ours[f"{name}_hi"], (row["biopsy"], name)
                checked += 1
    assert checked >= 2 + 3 * 3


def test_where_no_tumour_is_left_there_is_no_fraction(
    biopsies: pd.DataFrame, truth: pd.DataFrame
) -> None:
    gone = truth[truth["reason"] == "no_evaluable_tumour"]["biopsy"].tolist()
    assert len(gone) == 1
    row = biopsies.loc[gone[0]]
    assert np.isnan(row["apoptotic_fraction"])
    assert "apoptotic_fraction: no_evaluable_tumour" in row["reason"]
    assert row["pct_T"] > 50


def test_fields_and_cells_are_enough(biopsies: pd.DataFrame, truth: pd.DataFrame) -> None:
    with_tumour = truth[truth["apoptotic_fraction"].notna()]
    assert (with_tumour["n_fields"] >= 3).all()
    true_tumour = with_tumour.filter(regex="^n_tumour_(vital|apoptotic)").sum(axis=1)
    assert (true_tumour >= 200).all()
    assert (biopsies.loc[with_tumour["biopsy"], "n_tumour"] >= 200).all()
    assert (biopsies["n_fields_failed"] == 0).all()
