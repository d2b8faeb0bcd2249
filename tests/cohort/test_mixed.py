"""The mixed model against what it must equal, and what happens where there is none."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from imganalysis.cohort import mixed, weeks
from imganalysis.cohort.mixed import t_interval, week_effects
from imganalysis.cohort.patients import biopsy_values, patient_weeks
from imganalysis.cohort.weeks import week_changes


def table(seed: int, *, n: int = 16, lesions: int = 1, patient_sd: float = 1.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        own = rng.normal(0, patient_sd)
        for k in range(lesions):
            there = own + rng.normal(0, 0.7)
            for week in (0.0, 1.0):
                rows.append((f"P{i}", f"L{k}", week, there + 0.5 * week + rng.normal(0, 0.5)))
    return pd.DataFrame(rows, columns=["patient", "lesion", "week", "value"])


def test_a_balanced_model_is_the_paired_t_test() -> None:
    data = table(1)
    found = week_effects(data)
    assert found.model == "patient"
    wide = data.pivot(index="patient", columns="week", values="value")
    theirs = stats.ttest_rel(wide[1.0], wide[0.0])
    estimate, lo, hi, p = t_interval(found.effects[1.0], 16, 0.95)
    ends = theirs.confidence_interval()
    assert estimate == pytest.approx((wide[1.0] - wide[0.0]).mean(), rel=1e-6)
    assert (lo, hi) == pytest.approx((ends.low, ends.high), abs=1e-5)
    assert p == pytest.approx(theirs.pvalue, rel=5e-3)


def test_a_lesion_is_a_variance_component() -> None:
    found = week_effects(table(2, n=20, lesions=2))
    assert found.model in ("patient_lesion", "patient_lesion_visit")
    assert found.effects[1.0][0] == pytest.approx(0.5, abs=0.3)


def test_what_hits_all_lesions_of_a_patient_in_a_week_is_not_taken_for_two_findings() -> None:
    rng = np.random.default_rng(5)
    data = table(4, n=24, lesions=2)
    shared = {(p, w): rng.normal(0, 1.5) for p in data["patient"].unique() for w in (0.0, 1.0)}
    data["value"] += [shared[k] for k in zip(data["patient"], data["week"], strict=True)]
    found = week_effects(data)
    assert "visit" in found.model
    means = data.groupby(["patient", "week"])["value"].mean().unstack()
    theirs = stats.ttest_rel(means[1.0], means[0.0])
    error = (means[1.0] - means[0.0]).std() / np.sqrt(24)
    assert found.effects[1.0][1] == pytest.approx(error, rel=1e-3)
    assert t_interval(found.effects[1.0], 24, 0.95)[3] == pytest.approx(theirs.pvalue, rel=0.01)


def test_without_variance_between_patients_there_is_no_model() -> None:
    # Patients exactly alike but for what alternates within each: less variance than by chance.
    rows = [(f"P{i}", "L", w, (-1.0) ** (i + w) + 0.01 * i) for i in range(14) for w in (0.0, 1.0)]
    found = week_effects(pd.DataFrame(rows, columns=["patient", "lesion", "week", "value"]))
    assert found == mixed.WeekEffects({}, "no_patient_variance")


def test_where_the_model_does_not_converge_patient_means_stand_and_it_is_said(
    trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    biopsies, _ = trial.trial(5, patients=14, weeks=(0.0, 1.0), change=1.0)
    patients = patient_weeks(biopsies, [trial.ENDPOINT])
    (usual,) = week_changes(biopsies, patients, trial.ENDPOINT)
    assert (usual["method"], usual["model"]) == ("mixed_t", "patient")
    from statsmodels.regression.mixed_linear_model import MixedLM

    fit = MixedLM.fit

    def stopped(self, **options):
        return fit(self, **options, method="lbfgs", maxiter=0)

    monkeypatch.setattr(MixedLM, "fit", stopped)
    (row,) = week_changes(biopsies, patients, trial.ENDPOINT)
    assert (row["method"], row["model"]) == ("patient_means_t", "not_converged")
    wide = patients.pivot(index="patient", columns="week", values="apoptotic_fraction_scaled")
    theirs = stats.ttest_rel(wide[1.0], wide[0.0])
    assert row["p"] == pytest.approx(theirs.pvalue)
    assert row["estimate"] == pytest.approx(np.exp((wide[1.0] - wide[0.0]).mean()))
    assert np.log(row["estimate"]) == pytest.approx(np.log(usual["estimate"]), abs=0.1)


def test_few_patients_get_the_exact_test_and_fewer_none(trial) -> None:
    for n, method, tested in ((5, "t_interval", False), (8, "signed_rank_exact", True)):
        biopsies, _ = trial.trial(6, patients=n, weeks=(0.0, 1.0), change=1.0)
        patients = patient_weeks(biopsies, [trial.ENDPOINT])
        (row,) = week_changes(biopsies, patients, trial.ENDPOINT)
        assert (row["method"], row["n_patients"], row["model"]) == (method, n, "")
        assert np.isfinite(row["p"]) == tested
        assert row["reason"] == ("" if tested else "too_few_patients")
        assert row["lo"] < row["estimate"] < row["hi"]


def test_those_without_tumour_are_counted_beside(trial) -> None:
    biopsies, _ = trial.trial(7, patients=14, without=3)
    patients = patient_weeks(biopsies, [trial.ENDPOINT])
    one, four = week_changes(biopsies, patients, trial.ENDPOINT)
    assert (one["n_NA"], four["n_NA"], four["n_patients"]) == (0, 3, 11)
    assert four["method"] == "signed_rank_exact" and one["method"] == "mixed_t"
    assert weeks.OVER_WEEKS == one["question"]
    assert len(biopsy_values(biopsies, trial.ENDPOINT)) == 14 * 3 - 3
