"""The ladder of gates: reference cells, guarded mixtures, what is recorded and refused."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from imganalysis import tables as t
from imganalysis.classify import (
    Gate,
    adopt_gates,
    call_cells,
    positive_probabilities,
    read_gates,
    scale_gates,
    set_gates,
    write_gates,
)
from imganalysis.classify.gate_parts import Mixture
from imganalysis.classify.ladder import flag_given
from imganalysis.classify.rung_control import soft_curve
from imganalysis.classify.rung_mixture import (
    ashman_d,
    crossing,
    fit_two,
    log_odds,
    mixture_rung,
    posterior,
)
from imganalysis.classify.rung_reference import reference_rung, robust_limit
from imganalysis.panel import Panel
from imganalysis.settings import Gating
from imganalysis.settings_gating import Ladder

PANEL = Panel.model_validate(
    {
        "name": "p",
        "conflicts": [["A", "B"]],
        "channels": [
            {"marker": "DNA", "role": "nuclei"},
            {"marker": "A", "reference": {"positive_for": ["B"]}},
            {"marker": "B"},
        ],
    }
)
OUTSIDE = Panel.model_validate(
    {
        "name": "p",
        "channels": [
            {"marker": "DNA", "role": "nuclei"},
            {"marker": "A", "reference": {"outside_region": True}},
        ],
    }
)
NARROW = Gating(indeterminate_band=0.0)
MIXTURE_ONLY = Gating(ladder=Ladder(rungs=("mixture",)))


def cells(a, b=None, *, batch="1", fields=4, **columns) -> pd.DataFrame:
    a = np.asarray(a, dtype=float)
    found = {
        t.FIELD: [f"f{i % fields}" for i in range(a.size)],
        t.PANEL: "p",
        t.BATCH: batch,
        t.ACQUISITION: "x",
        "A_ring_mean": a,
        "B_ring_mean": np.ones(a.size) if b is None else b,
    }
    return pd.DataFrame(found | columns)


NONE = cells([]).astype({t.FIELD: str})


def two(n: int, seed: int, share: float, times: float) -> np.ndarray:
    """Log-normal values, a share of them brighter."""
    rng = np.random.default_rng(seed)
    values = rng.lognormal(1.0, 0.5, n)
    values[rng.random(n) < share] *= times
    return values


def ladder(samples, controls=NONE, gating=None, panel=PANEL, **extra) -> dict[str, Gate]:
    found = set_gates(
        controls, samples, {"p": panel}, gating or Gating(), cells={"p": samples}, **extra
    )
    return {gate.marker: gate for gate in found}


def verdict(gate: Gate, rung: str):
    (found,) = [v for v in gate.alternatives if v.rung == rung]
    return found


def positive_share(samples, gates, band=0.15) -> float:
    calls = call_cells(samples, PANEL, list(gates.values()), band)["A_call"]
    called = calls.isin([t.POSITIVE, t.NEGATIVE])
    return float((calls[called] == t.POSITIVE).mean())


# --- guards -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "times", "least", "most"),
    [(0, 1, 0, 0), (1, 30, 0, 0), (0.4, 4.5, 1, 1), (0.03, 4.5, 0, 0.1), (0.03, 9, 0.6, 0.95)],
)
def test_the_guards_let_through_what_they_should(share, times, least, most):
    held = [
        mixture_rung(two(1000, seed, share, times), Ladder(), {})[0].holds for seed in range(40)
    ]
    assert least <= np.mean(held) <= most


def test_the_bic_alone_refuses_one_population():
    loose = Ladder(guards={"min_ashman_d": 0, "weight": (0.001, 0.999)})
    found = [mixture_rung(two(1000, seed, 0, 1), loose, {})[0] for seed in range(20)]
    assert {v.reason for v in found} == {"mixture_one_population"}
    assert all(v.bic_gain is None or v.bic_gain <= 10 for v in found)


def test_a_null_marker_without_control_stays_ungated():
    for seed in range(20):
        samples = cells(two(1000, seed, 0, 1))
        gates = ladder(samples)
        assert (gates["A"].method, gates["A"].reason) == ("none", "no_control")
        assert verdict(gates["A"], "mixture").reason == "mixture_one_population"
        calls = call_cells(samples, PANEL, list(gates.values()), 0.15)
        assert (calls["A_call"] == t.INDETERMINATE).all()
        soft = positive_probabilities(samples, PANEL, list(gates.values()))
        assert soft["A_probability"].isna().all()


def test_all_positive_without_control_is_not_split_and_with_one_is_flagged():
    bright = cells(two(1000, 3, 1, 30))
    assert ladder(bright)["A"].method == "none"
    gate = ladder(bright, cells(two(2000, 4, 0, 1)))["A"]
    assert gate.method == "control_percentile" and "all_positive" in gate.flags
    assert positive_share(bright, {"A": gate}) > 0.98
    dark = ladder(cells(two(1000, 5, 0, 1)), cells(two(2000, 4, 0, 1)))["A"]
    assert dark.flags == ("all_negative",)


def test_a_null_marker_with_control_is_not_found_positive():
    shares = []
    for seed in range(20):
        samples = cells(two(1000, seed + 100, 0, 1))
        gates = ladder(samples, cells(two(2000, seed, 0, 1)), NARROW)
        shares.append(positive_share(samples, gates, 0.0))
        soft = positive_probabilities(samples, PANEL, list(gates.values()))["A_probability"]
        assert soft.mean() < 0.03
    assert max(shares) <= 0.024 and 0.005 < np.mean(shares) < 0.015


def test_few_positives_are_found_with_a_control():
    shares, soft = [], []
    for seed in range(20):
        values = two(1000, seed, 0, 1)
        values[:30] *= 4.5
        samples = cells(values)
        gates = ladder(samples, cells(two(2000, seed + 50, 0, 1)), NARROW)
        shares.append(positive_share(samples, gates, 0.0))
        found = positive_probabilities(samples, PANEL, list(gates.values()))["A_probability"]
        soft.append(found.mean())
    assert 0.025 <= np.mean(shares) <= 0.05
    assert 0.02 <= np.mean(soft) <= 0.04


def test_a_mixture_sets_the_gate_where_nothing_else_does():
    samples = cells(two(2000, 1, 0.4, 9))
    gate = ladder(samples)["A"]
    assert gate.method == "mixture" and gate.mixture is not None and gate.se is not None
    assert gate.n == 2000 and gate.sources and gate.control_fpr is None
    # Between e and 9 e on a log scale, where 40 % are positive: near the middle.
    expected = np.exp(1 + np.log(9) / 2 + 0.25 * np.log(0.6 / 0.4) / np.log(9))
    assert gate.value == pytest.approx(expected, abs=3 * gate.se)
    assert 0.38 < positive_share(samples, {"A": gate}) < 0.42
    low, high = gate.limits(0.15)
    assert posterior(np.array([low, gate.value, high]), gate.mixture) == pytest.approx(
        [0.2, 0.5, 0.8]
    )
    calls = call_cells(cells([low * 0.999, gate.value, high * 1.001]), PANEL, [gate], 0.15)
    assert calls["A_call"].tolist() == [t.NEGATIVE, t.INDETERMINATE, t.POSITIVE]
    # Moved, the band moves with it; a band that somebody gave goes first.
    (moved,) = scale_gates([gate], "A", 1.25)
    assert moved.limits(0.15) == pytest.approx((1.25 * low, 1.25 * high))
    assert gate.model_copy(update={"band": 0.1}).limits(0.15)[0] == pytest.approx(0.9 * gate.value)


def test_a_control_of_few_cells_guards_a_mixture_and_sets_none():
    samples, blank = cells(two(2000, 1, 0.4, 9)), two(100, 2, 0, 1)
    gate = ladder(samples, cells(blank))["A"]
    assert gate.method == "mixture" and verdict(gate, "control_percentile").value is not None
    assert verdict(gate, "control_percentile").reason == "control_too_few_cells"
    brighter = ladder(samples, cells(4 * blank))["A"]
    assert (brighter.method, brighter.reason) == ("none", "control_too_few_cells")
    assert verdict(brighter, "mixture").reason == "mixture_far_from_others"
    # Of so few its percentile tells nothing, and says so.
    few = ladder(samples, cells(4 * blank[:49]))["A"]
    assert few.method == "mixture"
    said = verdict(few, "control_percentile")
    assert said.value is None and "49 control cells" in said.note and "50 to guard" in said.note
    dark = verdict(ladder(samples, cells(-blank))["A"], "control_percentile")
    assert dark.value is None and dark.note.endswith("is not above 0 and guards none")


def test_the_standard_error_agrees_with_repeated_draws():
    found = [mixture_rung(two(1500, seed, 0.4, 6), Ladder(), {})[0] for seed in range(60)]
    values, errors = [v.value for v in found], [v.se for v in found]
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.3)


def test_a_rung_can_be_switched_off_and_the_order_is_the_settings_s():
    samples, controls = cells(two(2000, 1, 0.4, 6)), cells(two(2000, 2, 0, 1))
    assert ladder(samples, controls)["A"].method == "control_percentile"
    other = ladder(samples, controls, MIXTURE_ONLY)["A"]
    assert other.method == "mixture" and verdict(other, "control_percentile").holds
    off = ladder(samples, controls, Gating(ladder=Ladder(rungs=())))["A"]
    assert (off.method, off.reason) == ("none", "switched_off")
    no_guess = Gating(ladder=Ladder(rungs=("control_percentile", "reference")))
    assert ladder(samples, gating=no_guess)["A"].method == "none"
    with pytest.raises(ValueError, match="a rung stands twice"):
        Ladder(rungs=("mixture", "mixture"))


def test_a_mixture_far_from_the_control_sets_no_gate_and_is_told():
    samples, controls = cells(two(2000, 1, 0.4, 30)), cells(0.3 * two(2000, 2, 0, 1))
    gate = ladder(samples, controls)["A"]
    mixture = verdict(gate, "mixture")
    assert mixture.value is not None and not mixture.holds
    assert mixture.reason == "mixture_far_from_others" and "times off" in mixture.note
    assert gate.flags == ("rungs_disagree",)
    assert ladder(samples, controls, MIXTURE_ONLY)["A"].reason == "mixture_far_from_others"


def test_clipped_samples_tell_of_no_population():
    samples = cells(two(2000, 1, 0.4, 9), **{t.COMPARABLE: False})
    gate = ladder(samples)["A"]
    assert gate.method == "none"
    assert verdict(gate, "mixture").reason == "samples_clipped"
    some = pd.concat([samples, cells(two(1000, 2, 0, 1), **{t.COMPARABLE: True})])
    assert verdict(ladder(some)["A"], "mixture").n == 1000


def test_odd_values_are_refused_with_a_word():
    def words(values):
        return mixture_rung(np.asarray(values, dtype=float), Ladder(), {})[0].reason

    assert words([]) == words(np.full(500, np.nan)) == words(-np.ones(500))
    assert words([]) == "mixture_too_few_cells"
    assert words(np.ones(500)) == "mixture_one_population"
    assert words(np.r_[np.ones(250), np.full(250, 9.0)]) == "mixture_one_population"
    assert words(np.random.default_rng(0).normal(0, 1, 3000)) == "mixture_overlap"
    assert words(np.random.default_rng(0).exponential(1, 3000)) == "mixture_overlap"


def test_the_order_of_cells_changes_no_digit_and_a_million_are_thinned():
    values = two(20_000, 1, 0.3, 6)
    b = np.random.default_rng(5).permutation(two(20_000, 6, 0.3, 9))
    samples, controls = cells(values, b), cells(two(3000, 2, 0, 1))
    order = np.random.default_rng(1).permutation(len(samples))
    mixed = samples.iloc[order].reset_index(drop=True)
    back = controls.iloc[::-1].reset_index(drop=True)
    for gating in (None, MIXTURE_ONLY):
        assert ladder(samples, controls, gating) == ladder(mixed, back, gating)
    gate = ladder(samples, gating=MIXTURE_ONLY)["A"]
    assert gate.mixture is not None
    assert (gate.mixture.n, gate.mixture.n_fitted, gate.n) == (20_000, 5000, 20_000)
    whole, _ = mixture_rung(values, Ladder(guards={"max_fitted": 20_000}), {})
    assert gate.value == pytest.approx(whole.value, rel=0.01)
    assert gate.se == pytest.approx(whole.se, rel=0.1)


@pytest.mark.parametrize("sds", [(0.3, 0.9), (0.9, 0.3), (0.5, 0.5)])
def test_the_posterior_never_falls(sds):
    z = np.linspace(-30, 30, 4001)
    assert (np.diff(log_odds(z, 0.3, (0.0, 2.5), sds)) >= 0).all()
    at = crossing(0.3, (0.0, 2.5), sds, 0.5)
    assert at is not None and 0 < at < 2.5
    free = np.log(0.3 / 0.7) - np.log(sds[1] / sds[0])
    free += 0.5 * ((at / sds[0]) ** 2 - ((at - 2.5) / sds[1]) ** 2)
    assert free == pytest.approx(0, abs=1e-9)


def test_the_fit_is_the_maximum_of_the_likelihood():
    logs = np.sort(np.log(two(4000, 1, 0.4, 9)))
    found = fit_two(logs)
    assert found is not None
    weight, means, sds, gain = found

    def loglik(w, m, s):
        parts = [(1 - w, m[0], s[0]), (w, m[1], s[1])]
        density = sum(
            p * np.exp(-0.5 * ((logs - a) / b) ** 2) / (b * np.sqrt(2 * np.pi)) for p, a, b in parts
        )
        return np.log(density).sum()

    best = loglik(weight, means, sds)
    for change in (0.99, 1.01):
        assert loglik(weight * change, means, sds) < best
        assert loglik(weight, (means[0] * change, means[1]), sds) < best
        assert loglik(weight, means, (sds[0], sds[1] * change)) < best
    one = -0.5 * logs.size * (np.log(2 * np.pi * logs.var()) + 1)
    bics = [k * np.log(logs.size) - 2 * value for k, value in ((2, one), (5, best))]
    assert gain == pytest.approx(bics[0] - bics[1], rel=1e-4)
    # Ashman et al.: sqrt(2) |m1 - m2| / sqrt(s1^2 + s2^2)
    assert ashman_d((0.0, 3.0), (1.0, 1.0)) == pytest.approx(3.0)


# --- reference ----------------------------------------------------------------------------------


def test_reference_is_the_median_and_three_scaled_mads():
    values = np.arange(1.0, 402.0)
    found, extra = reference_rung(values, Ladder())
    assert found.value == pytest.approx(201 + 3 * 1.4826 * 100)
    assert found.n == 401 and extra["quantiles"].values[3] == 201
    few, _ = reference_rung(values[:199], Ladder())
    assert few.reason == "reference_too_few_cells"
    assert reference_rung(-np.ones(300), Ladder())[0].reason == "reference_no_signal"


def test_its_standard_error_agrees_with_repeated_draws():
    rng = np.random.default_rng(0)
    draws = [robust_limit(rng.lognormal(1, 0.5, 500), 3.0) for _ in range(400)]
    errors = [reference_rung(rng.lognormal(1, 0.5, 500), Ladder())[0].se for _ in range(20)]
    assert np.mean(errors) == pytest.approx(np.std(draws), rel=0.2)
    large = reference_rung(rng.lognormal(1, 0.5, 8000), Ladder())[0].se
    assert large == pytest.approx(np.std(draws) / 4, rel=0.3)


def excluding(n=3000, seed=1):
    """Cells positive for B, which are negative for A, and cells that may be either."""
    rng = np.random.default_rng(seed)
    b = rng.lognormal(1, 0.4, n)
    is_b = rng.random(n) < 0.3
    b[is_b] *= 12
    a = rng.lognormal(1, 0.4, n)
    a[~is_b] *= 15
    return cells(a, b)


def test_cells_of_an_exclusive_marker_set_a_gate_if_that_marker_s_gate_is_a_person_s():
    samples = excluding()
    given = [Gate(marker="B", value=10.0, method="manual")]
    gate = ladder(samples, given=given)["A"]
    assert gate.method == "reference" and 800 < gate.n < 1000
    chosen = samples[samples["B_ring_mean"] >= 10 * 1.15]["A_ring_mean"].to_numpy()
    assert gate.value == pytest.approx(robust_limit(np.sort(chosen), 3.0))
    # Not under a gate that is itself guessed from the samples, and not by one switched off.
    alone = ladder(samples)
    assert alone["B"].method == "mixture"
    assert verdict(alone["A"], "reference").reason == "reference_not_gated"
    copied = [Gate(marker="B", value=10.0, method="mixture")]
    assert verdict(ladder(samples, given=copied)["A"], "reference").reason == "reference_not_gated"
    soft = positive_probabilities(samples, PANEL, [gate])
    assert soft["A_probability"].isna().all()


def test_a_control_s_gate_may_show_reference_cells_too():
    rng = np.random.default_rng(9)
    controls = cells(rng.lognormal(1, 0.4, 1000), rng.lognormal(1, 0.4, 1000))
    gate = ladder(excluding(), controls)["A"]
    assert gate.method == "control_percentile"
    assert verdict(gate, "reference").holds and verdict(gate, "reference").n > 800


def test_cells_outside_the_outlined_tumour_set_a_gate():
    values = two(2000, 1, 0, 1)
    values[:1000] *= 20
    away = np.r_[np.full(1000, -40.0), np.full(1000, 60.0)]
    samples = cells(values, **{t.MARGIN_DISTANCE: away})
    gate = ladder(samples, panel=OUTSIDE)["A"]
    assert (gate.method, gate.n) == ("reference", 1000)
    near = samples.assign(**{t.MARGIN_DISTANCE: np.where(away > 0, 20.0, away)})
    found = verdict(ladder(near, panel=OUTSIDE)["A"], "reference")
    assert found.reason == "reference_too_few_cells"
    without = verdict(
        ladder(samples.assign(**{t.MARGIN_DISTANCE: np.nan}), panel=OUTSIDE)["A"], "reference"
    )
    assert without.reason == "reference_not_outlined"


# --- soft probability ---------------------------------------------------------------------------


def test_the_soft_curve_rises_and_adds_up_to_the_positives():
    rng = np.random.default_rng(0)
    control = rng.lognormal(1, 0.5, 2000)
    samples = two(5000, 2, 0.4, 9)
    curve = soft_curve(control, samples, 0.95)
    assert curve is not None and curve.null_share == pytest.approx(0.6, abs=0.03)
    assert list(curve.probabilities) == sorted(curve.probabilities)
    gate = Gate(marker="A", value=9.0, method="control_percentile", soft=curve)
    table = cells(np.r_[samples, np.nan, -5.0])
    soft = positive_probabilities(table, PANEL, [gate])["A_probability"].to_numpy()
    assert np.isnan(soft[-2]) and soft[-1] == 0
    assert np.nanmean(soft[:-2]) == pytest.approx(0.4, abs=0.03)
    assert np.nanmean(soft[:-2]) == pytest.approx(1 - curve.null_share, abs=1e-3)
    order = np.argsort(samples)
    assert (np.diff(soft[:-2][order]) >= 0).all()
    assert soft[np.argmax(samples)] > 0.99
    assert soft_curve(control, np.zeros(0), 0.95) is None


def test_a_control_of_equal_values_gives_a_curve_all_the_same():
    curve = soft_curve(np.ones(300), np.r_[np.ones(50), np.full(50, 4.0)], 0.95)
    assert curve is not None and 0 <= min(curve.probabilities) <= max(curve.probabilities) <= 1


def test_a_background_a_little_brighter_makes_no_positives():
    """A twentieth more is common between sections; half the cells must not look half positive."""
    rng = np.random.default_rng(0)
    control, samples = rng.lognormal(1, 0.5, 2000), 1.05 * rng.lognormal(1, 0.5, 5000)
    gate = Gate(
        marker="A", value=9.0, method="control_percentile", soft=soft_curve(control, samples, 0.95)
    )
    assert positive_probabilities(cells(samples), PANEL, [gate])["A_probability"].mean() < 0.03


# --- files --------------------------------------------------------------------------------------


def test_all_of_a_gate_survives_its_file(tmp_path):
    samples = excluding()
    rng = np.random.default_rng(9)
    controls = cells(rng.lognormal(1, 0.4, 1000), rng.lognormal(1, 0.4, 1000))
    found = []
    for i, (blank, gating) in enumerate(
        ((controls, None), (NONE, None), (controls, MIXTURE_ONLY), (NONE, NARROW))
    ):
        made = ladder(samples, blank, gating, user="u", hashes={"f0": "ab"}).values()
        found += [g.model_copy(update={"batch": str(i)}) for g in made]
    assert {g.method for g in found} >= {"control_percentile", "mixture"}
    path = tmp_path / "gates.json"
    write_gates(path, found)
    again = read_gates(path, [PANEL])
    assert again == tuple(found)
    for one, other in zip(found, again, strict=True):
        assert one.limits(0.15) == other.limits(0.15) or np.isnan(one.limits(0.15)).all()


def test_a_file_of_an_earlier_version_is_read(tmp_path):
    entry = {
        "marker": "A", "panel": "p", "batch": "1", "acquisition": "x", "column": "A_ring_mean",
        "value": 2.5, "unit": "grey levels", "method": "control_percentile", "band": None,
        "percentile": 99.0, "n": 318, "se": 0.19, "control_fpr": None,
        "sources": [{"field": "c", "hash": "ab"}], "reason": "", "previous": [],
        "user": "u", "time": "t", "version": "0.1.0",
    }  # fmt: skip
    path = tmp_path / "gates.json"
    path.write_text(json.dumps({"gates": [entry]}))
    (gate,) = read_gates(path, [PANEL])
    assert gate.value == 2.5 and gate.alternatives == () and gate.soft is None
    assert positive_probabilities(cells([9.0]), PANEL, [gate])["A_probability"].isna().all()


def test_a_person_s_gate_keeps_what_the_rungs_say_and_history_only_grows():
    samples = cells(two(2000, 1, 0.4, 9))
    first = tuple(ladder(samples, time="1").values())
    by_hand = Gate(marker="A", value=9.9, method="manual", note="looked dim", user="z")
    changed, _ = adopt_gates([by_hand], first)
    assert (changed.method, changed.note, changed.mixture, changed.soft) == (
        "manual", "looked dim", None, None,
    )  # fmt: skip
    assert verdict(changed, "mixture").holds
    assert [p.method for p in changed.previous] == ["mixture"]
    # The next run computes the same gate at another time: no new entry for it.
    second = tuple(ladder(samples, time="2").values())
    again, _ = adopt_gates([changed], second)
    assert again.previous == changed.previous and again.note == "looked dim"
    third, _ = adopt_gates(
        [by_hand.model_copy(update={"value": 8.0, "note": "no"})], (again, *second[1:])
    )
    assert [(p.value, p.note) for p in third.previous][1:] == [(9.9, "looked dim")]


def test_a_mixture_s_gate_is_not_taken_over_by_another_run():
    samples = cells(two(2000, 1, 0.4, 9))
    computed = tuple(ladder(samples).values())
    assert adopt_gates(computed, computed) == computed
    other = tuple(ladder(cells(two(2000, 2, 0.4, 9))).values())
    taken, _ = adopt_gates(computed, other)
    assert taken.method == "manual" and taken.value == computed[0].value


def test_mixtures_that_cannot_be_are_refused():
    good = {
        "weight": 0.4, "means": (0, 2), "sds": (0.5, 0.5), "low": 2, "value": 3, "high": 4,
        "bic_gain": 20, "ashman_d": 4, "n": 300, "n_fitted": 300,
    }  # fmt: skip
    assert Mixture(**good).value == 3
    for wrong in ({"means": (2, 0)}, {"low": 3.5}, {"weight": 1.0}, {"sds": (0.5, 0)}):
        with pytest.raises(ValueError, match="Mixture"):
            Mixture(**{**good, **wrong})


@pytest.mark.parametrize(
    ("value", "flags"), [(0.01, ("all_positive",)), (3.0, ()), (900.0, ("all_negative",))]
)
def test_a_gate_that_a_person_gave_is_compared_with_the_cells(value, flags):
    samples = cells(two(2000, 1, 0.4, 30))
    computed = ladder(samples)
    given = [Gate(marker="A", value=value)]
    used = adopt_gates(given, list(computed.values()))
    flagged = flag_given(used, {"p": samples}, {"p": PANEL}, 99.0)
    assert {g.marker: g.flags for g in flagged}["A"] == flags
    assert [g for g in flagged if g.marker == "B"] == [g for g in used if g.marker == "B"]
    few = samples.iloc[:99]
    assert all(g.flags == () for g in flag_given(used, {"p": few}, {"p": PANEL}, 99.0)
               if g.marker == "A")  # fmt: skip
