"""From calls and contexts to classes, and from classes to fractions."""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imganalysis import tables as t
from imganalysis.classify import classify_cells, evaluate_contexts
from imganalysis.classify.phenotypes import lookup_table
from imganalysis.errors import TableError
from imganalysis.panel import Panel, builtin_panels, load_panel

LYMPHOCYTES = {"T", "NK", "CD3CD56", "CD56_nonlymphoid"}


def table(panel: Panel, rows: list[dict]) -> pd.DataFrame:
    """Cells with calls ('+', '-', '?') by marker and contexts (True, False, None) by name."""
    words = {"+": t.POSITIVE, "-": t.NEGATIVE, "?": t.INDETERMINATE}
    columns = {}
    for channel in panel.gated:
        values = [row.get(channel.marker, "-") for row in rows]
        columns[t.call_column(channel.marker)] = [words.get(v, v) for v in values]
    for name in panel.contexts:
        values = [row.get(name, False) for row in rows]
        columns[t.context_column(name)] = pd.array(values, dtype="boolean")
    return pd.DataFrame(columns)


def classes(panel: Panel, *rows: dict) -> list[str]:
    return classify_cells(table(panel, list(rows)), panel).phenotype.tolist()


def by_hand(panel: Panel, state: dict[str, bool]) -> list[str]:
    """Classes of every row that applies, read from the table one condition at a time."""
    found = []
    for row in panel.phenotypes:
        ok = all(c == "any" or state[m] == (c == "pos") for m, c in row.when.items())
        ok &= all(state[c] == v for c, v in row.context.items())
        if row.unless and all(state[c] == v for c, v in row.unless.items()):
            ok = False
        if ok:
            found.append(row.name)
    return found


# --- the table of the built-in panels -----------------------------------------------------------


def test_every_state_of_every_builtin_panel_has_one_class():
    for name in builtin_panels():
        panel = load_panel(name)
        markers = [c.marker for c in panel.gated]
        names = [*markers, *panel.contexts]
        states = list(product([False, True], repeat=len(names)))
        rows = []
        for state in states:
            values = dict(zip(names, state, strict=True))
            rows.append({k: "+-"[not v] if k in markers else v for k, v in values.items()})
        found = classify_cells(table(panel, rows), panel)
        assert found.possible.sum(axis=1).tolist() == [1] * len(states)
        for state, got in zip(states, found.phenotype, strict=True):
            assert by_hand(panel, dict(zip(names, state, strict=True))) == [got]


def test_not_measured_fires_no_rule_that_needs_a_negative():
    """All 3^4 states of the joint panel's markers, what is not measured among them."""
    panel = load_panel("joint")
    markers = [c.marker for c in panel.gated]
    states = list(product([t.POSITIVE, t.NEGATIVE, t.NOT_MEASURED], repeat=4))
    for contexts in product([False, True], repeat=len(panel.contexts)):
        shared = dict(zip(panel.contexts, contexts, strict=True))
        rows = [dict(zip(markers, s, strict=True)) | shared for s in states]
        found = classify_cells(table(panel, rows), panel).phenotype
        for state, got in zip(states, found, strict=True):
            if got == t.UNRESOLVED:
                continue
            open_ = [m for m, s in zip(markers, state, strict=True) if s == t.NOT_MEASURED]
            known = {m: s == t.POSITIVE for m, s in zip(markers, state, strict=True)} | shared
            ways = product([False, True], repeat=len(open_))
            outcomes = {by_hand(panel, known | dict(zip(open_, w, strict=True)))[0] for w in ways}
            assert outcomes == {got}
            if got in LYMPHOCYTES | {"T_apoptotic", "NK_apoptotic", "tumour_vital"}:
                assert not open_


