"""Outlines, colours, the table's order and filter, thumbnails: no window is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from napari_imganalysis._colours import UNCLASSED, class_names, counts, label_codes, legend_of, rgb
from napari_imganalysis._describe import cell_text
from napari_imganalysis._fields import load_field
from napari_imganalysis._outlines import OutlineMap, label_at
from napari_imganalysis._results import open_results
from napari_imganalysis._session import Session
from napari_imganalysis._table import filter_rows, main_columns, shown, sort_rows
from napari_imganalysis._thumbnails import Thumbnails, gallery_order
from skimage.segmentation import find_boundaries

from imganalysis.errors import TableError
from imganalysis.panel import builtin_panels, load_panel
from imganalysis.report.overlays import NOT_EVALUABLE

if TYPE_CHECKING:
    from pathlib import Path

    from napari_imganalysis._fields import OpenField


@pytest.fixture
def labels() -> np.ndarray:
    image = np.zeros((40, 50), np.uint32)
    image[5:15, 5:15], image[5:15, 15:25], image[20:35, 30:48] = 1, 2, 7
    return image


@pytest.fixture
def field(results: Path) -> OpenField:
    opened = open_results(results)
    return load_field(
        opened,
        next(n for n in opened.names if "week1_A apoptosis" in n or "week1_A_apoptosis" in n),
    )


def test_outlines_are_the_inner_boundaries_in_the_labels_codes(labels: np.ndarray) -> None:
    made = OutlineMap(labels)
    made.recolour(np.array([0, 3, 4, 0, 0, 0, 0, 5], np.uint8))
    expected = np.where(find_boundaries(labels, connectivity=1, mode="inner"), labels, 0)
    codes = {0: 0, 1: 3, 2: 4, 7: 5}
    np.testing.assert_array_equal(made.data, np.vectorize(codes.get)(expected))


def test_other_codes_leave_nothing_of_those_before(labels: np.ndarray) -> None:
    made = OutlineMap(labels)
    first = np.array([0, 1, 1, 1, 1, 1, 1, 1], np.uint8)
    made.recolour(first)
    before = made.data.copy()
    made.recolour(np.array([0, 0, 2, 0, 0, 0, 0, 2], np.uint8))
    assert set(np.unique(made.data[labels != 1])) == {0, 2}
    assert not made.data[labels == 1].any()
    made.recolour(first)
    np.testing.assert_array_equal(made.data, before)
    with pytest.raises(ValueError, match="expected 8"):
        made.recolour(first[:3])


def test_what_is_not_evaluable_is_dashed(labels: np.ndarray) -> None:
    made = OutlineMap(labels)
    codes = np.full(8, 9, np.uint8)
    made.recolour(codes)
    whole = int((made.data == 9).sum())
    made.recolour(codes, dashed=9)
    assert 0.3 * whole < int((made.data == 9).sum()) < 0.7 * whole


@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("planes", [0, 3])
def test_outlines_of_edited_labels_are_found_where_they_differ(
    labels: np.ndarray, width: int, planes: int
) -> None:
    if planes:
        labels = np.stack([np.roll(labels, 3 * i, axis=1) for i in range(planes)])
    made = OutlineMap(labels, width)
    made.recolour(np.arange(8, dtype=np.uint8))
    assert made.follow(labels.copy()) is None
    edited = [labels.copy() for _ in range(4)]
    edited[0][..., 0:9, 5:30] = 0  # at the border, across two
    edited[1][..., 36:40, 0:4] = 12  # a new one in the corner
    edited[2][edited[2] == 7] = 0
    edited[3][...] = labels
    for now in edited:
        differs = np.nonzero(made._of != now)
        box = made.follow(now)
        assert box == tuple(slice(at.min(), at.max() + 1) for at in differs)
        codes = np.arange(made.size, dtype=np.uint8)
        made.recolour(codes, dashed=7)
        fresh = OutlineMap(now, width)
        fresh.recolour(codes, dashed=7)
        assert made.size == fresh.size
        np.testing.assert_array_equal(made.data, fresh.data)
    with pytest.raises(ValueError, match="expected"):
        made.follow(labels[..., 1:])


def test_a_wider_line_goes_inwards_and_stacks_are_drawn_plane_by_plane(labels: np.ndarray) -> None:
    wide = OutlineMap(labels, width=2)
    wide.recolour(np.ones(8, np.uint8))
    assert int(wide.data.sum()) > int((find_boundaries(labels, connectivity=1, mode="inner")).sum())
    assert not wide.data[labels == 0].any()
    deep = OutlineMap(np.stack([labels, labels]))
    deep.recolour(np.ones(8, np.uint8))
    one = OutlineMap(labels)
    one.recolour(np.ones(8, np.uint8))
    np.testing.assert_array_equal(deep.data, np.stack([one.data, one.data]))


def test_a_label_is_found_at_a_place(labels: np.ndarray) -> None:
    assert label_at(labels, (5.0, 5.0)) == 1
    assert label_at(labels, (3.0, 5.4, 14.6)) == 2, "axes that the labels lack go first"
    assert label_at(labels, (-1.0, 5.0)) == 0
    assert label_at(labels, (100.0, 5.0)) == 0


@pytest.mark.parametrize("name", list(builtin_panels()))
def test_the_legend_has_the_panels_classes_and_colours_that_can_be_told_apart(name: str) -> None:
    panel = load_panel(name)
    legend = legend_of(panel)
    assert legend.names[: len(panel.classes)] == panel.classes
    own = {row.name: row.colour for row in panel.phenotypes}
    for one, colour in zip(legend.names, legend.colours, strict=True):
        if own.get(one, "").startswith("#"):
            assert colour.upper() == own[one].upper()
    rgba = legend.rgba(frozenset({legend.names[0]}))
    assert rgba[0][3] == rgba[1][3] == 0
    assert all(colour[3] == 1 for colour in rgba[2:])
    assert rgb("#ff0080") == (1.0, 0.0, pytest.approx(128 / 255))


def test_codes_and_counts_follow_the_table(field: OpenField) -> None:
    cells, legend = field.cells, legend_of(field.panel)
    assert cells is not None
    size = int(cells["label"].max()) + 2
    codes = label_codes(cells, legend, size)
    for row in cells.to_dict("records"):
        wanted = row["phenotype"] if row["evaluable"] else NOT_EVALUABLE
        assert legend.names[codes[row["label"]] - 1] == wanted
    assert codes[0] == 0
    assert legend.names[codes[-1] - 1] == UNCLASSED
    by_cell = cells[cells["evaluable"]].drop_duplicates(["cell_id", "phenotype"])
    expected = by_cell["phenotype"].value_counts().to_dict()
    found = counts(cells, legend)
    assert {name: n for name, n in found.items() if name != NOT_EVALUABLE} == expected


def test_a_filter_finds_words_and_compares(field: OpenField) -> None:
    cells = field.cells
    assert cells is not None
    small = filter_rows(cells, "equivalent_diameter_um < 6")
    np.testing.assert_array_equal(small, cells["equivalent_diameter_um"] < 6)
    both = filter_rows(cells, "Equivalent_Diameter_um < 6 and evaluable = True")
    np.testing.assert_array_equal(both, small & cells["evaluable"])
    by_word = filter_rows(cells, "NON_tumour")
    in_why = cells["why"].astype(str).str.contains("non_tumour")
    np.testing.assert_array_equal(by_word, cells["phenotype"].eq("non_tumour") | in_why)
    assert cells["label"][filter_rows(cells, str(cells["label"].iloc[3]))].tolist() == [
        cells["label"].iloc[3]
    ]
    assert filter_rows(cells, "").all()
    for wrong, told in (("nothing > 3", "no column"), ("area_um2 > big", "holds numbers"),
                        ("phenotype > a", "holds texts")):  # fmt: skip
        with pytest.raises(TableError, match=told):
            filter_rows(cells, wrong)


def test_rows_are_sorted_stably_with_empty_last() -> None:
    cells = pd.DataFrame({"label": [1, 2, 3, 4], "a": [2.0, np.nan, 1.0, 2.0],
                          "b": ["x", None, "", "a"]})  # fmt: skip
    rows = np.arange(4)
    assert sort_rows(cells, rows, "a").tolist() == [2, 0, 3, 1]
    assert sort_rows(cells, rows, "a", descending=True).tolist() == [0, 3, 2, 1]
    assert sort_rows(cells, rows, "b").tolist() == [3, 0, 1, 2]
    assert sort_rows(cells, rows[::-1], None).tolist() == [0, 1, 2, 3]
    assert [shown(v) for v in (1.23456, np.nan, True, None, 12, "a")] == [
        "1.235", "", "yes", "", "12", "a",
    ]  # fmt: skip


def test_a_cell_is_described_with_its_calls_gates_and_reason(
    field: OpenField, results: Path
) -> None:
    gates = open_results(results).gates
    cells = field.cells
    assert cells is not None
    row = cells[cells["evaluable"] & (cells["casp3_call"] == "positive")].iloc[0]
    text = cell_text(row, field, gates)
    assert str(row["label"]) in text
    assert row["phenotype"] in text
    assert "casp3 <b>+</b>" in text
    assert f"{row['casp3_max_mean']:.3g}" in text
    gate = next(g for g in gates if g.marker == "casp3" and g.panel == "apoptosis")
    assert f"gate {gate.value:.3g}" in text
    out = cells[~cells["evaluable"]].iloc[0]
    assert f"not counted: {out['exclusion']}" in cell_text(out, field, gates)


def test_thumbnails_show_the_cell_in_the_middle(field: OpenField) -> None:
    cells = field.cells
    assert cells is not None
    made = Thumbnails(field)
    assert made.headings == ["all", *field.channels]
    size = field.stack.shape[-1] * field.pixel_um[1]
    inner = cells[cells["centroid_x_um"].between(15, size - 15)
                  & cells["centroid_y_um"].between(15, size - 15)]  # fmt: skip
    row = inner.sort_values("equivalent_diameter_um").iloc[-1]
    strip = made.strip(row, "#ff00ff")
    assert strip.shape == (*made.shape, 3)
    side = made.shape[0]
    outline = (strip[:, :side] == (255, 0, 255)).all(axis=2)
    y, x = np.nonzero(outline)
    assert abs((y.min() + y.max()) / 2 - side / 2) < side / 8
    assert abs((x.min() + x.max()) / 2 - side / 2) < side / 8
    # A cell at the border has a strip of the same size.
    corner = cells.sort_values("centroid_y_um").iloc[0]
    assert made.strip(corner).shape == strip.shape


def test_the_gallery_has_the_cells_of_the_class_in_the_order_asked_for(field: OpenField) -> None:
    cells = field.cells
    assert cells is not None
    names = class_names(cells)
    found = gallery_order(cells, names, "non_tumour", "casp3_max_mean")
    mine = cells[cells["evaluable"] & (cells["phenotype"] == "non_tumour")]
    assert sorted(found) == sorted(mine["label"])
    values = cells.set_index("label").loc[found, "casp3_max_mean"]
    assert values.is_monotonic_increasing


def test_the_main_columns_are_those_that_say_what_a_cell_is(field: OpenField) -> None:
    assert field.cells is not None
    columns = main_columns(field.cells, field.panel)
    assert columns[:2] == ["label", "phenotype"]
    assert {"MelanA_call", "MelanA_ring_mean", "casp3_max_mean", "why"} <= set(columns)


def test_a_session_tells_everyone(results: Path) -> None:
    session, heard = Session(), []
    for name in ("opened_changed", "field_changed", "cells_changed", "selected", "go_to",
                 "hidden_changed"):  # fmt: skip
        getattr(session, name).connect(lambda *_, name=name: heard.append(name))
    session.open(results)
    assert heard == ["opened_changed"]
    names = session.order
    session.step(1)
    assert session.field is not None
    assert session.field.name == names[0]
    session.step(1)
    session.step(-1)
    assert session.field.name == names[0]
    session.select(3)
    session.select(3, go=True)
    session.hide(frozenset({"a"}))
    session.hide(frozenset({"a"}))
    assert session.cells is not None
    session.set_cells(session.cells.assign(phenotype="other"))
    assert heard[1:] == ["field_changed"] * 3 + ["selected", "go_to", "hidden_changed",
                                                "cells_changed"]  # fmt: skip
    assert session.class_counts[UNCLASSED] > 0
    told: list[str] = []
    session.message.connect(lambda kind, text: told.append(text))
    session.step(-1)
    assert told == ["This is the first field"]
    with pytest.raises(TableError, match="missing column"):
        session.set_cells(session.cells.drop(columns="phenotype"))
