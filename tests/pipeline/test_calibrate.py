"""Controls calibrate a batch before any of its fields is measured."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from imganalysis.calibrate import calibrate_study
from imganalysis.calibration_file import read_calibrations
from imganalysis.cli import app
from imganalysis.errors import CalibrationError
from imganalysis.io import write_stack
from imganalysis.opening import open_study
from imganalysis.panel import load_panel
from imganalysis.pipeline import run_study
from imganalysis.prepare.calibration import Calibration, Share
from imganalysis.report.summary import bleedthrough_note
from imganalysis.settings import Settings, parse_settings
from imganalysis.simulate import load_recipe, simulate_field

if TYPE_CHECKING:
    from pathlib import Path

    from imganalysis.study import Study

GRID: dict[str, Any] = {
    "size_px": 288, "pixel_size_um": 0.465, "planes": 2, "z_step_um": 1.5, "bits": 8, "week": 1,
}  # fmt: skip
BLEED = [[1.0, 0.0, 0.02], [0.0, 1.0, 0.0], [0.005, 0.08, 1.0]]
NAMES = ("TO-PRO-3", "MelanA", "casp3")
PANELS = {"apoptosis": load_panel("apoptosis")}
QUICK: dict[str, Any] = {
    "segmentation": {"method": "scikit-image"},
    "output": {"overlays": False},
    "measuring": {"check_nuclei": False},
}


def image(path: Path, seed: int, *, beside: int = 0, **options: Any) -> None:
    recipe = load_recipe("melanoma", {"panels": {"apoptosis": {"bleed": BLEED}}})
    stack = simulate_field(recipe, "apoptosis", seed=seed, **GRID, **options).stack
    if beside:
        stack.data[2] = np.roll(stack.data[2], beside, axis=-1)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_stack(path, stack)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One field, a control for gates, the three dyes alone, and tissue without a dye."""
    root = tmp_path_factory.mktemp("calibrated")
    image(root / "P01/a.ome.tif", 1)
    image(root / "controls/secondary_only/b.ome.tif", 2, control="secondary_only")
    for seed, dye in enumerate(NAMES, start=3):
        name = "Cy3" if dye == "casp3" else dye  # by its dye, as folders often say it
        path = root / f"controls/single_stain/{name}/s{seed}.ome.tif"
        image(path, seed, control="single_stain", stain=dye)
    image(root / "controls/unstained/u.ome.tif", 9, control="unstained")
    return root


def opened(folder: Path) -> Study:
    return open_study(folder, panels=["apoptosis"])


def settings(**calibration: Any) -> Settings:
    return parse_settings({**QUICK, "calibration": calibration})


def only(found: tuple[Calibration, ...]) -> Calibration:
    (one,) = found
    return one


def shares(found: Calibration) -> dict[tuple[str, str], Any]:
    return {(s.detector, s.dye): s for s in found.shares}


def test_the_matrix_of_the_simulated_microscope_is_found(folder: Path) -> None:
    found = only(calibrate_study(opened(folder), settings(), workers=1))
    assert found.bleedthrough == "corrected" and found.scope[0] == "apoptosis"
    scale = {c.marker: c.full_scale_photons for c in load_recipe().panels["apoptosis"].channels}
    for i, detector in enumerate(NAMES):
        for j, dye in enumerate(NAMES):
            if i != j:
                share = shares(found)[detector, dye]
                true = BLEED[i][j] * scale[dye] / scale[detector]
                assert share.se < 0.005
                assert share.measured == pytest.approx(true, abs=3.5 * share.se), (detector, dye)
    assert shares(found)["casp3", "MelanA"].share == pytest.approx(0.08, abs=0.004)
    assert found.condition == pytest.approx(1.09, abs=0.02)
    assert found.channel_shift == "corrected"
    assert {(s.dy_px, s.dx_px, s.reason) for s in found.shifts} == {(0, 0, "none")}
    assert found.flatfield == "not_done"
    assert {s.reason for s in found.surfaces} == {"too_few_controls"}
    roles = sorted(c.role for c in found.controls)
    assert roles == ["single_stain"] * 3 + ["unstained"]


