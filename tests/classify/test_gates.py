"""Gates from controls, and gates files."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import beta

from imganalysis import tables as t
from imganalysis.classify import (
    Gate,
    adopt_gates,
    call_cells,
    gates_from_controls,
    read_gates,
    scale_gates,
    select_gate,
    write_gates,
)
from imganalysis.classify.false_calls import false_positives, pooled_rate, rate_gates
from imganalysis.classify.rung_control import quantile_se
from imganalysis.errors import GatesError, TableError
from imganalysis.panel import Panel
from imganalysis.settings import Gating

PANEL = Panel.model_validate(
    {
        "name": "p",
        "channels": [{"marker": "DNA", "role": "nuclei"}, {"marker": "A"}, {"marker": "B"}],
    }
)
TWO = Panel.model_validate(
    {
        "name": "two",
        "channels": [
            {"marker": "DNA", "role": "nuclei"},
            {"marker": "C", "measures": [{"compartment": "nucleus"}, {"compartment": "ring"}]},
        ],
    }
)


def stained(values, *, batch="1", fields=4, panel="p", **columns) -> pd.DataFrame:
    values = np.asarray(values, dtype=float)
    return pd.DataFrame(
        {
            t.FIELD: [f"c{i % fields}" for i in range(values.size)],
            "panel": panel,
            "batch": batch,
            "acquisition": "x",
            "A_ring_mean": values,
            "B_ring_mean": 1.0,
        }
        | columns
    )


def background(n: int, seed: int, scale: float = 1.0) -> np.ndarray:
    return scale * np.random.default_rng(seed).lognormal(1.0, 0.5, n)


def control_gates(controls, samples, gating=None, **extra) -> tuple[Gate, ...]:
    return gates_from_controls(controls, samples, {"p": PANEL}, gating or Gating(), **extra)


def positive_share(samples, gates, band=0.15) -> float:
    calls = call_cells(samples, PANEL, gates, band)["A_call"]
    called = calls.isin([t.POSITIVE, t.NEGATIVE])
    return float((calls[called] == t.POSITIVE).mean()) if called.any() else float("nan")


# --- controls -----------------------------------------------------------------------------------


def test_the_gate_is_the_percentile_of_the_control():
    values = np.arange(1.0, 1001.0)
    gates = control_gates(
        stained(values), stained([5.0]), hashes={"c0": "ab"}, user="u", time="now", version="1"
    )
    a, b = gates
    assert (a.marker, a.panel, a.batch, a.acquisition) == ("A", "p", "1", "x")
    assert (a.column, a.method, a.percentile, a.n) == (
        "A_ring_mean",
        "control_percentile",
        99,
        1000,
    )
    assert a.value == np.percentile(values, 99) == pytest.approx(990.01)
    assert [(s.field, s.hash) for s in a.sources] == [
        ("c0", "ab"),
        ("c1", ""),
        ("c2", ""),
        ("c3", ""),
    ]
    assert (a.user, a.time, a.version) == ("u", "now", "1")
    # Every value the same: a gate without error, under which nothing is above itself.
    assert (b.marker, b.value, b.se) == ("B", 1.0, 0.0)


def test_a_null_marker_is_not_found_positive():
    """None positive: at most twice the control's own rate; automatic thresholds say 40-50 %."""
    shares = []
    for seed in range(20):
        controls = stained(background(2000, seed))
        samples = stained(background(1000, seed + 100))
        gates = control_gates(controls, samples, Gating(indeterminate_band=0.0))
        shares.append(positive_share(samples, gates, band=0.0))
        assert shares[-1] <= 2 * 0.012
        rate = gates[0].control_fpr
        assert rate is not None
        assert 0.004 < rate.mean < 0.02
        assert rate.blank_limit == pytest.approx(max(rate.mean + 1.645 * rate.sd, rate.upper))
    assert 0.005 < np.mean(shares) < 0.015


def test_without_a_control_there_is_no_gate_and_no_call():
    samples = stained(background(1000, 1), batch="2")
    controls = stained(background(2000, 2), batch="1")
    gates = control_gates(controls, samples)
    assert [(g.batch, g.method, g.value, g.reason) for g in gates] == [
        ("2", "none", None, "control_elsewhere")
    ] * 2
    assert gates[0].note == "controls of this panel are of batch 1, acquisition x"
    calls = call_cells(samples, PANEL, gates, 0.15)
    assert (calls == t.INDETERMINATE).all(axis=None)
    empty = control_gates(controls.iloc[:0], samples)
    assert [g.reason for g in empty] == ["no_control"] * 2


