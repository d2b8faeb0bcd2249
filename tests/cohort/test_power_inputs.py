"""What a run says of the numbers that a question of power starts from."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from imganalysis import tables as t
from imganalysis.cohort.power_inputs import (
    estimate_inputs,
    field_counts,
    pooled_rho,
    read_inputs,
)
from imganalysis.errors import SettingsError, StudyError, TableError
from imganalysis.panel import load_panel
from imganalysis.powering import Question, answer, make_question
from imganalysis.quantify.statistics import anova_icc


def cohort(seed=1, patients=40, fields=6, cells=80, sd=0.8, correlation=0.6, rho=0.06):
    """Counts of two weeks per patient, beta-binomial fields."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(patients):
        shared = rng.standard_normal()
        for week, base in (("0", -0.4), ("1", 0.3)):
            own = rng.standard_normal()
            logit = base + sd * (np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own)
            p = 1 / (1 + np.exp(-logit))
            q = rng.beta(p * (1 - rho) / rho, (1 - p) * (1 - rho) / rho, fields)
            x = rng.binomial(cells, q)
            rows += [(f"P{i}", f"P{i}-{week}", week, int(v), cells) for v in x]
    return pd.DataFrame(rows, columns=["patient", "biopsy", "week", "x", "n"]).astype(
        {"x": float, "n": float}
    )


def write_run(folder, counts):
    """A folder of results with what is read of it, the built-in panel of apoptosis."""
    panel = load_panel("apoptosis")
    folder.mkdir()
    record = {"imganalysis": "0", "panels": {panel.name: panel.model_dump(mode="json")}}
    (folder / "run.json").write_text(json.dumps(record))
    table = counts[["patient", "biopsy", "week"]].assign(panel=panel.name, status="analysed")
    endpoint = next(f for f in panel.fractions if f.endpoint)
    table[t.side_column(endpoint.name, "numerator")] = counts["x"].astype(int)
    table[t.side_column(endpoint.name, "denominator")] = counts["n"].astype(int)
    table.to_csv(folder / "fields.csv", index=False)
    return folder


def test_the_pooled_correlation_of_one_biopsy_is_that_of_the_toolkit():
    x, n = np.array([30, 50, 10, 45, 20.0]), np.array([80, 90, 60, 100, 70.0])
    assert pooled_rho([(x, n)]) == pytest.approx(0.0743271, abs=2e-7)
    assert pooled_rho([(x, n)]) == pytest.approx(anova_icc(x, n))
    assert pooled_rho([(x, n), (x, n)]) == pytest.approx(0.0743271, rel=0.02)
    assert np.isnan(pooled_rho([(x[:1], n[:1])]))


def test_what_was_put_in_comes_out():
    found = [estimate_inputs(cohort(seed), "af") for seed in range(12)]
    assert np.mean([f.rho.value for f in found]) == pytest.approx(0.06, abs=0.006)
    assert np.mean([f.patient_sd.value for f in found]) == pytest.approx(0.8, abs=0.06)
    assert np.mean([f.correlation.value for f in found]) == pytest.approx(0.6, abs=0.08)
    for name, true in (("rho", 0.06), ("patient_sd", 0.8), ("correlation", 0.6)):
        held = [getattr(f, name).lo <= true <= getattr(f, name).hi for f in found]
        assert np.mean(held) >= 0.75, name
    assert (found[0].n_patients, found[0].n_biopsies, found[0].n_fields) == (40, 80, 480)
    assert found[0].cells.value == 80


def test_too_little_is_said_and_the_default_taken(tmp_path):
    run = write_run(tmp_path / "few", cohort(patients=2).iloc[::6])
    found = read_inputs(run)
    assert found.rho.reason == "too_few_fields"
    assert found.patient_sd.reason == found.correlation.reason == "too_few_patients"
    asked, assumptions = make_question({}, results=run)
    assert (asked.rho, asked.patient_sd) == (Question().rho, Question().patient_sd)
    said = assumptions.set_index("name")["source"]
    assert "too_few_fields" in said["rho"] and "too_few_patients" in said["patient_sd"]
    assert said["p"] == "apoptotic_fraction, 2 biopsies of week 0 (of 0, 1; --week takes another)"


def test_a_run_is_read_as_its_counts(tmp_path):
    counts = cohort()
    run = write_run(tmp_path / "run", counts)
    read = field_counts(run)
    pd.testing.assert_frame_equal(read[list(counts)], counts, check_dtype=False)
    asked, assumptions = make_question({"rho": 0.02}, results=run)
    first = counts[counts["week"] == "0"]
    assert asked.p == pytest.approx(first["x"].sum() / first["n"].sum())
    assert asked.cells == (40, 80, 160)
    said = assumptions.set_index("name")
    assert said.loc["rho", "source"] == "given" and said.loc["floor", "source"] == "default"
    assert said.loc["patient_sd", "lo"] < asked.patient_sd < said.loc["patient_sd", "hi"]
    assert asked.field_sd < 0.5


