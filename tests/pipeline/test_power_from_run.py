"""`imganalysis power --from` on a study that is simulated, analysed, and counted again by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from imganalysis.cli import app
from imganalysis.io import write_labels, write_stack
from imganalysis.opening import open_study
from imganalysis.pipeline import run_study
from imganalysis.settings import Settings
from imganalysis.simulate import load_plan, load_recipe, simulate_study

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = Settings.model_validate(
    {
        "segmentation": {"method": "scikit-image"},
        "gating": {"min_control_cells": 20},
        "output": {"overlays": False, "quality": False},
    }
)
SMALL = ("--fields", "3,10", "--patients", "6,12", "--repeats", "40")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pilot study of docs/power.md in smaller fields."""
    folder = tmp_path_factory.mktemp("pilot")
    plan = load_plan(ROOT / "examples" / "pilot.yaml")
    field = plan.field.model_copy(update={"size_px": 300})
    simulate_study(
        folder / "pilot",
        load_recipe("melanoma"),
        seed=5,
        plan=plan.model_copy(update={"field": field}),
        write_stack=write_stack,
        write_labels=write_labels,
    )
    run_study(open_study(folder / "pilot"), folder / "results", SETTINGS, workers=1)
    return folder / "results"


def power(results: Path, out: Path, *more: str) -> tuple[str, pd.DataFrame]:
    """What is printed, and the table of what was assumed."""
    done = CliRunner().invoke(
        app, ["power", "--from", str(results), "--p2", "0.1", *SMALL, *more, "--out", str(out)]
    )
    assert done.exit_code == 0, done.output
    return done.output, pd.read_csv(out / "assumptions.csv").set_index("name")


def test_what_power_starts_from_is_what_biopsies_csv_says(results: Path, tmp_path: Path) -> None:
    printed, assumed = power(results, tmp_path / "power")
    biopsies = pd.read_csv(results / "biopsies.csv")
    n = biopsies["n_tumour"].to_numpy(dtype=float)
    x = np.round(biopsies["apoptotic_fraction"] * n).to_numpy()
    assert len(biopsies) == 12 and x.sum() > 50, "a study with something in it"
    first = (biopsies["week"] == 0).to_numpy()
    assert float(assumed.loc["p", "value"]) == pytest.approx(
        max(x[first].sum() / n[first].sum(), 0.001), abs=1e-6
    )
    assert assumed.loc["p", "source"].startswith(
        "apoptotic_fraction, 6 biopsies of week 0 (of 0, 1"
    )

    # Spread between patients: of the logits within weeks, less what counting gives.
    rho = float(assumed.loc["rho", "value"])
    logit = np.log((x + 0.5) / (n - x + 0.5))
    left = logit - pd.Series(logit).groupby(biopsies["week"]).transform("mean")
    share = (x + 0.5) / (n + 1)
    design = 1 + (n / biopsies["n_fields"] - 1) * rho
    counting = np.mean(design / ((n + 1) * share * (1 - share)))
    variance = (left**2).sum() / (12 - 2) - counting
    assert float(assumed.loc["patient_sd", "value"]) == pytest.approx(
        np.sqrt(max(variance, 0)), abs=1e-4
    )
    assert assumed.loc["patient_sd", "source"] == "6 patients"
    assert "Answers" in printed and "24 fields of 12 biopsies" in printed


def test_the_correlation_of_a_fields_cells_is_that_of_its_cells(
    results: Path, tmp_path: Path
) -> None:
    """Cell by cell, of the tables of cells: fields within biopsies, one-way."""
    _, assumed = power(results, tmp_path / "power")
    fields = pd.read_csv(results / "fields.csv")
    fields = fields[fields["role"] == "sample"]
    cells = []
    for one in fields.itertuples():
        x = int(one.n_numerator_apoptotic_fraction)
        n = int(one.n_denominator_apoptotic_fraction)
        cells.append(
            pd.DataFrame(
                {"biopsy": one.biopsy, "field": one.field, "y": [1.0] * x + [0.0] * (n - x)}
            )
        )
    table = pd.concat(cells)
    sizes = table.groupby(["biopsy", "field"]).size()
    of_field = table.groupby("field")["y"].transform("mean")
    of_biopsy = table.groupby("biopsy")["y"].transform("mean")
    between = ((of_field - of_biopsy) ** 2).sum() / 12
    within = ((table["y"] - of_field) ** 2).sum() / (len(table) - 24)
    n0 = sum(
        s.sum() - (s**2).sum() / s.sum() for _, s in sizes.groupby(level="biopsy")
    ) / 12  # fmt: skip
    rho = (between - within) / (between + (n0 - 1) * within)
    assert float(assumed.loc["rho", "value"]) == pytest.approx(max(rho, 0.0), abs=1e-5)
    assert assumed.loc["cells", "value"].split()[1] == f"{round(float(sizes.median()))}"
    # The two weeks of each biopsy hold the counts of its fields.
    whole = fields.groupby("biopsy")["n_denominator_apoptotic_fraction"].sum()
    biopsies = pd.read_csv(results / "biopsies.csv").set_index("biopsy")
    assert (whole == biopsies["n_tumour"]).all()


def test_what_is_given_stands_and_the_rest_is_estimated(results: Path, tmp_path: Path) -> None:
    printed, assumed = power(results, tmp_path / "power", "--p", "0.4812345", "--patient-sd", "1.4")
    assert assumed.loc["p", "source"] == assumed.loc["patient_sd", "source"] == "given"
    assert assumed.loc["rho", "source"] == "24 fields of 12 biopsies"
    assert "48.1 % against 10 %" in printed
    answers = pd.read_csv(tmp_path / "power" / "answers.csv")
    assert answers["question"].str.contains("48.1 % against 10 %").any()
