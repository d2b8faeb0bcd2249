"""Outlines and places of cells, from files to tables."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from skimage.measure import find_contours

from imganalysis import tables as t
from imganalysis.annotations import Outline, drawn_masks, write_annotations
from imganalysis.given import check_run
from imganalysis.opening import open_study
from imganalysis.outline_files import left_out_of
from imganalysis.panel import load_panel
from imganalysis.pipeline import run_study
from imganalysis.quantify.nearest import Distances, survival, together
from imganalysis.quantify.spatial import space_table
from imganalysis.quantify.window import border_distance, field_space, place_objects
from imganalysis.settings import Settings, Summary, parse_settings
from imganalysis.settings_space import Space
from imganalysis.simulate import load_recipe
from imganalysis.simulate.fields import grid, streams
from imganalysis.simulate.placing import place_cells
from imganalysis.simulate.section import cut, draw_thickness, lumen
from imganalysis.simulate.tissue import draw_pattern
from imganalysis.stack import PixelSize, Stack

if TYPE_CHECKING:
    from pathlib import Path

    from imganalysis.records import StudyResult

SIDE = 320 * 0.465
QUICK = {"output": {"overlays": False}, "space": {"permutations": 19}}


def box(y0: float, y1: float, x0: float, x1: float) -> tuple[tuple[np.ndarray, ...], ...]:
    return ((np.array([[y0, x0], [y0, x1], [y1, x1], [y1, x0]]),),)


@pytest.fixture(scope="module")
def study(small_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small study with outlines: in panel B all three kinds, in one of panel A a wrong file."""
    root = tmp_path_factory.mktemp("outlined") / "study"
    shutil.copytree(small_study, root)
    names = {f.panel: f.name for f in open_study(root).samples}  # of panel A the second
    write_annotations(
        root / "annotations" / f"{names['infiltrate']}.geojson",
        [
            Outline("tumour", box(0, SIDE, 0, 40)),
            Outline("vessel", box(70, 78, 60, 140)),
            Outline("exclude", box(0, 30, 0, SIDE)),
        ],
    )
    path = root / "annotations" / f"{names['infiltrate']}.geojson"
    drawn = json.loads(path.read_text())
    other = json.loads(json.dumps(drawn["features"][1]))
    other["properties"]["classification"]["name"] = "Vesel"
    drawn["features"].append(other)
    path.write_text(json.dumps(drawn))
    shutil.copy(path, root / "annotations" / "wrongname.geojson")
    broken = root / "annotations" / f"{names['apoptosis']}.geojson"
    broken.write_text(json.dumps({"type": "FeatureCollection", "features": []}))
    return root