def test_partial_panels_never_name_what_they_cannot_see():
    apoptosis, infiltrate = load_panel("apoptosis"), load_panel("infiltrate")
    assert not LYMPHOCYTES & set(apoptosis.classes)
    assert not any("tumour" in name or "apoptotic" in name for name in infiltrate.classes)
    for panel in (apoptosis, infiltrate):
        markers = [c.marker for c in panel.gated]
        names = [*markers, *panel.contexts]
        calls = (t.POSITIVE, t.NEGATIVE, t.INDETERMINATE)
        options = [calls if n in markers else (None, True, False) for n in names]
        rows = [dict(zip(names, s, strict=True)) for s in product(*options)]
        found = set(classify_cells(table(panel, rows), panel).phenotype)
        assert found == {*panel.classes, t.UNRESOLVED}


def test_apoptosis_by_the_words_of_its_table():
    panel = load_panel("apoptosis")
    vital, dying, lost = {"MelanA": "+"}, {"MelanA": "+", "casp3": "+"}, {"casp3": "+"}
    here = {"in_region": True}
    assert classes(
        panel, vital, dying, lost, lost | here, lost | here | {"lymphoid": True}, {},
        here, here | {"large_nucleus": True}, vital | {"melanophage_like": True},
        dying | {"melanophage_like": True},
    ) == [
        "tumour_vital", "tumour_apoptotic", "apoptotic_unassigned",
        "tumour_apoptotic_melanA_lost", "apoptotic_unassigned", "non_tumour", "non_tumour",
        "tumour_candidate", "melanophage_suspect", "melanophage_suspect",
    ]  # fmt: skip


def test_infiltrate_by_the_words_of_its_table():
    panel = load_panel("infiltrate")
    small, sheet, nk = {"lymphoid_nucleus": True}, {"CD56_sheet": True}, {"CD56": "+"}
    assert classes(
        panel, {"CD3": "+"}, {"CD3": "+", "CD56": "+"}, nk, nk | small, nk | small | sheet, {}
    ) == ["T", "CD3CD56", "CD56_nonlymphoid", "NK", "CD56_nonlymphoid", "other_nucleated"]


def test_joint_by_the_words_of_its_table():
    panel = load_panel("joint")
    small = {"lymphoid_nucleus": True}
    dying_nk = {"casp3": "+", "CD56": "+"}
    assert classes(
        panel,
        {"MelanA": "+", "CD3": "+", "CD56": "+", "casp3": "+"},
        {"MelanA": "+", "CD56": "+"},
        {"MelanA": "+", "CD56": "+", "casp3": "+", "melanophage_like": True},
        {"casp3": "+", "CD3": "+", "in_region": True},
        {"casp3": "+", "CD3": "+", "CD56": "+"},
        dying_nk,
        dying_nk | small,
        dying_nk | small | {"lymphoid": True},
        {"casp3": "+", "in_region": True},
    ) == [
        "conflict", "tumour_vital_CD56", "tumour_apoptotic_CD56", "T_apoptotic",
        "CD3CD56_double_apoptotic", "CD56_nonlymphoid_apoptotic", "apoptotic_unassigned",
        "NK_apoptotic", "tumour_apoptotic_melanA_lost",
    ]  # fmt: skip


# --- fractions ----------------------------------------------------------------------------------


def ratio(part, counts: pd.Series) -> float:
    n = {side: sum(int(counts.get(c, 0)) for c in getattr(part, side)) for side in
         ("numerator", "denominator")}  # fmt: skip
    return n["numerator"] / n["denominator"]


@pytest.mark.parametrize("name", ["apoptosis", "joint"])
def test_three_fractions_of_one_table(name):
    """The same 1000 cells: 26 %, 38 % or 40 % dying, by what is taken for tumour."""
    panel = load_panel(name)
    rows = (
        [{"MelanA": "+"}] * 420
        + [{"MelanA": "+", "casp3": "+"}] * 150
        + [{"casp3": "+", "in_region": True}] * 110
        + [{"casp3": "+"}] * 15
        + [{"casp3": "+", "in_region": True, "lymphoid": True}] * 5
        + [{}] * 280
        + [{"in_region": True, "large_nucleus": True}] * 20
    )
    counts = classify_cells(table(panel, rows), panel).phenotype.value_counts()
    assert counts.sum() == 1000
    fraction = next(f for f in panel.fractions if f.endpoint)
    assert (fraction.name, fraction.count) == ("apoptotic_fraction", "n_tumour")
    assert list(fraction.variants) == ["strict", "inclusive", "sens"]
    assert round(ratio(fraction, counts), 4) == 0.3824
    assert round(ratio(fraction.variants["strict"], counts), 4) == 0.2632
    assert round(ratio(fraction.variants["inclusive"], counts), 4) == 0.4
    assert ratio(fraction.variants["sens"], counts) == 260 / 700


