"""The rows of space.csv, on cells of which the truth is known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from imganalysis import tables as t
from imganalysis.errors import SettingsError, TableError
from imganalysis.panel import load_panel
from imganalysis.quantify.biopsies import biopsy_table
from imganalysis.quantify.frame import guard_mask
from imganalysis.quantify.regions import region_areas, with_regions
from imganalysis.quantify.spatial import (
    COLUMNS,
    MEASURES,
    check_pairs,
    nearest_in_field,
    space_table,
)
from imganalysis.quantify.summary import Counts
from imganalysis.quantify.window import FieldSpace, field_space, place_objects
from imganalysis.settings import Summary
from imganalysis.settings_space import Space

A, B, JOINT = load_panel("apoptosis"), load_panel("infiltrate"), load_panel("joint")
PANELS = {p.name: p for p in (A, B, JOINT)}
SIDE = 300
FRAME = guard_mask((SIDE, SIDE), (1.0, 1.0), 8.0)
GRID = np.zeros((75, 75))
GRID[2:73, 2:73] = 16.0
HALF = np.zeros((75, 75), bool)
HALF[:, :25] = True  # tumour in the left 100 um, its margin up to 200 um


def one_field(
    name: str, points: np.ndarray, classes: list[str], drawn: dict[str, Any] | None = None
) -> tuple[pd.DataFrame, FieldSpace]:
    """Cells of a field of 300 um, all of it tissue, with a tumour at its left."""
    space = field_space(FRAME, FRAME, (1.0, 1.0), drawn or {})
    table = pd.DataFrame(points, columns=[t.Y, t.X]).assign(
        **{t.FIELD: name, t.PHENOTYPE: classes, t.EVALUABLE: True, t.EXCLUSION: ""}
    )
    table = place_objects(table, (1.0, 1.0), space.frame_um, drawn or {})
    return with_regions(table, {name: HALF}, {name: space}, 100.0), space


def rows_of(
    fields: dict[str, tuple[pd.DataFrame, FieldSpace]],
    panel: str = "joint",
    *,
    regions: bool = True,
    ungated: frozenset[tuple[str, str]] = frozenset(),
    tissue_mm2: float = 0.08,
    **settings: Any,
) -> pd.DataFrame:
    table = pd.DataFrame(
        {t.FIELD: list(fields), "biopsy": "P01", "panel": panel, "status": "analysed",
         "tissue_mm2": tissue_mm2}
    )  # fmt: skip
    areas = {n: region_areas(HALF, GRID, 100.0, s) for n, (_, s) in fields.items()}
    return space_table(
        table,
        {n: c for n, (c, _) in fields.items()},
        {n: s for n, (_, s) in fields.items()},
        areas if regions else {},
        ungated,
        PANELS,
        Space(**{"permutations": 99, **settings}),
        Summary(),
    )


def pick(table: pd.DataFrame, measure: str, **where: str) -> pd.Series:
    mine = table[table["measure"] == measure]
    for column, value in where.items():
        mine = mine[mine[column.rstrip("_")] == value]
    assert len(mine) == 1, mine
    return mine.iloc[0]


def scattered(seed: int, classes: dict[str, int], **kwargs: Any) -> tuple[pd.DataFrame, FieldSpace]:
    rng = np.random.default_rng(seed)
    names = [name for name, n in classes.items() for _ in range(n)]
    points = rng.uniform(9, SIDE - 9, (len(names), 2))
    return one_field(f"f{seed}", points, names, **kwargs)


def test_densities_in_regions() -> None:
    """10 T cells in the tumour, 20 in the margin, 5 in the stroma, in each of three fields."""
    rng = np.random.default_rng(0)
    fields = {}
    for i in range(3):
        points = np.concatenate(
            [rng.uniform((10, low), (290, high), (n, 2))
             for n, low, high in ((10, 10, 99), (20, 101, 199), (5, 201, 290))]
        )  # fmt: skip
        fields[f"f{i}"] = one_field(f"f{i}", points, ["T"] * 35)
    table = rows_of(fields)
    areas = [pick(table, "area_mm2", region=r)["value"] for r in ("tumour", "margin", "stroma")]
    assert areas == pytest.approx([0.078384, 0.0852, 0.078384])
    for region, n, area in zip(("tumour", "margin", "stroma"), (30, 60, 15), areas, strict=True):
        row = pick(table, "density_per_mm2", class_="T", region=region)
        assert row["value"] == pytest.approx(n / area) and row["n"] == n and row["n_fields"] == 3
        assert 0 < row["lo"] < row["value"] < row["hi"]
    ratio = pick(table, "density_ratio", class_="T")
    assert ratio["value"] == pytest.approx(30 / areas[0] / (60 / areas[1]))
    # Fields alike: no less than two Poisson counts, with the t quantile of two degrees.
    half = 4.302653 * math.sqrt(1 / 30 + 1 / 60)
    assert math.log(ratio["hi"] / ratio["value"]) == pytest.approx(half, abs=1e-4)
    assert pick(table, "density_per_mm2", class_="NK", region="tumour")["value"] == 0
    assert pick(table, "density_ratio", class_="NK")["reason"] == "no_cells"
    # Stroma from 200 to 292 um; all but a part in the middle lies within 100 um of a side.
    assert pick(table, "stroma_unsure_share")["value"] == pytest.approx(1.0)


def test_fields_that_differ_widen_the_ratio() -> None:
    points = np.full((40, 2), 150.0)
    left, right = points - [0, 100], points
    even = {f"f{i}": one_field(f"f{i}", np.concatenate([left[:20], right[:20]]), ["T"] * 40)
            for i in range(2)}  # fmt: skip
    uneven = {
        "f0": one_field("f0", np.concatenate([left[:35], right[:5]]), ["T"] * 40),
        "f1": one_field("f1", np.concatenate([left[:5], right[:35]]), ["T"] * 40),
    }
    narrow, wide = (pick(rows_of(f), "density_ratio", class_="T") for f in (even, uneven))
    assert narrow["value"] == pytest.approx(wide["value"])
    assert math.log(wide["hi"] / wide["lo"]) > 2 * math.log(narrow["hi"] / narrow["lo"])


@pytest.mark.parametrize(
    ("panel", "kwargs", "word"),
    [
        ("infiltrate", {"regions": False}, "no_tumour_region"),
        ("joint", {"regions": False}, "ungated"),
        ("infiltrate", {"tissue_mm2": math.nan}, "thick_stack"),
        ("infiltrate", {"ungated": frozenset({("f1", "CD3")})}, "ungated"),
    ],
)
def test_what_cannot_be_had_says_why(panel: str, kwargs: dict[str, Any], word: str) -> None:
    fields = {"f1": scattered(1, {"T": 40, "NK": 40})}
    table = rows_of(fields, panel, **kwargs)
    mine = table[(table["measure"] == "density_per_mm2") & (table["class"] == "T")]
    assert len(mine) == 3
    assert mine["value"].isna().all() and (mine["reason"] == word).all()
    empty = table["value"].isna()
    assert (table.loc[empty, "reason"] != "").all() and (table.loc[~empty, "reason"] == "").all()


def test_every_word_is_explained() -> None:
    fields = {"f1": scattered(1, {"T": 40, "NK": 40, "tumour_vital": 30})}
    for panel in PANELS:
        table = rows_of(fields, panel)
        assert list(table.columns) == list(COLUMNS)
        assert set(table["measure"]) == set(MEASURES)
        assert set(table["reason"]) - {""} <= set(t.REASONS)


def test_nearest_neighbours_of_a_lattice() -> None:
    """T cells 7 um from a tumour cell each: all within 20 um, median 7."""
    grid = np.stack(np.meshgrid(np.arange(30, 280, 40), np.arange(30, 280, 40)), -1).reshape(-1, 2)
    points = np.concatenate([grid, grid + np.array([7, 0])]).astype(float)
    fields = {"f": one_field("f", points, ["tumour_vital"] * len(grid) + ["T"] * len(grid))}
    table = rows_of(fields)
    assert pick(table, "nearest_median_um", class_="T", to="tumour")["value"] == pytest.approx(7)
    share = pick(table, "nearest_share", class_="T", to="tumour")
    assert share["value"] == 1 and share["n"] == len(grid) and share["lo"] < 1
    assert pick(table, "nearest_share", class_="NK", to="tumour")["reason"] == "no_cells"
    # The tumour is 33 um from the next T cell of another pair, 7 um from its own.
    mine = rows_of(fields, pairs=(("tumour_vital", "T"), ("T", "T")))
    assert pick(mine, "nearest_median_um", class_="T", to="T")["value"] == pytest.approx(40)


def test_a_panel_without_the_other_class_says_so() -> None:
    table = rows_of({"f1": scattered(1, {"T": 40})}, "infiltrate")
    assert pick(table, "nearest_share", class_="T", to="tumour")["reason"] == "not_stained"


def test_pairs_name_classes_that_there_are() -> None:
    check_pairs(PANELS.values(), Space())
    check_pairs([B], Space(pairs=(("NK", "T"), ("apoptotic", "infiltrate"))))
    with pytest.raises(SettingsError, match=r"no panel has a class 'Nk'; expected one of tumour"):
        check_pairs(PANELS.values(), Space(pairs=(("Nk", "T"),)))


def test_cells_of_two_sections_have_no_distance() -> None:
    """Sections of different panels share nuclei, but no cell: they are never joined."""
    (first, _), (second, _) = (scattered(i, {"T": 5, "NK": 5}) for i in (1, 2))
    assert len(nearest_in_field(first, ["T"], ["NK"])) == 5
    with pytest.raises(TableError, match="found 2 fields"):
        nearest_in_field(pd.concat([first, second]), ["T"], ["NK"])


def test_clusters_among_their_like() -> None:
    rng = np.random.default_rng(3)
    parents = rng.uniform(40, 260, (8, 2))
    own = np.clip(parents[rng.integers(8, size=45)] + rng.normal(0, 6, (45, 2)), 9, 291)
    others = rng.uniform(9, 291, (200, 2))
    fields = {"f": one_field("f", np.concatenate([own, others]), ["NK"] * 45 + ["T"] * 200)}
    row = pick(rows_of(fields, "infiltrate"), "clustering_um", class_="NK")
    assert row["to"] == "T+NK+CD3CD56" and row["n"] == 45
    assert row["value"] > row["hi"] > 0 > row["lo"] and row["p"] == pytest.approx(0.01)
    mixed = {"f": scattered(4, {"NK": 45, "T": 200})}
    row = pick(rows_of(mixed, "infiltrate"), "clustering_um", class_="NK")
    assert row["lo"] < row["value"] < row["hi"] and row["p"] > 0.05
    few = pick(rows_of({"f": scattered(5, {"NK": 29, "T": 200})}, "infiltrate"), "clustering_um",
               class_="NK")  # fmt: skip
    assert few["reason"] == "too_few_cells" and math.isnan(few["value"])
    off = rows_of(mixed, "infiltrate", clusters=False)
    assert "clustering_um" not in set(off["measure"])


def vessel() -> dict[str, Any]:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[:, 146:154] = True
    return {"vessel": mask}


def test_share_near_a_vessel_is_recovered() -> None:
    """70 % of the NK cells within 30 um of a vessel, T cells anywhere; 6 fields of 15 NK."""
    rng = np.random.default_rng(22)
    fields = {}
    for i in range(6):
        near = rng.random(15) < 0.7
        away = np.where(near, rng.uniform(0, 30, 15), rng.uniform(30, 138, 15))
        x = np.where(rng.random(15) < 0.5, 146 - away, 154 + away)
        own = np.stack([rng.uniform(9, 291, 15), x], axis=1)
        others = rng.uniform(9, 291, (100, 2))
        others = others[np.abs(others[:, 1] - 149.5) > 4]
        fields[f"f{i}"] = one_field(f"f{i}", np.concatenate([own, others]),
                                    ["NK"] * 15 + ["T"] * len(others), vessel())  # fmt: skip
    table = rows_of(fields, "infiltrate", near_um=30.0)
    share = pick(table, "vessel_share", class_="NK")
    assert share["value"] == pytest.approx(0.7, abs=0.07)
    assert share["lo"] < 0.7 < share["hi"] and share["n"] == 90
    # 60 of the 276 um beside the vessel lie within 30 um of it.
    assert pick(table, "vessel_share", class_="T")["value"] == pytest.approx(60 / 276, abs=0.07)
    assert pick(table, "vessel_share", class_="tissue")["value"] == pytest.approx(
        60 / 276, abs=0.03
    )
    against = pick(table, "vessel_share_difference", class_="NK", to="T+CD3CD56")
    assert against["value"] == pytest.approx(0.48, abs=0.1) and against["p"] == pytest.approx(0.01)
    assert pick(table, "vessel_share_difference", class_="NK", to="tissue")["p"] <= 0.01
    assert pick(table, "vessel_share_difference", class_="T", to="tissue")["p"] > 0.05


def test_cells_nearer_the_border_than_the_vessel_are_cut_off() -> None:
    points = np.array([[150.0, 100.0], [150.0, 20.0], [12.0, 130.0]])
    fields = {"f": one_field("f", points, ["T"] * 3, vessel())}
    table = rows_of(fields, "infiltrate", near_um=50.0)
    # The first is seen at 46 um; the others leave sight at 20.5 and 12.5 um.
    assert pick(table, "vessel_share", class_="T")["value"] == 1.0
    assert pick(table, "vessel_median_um", class_="T")["value"] == pytest.approx(46, abs=0.6)


def test_without_vessels_there_is_no_distance_to_them() -> None:
    table = rows_of({"f1": scattered(1, {"T": 40, "NK": 10})}, "infiltrate")
    mine = table[table["measure"].str.startswith("vessel_")]
    assert len(mine) > 6
    assert (mine["reason"] == "no_vessels").all() and mine["value"].isna().all()


def test_the_same_cells_give_the_same_table() -> None:
    fields = {f"f{i}": scattered(i, {"NK": 40, "T": 100}, drawn=vessel()) for i in (1, 2)}
    first, again = (rows_of(fields, "infiltrate") for _ in range(2))
    pd.testing.assert_frame_equal(first, again, check_exact=True)


def test_failed_fields_and_those_without_borders_do_not_enter() -> None:
    fields = {"f1": scattered(1, {"T": 40})}
    table = pd.DataFrame(
        {t.FIELD: ["f1", "f2"], "biopsy": "P01", "panel": "infiltrate",
         "status": ["analysed", "failed"], "tissue_mm2": [0.08, math.nan]}
    )  # fmt: skip
    args = (frozenset(), PANELS, Space(), Summary())
    found = space_table(table, {"f1": fields["f1"][0]}, {"f1": fields["f1"][1]}, {}, *args)
    assert pick(found, "area_mm2", region="tumour")["reason"] == "no_tumour_region"
    assert space_table(table, {"f1": fields["f1"][0]}, {}, {}, *args).empty


def test_densities_of_two_panels_are_averaged_by_area() -> None:
    """Sections of different panels share nuclei: 300 per 0.1 mm2 and 100 per 0.3 mm2 are 1000."""
    rows: dict[str, Any] = {
        "biopsy": "P01", "patient": "P01", "lesion": "1", "week": 1, "status": "analysed",
        "flags": "", **dict.fromkeys(t.REGION_AREAS, math.nan),
        **{f"n_{word}": 0 for word in t.EXCLUSIONS},
        "n_objects": 400, "n_cells": 400, "n_apoptotic": 0, "fragments_per_apoptotic": math.nan,
        "ghost_n": 0, "ghost_area_mm2": 0.0, "seen_um": 3.0, "volume_mm3": math.nan,
    }  # fmt: skip
    fields = pd.DataFrame(
        {t.FIELD: ["b", "j"], "panel": ["infiltrate", "joint"], "section": ["1", "2"],
         "tissue_mm2": [0.1, 0.3]}
    ).assign(**rows)  # fmt: skip
    names = [*dict.fromkeys([*B.classes, *JOINT.classes, t.UNRESOLVED])]
    called = pd.DataFrame(0, index=["b", "j"], columns=names)
    called["T"] = [300, 100]
    panels = {p.name: p for p in (B, JOINT)}
    table = biopsy_table(fields, Counts(called=called, uncapped=called), panels, Summary())
    (row,) = table.to_dict("records")
    assert row["T_per_mm2"] == pytest.approx(400 / 0.4)
    assert row["T_per_mm2_lo"] < 1000 < row["T_per_mm2_hi"]
    one = biopsy_table(fields.head(1), Counts(called=called, uncapped=called), panels, Summary())
    assert one.iloc[0]["T_per_mm2"] == pytest.approx(3000)


def test_a_field_without_an_object_counts_with_its_area() -> None:
    cells, space = scattered(1, {"T": 40}, drawn=vessel())
    table = pd.DataFrame(
        {t.FIELD: ["f1", "empty"], "biopsy": "P01", "panel": "joint", "status": "analysed",
         "tissue_mm2": 0.08}
    )  # fmt: skip
    areas = {name: region_areas(HALF, GRID, 100.0, space) for name in ("f1", "empty")}
    found = space_table(
        table, {"f1": cells}, {"f1": space, "empty": space}, areas, frozenset(), PANELS,
        Space(permutations=19), Summary(),
    )  # fmt: skip
    row = pick(found, "density_per_mm2", class_="T", region="margin")
    assert row["n_fields"] == 2 and row["n"] == (cells[t.REGION] == "margin").sum()
    assert pick(found, "vessel_share", class_="T")["n_fields"] == 1
