"""Calls against gates, and their three-valued combination."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from imganalysis import tables as t
from imganalysis.classify import Gate, call, call_cells, combine
from imganalysis.classify.calls import CALL_WORDS, call_codes, measure_values
from imganalysis.errors import TableError
from imganalysis.panel import Measure, Panel

NEG, POS, UNKNOWN, ABSENT = range(4)

PANEL = Panel.model_validate(
    {
        "name": "p",
        "channels": [
            {"marker": "DNA", "role": "nuclei"},
            {"marker": "A"},
            {
                "marker": "B",
                "measures": [{"compartment": "nucleus"}, {"compartment": "cell"}],
            },
            {"marker": "C", "role": "state"},
        ],
    }
)


def cells(n: int = 4, **columns) -> pd.DataFrame:
    base = {
        "A_ring_mean": np.arange(n, dtype=float),
        "B_nucleus_mean": np.zeros(n),
        "B_cell_mean": np.zeros(n),
        "C_nucleus_mean": np.zeros(n),
        "C_ring_mean": np.zeros(n),
    }
    return pd.DataFrame(base | columns)


@given(
    arrays(np.float64, 20, elements=st.floats(-10, 1000) | st.just(float("nan"))),
    st.floats(0.01, 100),
    st.floats(0, 1),
)
def test_call_is_what_a_reader_would_say(values, gate, band):
    expected = []
    for value in values:
        if np.isnan(value):
            expected.append(UNKNOWN)
        elif value >= gate * (1 + band):
            expected.append(POS)
        elif value < gate * (1 - band):
            expected.append(NEG)
        else:
            expected.append(UNKNOWN)
    assert call(values, gate, band).tolist() == expected


def test_without_a_band_the_gate_itself_is_positive():
    assert call([4.9, 5.0, 5.1], 5.0).tolist() == [NEG, POS, POS]


def test_the_band_is_open_above_and_closed_below():
    values = [84.9, 85.0, 100.0, 114.9, 115.0]
    assert call(values, 100.0, 0.15).tolist() == [NEG, UNKNOWN, UNKNOWN, UNKNOWN, POS]


def test_no_gate_is_no_call():
    assert call([1.0, 2.0], np.nan).tolist() == [UNKNOWN, UNKNOWN]
    assert call([1.0, 1.0], [0.5, np.nan], [0.0, 0.0]).tolist() == [POS, UNKNOWN]


@given(st.lists(st.tuples(*[st.sampled_from([NEG, POS, UNKNOWN])] * 3), min_size=1))
def test_combine_holds_for_every_way_to_settle_the_unknown(rows):
    calls = np.array(rows, dtype=np.uint8).T
    for how, join in (("any", any), ("all", all)):
        for row, got in zip(rows, combine(list(calls), how), strict=True):
            ways = {join(s) for s in settled(row)}
            assert got == (UNKNOWN if len(ways) == 2 else int(ways.pop()))


def settled(row):
    if UNKNOWN not in row:
        return [row]
    i = row.index(UNKNOWN)
    return settled((*row[:i], NEG, *row[i + 1 :])) + settled((*row[:i], POS, *row[i + 1 :]))


def test_not_measured_is_never_negative():
    absent, negative, positive = (np.array([c], dtype=np.uint8) for c in (ABSENT, NEG, POS))
    assert combine([absent, negative]).tolist() == [UNKNOWN]
    assert combine([absent, positive]).tolist() == [POS]
    assert combine([absent, absent]).tolist() == [ABSENT]
    assert combine([absent, positive], "all").tolist() == [UNKNOWN]


def test_max_is_the_greater_of_nucleus_and_ring():
    table = cells(C_nucleus_mean=[1, 5, np.nan, np.nan], C_ring_mean=[2.0, 3, 4, np.nan])
    measure = Measure(compartment="max", statistic="mean")
    unknown = [2, 5, np.nan, np.nan]
    np.testing.assert_array_equal(measure_values(table, "C", measure), unknown)
    table = cells(
        C_nucleus_mean=[1.0, 5, np.nan, 6],
        C_ring_mean=[2.0, np.nan, np.nan, np.nan],
        **{t.RING_AREA: [3.0, 0, 0, 2]},
    )
    without_ring = [2, 5, np.nan, np.nan]
    np.testing.assert_array_equal(measure_values(table, "C", measure), without_ring)
    table["C_max_mean"] = 7.0
    assert measure_values(table, "C", measure).tolist() == [7] * 4


def test_each_row_is_called_by_the_gate_of_its_batch():
    table = cells(6, A_ring_mean=[1, 3, 5] * 2, batch=["1"] * 3 + ["2"] * 3, acquisition="x")
    gates = [
        Gate(marker="A", batch="1", value=2.0),
        Gate(marker="A", batch="2", value=4.0),
    ]
    calls = call_cells(table, PANEL, gates, 0.15)
    assert calls["A_call"].tolist() == [
        t.NEGATIVE, t.POSITIVE, t.POSITIVE, t.NEGATIVE, t.NEGATIVE, t.POSITIVE,
    ]  # fmt: skip
    assert (calls["B_call"] == t.INDETERMINATE).all()
    shuffled = table.sample(frac=1, random_state=3)
    again = call_cells(shuffled, PANEL, gates, 0.15)
    pd.testing.assert_frame_equal(again.sort_index(), calls)


def test_the_closest_gate_goes_first():
    table = cells(1, A_ring_mean=[3.0], batch="1", acquisition="x")
    wide = Gate(marker="A", value=10.0)
    near = Gate(marker="A", batch="1", value=1.0)
    for gates in ([wide, near], [near, wide]):
        assert call_cells(table, PANEL, gates, 0.0)["A_call"].tolist() == [t.POSITIVE]


def test_fixed_gates_of_a_file_have_no_band_of_their_own_accord():
    table = cells(1, A_ring_mean=[10.5])
    for gate, expected in [
        (Gate(marker="A", value=10.0), t.POSITIVE),
        (Gate(marker="A", value=10.0, method="manual"), t.INDETERMINATE),
        (Gate(marker="A", value=10.0, band=0.1), t.INDETERMINATE),
        (Gate(marker="A", value=10.0, method="control_percentile"), t.INDETERMINATE),
    ]:
        assert call_cells(table, PANEL, [gate], 0.15)["A_call"].tolist() == [expected]


def test_any_measure_may_make_a_marker_positive():
    table = cells(B_nucleus_mean=[0.0, 9, 0, 9], B_cell_mean=[0.0, 0, 9, np.nan])
    one = Gate(marker="B", column="B_nucleus_mean", value=5.0)
    both = [one, Gate(marker="B", column="B_cell_mean", value=5.0)]
    words = [t.NEGATIVE, t.POSITIVE, t.POSITIVE, t.POSITIVE]
    assert call_cells(table, PANEL, both, 0.0)["B_call"].tolist() == words
    # With one of the two gates missing, what is not positive stays open.
    words = [t.INDETERMINATE, t.POSITIVE, t.INDETERMINATE, t.POSITIVE]
    assert call_cells(table, PANEL, [one], 0.0)["B_call"].tolist() == words


def test_an_empty_table_is_called_too():
    calls = call_cells(cells(0), PANEL, [Gate(marker="A", value=1.0)], 0.1)
    assert list(calls) == ["A_call", "B_call", "C_call"]
    assert len(calls) == 0


def test_missing_columns_and_wrong_words_are_named():
    with pytest.raises(TableError, match=r"missing column.* A_ring_mean"):
        call_cells(cells().drop(columns="A_ring_mean"), PANEL, [], 0.1)
    with pytest.raises(TableError, match="column A_call holds 'maybe', 'yes'"):
        call_codes(pd.DataFrame({"A_call": ["yes", "maybe", t.POSITIVE]}), "A")
    words = pd.DataFrame({"A_call": [*CALL_WORDS, None]})
    assert call_codes(words, "A").tolist() == [NEG, POS, UNKNOWN, ABSENT, UNKNOWN]