@pytest.mark.parametrize("name", ["infiltrate", "joint"])
def test_double_positives_are_a_class_and_count_once_below_the_line(name):
    panel = load_panel(name)
    small = {"lymphoid_nucleus": True}
    rows = (
        [{"CD3": "+"} | small] * 88
        + [{"CD56": "+"} | small] * 8
        + [{"CD3": "+", "CD56": "+"} | small] * 4
        + [{"CD56": "+"}] * 30
        + [{}] * 50
    )
    counts = classify_cells(table(panel, rows), panel).phenotype.value_counts()
    assert counts["CD3CD56"] == 4
    parts = {f.name: f for f in panel.fractions if f.percent}
    assert list(parts) == ["pct_T", "pct_NK", "pct_CD3CD56"]
    shares = {name: ratio(part, counts) for name, part in parts.items()}
    assert shares == {"pct_T": 0.88, "pct_NK": 0.08, "pct_CD3CD56": 0.04}
    assert ratio(parts["pct_NK"].variants["max"], counts) == 0.12
    for part in parts.values():
        assert len(set(part.denominator)) == len(part.denominator)
        assert part.denominator == parts["pct_T"].denominator


def test_dying_lymphocytes_are_never_in_the_apoptotic_fraction():
    panel = load_panel("joint")
    fraction = next(f for f in panel.fractions if f.endpoint)
    for part in (fraction, *fraction.variants.values()):
        assert not {c for c in (*part.numerator, *part.denominator) if c[:2] in ("T_", "NK", "CD")}


def test_colours_tell_the_classes_of_a_panel_apart():
    for name in builtin_panels():
        panel = load_panel(name)
        colours = {row.name: row.colour for row in panel.phenotypes}
        assert len(set(colours.values())) == len(colours)


# --- unknowns -----------------------------------------------------------------------------------


def test_a_class_is_given_only_if_it_cannot_be_another():
    panel = load_panel("apoptosis")
    rows = [
        {"MelanA": "+", "casp3": "?"},
        {"MelanA": "+", "in_region": None, "lymphoid": None, "large_nucleus": None},
        {"casp3": "+", "in_region": None},
        {"casp3": "+", "in_region": None, "lymphoid": True},
        {"MelanA": "+", "melanophage_like": None},
        {"MelanA": t.NOT_MEASURED},
    ]
    found = classify_cells(table(panel, rows), panel)
    assert found.phenotype.tolist() == [
        t.UNRESOLVED, "tumour_vital", t.UNRESOLVED, "apoptotic_unassigned", t.UNRESOLVED,
        t.UNRESOLVED,
    ]  # fmt: skip
    possible = [
        {c for c, yes in zip(panel.classes, row, strict=True) if yes} for row in found.possible
    ]
    assert possible == [
        {"tumour_vital", "tumour_apoptotic"},
        {"tumour_vital"},
        {"tumour_apoptotic_melanA_lost", "apoptotic_unassigned"},
        {"apoptotic_unassigned"},
        {"tumour_vital", "melanophage_suspect"},
        {"tumour_vital", "non_tumour"},
    ]


