"""Made-up results and clinical tables. No patient stands behind any of them."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from imganalysis.panel import load_panel
from imganalysis.tables import write_csv

if TYPE_CHECKING:
    from collections.abc import Callable

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def trial(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The simulation of the benchmarks."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("_trial")


@pytest.fixture
def clinical_file(tmp_path: Path) -> Callable[[str], Path]:
    """Write a clinical table and give its path."""

    def write(text: str, name: str = "clinical.csv") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


GONE = "apoptotic_fraction: no_evaluable_tumour"
PANELS = ("apoptosis", "infiltrate")


def made_up(
    patients: int = 8,
    weeks: tuple[float, ...] = (0.0, 1.0, 4.0),
    *,
    form: str = "unknown",
    gone: int = 2,
    names: Any = None,
) -> pd.DataFrame:
    """Biopsies with the columns that a run of the built-in panels would write."""
    rng = np.random.default_rng(7)
    rows = []
    for i in range(patients):
        patient = names[i] if names else f"P{i + 1:02}"
        for week in weeks:
            none = week == weeks[-1] and i < gone
            n = 0 if none else 300 + 10 * i
            x = int(rng.binomial(n, 0.03 if week == 0 else 0.4)) if n else 0
            lymph = int(rng.integers(100, 400))
            t, nk = int(0.9 * lymph), int(0.04 * lymph)
            both = lymph - t - nk
            row: dict[str, Any] = {
                "biopsy": f"{patient}-W{week:g}", "patient": patient, "lesion": "L1",
                "week": week, "n_tumour": n,
                "apoptotic_fraction": x / n if n else np.nan,
                "apoptotic_fraction_lo": max(0, x / n - 0.06) if n else np.nan,
                "apoptotic_fraction_hi": x / n + 0.08 if n else np.nan,
                "death_marker_form": form, "n_CD3_CD56_defined_lymphocytes": lymph,
            }  # fmt: skip
            for name, count in (("T", t), ("NK", nk), ("CD3CD56", both)):
                row |= {f"pct_{name}": 100 * count / lymph, f"pct_{name}_lo": 50 * count / lymph,
                        f"pct_{name}_hi": min(100, 120 * count / lymph),
                        f"{name}_per_mm2": count / 0.2, f"{name}_per_mm2_lo": count / 0.3,
                        f"{name}_per_mm2_hi": count / 0.1}  # fmt: skip
            for name, count in (("tumour_vital", n - x), ("tumour_apoptotic", x),
                                ("tumour_apoptotic_melanA_lost", x // 5)):  # fmt: skip
                row |= {f"{name}_per_mm2": count / 0.3, f"{name}_per_mm2_lo": count / 0.5,
                        f"{name}_per_mm2_hi": count / 0.2}  # fmt: skip
            row |= {"tissue_apoptosis_mm2": 0.3, "tissue_infiltrate_mm2": 0.2,
                    "flags": "form_not_cleaved", "reason": GONE if none else ""}  # fmt: skip
            rows.append(row)
    return pd.DataFrame(rows)


def made_up_cells(patient: str, field: str, seed: int, lost: float = 0.3) -> pd.DataFrame:
    """Cells of a field: dying ones have lost the tumour's marker more often."""
    rng = np.random.default_rng(seed)
    n = 200
    dying = rng.random(n) < 0.4
    gone = rng.random(n) < np.where(dying, lost, 0.1)
    phenotype = np.select(
        [~dying & ~gone, dying & ~gone, dying & gone],
        ["tumour_vital", "tumour_apoptotic", "tumour_apoptotic_melanA_lost"],
        "tumour_candidate",
    )
    return pd.DataFrame(
        {
            "field": field, "biopsy": patient, "label": np.arange(1, n + 1),
            "cell_id": np.arange(1, n + 1), "equivalent_diameter_um": 10.0, "evaluable": True,
            "region": "tumour", "phenotype": phenotype,
            "casp3_call": np.where(dying, "positive", "negative"),
            "MelanA_call": np.where(gone, "negative", "positive"),
            "casp3_max_mean": np.where(dying, 9.0, 1.0) + rng.random(n),
            "MelanA_ring_mean": np.where(gone, 1.0, 9.0) + rng.random(n),
        }
    )  # fmt: skip


def write_results(folder: Path, biopsies: pd.DataFrame, *, cells: bool = False) -> Path:
    """Write what `imganalysis cohort` reads of a folder of results."""
    folder.mkdir(parents=True)
    write_csv(folder / "biopsies.csv", biopsies)
    panels = {name: load_panel(name).model_dump(mode="json") for name in PANELS}
    record = {"imganalysis": "0", "settings_hash": "a", "panels": panels}
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    if cells:
        (folder / "cells").mkdir()
        rows = []
        week1 = biopsies[biopsies["week"] == 1]
        for i, biopsy in enumerate(week1["biopsy"]):
            for k in range(3):
                name = f"{biopsy}_{k}"
                table = made_up_cells(biopsy, name, 10 * i + k)
                table.to_parquet(folder / "cells" / f"{name}.parquet", index=False)
                rows.append({"field": name, "biopsy": biopsy, "panel": "apoptosis",
                             "role": "sample", "status": "analysed"})  # fmt: skip
        write_csv(folder / "fields.csv", pd.DataFrame(rows))
    return folder


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight made-up patients, three weeks, cells of week 1."""
    return write_results(tmp_path_factory.mktemp("made_up") / "results", made_up(), cells=True)


CLINICAL = "patient,sex,dose,response,response_week,time_months,event\n" + "".join(
    f"P{i + 1:02},{'fm'[i % 2]},{1.5 + i},{'complete' if i < 4 else 'progressive'},"
    f"{3 + i % 2},{6 + 3 * i},{int(i % 3 != 0)}\n"
    for i in range(8)
)
