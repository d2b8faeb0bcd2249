"""The learned class by itself: its file, its probabilities, its scores, where it may judge."""

from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from imganalysis import tables as t
from imganalysis.classify import classify_cells
from imganalysis.classify._learned_fit import Examples, fit, held_out
from imganalysis.classify._learned_scores import (
    Judgement,
    calibration,
    f1,
    mean_over_patients,
    scores,
    verdict,
)
from imganalysis.classify.learned import (
    Feature,
    Learned,
    check_classifier,
    classify_with,
    feature_columns,
    feature_values,
    probabilities,
    read_classifier,
    write_classifier,
)
from imganalysis.errors import ModelError
from imganalysis.panel import load_panel

if TYPE_CHECKING:
    from pathlib import Path

B = load_panel("infiltrate")
NAMES = ("T", "other_nucleated")


def model(**changes) -> Learned:
    """T or other, by CD3 in the ring: even at 10, wide open between 0 and 100."""
    scale = 10.0
    feature = {
        "column": "CD3_ring_mean", "scale": scale, "mean": float(np.arcsinh(1.0)), "sd": 1.0,
        "low": 0.0, "high": 100.0,
    }  # fmt: skip
    values = {
        "panel": "infiltrate", "classes": NAMES, "features": [feature],
        "weights": [[4.0], [0.0]], "intercepts": [0.0, 0.0], "places": [["B1", "A1"]],
        "verdict": "better",
    } | changes  # fmt: skip
    found = Learned.model_validate(values)
    return found.model_copy(update={"content_hash": found.fingerprint})


def cells(cd3: list[float], calls: list[str] | None = None, cd56: str = "negative") -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "CD3_ring_mean": cd3,
            t.call_column("CD3"): calls or ["indeterminate"] * len(cd3),
            t.call_column("CD56"): cd56,
        }
    )
    for name in B.contexts:
        table[t.context_column(name)] = pd.array([False] * len(cd3), dtype="boolean")
    return table


# --- what it gives --------------------------------------------------------------------------------


def test_without_a_model_the_rules_stand():
    table = cells([1.0, 10.0, 50.0])
    rules = classify_cells(table, B)
    for found in (classify_with(table, B, None), classify_with(table, B, model(panel="other"))):
        assert found.phenotype.tolist() == rules.phenotype.tolist()
        assert found.why.tolist() == rules.why.tolist()


def test_the_model_settles_what_the_rules_leave_open():
    found = classify_with(cells([1.0, 50.0]), B, model())
    assert found.phenotype.tolist() == ["other_nucleated", "T"]
    assert found.possible.sum(axis=1).tolist() == [1, 1]
    begin = "CD3 indeterminate, CD56 negative -> unresolved: T or other_nucleated, because CD3 "
    assert found.why[0].startswith(begin + "indeterminate; model ")
    assert found.why[1].endswith(": T, probability 0.99")


def test_an_even_chance_is_unresolved_and_says_so():
    found = classify_with(cells([10.5]), B, model(min_probability=0.8))
    assert found.phenotype.tolist() == [t.UNRESOLVED]
    assert found.why[0].endswith(": T, probability 0.53, under 0.8 -> unresolved")
    open_ = {c for c, yes in zip(B.classes, found.possible[0], strict=True) if yes}
    assert open_ == set(NAMES)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (cells([np.nan], ["negative"]), "CD3_ring_mean not known"),
        (cells([np.inf], ["negative"]), "CD3_ring_mean not known"),
        (cells([101.0], ["negative"]), "CD3_ring_mean outside the range of its training"),
        (cells([-0.1], ["negative"]), "CD3_ring_mean outside the range of its training"),
        (cells([50.0], ["negative"]).drop(columns="CD3_ring_mean"), "CD3_ring_mean not known"),
    ],
)
def test_what_it_has_not_seen_stays_with_the_rules(table, said):
    found = classify_with(table, B, model())
    assert found.phenotype.tolist() == ["other_nucleated"]
    assert "-> other_nucleated; by the rules: model " in found.why[0]
    assert found.why[0].endswith(said)


def test_classes_it_was_not_trained_for_stay_with_the_rules():
    sure = cells([50.0, 50.0], ["positive", "indeterminate"], cd56="positive")
    found = classify_with(sure, B, model())
    assert found.phenotype.tolist() == classify_cells(sure, B).phenotype.tolist()
    assert found.phenotype.tolist() == ["CD3CD56", t.UNRESOLVED]
    assert found.why.str.contains("not trained for every class").all()
    assert found.possible.tolist() == classify_cells(sure, B).possible.tolist()


def test_an_empty_table_and_a_kept_index():
    table = cells([1.0, 50.0]).set_axis([7, 3])
    assert classify_with(table, B, model()).phenotype.to_dict() == {7: "other_nucleated", 3: "T"}
    assert len(classify_with(table.iloc[:0], B, model()).phenotype) == 0