def test_all_positive_is_not_split_in_half():
    samples = stained(background(1000, 1, scale=30))
    gates = control_gates(stained(background(2000, 2)), samples)
    assert positive_share(samples, gates) > 0.98


def test_few_positives_are_found_by_the_control_gate():
    shares = []
    for seed in range(20):
        values = background(1000, seed)
        values[:30] *= 4.5
        samples = stained(values)
        gates = control_gates(
            stained(background(2000, seed + 50)), samples, Gating(indeterminate_band=0.0)
        )
        shares.append(positive_share(samples, gates, band=0.0))
    assert 0.025 <= np.mean(shares) <= 0.05


def test_small_and_empty_controls_set_no_gate():
    few = control_gates(stained(background(199, 1)), stained([5.0]))
    assert (few[0].reason, few[0].n, few[0].value) == ("control_too_few_cells", 199, None)
    enough = control_gates(stained(background(200, 1)), stained([5.0]))
    assert enough[0].method == "control_percentile"
    lost = background(300, 1)
    lost[:150] = np.nan
    assert control_gates(stained(lost), stained([5.0]))[0].reason == "control_too_few_cells"
    gone = stained(background(300, 1)).assign(**{t.EVALUABLE: False})
    assert control_gates(gone, stained([5.0]))[0].reason == "control_too_few_cells"
    black = control_gates(stained(np.zeros(300)), stained([5.0]))
    assert black[0].reason == "control_no_signal"


def test_only_evaluable_control_cells_count():
    values = np.r_[np.ones(300), np.full(300, 1e6)]
    controls = stained(values, **{t.EVALUABLE: np.r_[np.ones(300, bool), np.zeros(300, bool)]})
    gate = control_gates(controls, stained([5.0]))[0]
    assert (gate.value, gate.n) == (1.0, 300)


def test_each_batch_has_its_own_gate():
    controls = pd.concat(
        [stained(np.full(300, 2.0), batch="1"), stained(np.full(300, 9.0), batch="2")]
    )
    samples = pd.concat([stained([5.0], batch="1"), stained([5.0], batch="2")])
    gates = [g for g in control_gates(controls, samples) if g.marker == "A"]
    assert [(g.batch, g.value) for g in gates] == [("1", 2.0), ("2", 9.0)]
    calls = call_cells(samples, PANEL, gates, 0.15)["A_call"].tolist()
    assert calls == [t.POSITIVE, t.NEGATIVE]


def test_missing_columns_are_named():
    with pytest.raises(TableError, match=r"sample cells: missing .*batch"):
        control_gates(stained([1.0]), stained([1.0]).drop(columns="batch"))
    with pytest.raises(TableError, match=r"control cells: missing .*field"):
        control_gates(stained([1.0]).drop(columns=t.FIELD), stained([1.0]))


def test_standard_error_agrees_with_repeated_draws():
    rng = np.random.default_rng(0)
    draws = np.percentile(rng.lognormal(1, 0.5, (2000, 1000)), 99, axis=1)
    errors = [quantile_se(rng.lognormal(1, 0.5, 1000), 0.99) for _ in range(50)]
    assert np.mean(errors) == pytest.approx(draws.std(), rel=0.2)
    assert quantile_se(np.arange(20.0), 0.99) is None


def test_false_positives_come_from_fields_that_the_gate_has_not_seen():
    fields = np.repeat(["a", "b", "c"], 100)
    values = np.concatenate([np.ones(100), np.ones(100), np.full(100, 5.0)])
    found = false_positives(values, fields, 99.0, 0.15)
    assert found is not None
    # Field c lies above the gate of a and b; a and b lie under the gate that c makes.
    assert found.mean == pytest.approx(1 / 3)
    assert found.sd == pytest.approx(np.std([0, 0, 1], ddof=1))
    assert found.n_fields == 3
    assert (found.n_positive, found.n_called) == (100, 300)
    assert false_positives(np.ones(100), ["a"] * 100, 99.0, 0.15) is None


