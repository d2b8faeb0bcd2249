"""What shape, place and neighbours say of a cell."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imganalysis import tables as t
from imganalysis.classify import evaluate_contexts
from imganalysis.panel import Panel, load_panel

CALLS = {"+": t.POSITIVE, "-": t.NEGATIVE, "?": t.INDETERMINATE}

PANEL = Panel.model_validate(
    {
        "name": "p",
        "channels": [{"marker": "DNA", "role": "nuclei"}, {"marker": "A"}, {"marker": "B"}],
        "contexts": {
            "small": {"kind": "shape", "max_diameter_um": 8, "max_aspect": 1.3},
            "large": {"kind": "shape", "min_diameter_um": 8},
            "in_region": {"kind": "in_region"},
            "lymphoid": {
                "kind": "lymphoid",
                "shape": "small",
                "no_trace_of": "A",
                "neighbours_negative": ["A", "B"],
            },
            "sheet": {"kind": "sheet", "positive": "B", "negative": ["A"], "shape": "small"},
            "cut_sheet": {
                "kind": "sheet",
                "positive": "B",
                "negative": ["A"],
                "shape": "small",
                "min_neighbours": 2,
                "min_spread": 1.1,
                "cut_um": 4.5,
                "min_field_share": 0.4,
            },
            "lonely": {"kind": "lonely_granular", "positive": "A"},
        },
    }
)


def cells(rows: list[dict], **columns) -> pd.DataFrame:
    base = {
        t.FIELD: "f",
        t.Y: 0.0,
        t.X: 0.0,
        t.DIAMETER: 6.0,
        t.ASPECT: 1.1,
        "A": "-",
        "B": "-",
        "A_ring_mean": 1.0,
        "A_ring_sd": 0.5,
        t.AREA: 40.0,
        t.RING_AREA: 30.0,
        t.CELL_AREA: 130.0,
        "B_nucleus_mean": 5.0,
        "B_ring_mean": 10.0,
        "B_cell_mean": 5.0,
    }
    table = pd.DataFrame([base | row for row in rows]).assign(**columns)
    calls = {f"{m}_call": table.pop(m).map(CALLS) for m in ("A", "B")}
    return table.assign(**calls)


def found(table: pd.DataFrame, name: str, region=None, **options) -> list:
    column = evaluate_contexts(table, PANEL, region, **options)[t.context_column(name)]
    return [None if pd.isna(value) else bool(value) for value in column]


NOWHERE = np.zeros((100, 100), dtype=bool)


def test_shapes_at_their_limits():
    rows = [
        {t.DIAMETER: 8.0, t.ASPECT: 1.29},
        {t.DIAMETER: 8.01, t.ASPECT: 1.1},
        {t.DIAMETER: 8.0, t.ASPECT: 1.3},
        {t.DIAMETER: np.nan, t.ASPECT: 1.1},
        {t.DIAMETER: np.nan, t.ASPECT: 1.5},
    ]
    assert found(cells(rows), "small") == [True, False, False, None, False]
    assert found(cells(rows), "large") == [False, True, False, None, None]


def test_the_region_is_looked_up_in_the_cell_s_own_field():
    rows = [{t.FIELD: f, t.Y: y, t.X: 2.0} for f in ("f", "g", "h") for y in (2.0, 6.0)]
    top, bottom = np.array([[True], [False]]), np.array([[False], [True]])
    regions = {"f": top, "g": bottom, "h": None}
    expected = [True, False, False, True, None, None]
    assert found(cells(rows), "in_region", regions) == expected
    assert found(cells(rows), "in_region") == [None] * 6
    assert found(cells(rows[:2]), "in_region", top) == [True, False]
    assert found(cells(rows[:2]), "in_region", top, grid_um=10.0) == [True, True]
    mixed = cells(rows).iloc[[3, 0, 5, 2, 1]]
    assert found(mixed, "in_region", regions) == [True, True, None, False, False]


def lymphocyte(*neighbours: dict, **own) -> list:
    # Far away, cells without A set the level under which A leaves no trace: 3.25.
    crowd = [{t.Y: 500.0, t.X: 50.0 * i, "A_ring_mean": float(i)} for i in range(1, 5)]
    rows = [own, *({t.X: 5.0, "A_ring_mean": 3.5} | n for n in neighbours), *crowd]
    return found(cells(rows), "lymphoid")[0]


def test_lymphoid_cells_are_small_without_trace_and_in_company():
    pair = ({}, {t.Y: 5.0})
    assert lymphocyte(*pair, B="+") is True
    assert lymphocyte(*pair, **{t.DIAMETER: 9.0}) is False
    assert lymphocyte(*pair, A_ring_mean=3.6) is False
    assert lymphocyte(*pair, A_ring_mean=np.nan) is None
    assert lymphocyte({}) is False
    assert lymphocyte({}, {t.X: 15.1}) is False
    assert lymphocyte({}, {t.X: 15.0}) is True
    assert lymphocyte({}, {"B": "+"}) is False
    assert lymphocyte({}, {"A": "+"}) is False
    assert lymphocyte({}, {t.DIAMETER: 9.0}) is False
    assert lymphocyte({}, {"B": "?"}) is None
    assert lymphocyte({}, {}, {"B": "?"}) is True
    assert lymphocyte({}, {t.FIELD: "g"}) is False


def test_debris_is_no_company_but_the_guard_frame_is():
    crowd = [{t.Y: 500.0, "A_ring_mean": 9.0}]
    table = cells([{}, {t.X: 5.0}, {t.X: 6.0}, *crowd])
    table[t.EVALUABLE] = [True, True, False, True]
    for reason, expected in (("too_small", False), ("outside_frame", True)):
        table[t.EXCLUSION] = ["", "", reason, ""]
        assert found(table, "lymphoid")[0] is expected


def test_the_trace_level_is_that_of_the_batch():
    rows = [{t.FIELD: f, t.X: 5.0 * i} for f in ("f", "g") for i in range(3)]
    table = cells(rows, batch=["1"] * 3 + ["2"] * 3, A_ring_mean=[1, 5, 5, 6, 9, 9])
    # 1 and 6 lie under the 75th percentile of their own batch; of both together 6 would not.
    assert found(table, "lymphoid") == [True, False, False, True, False, False]
    joint = table.drop(columns="batch")
    assert found(joint, "lymphoid")[3] is True
    table["A_ring_mean"] = [1, 1, 1, 6, 9, 9]
    assert found(table, "lymphoid")[0] is False


def in_sheet(*neighbours: dict, **own) -> bool | None:
    rows = [{"B": "+"} | own, *({t.X: 10.0, "B": "+", t.DIAMETER: 10.0} | n for n in neighbours)]
    return found(cells(rows), "sheet")[0]


def test_a_sheet_is_many_positive_cells_with_large_nuclei():
    assert in_sheet({}, {}, {}) is True
    assert in_sheet({}, {}) is False
    assert in_sheet({}, {}, {t.X: 20.1}) is False
    assert in_sheet({}, {}, {t.DIAMETER: 6.0}) is True
    assert in_sheet({}, {}, *[{t.DIAMETER: 6.0}] * 3) is False
    assert in_sheet({}, {}, {}, B="-") is False
    assert in_sheet({}, {}, {}, A="+") is False
    assert in_sheet({}, {}, {"A": "+"}) is False
    assert in_sheet({}, {}, {}, B="?") is None
    assert in_sheet({}, {}, {"B": "?"}) is None
    assert in_sheet({}, {}, {}, {"B": "?"}) is True
    assert in_sheet({}, {}, {}, *[{t.DIAMETER: 6.0, "B": "?"}] * 4) is None


def lonely(*neighbours: dict, region=NOWHERE, **own) -> bool | None:
    rows = [{"A": "+", "A_ring_sd": 1.2} | own, *({t.X: 10.0, "A": "+"} | n for n in neighbours)]
    return found(cells(rows), "lonely", region)[0]


def test_lonely_granular_cells():
    assert lonely() is True
    assert lonely({}) is True
    assert lonely({}, {}) is False
    assert lonely({}, {t.X: 20.1}) is True
    assert lonely({}, {"A": "?"}) is None
    assert lonely({}, {"A": "-"}, {"A": "-"}) is True
    assert lonely(A="-") is False
    assert lonely(A="?") is None
    assert lonely(region=~NOWHERE) is False
    assert lonely(region=None) is None
    assert lonely({}, {}, region=None) is False
    assert lonely(A_ring_sd=0.99) is False
    assert lonely(A_ring_sd=1.0) is True
    assert lonely(A_ring_sd=np.nan) is None
    assert lonely(A_ring_mean=-1.0) is False


def test_without_the_column_granularity_is_unknown():
    table = cells([{"A": "+"}, {t.X: 50.0}]).drop(columns="A_ring_sd")
    assert found(table, "lonely", NOWHERE) == [None, False]


def test_neighbours_are_counted_in_depth_where_there_is_depth():
    rows = [{"B": "+"}] + [{"B": "+", t.DIAMETER: 10.0, t.X: 1.0}] * 3
    assert found(cells(rows), "sheet")[0] is True
    assert found(cells(rows, **{t.Z: [0.0, 0.0, 0.0, 30.0]}), "sheet")[0] is False


def test_an_empty_table():
    table = cells([{}]).iloc[:0]
    result = evaluate_contexts(table, PANEL, {})
    assert list(result) == [t.context_column(name) for name in PANEL.contexts]
    assert (result.dtypes == "boolean").all()


CELL = st.fixed_dictionaries(
    {
        t.Y: st.sampled_from([0.0, 8.0, 16.0, 30.0]),
        t.X: st.sampled_from([0.0, 8.0, 16.0]),
        t.DIAMETER: st.sampled_from([4.0, 6.0, 10.0]),
        "B_cell_mean": st.sampled_from([5.0, 12.0]),
        "A": st.sampled_from("+-?"),
        "B": st.sampled_from("+-?"),
        "A_ring_sd": st.sampled_from([0.5, 2.0]),
        t.FIELD: st.sampled_from("fg"),
    }
)


@settings(max_examples=60, deadline=None)
@given(st.lists(CELL, min_size=1, max_size=7))
def test_what_is_known_holds_however_the_unknown_calls_are_settled(rows):
    # Enough negatives far away, of one level, that the trace level does not hang on the rest.
    crowd = [{t.Y: 900.0, t.X: 90.0 * i, "A_ring_mean": 5.0} for i in range(40)]
    open_ = [(i, m) for i, row in enumerate(rows) for m in "AB" if row[m] == "?"][:5]
    fixed = [dict(row) for row in rows]
    for i, row in enumerate(fixed):
        for m in "AB":
            if row[m] == "?" and (i, m) not in open_:
                row[m] = "-"
    names = ("lymphoid", "sheet", "cut_sheet", "lonely")
    known = evaluate_contexts(cells(fixed + crowd), PANEL, NOWHERE)
    for ways in product("+-", repeat=len(open_)):
        settled = [dict(row) for row in fixed]
        for (i, m), call in zip(open_, ways, strict=True):
            settled[i][m] = call
        truth = evaluate_contexts(cells(settled + crowd), PANEL, NOWHERE)
        for name in names:
            column = t.context_column(name)
            assert not truth[column].isna().any()
            sure = known[column].notna()
            assert (known.loc[sure, column] == truth.loc[sure, column]).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(CELL, min_size=1, max_size=12))
def test_known_calls_agree_with_counting_by_hand(rows):
    rows = [row | {m: "+-"[row[m] != "+"] for m in "AB"} for row in rows]
    table = cells(rows)
    result = evaluate_contexts(table, PANEL, NOWHERE)

    def near(i: int, radius: float) -> list[dict]:
        a = rows[i]
        return [
            b
            for j, b in enumerate(rows)
            if j != i
            and b[t.FIELD] == a[t.FIELD]
            and np.hypot(a[t.Y] - b[t.Y], a[t.X] - b[t.X]) <= radius
        ]

    def is_wide(row: dict) -> bool:
        return row["B_cell_mean"] > 10

    for i, row in enumerate(rows):
        own = row["B"] == "+" and row["A"] == "-"
        b = [n for n in near(i, 20) if n["B"] == "+" and n["A"] == "-"]
        large = [n for n in b if n[t.DIAMETER] > 8]
        assert result["is_sheet"][i] == (own and len(b) >= 3 and len(large) * 2 >= len(b))
        field = [n for n in rows if n[t.FIELD] == row[t.FIELD]]
        others = [n for n in field if n[t.DIAMETER] > 8]
        positive = [n for n in field if n["B"] == "+" and n["A"] == "-"]
        alike = [n for n in positive if n[t.DIAMETER] == 6 and not is_wide(n)]
        n_others = len([n for n in positive if n[t.DIAMETER] > 8])
        most = n_others >= max(2, 0.4 * len(others)) and n_others > len(alike)
        beside = [n for n in b if n[t.DIAMETER] > 8 or is_wide(n)]
        cut_sheet = own and (
            (len(b) >= 2 and len(large) * 2 >= len(b))
            or (is_wide(row) and (most or len(beside) > 0))
            or (row[t.DIAMETER] == 4 and most)
        )
        assert result["is_cut_sheet"][i] == cut_sheet
        a = [n for n in near(i, 20) if n["A"] == "+"]
        assert result["is_lonely"][i] == (row["A"] == "+" and len(a) <= 1 and row["A_ring_sd"] > 1)


def test_missing_columns_are_named():
    from imganalysis.errors import TableError

    with pytest.raises(TableError, match=r"missing .*aspect_ratio"):
        evaluate_contexts(cells([{}]).drop(columns=t.ASPECT), PANEL)


def test_a_flat_field_leaves_the_others_their_depth():
    # Three small, bare nuclei: near each other in Y and X, far apart in Z.
    stack = [{t.X: float(i), t.Z: 50.0 * i} for i in range(3)]
    flat = [{t.FIELD: "g", t.X: float(i), t.Z: np.nan} for i in range(3)]
    # Cells with a trace of A set the level that the others lie under.
    traces = [{t.FIELD: "h", t.X: 100.0 * i, t.Z: 0.0, "A_ring_mean": 9.0} for i in range(6)]
    table = cells([*stack, *flat, *traces])
    expected = [False] * 3 + [True] * 3 + [False] * 6
    assert found(table, "lymphoid") == expected
    near = table.assign(**{t.Z: table[t.Z] / 50})
    assert found(near, "lymphoid") == [True] * 6 + [False] * 6


def test_a_wide_body_beside_another_is_in_a_sheet() -> None:
    """Small round nuclei, two cells only: what lies beyond the ring tells."""
    panel = load_panel("infiltrate")
    table = pd.DataFrame(
        {
            t.FIELD: "f", t.Y: [10.0, 10.0, 10.0, 90.0], t.X: [10.0, 22.0, 60.0, 90.0],
            t.DIAMETER: 7.0, t.ASPECT: 1.1, t.AREA: 40.0, t.RING_AREA: 30.0, t.CELL_AREA: 130.0,
            "CD56_call": t.POSITIVE, "CD3_call": t.NEGATIVE, "CD56_nucleus_mean": 5.0,
            "CD56_ring_mean": 10.0,
            # 12, 12, 3 and 12 beyond the ring, in 60 um2
            "CD56_cell_mean": [(200 + 300 + 60 * v) / 130 for v in (12, 12, 3, 12)],
        }
    )  # fmt: skip
    found = evaluate_contexts(table, panel)["is_CD56_sheet"]
    assert found.tolist() == [True, True, False, False]
    sheet = panel.contexts["CD56_sheet"].model_copy(update={"min_spread": None})
    plain = panel.model_copy(update={"contexts": {**panel.contexts, "CD56_sheet": sheet}})
    assert not evaluate_contexts(table, plain)["is_CD56_sheet"].any()
    narrow = table.assign(**{t.RING_AREA: 85.0})  # hardly anything beyond
    assert not evaluate_contexts(narrow, panel)["is_CD56_sheet"].any()


def test_where_others_outnumber_them_small_cuts_and_wide_bodies_are_in_a_sheet() -> None:
    """Far from any neighbour; three large cells in one field, none in the other."""
    panel = load_panel("infiltrate")
    n = 12
    table = pd.DataFrame(
        {
            t.FIELD: ["f"] * 6 + ["g"] * 6, t.Y: 0.0, t.X: [100.0 * i for i in range(n)],
            # f: three large, a small cut, a wide body, one like a lymphocyte; g: no large one
            t.DIAMETER: [10, 10, 10, 4, 7, 7, 7, 7, 7, 4, 7, 7],
            t.ASPECT: 1.1, t.AREA: 40.0, t.RING_AREA: 30.0, t.CELL_AREA: 130.0,
            "CD56_call": t.POSITIVE, "CD3_call": t.NEGATIVE, "CD56_nucleus_mean": 5.0,
            "CD56_ring_mean": 10.0,
            "CD56_cell_mean": [
                (200 + 300 + 60 * (12 if i in (4, 10) else 3)) / 130 for i in range(n)
            ],
        }
    )  # fmt: skip
    found = evaluate_contexts(table, panel)["is_CD56_sheet"]
    assert found.tolist() == [False] * 3 + [True, True] + [False] * 7

    def told(**changes: list[object]) -> list[object]:
        return evaluate_contexts(table.assign(**changes), panel)["is_CD56_sheet"].tolist()[3:6]

    call = [t.POSITIVE] * n
    assert told(CD56_call=[t.NEGATIVE, *call[1:]]) == [False, False, False]  # too few
    assert told(CD56_call=[t.INDETERMINATE, *call[1:]]) == [pd.NA, pd.NA, False]
    like = table[t.DIAMETER].to_list()
    small = pd.DataFrame({**table.iloc[5].to_dict(), t.X: [1e4, 2e4]})
    tie = evaluate_contexts(pd.concat([table, small], ignore_index=True), panel)["is_CD56_sheet"]
    assert not tie.any()  # three like lymphocytes beside three that are not
    assert told(**{t.DIAMETER: [*like[:3], np.nan, *like[4:]]}) == [pd.NA, True, False]
    most = pd.DataFrame({**table.iloc[0].to_dict(), t.X: [1e4 + 100 * i for i in range(60)]})
    most["CD56_call"] = t.NEGATIVE  # three of 63 large ones: as many pass any gate
    few = evaluate_contexts(pd.concat([table, most], ignore_index=True), panel)["is_CD56_sheet"]
    assert not few.any()
    sheet = panel.contexts["CD56_sheet"].model_copy(update={"cut_um": None})
    plain = panel.model_copy(update={"contexts": {**panel.contexts, "CD56_sheet": sheet}})
    assert not evaluate_contexts(table, plain)["is_CD56_sheet"].any()