def test_features_of_a_panel():
    columns = feature_columns(load_panel("apoptosis"))
    assert columns[:4] == [
        "equivalent_diameter_um", "aspect_ratio", "solidity", "TO-PRO-3_nucleus_mean",
    ]  # fmt: skip
    assert {"casp3_ring_sd", "is_in_region", "is_lymphoid"} < set(columns)
    assert not any(c.startswith(("phenotype", "label")) or c.endswith("_call") for c in columns)
    unknown = pd.DataFrame({"is_x": pd.array([True, False, None], dtype="boolean")})
    assert np.array_equal(
        feature_values(unknown, ["is_x", "gone"]),
        [[1, np.nan], [0, np.nan], [np.nan, np.nan]], equal_nan=True,
    )  # fmt: skip


# --- training -------------------------------------------------------------------------------------


def examples(n_classes: int, rng: np.random.Generator, n: int = 240) -> Examples:
    kind = rng.integers(0, n_classes, n)
    values = np.exp(rng.normal(kind[:, None] * [0.8, -0.5, 0.0] + 2, 0.5))
    return Examples(
        np.column_stack([values, np.full(n, 3.0)]), ("a", "b", "c", "constant"),
        np.array(["x", "y", "z"], dtype=object)[kind],
        np.array([f"P{i % 5}" for i in range(n)], dtype=object),
    )  # fmt: skip


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_stored_numbers_give_scikit_learn_s_probabilities(n_classes):
    from sklearn.linear_model import LogisticRegression

    given = examples(n_classes, np.random.default_rng(2))
    found = fit(given, "p", [("B", "A"), ("B", "A")])
    assert [f.column for f in found.features] == ["a", "b", "c"]  # what is constant tells nothing
    assert found.places == (("B", "A"),)
    raw = given.values[:, :3]
    x = np.arcsinh(raw / np.median(np.abs(raw), axis=0))
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    theirs = LogisticRegression(C=1.0, max_iter=5000, tol=1e-8).fit(x, given.truth.astype(str))
    assert list(found.classes) == list(theirs.classes_)
    assert np.allclose(probabilities(found, raw), theirs.predict_proba(x), atol=1e-5)
    # A cell's probability does not depend on the others given with it.
    assert np.array_equal(probabilities(found, raw)[10:11], probabilities(found, raw[10:11]))


def test_no_patient_is_on_both_sides():
    given = examples(3, np.random.default_rng(3))
    seen = []
    for unseen, trained in held_out(given, "p", [("B", "A")]):
        patients = set(given.patient[unseen])
        assert len(patients) == 1
        others = given.of(np.flatnonzero(~np.isin(given.patient, list(patients))))
        assert trained == fit(others, "p", [("B", "A")])
        seen += unseen.tolist()
    assert sorted(seen) == list(range(240))


# --- scores ---------------------------------------------------------------------------------------


def judgement(truth: str, rules: str, said: str, patient: str, chance=None) -> Judgement:
    n = len(truth)
    given = np.full(n, chance is not None)
    return Judgement(
        np.array(list(truth), dtype=object), np.array(list(rules), dtype=object),
        np.array(list(said), dtype=object), np.array(list(patient), dtype=object), given,
        np.zeros((n, 2)) if chance is None else np.array(chance), ("a", "b"),
    )  # fmt: skip


def test_f1_and_differences_by_hand():
    found = scores(judgement("aaabbb", "abbbbb", "aaabba", "112233"))
    a, b = found["classes"]
    assert a["f1_rules"] == pytest.approx(2 * 1 / (3 + 1))
    assert a["f1_model"] == pytest.approx(2 * 3 / (3 + 4), abs=1e-5)
    assert b["f1_rules"] == pytest.approx(2 * 3 / (3 + 5))
    gains = [p["only_model_right"] - p["only_rules_right"] for p in found["patients"]]
    assert gains == [1, 1, -1]
    assert found["difference"]["mean"] == pytest.approx(0.5 / 3, abs=1e-5)
    assert f1(np.array(["a"]), np.array(["a"]), "b") is None


def test_a_patient_counts_once_however_many_cells():
    """No number rests on pooled cells: ten times the cells of each patient change nothing."""
    one = judgement("aaabbb", "abbbbb", "aaabba", "112233")
    ten = judgement("aaabbb" * 10, "abbbbb" * 10, "aaabba" * 10, "112233" * 10)
    assert scores(one)["difference"] == scores(ten)["difference"]