def test_a_given_gate_is_held_against_the_control_as_it_is():
    controls = stained(background(600, 1)).assign(**{t.FIELD: np.repeat(["c1", "c2"], 300)})
    values = controls["A_ring_mean"].to_numpy()
    gate = {"marker": "A", "panel": "p", "batch": "1", "acquisition": "x", "column": "A_ring_mean"}
    low = float(np.percentile(values, 90))
    file, hand, elsewhere, computed = (
        Gate(**gate | {"value": low, "method": "file"}),
        Gate(**gate | {"value": 1e3, "method": "manual"}),
        Gate(**gate | {"value": low, "batch": "2"}),
        Gate(**gate | {"value": low, "method": "control_percentile"}),
    )
    found = rate_gates([file, hand, elsewhere, computed], controls, {"p": PANEL}, 0.15)
    assert (found[2], found[3]) == (elsewhere, computed)  # no control; only others judge it
    rate, none = found[0].control_fpr, found[1].control_fpr
    assert rate is not None and none is not None
    assert (rate.n_positive, rate.n_called, rate.n_fields) == (60, 600, 2)
    assert rate.mean == pytest.approx(0.1)
    assert none.n_positive == 0 and none.blank_limit == pytest.approx(1 - 0.05 ** (1 / 600))
    # With a band of its own, cells within it are not called.
    (banded,) = rate_gates([file.model_copy(update={"band": 0.2})], controls, {"p": PANEL}, 0.0)
    assert banded.control_fpr is not None and banded.control_fpr.n_called < 600
    # One field tells nothing of how fields differ, nor do those that are clipped.
    one = controls.assign(**{t.FIELD: "c1"})
    clipped = controls.assign(**{t.COMPARABLE: False})
    for table in (one, clipped, controls.assign(**{t.EVALUABLE: False})):
        assert rate_gates([file], table, {"p": PANEL}, 0.15)[0].control_fpr is None


def test_a_control_s_gate_with_a_band_of_its_own_has_the_rate_of_that_band():
    controls = stained(background(600, 1)).assign(**{t.FIELD: np.repeat(["c1", "c2"], 300)})
    values, fields = controls["A_ring_mean"].to_numpy(), controls[t.FIELD].to_numpy()
    gate = Gate(
        marker="A", panel="p", batch="1", acquisition="x", column="A_ring_mean", value=2.0,
        method="control_percentile", percentile=90.0, band=0.0,
        control_fpr=false_positives(values, fields, 90.0, 0.3),
    )  # fmt: skip
    (found,) = rate_gates([gate], controls, {"p": PANEL}, 0.3)
    assert found.control_fpr == false_positives(values, fields, 90.0, 0.0) != gate.control_fpr


def test_the_limit_of_blank_is_no_lower_than_few_control_cells_allow():
    none = pooled_rate([0, 0], [150, 150])
    assert none is not None and (none.mean, none.sd) == (0.0, 0.0)
    assert none.blank_limit == pytest.approx(1 - 0.05 ** (1 / 300))  # the rule of three
    assert none.detection_limit == pytest.approx(2 * none.blank_limit)
    # Fields that agree: Clopper and Pearson's bound of 6 of 600, above mean + 1.645 SD.
    same = pooled_rate([2, 2, 2], [200, 200, 200])
    assert same is not None and same.sd == 0.0
    assert same.blank_limit == same.upper == pytest.approx(beta.ppf(0.95, 7, 594))
    # Where fields differ, their SD tells more than the bound.
    apart = pooled_rate([0, 0, 6], [200, 200, 200])
    assert apart is not None and apart.upper == same.upper
    assert apart.blank_limit == pytest.approx(apart.mean + 1.645 * apart.sd)
    assert apart.detection_limit == pytest.approx(apart.blank_limit + 1.645 * apart.sd)
    every = pooled_rate([5, 5], [5, 5])
    assert every is not None and every.upper == 1.0
    # A field without a called cell is none.
    assert pooled_rate([0, 0], [150, 0]) is None


def test_the_limit_of_blank_holds_most_blank_biopsies():
    """Of a rate of 1 % in two control fields of 150 cells; mean + 1.645 SD alone holds 80 %."""
    rng = np.random.default_rng(0)
    held, without = [], []
    for _ in range(500):
        rate = pooled_rate(rng.binomial(150, 0.01, 2), [150, 150])
        assert rate is not None
        blank = rng.binomial(1000, 0.01) / 1000
        held.append(blank <= rate.blank_limit)
        without.append(blank <= rate.mean + 1.645 * rate.sd)
    assert np.mean(held) > 0.94 > 0.85 > np.mean(without)


# --- choosing among gates -----------------------------------------------------------------------