def test_shares_are_of_one_week(tmp_path):
    """Cells of a week's biopsies counted by hand: weeks are never put together."""
    counts = cohort(seed=4)
    run = write_run(tmp_path / "run", counts)
    share = {}
    for week in ("0", "1"):
        mine = counts[counts["week"] == week]
        share[week] = mine["x"].sum() / mine["n"].sum()
    asked, assumptions = make_question({}, results=run, weeks=(1.0, 0.0))
    assert asked.p == pytest.approx(share["1"]) and asked.p_second == pytest.approx(share["0"])
    assert abs(asked.p - asked.p_second) > 0.1
    said = assumptions.set_index("name")
    assert said.loc["p", "source"] == "apoptotic_fraction, 40 biopsies of week 1"
    assert said.loc["p_second", "source"] == "apoptotic_fraction, 40 biopsies of week 0"
    assert said.loc["p", "lo"] < asked.p < said.loc["p", "hi"]
    only, assumptions = make_question({"p_second": 0.3}, results=run, weeks=(1.0,))
    assert (only.p, only.p_second) == (asked.p, 0.3)
    with pytest.raises(
        SettingsError, match=r"--week 4: no biopsy .* a value of apoptotic_.*; weeks: 0, 1"
    ):
        make_question({}, results=run, weeks=(4.0,))
    with pytest.raises(SettingsError, match="expected one week, or two"):
        make_question({}, results=run, weeks=(0.0, 1.0, 1.0))
    with pytest.raises(SettingsError, match="--week names one of a run's results"):
        make_question({}, weeks=(0.0,))
    nameless = write_run(tmp_path / "nameless", counts.assign(week=""))
    asked, assumptions = make_question({}, results=nameless)
    assert asked.p == pytest.approx(counts["x"].sum() / counts["n"].sum())
    assert assumptions.set_index("name").loc["p", "source"] == "apoptotic_fraction, 80 biopsies"
    with pytest.raises(SettingsError, match="weeks: none, as no biopsy names one"):
        make_question({}, results=nameless, weeks=(0.0,))


def test_no_results_and_no_such_fraction(tmp_path):
    with pytest.raises(StudyError, match="holds no results"):
        read_inputs(tmp_path)
    run = write_run(tmp_path / "run", cohort(patients=3))
    with pytest.raises(TableError, match="no fraction pct_X; it has apoptotic_fraction"):
        read_inputs(run, fraction="pct_X")
    none = pd.read_csv(run / "fields.csv").assign(status="failed")
    none.to_csv(run / "fields.csv", index=False)
    with pytest.raises(TableError, match="no field with a cell"):
        read_inputs(run)
    with pytest.raises(SettingsError, match="--from"):
        make_question({}, fraction="pct_NK")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("p", 40, "--p: expected a share"), ("p_second", 0, "--p2"), ("rho", 1, "--rho"),
        ("fields", (0,), "--fields"), ("cells", (), "--cells"), ("patients", (1,), "--patients"),
        ("repeats", 2, "--repeats"), ("patient_sd", -1, "--patient-sd"), ("seed", -1, "--seed"),
        ("within", float("nan"), "--within"), ("correlation", 1, "--correlation"),
        ("floor", -0.1, "--floor"),
    ],
)  # fmt: skip
def test_impossible_questions(name, value, said):
    with pytest.raises(SettingsError, match=said):
        make_question({name: value})


def test_answers_are_the_least_that_lasts():
    asked, assumptions = make_question(
        {"fields": (10, 20), "cells": (80,), "patients": (4, 6, 24), "repeats": 60}
    )
    found = answer(asked, assumptions)
    needed = found.answers.set_index("condition")["needed"]
    assert needed["80 cells per field"].iloc[0] == 20
    assert needed["10 fields of 80 cells"].tolist() == [24, 24]
    hard, assumptions = make_question(
        {"p_second": 0.38, "fields": (3,), "cells": (20,), "patients": (6, 8), "repeats": 40}
    )
    rows = answer(hard, assumptions).answers
    assert rows["needed"].isna().sum() >= 2
    assert rows["note"].str.contains("not reached with 8").sum() == 2


def test_fewer_patients_than_are_tested_are_not_said_to_do():
    """Six patients are the fewest of a signed-rank test, four in each group of a rank sum test."""
    asked, assumptions = make_question(
        {"p": 0.02, "p_second": 0.6, "fields": (10,), "cells": (80,), "patients": (6, 8),
         "repeats": 40}
    )  # fmt: skip
    rows = answer(asked, assumptions).answers.set_index("question")["note"]
    assert [note for question, note in rows.items() if question.startswith("patients")] == [
        "fewer are not tested", "or fewer",
    ]  # fmt: skip


def test_patients_who_differ_no_more_than_counting_gives_are_said_to():
    found = estimate_inputs(cohort(patients=6, sd=0.0, cells=30, seed=1), "af")
    assert found.patient_sd.value == 0.0 < found.patient_sd.hi
    assert found.correlation.reason == "within_counting"
