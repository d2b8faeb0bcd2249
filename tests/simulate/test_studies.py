"""A simulated study on disk, cells on real outlines, and the sample data made again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import tifffile

from imganalysis import simulate
from imganalysis.errors import LabelsError, OutputError, SettingsError
from imganalysis.io import write_labels, write_stack
from imganalysis.simulate import Plan, Recipe

if TYPE_CHECKING:
    from pathlib import Path

PLAN = {
    "name": "small",
    "description": "two biopsies and a control",
    "field": {"size_px": 160, "pixel_um": 0.465, "planes": 2, "z_step_um": 1.0, "bits": 8},
    "batch": "B1",
    "acquisition": "A1",
    "biopsies": [
        {"biopsy": "one", "patient": "P", "lesion": "L", "week": 0,
         "fields": {"apoptosis": 1, "infiltrate": 1}},
        {"biopsy": "four", "patient": "P", "lesion": "L", "week": 4, "fields": {"apoptosis": 1}},
    ],
    "controls": [{"name": "blank", "panel": "apoptosis", "week": 0, "fields": 1}],
}  # fmt: skip


def write(out: Path, recipe: Recipe, plan: dict, seed: int = 7, **options: object) -> None:
    simulate.simulate_study(
        out,
        recipe,
        seed=seed,
        plan=Plan.model_validate(plan),
        write_stack=write_stack,
        write_labels=write_labels,
        **options,
    )


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_study_has_images_manifest_and_truth(tmp_path: Path, recipe: Recipe) -> None:
    seen: list[tuple[int, int]] = []
    write(tmp_path, recipe, PLAN, progress=lambda done, of: seen.append((done, of)))
    manifest = pd.read_csv(tmp_path / "manifest.csv", keep_default_na=False)
    assert manifest.columns.tolist() == [
        "biopsy", "patient", "lesion", "week", "section", "panel", "batch", "acquisition",
        "role", "stain", "section_um", "annotations", "path", "scene",
    ]  # fmt: skip
    assert manifest["role"].tolist() == ["sample"] * 3 + ["secondary_only"]
    assert manifest["section"].tolist()[:2] == ["S1", "S2"], "panels are on separate sections"
    for path in manifest["path"]:
        assert tifffile.imread(tmp_path / path).shape[-2:] == (160, 160)
        labels = tifffile.imread(tmp_path / "truth" / "labels" / path)
        assert labels.dtype == np.uint32
    assert seen == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]


def test_controls_with_one_dye_or_none(tmp_path: Path, recipe: Recipe) -> None:
    single = {"panel": "apoptosis", "week": 0, "fields": 1, "role": "single_stain"}
    controls = [
        {"name": "green", "stain": "MelanA", **single},
        {"name": "none", "panel": "apoptosis", "week": 0, "fields": 1, "role": "unstained"},
    ]
    write(tmp_path, recipe, {**PLAN, "biopsies": PLAN["biopsies"][1:], "controls": controls})
    manifest = pd.read_csv(tmp_path / "manifest.csv", keep_default_na=False)
    assert manifest["role"].tolist() == ["sample", "single_stain", "unstained"]
    assert manifest["stain"].tolist() == ["", "MelanA", ""]
    assert manifest["path"].tolist()[1:] == [
        "controls/single_stain/green_1.ome.tif",
        "controls/unstained/none_1.ome.tif",
    ]
    with pytest.raises(SettingsError, match="has a stain, one of"):
        write(tmp_path / "x", recipe, {**PLAN, "controls": [{"name": "green", **single}]})


def test_truth_of_biopsies_is_counted_from_the_cells(tmp_path: Path, recipe: Recipe) -> None:
    write(tmp_path, recipe, PLAN)
    cells = pd.read_csv(tmp_path / "truth" / "cells.csv", keep_default_na=False)
    biopsies = pd.read_csv(tmp_path / "truth" / "biopsies.csv")
    first = biopsies.iloc[0]
    mine = cells[(cells["biopsy"] == "one") & (cells["panel"] == "apoptosis") & cells["evaluable"]]
    assert first["n_evaluable"] == len(mine)
    assert first["n_tumour_vital"] == (mine["group"] == "tumour_vital").sum() > 0
    gone = biopsies[biopsies["biopsy"] == "four"].iloc[0]
    assert np.isnan(gone["apoptotic_fraction"])
    assert "no_evaluable_tumour" in gone["reason"]
    assert "blank" not in set(biopsies["biopsy"]), "controls are never counted"


def test_a_field_does_not_depend_on_the_others(tmp_path: Path, recipe: Recipe) -> None:
    fewer = {**PLAN, "biopsies": PLAN["biopsies"][1:], "controls": []}
    write(tmp_path / "all", recipe, PLAN)
    write(tmp_path / "fewer", recipe, fewer)
    name = "four/four_apoptosis_1.ome.tif"
    assert (tmp_path / "all" / name).read_bytes() == (tmp_path / "fewer" / name).read_bytes()


def test_same_seed_same_bytes(tmp_path: Path, recipe: Recipe) -> None:
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        write(tmp_path / name, recipe, PLAN, seed=seed)
    first, again, other = (bytes_of(tmp_path / name) for name in "abc")
    assert first == again
    assert first.keys() == other.keys()
    assert first["truth/cells.csv"] != other["truth/cells.csv"]


def test_fractions_by_the_definitions(recipe: Recipe) -> None:
    # 420 vital, 150 dying and positive, 130 dying that lost the marker of which 110 tumour, 300.
    rows = (
        [("tumour", True, False)] * 420
        + [("tumour", True, True)] * 150
        + [("tumour", False, True)] * 110
        + [("T", False, True)] * 20
        + [("T", False, False)] * 300
    )
    cells = pd.DataFrame(rows, columns=["kind", "MelanA_positive", "casp3_positive"])
    cells["evaluable"] = True
    from imganalysis.simulate.truth import group

    cells["group_apoptosis"] = group(cells, recipe.panels["apoptosis"])
    truth = simulate.count_truth(recipe, "apoptosis", cells)
    assert truth["apoptotic_fraction_strict"] == pytest.approx(0.2632, abs=5e-5)
    assert truth["apoptotic_fraction"] == pytest.approx(0.3824, abs=5e-5)
    assert truth["apoptotic_fraction_inclusive"] == pytest.approx(0.4000, abs=5e-5)
    assert truth["reason"] == ""


def test_a_plan_that_the_recipe_cannot_fill_is_refused(tmp_path: Path, recipe: Recipe) -> None:
    plan = {**PLAN, "controls": [{**PLAN["controls"][0], "week": 9}]}
    with pytest.raises(SettingsError, match="plan small asks for week 9; recipe melanoma has 0, 1"):
        write(tmp_path, recipe, plan)
    assert not list(tmp_path.iterdir()), "nothing is written before the plan is known to be good"


def test_a_folder_that_cannot_be_made(tmp_path: Path, recipe: Recipe) -> None:
    (tmp_path / "one").write_text("in the way")
    with pytest.raises(OutputError, match="one: cannot be made"):
        write(tmp_path, recipe, PLAN)


def two_outlines() -> np.ndarray:
    """A large round cell, a small one that touches it, and background; numbers with a gap."""
    layout = np.zeros((80, 90), np.uint16)
    y, x = np.mgrid[:80, :90]
    layout[(y - 40) ** 2 + (x - 30) ** 2 < 18**2] = 5
    layout[((y - 40) ** 2 + (x - 58) ** 2 < 11**2) & (layout == 0)] = 900
    return layout


def test_nuclei_stay_in_the_outlines_given(recipe: Recipe) -> None:
    layout = two_outlines()
    field = simulate.simulate_on_layout(recipe, "apoptosis", layout, 0.465, seed=3, planes=3,
                                        z_step_um=1.0, week=0)  # fmt: skip
    assert field.stack.shape == (3, 3, 80, 90)
    for label, outline in zip(field.cells["label"], field.cells["outline"], strict=True):
        assert set(layout[field.labels == label].tolist()) == {outline}
    assert set(field.cells["outline"]) <= {5, 900}
    assert len(field.cells) >= 1
    inside = field.stack.numpy()[0].mean(axis=0)
    assert inside[field.labels > 0].mean() > 2 * inside[layout == 0].mean()


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        (np.zeros((20, 20)), "whole numbers, found 2 axes of float64"),
        (np.zeros((2, 20, 20), int), "found 3 axes"),
        (np.full((20, 20), -1), "from 0 on, found -1"),
    ],
)
def test_a_layout_that_is_none_is_refused(recipe: Recipe, layout: np.ndarray, message: str) -> None:
    with pytest.raises(LabelsError, match=message):
        simulate.simulate_on_layout(recipe, "apoptosis", layout, 0.5, seed=1)


def test_a_layout_without_cells_gives_background(recipe: Recipe) -> None:
    field = simulate.simulate_on_layout(
        recipe, "infiltrate", np.zeros((32, 40), np.uint16), 0.5, seed=1, planes=1
    )
    assert field.cells.empty
    assert field.stack.shape == (3, 1, 32, 40)


def test_real_outlines_are_filled(testdata: Path, recipe: Recipe) -> None:
    paths = sorted((testdata / "tissue-geometry-cpdmi" / "labels").glob("*.tif"))[:1]
    layout = tifffile.imread(paths[0])
    field = simulate.simulate_on_layout(recipe, "joint", layout, 0.5, seed=2, week=1, planes=2)
    count = len(np.unique(layout)) - 1
    assert 0.5 * count < len(field.cells) <= count
    for label, outline in zip(field.cells["label"], field.cells["outline"], strict=True):
        assert set(layout[field.labels == label].tolist()) == {outline}


def test_the_sample_data_are_made_again_byte_for_byte(
    tmp_path: Path, sample_data: Path, recipe: Recipe
) -> None:
    simulate.simulate_study(
        tmp_path, recipe, seed=2003, plan="sample", write_stack=write_stack,
        write_labels=write_labels,
    )  # fmt: skip
    made, kept = bytes_of(tmp_path), bytes_of(sample_data)
    kept.pop("README.md")
    assert made.keys() == kept.keys()
    different = [name for name in made if made[name] != kept[name]]
    assert not different


def test_the_sample_data_are_what_their_readme_says(sample_data: Path) -> None:
    size = sum(path.stat().st_size for path in sample_data.rglob("*") if path.is_file())
    assert size < 25e6
    truth = pd.read_csv(sample_data / "truth" / "biopsies.csv")
    truth = truth.set_index(["panel", "week"])
    fraction = truth.loc["apoptosis", "apoptotic_fraction"]
    assert fraction[0] < 0.03
    assert 0.3 < fraction[1] < 0.5
    assert np.isnan(fraction[4])
    assert truth.loc[("apoptosis", 4), "reason"] == "no_evaluable_tumour"
    counts = ["n_tumour_vital", "n_tumour_apoptotic", "n_tumour_apoptotic_melanA_lost"]
    for week in (0, 1):
        assert truth.loc[("apoptosis", week), "n_fields"] >= 3
        assert truth.loc[("apoptosis", week), counts].sum() >= 200
    assert truth.loc["infiltrate", "pct_T"].between(85, 95).all()
    assert truth.loc["infiltrate", "pct_NK"].between(1, 8).all()
    assert truth.loc["infiltrate", "pct_CD3CD56"].between(0, 5).all()
    cells = pd.read_csv(sample_data / "truth" / "cells.csv", keep_default_na=False)
    controls = cells[(cells["role"] == "secondary_only") & cells["evaluable"]]
    assert (controls.groupby("panel").size() >= 300).all()
    assert set(controls["panel"]) == {"apoptosis", "infiltrate"}