def test_equal_gates_are_refused():
    gates = [Gate(marker="A", batch="1", value=2.0), Gate(marker="A", acquisition="x", value=3.0)]
    with pytest.raises(GatesError, match=r"two gates fit A_ring_mean .*2\.0 and 3\.0"):
        select_gate(gates, "A", "A_ring_mean", panel="p", batch="1", acquisition="x")
    found = select_gate(gates, "A", "A_ring_mean", panel="p", batch="1", acquisition="y")
    assert found is gates[0]
    assert select_gate(gates, "B", "B_ring_mean") is None


def test_scaling_moves_one_marker():
    gates = [
        Gate(marker="A", value=2.0),
        Gate(marker="B", value=2.0),
        Gate(marker="A", batch="2", method="none", reason="no_control"),
    ]
    assert [g.value for g in scale_gates(gates, "A", 1.25)] == [2.5, 2.0, None]


# --- files --------------------------------------------------------------------------------------


def saved(folder, content) -> object:
    path = folder / "gates.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_the_least_that_a_file_says(tmp_path):
    for content in ({"gates": [{"marker": "A", "value": 12.5}]}, [{"marker": "A", "value": 12.5}]):
        (gate,) = read_gates(saved(tmp_path, content), [PANEL])
        assert (gate.value, gate.panel, gate.batch, gate.column) == (12.5, "*", "*", "*")
        assert gate.method == "file"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"line 1, column 2: not JSON"),
        ('{"gates": [], "gates": []}', "the key 'gates' stands twice"),
        ({"gate": []}, "expected the one key 'gates'; found gate"),
        ("3", "expected a list of gates"),
        ([3], r"gates\[0\]: expected an object with marker and value; found 3"),
        ([{"marker": "A", "value": -1}], r"gates\[0\]: value: Input should be greater than 0; fo"),
        ([{"marker": "A", "value": 0}], "greater than 0"),
        ('[{"marker": "A", "value": NaN}]', r"gates\[0\]: value: Input should be"),
        ([{"marker": "A", "value": 1, "units": "x"}], "units: unknown name"),
        ([{"marker": "A"}], "a gate has a value, or the method 'none'"),
        ([{"marker": "A", "method": "none"}], "says why in `reason`"),
        ([{"marker": "A", "value": 1, "method": "otsu"}], "method: Input should be"),
        (
            [{"marker": "A", "value": 1}, {"marker": "B", "value": 1}, {"marker": "A", "value": 2}],
            r"gates\[0\] and gates\[2\] are for the same cells \(A",
        ),
        ([{"marker": "Z", "value": 1}], r"gates\[0\]: unknown marker Z; gated markers are A, B, C"),
        ([{"marker": "DNA", "value": 1}], "unknown marker DNA"),
        ([{"marker": "C", "panel": "p", "value": 1}], "unknown marker C; gated markers are A, B$"),
        ([{"marker": "A", "panel": "q", "value": 1}], "unknown panel q; the study has p, two"),
        ([{"marker": "A", "value": 1, "column": "A_cell_mean"}], "the panel gates A_ring_mean"),
        ([{"marker": "C", "value": 1}], "give `column` as one of C_nucleus_mean, C_ring_mean"),
    ],
)
def test_files_that_are_wrong_say_where(tmp_path, content, message):
    with pytest.raises(GatesError, match=message) as caught:
        read_gates(saved(tmp_path, content), [PANEL, TWO])
    assert "gates.json" in str(caught.value)


def test_no_file(tmp_path):
    with pytest.raises(GatesError, match=r"none\.json: cannot be read"):
        read_gates(tmp_path / "none.json")


def test_what_is_written_is_read_again(tmp_path):
    gates = control_gates(stained(background(500, 1)), stained([5.0]), user="Zoë")
    gates = (*gates, Gate(marker="C", panel="two", column="C_ring_mean", value=3.0))
    path = tmp_path / "out" / "gates.json"
    write_gates(path, gates)
    assert read_gates(path, [PANEL, TWO]) == gates
    first = path.read_bytes()
    write_gates(path, gates)
    assert path.read_bytes() == first
    assert "Zoë" in first.decode()


def test_a_gate_set_by_hand_keeps_what_it_was():
    computed = control_gates(stained(background(500, 1)), stained([5.0]), user="a", version="1")
    given = [Gate(marker="A", value=7.0, method="manual", user="b")]
    a, b = adopt_gates(given, computed)
    assert b == computed[1]
    assert (a.value, a.method, a.user, a.batch, a.column) == (7, "manual", "b", "1", "A_ring_mean")
    (old,) = a.previous
    assert (old.value, old.method, old.user) == (computed[0].value, "control_percentile", "a")
    again, _ = adopt_gates([Gate(marker="A", value=8.0, user="c")], (a, b))
    assert [p.value for p in again.previous] == [computed[0].value, 7.0]
    same, _ = adopt_gates([a], (a, b))
    assert same.previous == a.previous