def test_a_run_corrects_its_fields_and_says_so(folder: Path, tmp_path: Path) -> None:
    run_study(opened(folder), tmp_path / "on", settings(), workers=1)
    run_study(opened(folder), tmp_path / "off", settings(bleedthrough="off"), workers=1)
    fields = {x: pd.read_csv(tmp_path / x / "fields.csv").set_index("field") for x in ("on", "off")}
    sample = "P01_a"
    assert fields["on"].loc[sample, "bleedthrough"] == "corrected"
    assert fields["off"].loc[sample, "bleedthrough"] == "off"
    for table in fields.values():
        assert set(table.loc[table["role"] != "sample", "status"]) == {"control"}
        assert not (table["status"] == "failed").any()
    cells = {
        x: pd.read_parquet(tmp_path / x / "cells" / f"{sample}.parquet") for x in ("on", "off")
    }
    column = "casp3_ring_mean"
    bright = cells["off"]["MelanA_ring_mean"] > 15
    assert bright.sum() > 10
    taken = (cells["off"][column] - cells["on"][column])[bright]
    ratio = (taken / cells["off"].loc[bright, "MelanA_ring_mean"]).median()
    assert ratio == pytest.approx(0.08, abs=0.01)
    written = json.loads((tmp_path / "on" / "calibration.json").read_text(encoding="utf-8"))
    (entry,) = written["calibrations"]
    record = json.loads((tmp_path / "on" / "run.json").read_text(encoding="utf-8"))
    assert list(record["calibrations"].values()) == [entry["hash"]]
    assert fields["on"].loc[sample, "calibration"] == entry["hash"]
    # Given back, without the controls that made it.
    alone = tmp_path / "alone"
    shutil.copytree(folder, alone, ignore=shutil.ignore_patterns("single_stain", "unstained"))
    given = tmp_path / "on" / "calibration.json"
    run_study(opened(alone), tmp_path / "given", settings(), calibration_file=given, workers=1)
    again = pd.read_parquet(tmp_path / "given" / "cells" / f"{sample}.parquet")
    pd.testing.assert_frame_equal(again, cells["on"])
    assert (tmp_path / "given" / "calibration.json").read_bytes() == given.read_bytes()


def test_the_result_does_not_depend_on_workers(folder: Path) -> None:
    one = calibrate_study(opened(folder), settings(), workers=1)
    assert calibrate_study(opened(folder), settings(), workers=2) == one