def test_why_says_what_was_seen_and_what_is_open():
    panel = load_panel("apoptosis")
    rows = [
        {"casp3": "+", "in_region": True},
        {"MelanA": "+", "casp3": "?"},
        {"casp3": "+", "in_region": None},
        {"casp3": "+", "in_region": True, "lymphoid": True},
        {"in_region": True, "large_nucleus": True},
        {"MelanA": t.NOT_MEASURED, "melanophage_like": None, "large_nucleus": False},
    ]
    assert classify_cells(table(panel, rows), panel).why.tolist() == [
        "MelanA negative, casp3 positive, in_region yes, lymphoid no "
        "-> tumour_apoptotic_melanA_lost",
        "MelanA positive, casp3 indeterminate, melanophage_like no -> unresolved: "
        "tumour_vital or tumour_apoptotic, because casp3 indeterminate",
        "MelanA negative, casp3 positive, in_region unknown, lymphoid no -> unresolved: "
        "tumour_apoptotic_melanA_lost or apoptotic_unassigned, because in_region unknown",
        "MelanA negative, casp3 positive, in_region yes, lymphoid yes (lymphoid_nucleus, hardly "
        "any MelanA, and 2 or more such neighbours within 15 um) -> apoptotic_unassigned",
        "MelanA negative, casp3 negative, in_region yes, large_nucleus yes (nucleus over 8 um) "
        "-> tumour_candidate",
        "MelanA not measured, casp3 negative, in_region no, large_nucleus no (nucleus not over "
        "8 um), melanophage_like unknown -> unresolved: tumour_vital or non_tumour or "
        "melanophage_suspect, because MelanA not measured and melanophage_like unknown",
    ]


def test_why_tells_caps_and_fragments():
    panel = load_panel("infiltrate")
    cells = table(panel, [{"CD3": "+"}] * 4)
    cells[t.CAP] = [False, True, False, True]
    cells[t.FRAGMENTS] = [1, 1, 3, 2]
    found = classify_cells(cells, panel)
    assert found.phenotype.tolist() == ["T"] * 4
    cap = "; cap: the section holds only the rim of this nucleus"
    assert [w.removeprefix("CD3 positive, CD56 negative -> T") for w in found.why] == [
        "", cap, "; 3 fragments counted as one cell", f"; 2 fragments counted as one cell{cap}",
    ]  # fmt: skip


def test_why_is_said_for_every_state_of_every_builtin_panel():
    """Whatever a cell shows, the text names its class or what is open; never a bare code."""
    for name in builtin_panels():
        panel = load_panel(name)
        rules = lookup_table(panel).rules
        names = (*rules.markers, *rules.contexts)
        rng = np.random.default_rng(5)
        states = rng.integers(0, 3, (2000, len(names)))
        rows = [
            {n: ("-+?"[s] if n in rules.markers else (False, True, None)[s])
             for n, s in zip(names, state, strict=True)}
            for state in states
        ]  # fmt: skip
        found = classify_cells(table(panel, rows), panel)
        for why, got, possible in zip(found.why, found.phenotype, found.possible, strict=True):
            facts, _, end = why.partition(" -> ")
            assert all(f"{m} " in facts for m in rules.markers)
            if got != t.UNRESOLVED:
                assert end == got
                continue
            options, _, open_ = end.removeprefix(f"{t.UNRESOLVED}: ").partition(", because ")
            wanted = {c for c, yes in zip(panel.classes, possible, strict=True) if yes}
            assert set(options.split(" or ")) == wanted
            for part in open_.split(" and "):
                assert part.endswith((" indeterminate", " unknown"))
                assert part in facts


def test_a_context_without_a_column_is_unknown_and_a_call_without_one_an_error():
    panel = load_panel("infiltrate")
    cells = table(panel, [{"CD3": "+"}, {"CD56": "+"}])
    found = classify_cells(cells.drop(columns="is_CD56_sheet"), panel).phenotype.tolist()
    assert found == ["T", "CD56_nonlymphoid"]
    cells["is_lymphoid_nucleus"] = True
    found = classify_cells(cells.drop(columns="is_CD56_sheet"), panel).phenotype.tolist()
    assert found == ["T", t.UNRESOLVED]
    with pytest.raises(TableError, match=r"missing .*CD3_call"):
        classify_cells(cells.drop(columns="CD3_call"), panel)