@pytest.fixture(scope="module")
def result(study: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[StudyResult, Path]:
    out = tmp_path_factory.mktemp("out") / "results"
    return run_study(open_study(study), out, parse_settings(QUICK), workers=1), out


def of_panel(result: StudyResult, panel: str) -> tuple[pd.Series[Any], pd.DataFrame]:
    fields = result.fields
    row = fields[(fields["panel"] == panel) & (fields["status"] == "analysed")].iloc[0]
    return row, result.cells[row[t.FIELD]]


def test_a_broken_file_fails_its_field_alone(result: tuple[StudyResult, Path]) -> None:
    fields = result[0].fields
    failed = fields[fields["status"] == "failed"]
    assert failed["reason"].tolist() == ["annotations"]
    assert "does not say the unit" in failed["message"].iloc[0]
    assert (fields["status"] == "analysed").sum() == 2


def test_outlines_that_are_not_used_are_told(result: tuple[StudyResult, Path]) -> None:
    row, _ = of_panel(result[0], "infiltrate")
    assert row["annotations_left_out"] == "Vesel"
    assert "outlines_left_out" in row["flags"].split(";")
    ((name, word, text),) = left_out_of(result[0].fields)
    assert (name, word) == (row[t.FIELD], "outlines_left_out")
    assert text == "Vesel: outlines that are used are Tumor, Vessel, Pigment, Ignore*"
    plain, _ = of_panel(result[0], "apoptosis")
    assert plain["annotations_left_out"] == "" and "outlines" not in plain["flags"]
    (note,) = json.loads((result[1] / "run.json").read_text())["study"]["notes"]
    assert "wrongname.geojson: no field has this name" in note


def test_what_is_outlined_to_be_left_out_is_not_counted(result: tuple[StudyResult, Path]) -> None:
    row, cells = of_panel(result[0], "infiltrate")
    out = cells[cells[t.EXCLUSION] == "annotated_out"]
    assert len(out) > 5 and len(out) == row["n_annotated_out"]
    assert (out[t.Y] < 30.3).all() and not out[t.EVALUABLE].any() and not out[t.IN_TISSUE].any()
    counted = cells[cells[t.EVALUABLE]]
    assert (counted[t.Y] > 29.6).all()
    assert row["tissue_mm2"] <= (SIDE - 30 - 8) * (SIDE - 16) / 1e6 + 1e-4
    assert row["annotations"] == "tumour;vessel;exclude"
    listed = result[0].exclusions
    assert "annotated_out" in set(listed["reason"])


def test_an_outlined_tumour_is_the_region(result: tuple[StudyResult, Path]) -> None:
    row, cells = of_panel(result[0], "infiltrate")
    inside = cells[t.X] < 39
    assert (cells[inside][t.REGION] == "tumour").all() and inside.sum() > 10
    assert (cells[cells[t.X].between(43, 137)][t.REGION] == "margin").all()
    assert (cells[cells[t.X] > 143][t.REGION] == "stroma").all()
    far = cells[t.MARGIN_DISTANCE] - (cells[t.X] - 40)
    assert far.abs().max() < 2.1
    tissue = row[["region_mm2", "margin_mm2", "stroma_mm2"]].astype(float)
    assert tissue.sum() == pytest.approx(row["tissue_mm2"])
    assert tissue["stroma_mm2"] < 3 * (SIDE - 38) / 1e6
    assert tissue["region_mm2"] == pytest.approx(32 * (SIDE - 38) / 1e6, rel=0.06)


def test_an_estimated_region_stays_where_nothing_is_outlined(
    result: tuple[StudyResult, Path],
) -> None:
    row, cells = of_panel(result[0], "apoptosis")
    assert row["annotations"] == ""
    assert (cells[cells["is_in_region"].fillna(False)][t.REGION] == "tumour").all()
    assert set(cells[t.REGION]) <= {"tumour", "margin", "stroma"}
    assert t.VESSEL_DISTANCE not in cells


def test_distances_to_the_outlined_vessel(result: tuple[StudyResult, Path]) -> None:
    _, cells = of_panel(result[0], "infiltrate")
    y, x = (cells[c].to_numpy(float) + 0.2325 for c in (t.Y, t.X))
    apart = np.hypot(np.maximum(np.maximum(70 - y, y - 78), 0),
                     np.maximum(np.maximum(60 - x, x - 140), 0))  # fmt: skip
    assert np.abs(cells[t.VESSEL_DISTANCE] - apart).max() < 0.5


def test_the_tables_are_written(result: tuple[StudyResult, Path]) -> None:
    found, out = result
    table = pd.read_csv(out / "space.csv", keep_default_na=False, na_values={"value": ""})
    assert len(table) == len(found.space) > 50
    assert set(table["panel"]) == {"apoptosis", "infiltrate"}
    area = table[(table["measure"] == "area_mm2") & (table["panel"] == "infiltrate")]
    assert area["value"].sum() == pytest.approx(of_panel(found, "infiltrate")[0]["tissue_mm2"])
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert [len(digest) for digest in record["annotations"].values()] == [64]
    biopsies = pd.read_csv(out / "biopsies.csv")
    assert {"region_mm2", "margin_mm2", "stroma_mm2"} <= set(biopsies.columns)
    for name, group in table.groupby("panel"):
        drawn = group[(group["measure"] == "vessel_share") & (group["class"] == "tissue")]
        assert drawn["reason"].tolist() == ["no_vessels" if name == "apoptosis" else ""]


def test_the_table_can_be_left_out_and_wrong_pairs_are_refused_early(
    study: Path, tmp_path: Path
) -> None:
    opened = open_study(study)
    wrong = parse_settings({"space": {"pairs": [["nobody", "tumour"]]}})
    with pytest.raises(ValueError, match="no panel has a class 'nobody'"):
        check_run(opened, tmp_path / "r", wrong)


def nk_cells(seed: int, pixel: float = 0.465, n: int = 512) -> tuple[np.ndarray, ...]:
    """Centres (Z, Y, X) of the clustered cells that a section shows, their true distance to a
    vessel's wall, and the lumen in the picture. Nothing is stained: only places are needed."""
    recipe = load_recipe("melanoma")
    week = recipe.weeks[1]
    rngs = streams(seed, "section", "pattern")
    thick = draw_thickness(rngs["section"], recipe.section)
    spec = grid(recipe, n, pixel, None, None, None)
    section = cut(rngs["section"], recipe.section, spec, (n, n), thick)
    pattern = draw_pattern(rngs["pattern"], recipe, week, (n * pixel,) * 2, thick)
    sites = place_cells(rngs["pattern"], recipe, week, pattern, thick)
    kind = recipe.tissue.capillary.clustered
    seen = [
        s.centre
        for s in sites
        if s.kind == kind and abs(s.centre[0] - thick / 2) < (thick + s.diameter_um) / 2 - 1
    ]
    centres = np.array(seen).reshape(-1, 3)
    inside = ((centres[:, 1:] > 8) & (centres[:, 1:] < n * pixel - 8)).all(axis=1)
    blood = (lumen(section, pattern.capillaries) * section.tissue).max(axis=0) > 0.5
    centres = centres[inside]
    return centres, np.min([tube.distance(centres) for tube in pattern.capillaries], axis=0), blood


def test_cells_near_simulated_vessels_are_recovered(tmp_path: Path) -> None:
    """The share within 30 um of vessels outlined as the picture shows them, to 7 points."""
    pixel, shape = 0.465, (512, 512)
    parts, truth = [], []
    stack = Stack(np.zeros((1, 1, *shape), np.uint8), ("a",), PixelSize(None, pixel, pixel, "user"))
    for seed in range(14):
        centres, far, blood = nk_cells(seed)
        rings = [(c + 0.5) * pixel for c in find_contours(np.pad(blood, 1).astype(float), 0.5)]
        path = tmp_path / f"{seed}.geojson"
        write_annotations(path, [Outline("vessel", tuple((r - pixel,) for r in rings))])
        drawn = drawn_masks(path, stack)
        assert (drawn["vessel"] != blood).mean() < 0.003
        whole = np.ones(shape, bool)
        space = field_space(whole, whole, (pixel, pixel), drawn)
        # Columns count from the middle of the first pixel, the simulator from its edge.
        places = pd.DataFrame(centres[:, 1:] - pixel / 2, columns=[t.Y, t.X])
        near = place_objects(places, (pixel, pixel), space.frame_um, drawn)[t.VESSEL_DISTANCE]
        border = border_distance(places.to_numpy(), space.field_um)
        parts.append(Distances.of(near.to_numpy(), border, np.full(len(near), seed)))
        truth.append(far)
    true = float((np.concatenate(truth) <= 30).mean())
    assert 0.65 < true < 0.9 and len(np.concatenate(truth)) > 50
    share = survival(together(parts), 30.0, confidence=0.95, deff_default=5.0)[1]
    assert share.value == pytest.approx(true, abs=0.07)
    assert share.lo < true < share.hi


def test_without_the_table_nothing_is_computed() -> None:
    empty = space_table(
        pd.DataFrame({t.FIELD: ["a"], "biopsy": "P", "panel": "infiltrate", "status": "analysed"}),
        {}, {}, {}, frozenset(), {"infiltrate": load_panel("infiltrate")}, Space(), Summary(),
    )  # fmt: skip
    assert empty.empty and Settings().space.table
