"""The thickness of the section, from the manifest or the command line, in what is corrected."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from imganalysis.errors import SettingsError
from imganalysis.given import check_run
from imganalysis.opening import open_study
from imganalysis.settings import Projection, parse_settings

if TYPE_CHECKING:
    from pathlib import Path

FIELD = "P01_week1/A apoptosis 0.ome.tif"
CONTROLS = [f"controls/secondary_only/apoptosis {i}.ome.tif" for i in range(2)]
SETTINGS = """
counting:
  nuclear_um: {tumour_vital: 10.0, tumour_apoptotic: 6.0, tumour_apoptotic_melanA_lost: 6.0}
  nuclear_um_origin: a test
segmentation: {method: scikit-image}
"""


@pytest.fixture(scope="module")
def study(small_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One field of three planes 1 um apart, and controls."""
    root = tmp_path_factory.mktemp("section") / "study"
    for name in (FIELD, *CONTROLS):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(small_study / name, root / name)
    (root.parent / "settings.yaml").write_text(SETTINGS)
    return root


def analysed(study: Path, name: str, *options: object) -> tuple[pd.Series, pd.Series]:
    """The row of the biopsy and of its field."""
    out = study.parent / name
    words = ["run", study, "--out", out, "--settings", study.parent / "settings.yaml",
             "--workers", 1, "--no-overlays", *options]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "imganalysis.cli", *map(str, words)],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    fields = pd.read_csv(out / "fields.csv")
    return pd.read_csv(out / "biopsies.csv").iloc[0], fields[fields["role"] == "sample"].iloc[0]


def test_the_thickness_of_the_command_line_is_that_of_the_manifest(study: Path) -> None:
    wanted = ["apoptotic_fraction_corrected", "tumour_vital_per_mm3"]
    biopsy, field = analysed(study, "option", "--section-um", 3)
    assert biopsy[wanted].notna().all()
    assert (field["section_um"], field["seen_um"]) == (3, 3)
    # Three planes are what is chosen where nobody says a thickness: that is none to correct by.
    unknown, plain = analysed(study, "none")
    assert unknown[wanted].isna().all()
    assert "thickness_unknown" in " ".join(map(str, unknown))
    assert plain[["section_um", "seen_um"]].isna().all()
    assert plain["projection_last_plane"] == field["projection_last_plane"]
    assert unknown["apoptotic_fraction"] == biopsy["apoptotic_fraction"]
    rows = [f"P01_week1,{FIELD},sample,3", *(f",{name},secondary_only,3" for name in CONTROLS)]
    (study / "manifest.csv").write_text("\n".join(["biopsy,path,role,section_um", *rows]) + "\n")
    told, known = analysed(study, "manifest")
    assert told[wanted].tolist() == biopsy[wanted].tolist()
    assert known["section_um"] == 3
    # The manifest goes first.
    other, own = analysed(study, "both", "--section-um", 2)
    assert other[wanted].tolist() == biopsy[wanted].tolist()
    assert own["section_um"] == 3


def test_a_diameter_of_no_class_stops_a_run_before_it_starts(study: Path, tmp_path: Path) -> None:
    told = {"nuclear_um": {"tumor_vital": 10}, "nuclear_um_origin": "a book"}
    wanted = parse_settings({"counting": told})
    words = r"counting\.nuclear_um: no panel of the study has a class 'tumor_vital'; .*tumour_vital"
    with pytest.raises(SettingsError, match=words):
        check_run(open_study(study), tmp_path / "out", wanted)


def test_the_usual_thickness_only_chooses_planes() -> None:
    assert Projection().section_um is None
    assert Projection().chosen_um() == 3.0
    assert Projection(section_um=4).chosen_um() == 4
    assert Projection(section_um=4).chosen_um(2.5) == 2.5