def adopted_from_file(folder, computed, edit):
    """The gates of a run's file, edited and given back to the next run."""
    path = folder / "gates.json"
    write_gates(path, computed)
    content = json.loads(path.read_text(encoding="utf-8"))
    edit(content["gates"])
    path.write_text(json.dumps(content), encoding="utf-8")
    return adopt_gates(read_gates(path, [PANEL]), computed)


def test_an_edited_gate_does_not_pass_for_a_control_s(tmp_path):
    computed = control_gates(
        stained(background(500, 1)), stained([5.0]), hashes={"c0": "ab"}, user="a", time="now"
    )
    assert computed[0].control_fpr is not None and computed[0].sources
    assert adopted_from_file(tmp_path, computed, lambda gates: None) == computed
    a, b = adopted_from_file(tmp_path, computed, lambda gates: gates[0].update(value=7.5))
    assert b == computed[1]
    assert (a.value, a.method) == (7.5, "manual")
    left = (a.percentile, a.se, a.n, a.control_fpr, a.sources, a.reason)
    assert left == (None, None, 0, None, (), "")
    assert [(p.value, p.method) for p in a.previous] == [(computed[0].value, "control_percentile")]
    edit = {"value": 7.5, "method": "file"}
    a, _ = adopted_from_file(tmp_path, computed, lambda gates: gates[0].update(edit))
    assert (a.value, a.method, a.percentile, a.n) == (7.5, "file", None, 0)
    # What a file says of a control is not taken from it; a band may be set.
    edit = {"se": 0.0, "n": 9, "band": 0.3}
    a, _ = adopted_from_file(tmp_path, computed, lambda gates: gates[0].update(edit))
    assert a == computed[0].model_copy(update={"band": 0.3})


def test_a_control_s_gate_from_elsewhere_is_no_control_here():
    elsewhere = control_gates(stained(background(500, 1)), stained([5.0]), user="a")
    here = control_gates(stained([]), stained([5.0]), user="b")
    assert here[0].method == "none"
    a, _ = adopt_gates(elsewhere[:1], here)
    assert (a.value, a.method, a.percentile, a.n) == (elsewhere[0].value, "manual", None, 0)
    assert (a.reason, a.user) == ("", "b")
    assert [p.method for p in a.previous] == ["none"]


def test_a_gate_without_a_value_replaces_none():
    computed = control_gates(stained(background(500, 1)), stained([5.0]))
    none = Gate(marker="A", panel="p", batch="1", method="none", reason="no_control")
    assert adopt_gates([none], computed) == computed
    a, _ = adopt_gates([none, Gate(marker="A", value=3.0)], computed)
    assert (a.value, a.method) == (3.0, "file")


@pytest.mark.parametrize(
    "wrong",
    [{"batch": "7"}, {"acquisition": "y"}, {"panel": "q"}, {"column": "A_cell_mean"},
     {"marker": "Z"}, {"batch": "7", "value": None, "method": "none", "reason": "no_control"}],
)  # fmt: skip
def test_a_gate_that_fits_nowhere_is_refused(wrong):
    computed = control_gates(stained(background(500, 1)), stained([5.0]))
    given = [Gate(**({"marker": "A", "value": 3.0} | wrong)), Gate(marker="B", value=2.0)]
    message = (
        r"fit no sample of the study: (A|Z) \(panel .*\)\. The study has panel p, batch 1, acqu"
    )
    with pytest.raises(GatesError, match=message) as caught:
        adopt_gates(given, computed)
    assert all(
        str(word) in caught.value.message for word in (*wrong.values(),) if word in ("7", "y")
    )
    assert "B (panel" not in caught.value.message


def test_a_gate_for_fields_that_failed_is_no_mistake():
    computed = control_gates(stained(background(500, 1)), stained([5.0]))
    given = [Gate(marker="A", batch="7", value=3.0)]
    assert adopt_gates(given, computed, places=[("p", "7", "x")]) == computed
    with pytest.raises(GatesError, match=r"batch 7, .*The study has .*; panel p, batch 8"):
        adopt_gates(given, computed, places=[("p", "8", "x")])