def test_interval_and_test_over_patients():
    six = mean_over_patients([0.1, 0.2, 0.15, 0.1, 0.3, 0.05])
    assert six["p"] == pytest.approx(2 / 2**6)  # all six of one sign
    x = np.array([0.1, 0.2, 0.15, 0.1, 0.3, 0.05])
    half = 2.570582 * x.std(ddof=1) / np.sqrt(6)
    assert (six["lo"], six["hi"]) == pytest.approx((x.mean() - half, x.mean() + half), abs=1e-5)
    assert mean_over_patients([0.1] * 5)["p"] is None
    assert mean_over_patients([0.1])["lo"] is None
    assert mean_over_patients([])["mean"] is None
    # Three patients with one more of twenty right: no spread is seen, which does not make it none.
    alike = mean_over_patients([0.05] * 3)
    assert (alike["mean"], alike["lo"], alike["hi"]) == (0.05, None, None)
    assert verdict(alike) == "not_shown"
    assert verdict(mean_over_patients([-0.05] * 3)) == "worse"
    wide = mean_over_patients([-0.34, -0.01])
    assert wide["lo"] == -1 and wide["hi"] == 1
    assert mean_over_patients([0.0] * 6)["p"] is None
    assert mean_over_patients(list(np.linspace(0.01, 0.2, 20)))["p"] < 0.001
    assert [verdict(mean_over_patients(v)) for v in ([0.1, 0.11], [-0.1, -0.11], [0.1, -0.1])] == [
        "better", "worse", "not_shown",
    ]  # fmt: skip


def test_calibration_by_hand():
    chance = [[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]]
    found = calibration(judgement("abab", "abab", "aaaa", "1122", chance))
    assert found["n"] == 4
    assert found["brier"] == pytest.approx((0.02 + 1.62 + 0.32 + 0.72) / 4)
    assert found["ece"] == pytest.approx((0.4 + 0.1) / 2)
    assert [(r["n"], r["share_right"]) for r in found["table"]] == [(2, 0.5), (2, 0.5)]
    # Drawn anew, it is one patient twice (0.1 or 0.4), or both.
    assert (found["ece_lo"], found["ece_hi"]) == pytest.approx((0.1, 0.4))
    assert calibration(judgement("a", "a", "a", "1"))["ece"] is None


# --- the file -------------------------------------------------------------------------------------


def test_what_is_written_is_read_again(tmp_path):
    write_classifier(tmp_path / "m.json", model())
    assert read_classifier(tmp_path / "m.json") == model()


def edited(change) -> bytes:
    content = model().model_dump(mode="json")
    change(content)
    return json.dumps(content).encode()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected a classifier"),
        (b"\x80\x04\x95", "expected a classifier"),
        (pickle.dumps({"format": "imganalysis classifier 1"}), "expected a classifier"),
        (b"[1, 2]", "found 'list'"),
        (b"{}", "found None"),
        (b"[" * 100_000, "expected a classifier"),
        (b'{"format": "other"}', "found 'other'"),
        (json.dumps(model().model_dump(mode="json")).encode()[:-40], "cannot be read"),
        (edited(lambda c: c.update(weights=[[5.0], [0.0]])), "damaged or edited"),
        (edited(lambda c: c.update(verdict="better", panel="other")), "damaged or edited"),
        (edited(lambda c: c.pop("weights")), "damaged: weights"),
        (edited(lambda c: c.update(weights=[[1.0]])), "expected a row per class"),
        (edited(lambda c: c.update(weights=[[float("nan")], [0.0]])), "damaged: weights"),
        (edited(lambda c: c.update(classes=["T", "T"])), "each once"),
        (edited(lambda c: c.update(more=1)), "unknown name"),
        (edited(lambda c: c["features"][0].update(sd=0.0)), "damaged: features"),
    ],
)
def test_foreign_and_damaged_files_are_refused_by_name(tmp_path, data, message):
    path = tmp_path / "m.json"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=message) as caught:
        read_classifier(path)
    assert str(path) in str(caught.value)


def test_a_missing_file(tmp_path: Path):
    with pytest.raises(ModelError, match="no such file"):
        read_classifier(tmp_path / "none.json")


def test_a_model_that_does_not_fit_the_study_is_refused():
    check_classifier(model(), [B], "m.json")
    with pytest.raises(ModelError, match=r"m\.json: is for the panel infiltrate; the study has"):
        check_classifier(model(), [load_panel("apoptosis")], "m.json")
    with pytest.raises(ModelError, match="was trained for tumour_vital, which the panel"):
        check_classifier(model(classes=["T", "tumour_vital"]), [B], "m.json")
    with pytest.raises(ModelError, match="did worse than the rules on held-out patients"):
        check_classifier(model(verdict="worse"), [B], "m.json")


def test_features_are_finite_numbers():
    with pytest.raises(ValueError, match="finite"):
        Feature(column="a", scale=1.0, mean=float("inf"), sd=1.0, low=0.0, high=1.0)