def test_without_a_control_nothing_is_corrected(folder: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(folder, bare, ignore=shutil.ignore_patterns("single_stain", "unstained"))
    result = run_study(opened(bare), tmp_path / "r", settings(), workers=1)
    sample = result.fields.set_index("field").loc["P01_a"]
    assert sample["bleedthrough"] == sample["channel_shift"] == "no_control"
    assert "no_bleedthrough_control" in sample["flags"].split(";")
    assert "bleedthrough" not in result.biopsies["flags"][0]
    assert bleedthrough_note(result.fields).startswith(
        "Bleed-through was not corrected in 1 of 1 field: there is no single stain control."
    )
    off = result.fields.assign(flags="saturated;no_bleedthrough_controls")
    assert bleedthrough_note(off) == ""


def manifest(folder: Path, target: Path, **columns: Any) -> Path:
    """The study with a manifest, in which single stain controls have other values."""
    shutil.copytree(folder, target)
    done = CliRunner().invoke(app, ["init", str(target), "--panel", "apoptosis"])
    assert done.exit_code == 0, done.output
    table = pd.read_csv(target / "manifest.csv", dtype=str, keep_default_na=False)
    stains = table["role"] == "single_stain"
    for name, change in columns.items():
        table.loc[stains, name] = table.loc[stains, name].map(change)
    table.to_csv(target / "manifest.csv", index=False)
    return target


def test_a_control_of_another_acquisition_does_not_apply(folder: Path, tmp_path: Path) -> None:
    study = opened(manifest(folder, tmp_path / "s", acquisition=lambda _: "zoom 2"))
    assert {f.acquisition for f in study.controls} == {"", "zoom 2"}
    result = run_study(study, tmp_path / "r", settings(), workers=1)
    sample = result.fields.set_index("field").loc["P01_a"]
    assert sample["bleedthrough"] == "control_elsewhere"
    assert "bleedthrough_control_elsewhere" in sample["flags"].split(";")
    assert "bleedthrough_control_elsewhere" in result.biopsies["flags"][0].split(";")


def test_stains_that_are_not_there_or_not_right_are_refused(folder: Path, tmp_path: Path) -> None:
    known = r"expected in `stain` one of TO-PRO-3 \(TO-PRO-3\), MelanA \(Cy2\), casp3 \(Cy3\)"
    for number, (word, found) in enumerate((("FITC", "'FITC'"), ("", "nothing"))):
        wrong = opened(manifest(folder, tmp_path / f"s{number}", stain=lambda _, w=word: w))
        with pytest.raises(CalibrationError, match=f"{known}; found {found}"):
            calibrate_study(wrong, settings(), workers=1)
    swap = {"MelanA": "Cy3", "Cy3": "MelanA", "TO-PRO-3": "TO-PRO-3"}
    swapped = opened(manifest(folder, tmp_path / "swapped", stain=swap.get))
    with pytest.raises(CalibrationError, match=r"its light is brighter in the channel of \w+"):
        calibrate_study(swapped, settings(), workers=1)


def test_a_dye_without_a_control_is_left_in_and_flagged(folder: Path, tmp_path: Path) -> None:
    part = tmp_path / "part"
    shutil.copytree(folder, part, ignore=shutil.ignore_patterns("Cy3", "unstained"))
    found = only(calibrate_study(opened(part), settings(), workers=1))
    assert found.bleedthrough == "partly"
    assert shares(found)["casp3", "MelanA"].share == pytest.approx(0.08, abs=0.005)
    assert shares(found)["TO-PRO-3", "casp3"].reason == "no_control"
    assert shares(found)["TO-PRO-3", "casp3"].share is None


def test_shares_of_the_settings_go_before_controls(folder: Path) -> None:
    mine = {"casp3": {"MelanA": 0.05}}
    found = only(calibrate_study(opened(folder), settings(shares=mine), workers=1))
    assert found.bleedthrough == "given"
    assert shares(found)["casp3", "MelanA"].share == 0.05
    assert set(found.offsets) == set(NAMES) and 4 < found.offsets["casp3"] < 7
    with pytest.raises(CalibrationError, match="no panel of the study has CD3"):
        calibrate_study(opened(folder), settings(shares={"CD3": {"MelanA": 0.05}}), workers=1)
    alike = {"casp3": {"MelanA": 0.95}, "MelanA": {"casp3": 0.95}}
    with pytest.raises(CalibrationError, match=r"the dyes of MelanA and casp3") as refused:
        calibrate_study(opened(folder), settings(shares=alike), workers=1)
    text = str(refused.value)
    assert text.startswith("panel apoptosis: bleed-through"), text  # no batch has a name
    assert "Correct the shares that were given" in text and "single stain" not in text
    pairs = (("casp3", "MelanA"), ("MelanA", "casp3"))
    file = Calibration(shares=tuple(Share(detector=i, dye=j, share=0.95) for i, j in pairs))
    with pytest.raises(CalibrationError, match="Correct the shares that were given"):
        calibrate_study(opened(folder), settings(), [file], workers=1)


def test_a_channel_that_lies_beside_is_found_before_dyes_are_compared(tmp_path: Path) -> None:
    image(tmp_path / "P01/a.ome.tif", 1, beside=2)
    path = "controls/single_stain/MelanA/s.ome.tif"
    image(tmp_path / path, 4, beside=2, control="single_stain", stain="MelanA")
    image(tmp_path / "controls/unstained/u.ome.tif", 9, beside=2, control="unstained")
    found = only(calibrate_study(opened(tmp_path), settings(), workers=1))
    moved = {s.marker: (s.dy_px, s.dx_px) for s in found.shifts}
    assert moved == {"MelanA": (0, 0), "casp3": (0, 2)}
    assert shares(found)["casp3", "MelanA"].share == pytest.approx(0.08, abs=0.005)
    left = only(calibrate_study(opened(tmp_path), settings(channel_shift="off"), workers=1))
    assert left.channel_shift == "off" and left.shifts == ()
    # Compared where the channels do not lie on each other, the share is small and unsure.
    right, wrong = (shares(x)["casp3", "MelanA"] for x in (found, left))
    assert wrong.share < right.share - 0.004 and wrong.se > right.se


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[]", "expected the one key 'calibrations'"),
        ('{"calibrations": [], "more": 1}', "expected the one key 'calibrations'"),
        ('{"calibrations": [1]}', r"calibrations\[0\]: expected names and values"),
        ('{"calibrations": [{"bleed": 1}]}', "bleed: unknown name"),
        ('{"calibrations": [{}, {}]}', r"for the same fields as calibrations\[0\]"),
        ('{"calibrations": [{"panel": "x"}]}', "unknown panel x; the study has apoptosis"),
        (
            '{"calibrations": [{"shares": [{"detector": "CD3", "dye": "casp3", "share": 0.1}]}]}',
            "unknown marker CD3",
        ),
        (
            '{"calibrations": [{"shares": [{"detector": "casp3", "dye": "MelanA", "share": 2}]}]}',
            "share: Input should be less than 1",
        ),
    ],
)
def test_wrong_calibration_files_are_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "mine.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CalibrationError, match=said) as caught:
        read_calibrations(path, PANELS)
    assert str(path) in str(caught.value)


def test_a_calibration_that_fits_nowhere_stops_the_run(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text('{"calibrations": [{"batch": "B9"}]}', encoding="utf-8")
    options = ["--out", str(tmp_path / "r"), "--panel", "apoptosis", "--dry-run"]
    done = CliRunner().invoke(app, ["run", str(folder), "--calibration", str(path), *options])
    assert isinstance(done.exception, CalibrationError)
    assert "fits no field of the study: panel *, batch B9" in str(done.exception)
    assert read_calibrations(None, PANELS) == ()


def test_the_documentation_holds(repository: Path, tmp_path: Path) -> None:
    text = (repository / "docs" / "calibration.md").read_text(encoding="utf-8")
    (written,) = re.findall(r"^```json\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    path = tmp_path / "mine.json"
    path.write_text(written, encoding="utf-8")
    given = only(read_calibrations(path, PANELS))
    assert (given.bleedthrough, given.flatfield) == ("given", "off")
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    assert parse_settings(yaml.safe_load(block)).calibration.shares == {"casp3": {"MelanA": 0.08}}
    table = text.split("| setting |")[1]
    for name in type(settings().calibration).model_fields:
        assert f"`{name}`" in table
    for word in ("no_signal", "second_dye", "zero_clipped", "imprecise", "too_few_controls",
                 "no_light", "uncertain", "even", "no_common_structure", "none"):  # fmt: skip
        assert f"`{word}`" in text