def test_the_index_is_kept_and_an_empty_table_is_no_error():
    panel = load_panel("infiltrate")
    cells = table(panel, [{"CD3": "+"}, {}]).set_axis([7, 3])
    found = classify_cells(cells, panel)
    assert found.phenotype.to_dict() == {7: "T", 3: "other_nucleated"}
    assert list(found.why.index) == [7, 3]
    empty = classify_cells(cells.iloc[:0], panel)
    assert len(empty.phenotype) == len(empty.why) == 0
    assert empty.possible.shape == (0, len(panel.classes))


def test_a_panel_without_phenotypes_leaves_all_unresolved():
    panel = Panel.model_validate(
        {"name": "p", "channels": [{"marker": "DNA", "role": "nuclei"}, {"marker": "A"}]}
    )
    found = classify_cells(table(panel, [{"A": "+"}]), panel)
    assert found.phenotype.tolist() == [t.UNRESOLVED]
    assert found.why.tolist() == ["the panel has no phenotypes"]
    assert found.possible.shape == (1, 0)


def test_one_class_for_all_cells():
    panel = Panel.model_validate(
        {
            "name": "p",
            "channels": [{"marker": "DNA", "role": "nuclei"}, {"marker": "A"}],
            "phenotypes": [{"name": "cell"}],
        }
    )
    found = classify_cells(table(panel, [{"A": "+"}, {"A": "?"}]), panel)
    assert found.phenotype.tolist() == ["cell", "cell"]
    assert found.why.tolist() == ["every cell -> cell"] * 2


@cache
def joint() -> Panel:
    return load_panel("joint")


STATE = st.lists(st.tuples(*[st.sampled_from([0, 1, 2])] * 10), min_size=1, max_size=8)


@settings(max_examples=50, deadline=None)
@given(STATE)
def test_the_lookup_agrees_with_settling_every_unknown(states):
    panel = joint()
    rules = lookup_table(panel).rules
    names = (*rules.markers, *rules.contexts)
    rows = [
        {n: ("-+?"[s] if n in rules.markers else (False, True, None)[s])
         for n, s in zip(names, state, strict=True)}
        for state in states
    ]  # fmt: skip
    found = classify_cells(table(panel, rows), panel)
    for i, state in enumerate(states):
        ways = product(*[(bool(s),) if s < 2 else (False, True) for s in state])
        outcomes = {by_hand(panel, dict(zip(names, w, strict=True)))[0] for w in ways}
        got = {c for c, yes in zip(panel.classes, found.possible[i], strict=True) if yes}
        assert got == outcomes
        expected = outcomes.pop() if len(outcomes) == 1 else t.UNRESOLVED
        assert found.phenotype[i] == expected


# --- contexts and classes together --------------------------------------------------------------


def test_a_sheet_of_melanoma_with_CD56_is_no_NK():
    """Tumour cells with small profiles among large ones; NK cells stand alone."""
    panel = load_panel("infiltrate")
    rng = np.random.default_rng(1)
    y, x = (a.ravel() * 10.0 for a in np.mgrid[0:15, 0:15])
    n = y.size
    sheet = pd.DataFrame({t.Y: y, t.X: x, t.DIAMETER: np.where(rng.random(n) < 0.3, 6.5, 10.0)})
    nk = pd.DataFrame({t.Y: np.arange(10) * 30.0, t.X: 400.0, t.DIAMETER: 7.0})
    cells = pd.concat([sheet, nk], ignore_index=True)
    cells = cells.assign(
        **{t.FIELD: "f", t.ASPECT: 1.1, "CD3_call": t.NEGATIVE, "CD56_call": t.POSITIVE}
    )
    cells = cells.join(evaluate_contexts(cells, panel))
    found = classify_cells(cells, panel).phenotype
    assert (found[n:] == "NK").all()
    assert (found[:n] == "CD56_nonlymphoid").mean() > 0.95
