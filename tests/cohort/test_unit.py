"""The unit is the patient: type-I error of whole cohorts, and no p from cells in one table."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import pkgutil
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import imganalysis
from imganalysis.cohort.groups import as_groups, group_differences
from imganalysis.cohort.patients import patient_weeks
from imganalysis.cohort.weeks import week_changes

ROOT = Path(imganalysis.__file__).parent

POOLING = {
    "chi2_contingency", "fisher_exact", "barnard_exact", "boschloo_exact", "proportions_ztest",
    "proportions_chisquare", "test_proportions_2indep", "StratifiedTable", "Table2x2", "mcnemar",
    "mcnemar_test", "odds_ratio_test", "GEE", "Logit", "GLM", "LogisticRegression",
}  # fmt: skip
"""What turns counts of cells into a p value, or can."""

P_OF_PATIENTS = {
    "imganalysis.cohort.compare.Comparison": "one value per patient goes in: `n_patients`",
    "imganalysis.quantify.clustering.Clustering": "labels of cells drawn anew within each field",
    "imganalysis.powering.Question": "no p value: a share of cells that is assumed",
}
"""Everything with a p value in it, and what its unit is."""


def modules() -> list[str]:
    return [m.name for m in pkgutil.walk_packages([str(ROOT)], "imganalysis.")]


def is_p(name: str) -> bool:
    words = name.casefold().split("_")
    return bool({"p", "pvalue", "pval", "significance"} & set(words))


@pytest.mark.parametrize("module", [m for m in modules() if ".segment" not in m])
def test_no_public_name_gives_a_p_value_of_pooled_cells(module: str) -> None:
    found = importlib.import_module(module)
    for name, value in vars(found).items():
        if name.startswith("_") or getattr(value, "__module__", "") != module:
            continue
        whole = f"{module}.{name}"
        if inspect.isclass(value) and dataclasses.is_dataclass(value):
            fields = [f.name for f in dataclasses.fields(value) if is_p(f.name)]
            assert not fields or whole in P_OF_PATIENTS, f"{whole} holds {fields}: of whom?"
        if inspect.isfunction(value) and is_p(name):
            said = value.__doc__ or ""
            assert "(patients,)" in said, f"{whole} gives a p value: of whom?"


def test_the_list_of_p_values_is_not_longer_than_it_must_be() -> None:
    for whole in P_OF_PATIENTS:
        module, _, name = whole.rpartition(".")
        kind = getattr(importlib.import_module(module), name)
        assert any(is_p(f.name) for f in dataclasses.fields(kind))


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=str)
def test_no_test_for_tables_of_cells_is_called(path: Path) -> None:
    if path.parent.name == "classify":  # a classifier of cells is no test of patients
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        name = getattr(node, "attr", getattr(node, "id", ""))
        assert name not in POOLING, f"{path}: {name}"


def test_a_hundred_times_the_cells_do_not_make_a_finding(trial) -> None:
    biopsies, group = trial.trial(21, patients=24, weeks=(0.0,), group_shift=0.3)
    many = biopsies.assign(n_tumour=biopsies["n_tumour"] * 100)
    groups = as_groups("group", group)
    p, chi = [], []
    for table in (biopsies, many):
        patients = patient_weeks(table, [trial.ENDPOINT])
        (row,) = group_differences(patients, trial.ENDPOINT, groups)
        p.append(row["p"])
        n = table["n_tumour"]
        x = (n * table["apoptotic_fraction"]).round()
        a = (table["patient"].map(group) == "a").to_numpy()
        cells = [[x[m].sum(), (n - x)[m].sum()] for m in (a, ~a)]
        chi.append(stats.chi2_contingency(cells).pvalue)
    assert p[1] == pytest.approx(p[0], rel=0.05)
    assert chi[1] < 1e-6 < p[1]  # what is not offered would have found something


def test_a_week_without_a_value_is_not_said_to_be_of_one_group(trial) -> None:
    biopsies, group = trial.trial(21, patients=6, weeks=(0.0,), group_shift=0.0)
    none = biopsies.assign(apoptotic_fraction=np.nan, n_tumour=0)
    for table, said in ((none, "no_value"), (biopsies, "one_group")):
        of = group if said == "no_value" else dict.fromkeys(group, "a")
        patients = patient_weeks(table, [trial.ENDPOINT])
        (row,) = group_differences(patients, trial.ENDPOINT, as_groups("group", of))
        assert row["reason"] == said


def test_null_cohorts_of_12_against_12_patients(trial) -> None:
    """T27: 2 to 8 %; the benchmark does it in full."""
    hits = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        # As `trial`, at the level of biopsies for the sake of time: the same model.
        logit = rng.normal(-0.4, 0.8, 24) + rng.normal(0, 0.4, 24) + rng.normal(0, 0.2, 24)
        x = rng.binomial(480, 1 / (1 + np.exp(-logit)))
        biopsies = trial.biopsies_of(x, np.full(24, 480))
        group = {p: "ab"[i % 2] for i, p in enumerate(biopsies["patient"])}
        patients = patient_weeks(biopsies, [trial.ENDPOINT])
        (row,) = group_differences(patients, trial.ENDPOINT, as_groups("group", group))
        assert row["method"] == "welch"
        hits.append(row["p"] <= 0.05)
    assert 0.02 <= np.mean(hits) <= 0.08


def test_null_cohorts_over_weeks(trial) -> None:
    hits = []
    for seed in range(20):
        biopsies, _ = trial.trial(seed, patients=24, without=1)
        rows = week_changes(biopsies, patient_weeks(biopsies, [trial.ENDPOINT]), trial.ENDPOINT)
        assert {row["method"] for row in rows} <= {"mixed_t", "patient_means_t"}
        hits += [row["p"] <= 0.05 for row in rows]
    assert np.mean(hits) <= 0.125  # of 40, with 5 % expected


def test_the_order_of_rows_does_not_matter(trial) -> None:
    biopsies, group = trial.trial(3, patients=20, weeks=(0.0, 1.0))
    turned = biopsies.sample(frac=1, random_state=1)
    for table in (turned, turned.iloc[::-1]):
        ours, theirs = (
            (
                week_changes(t, patient_weeks(t, [trial.ENDPOINT]), trial.ENDPOINT),
                group_differences(
                    patient_weeks(t, [trial.ENDPOINT]),
                    trial.ENDPOINT,
                    as_groups("dose", {p: str(int(p[1:]) % 7) for p in group}),
                ),
            )
            for t in (biopsies, table)
        )
        assert ours[1] == theirs[1] or np.allclose(
            [r["p"] for r in ours[1]], [r["p"] for r in theirs[1]], rtol=0, atol=0
        )
        assert [r["p"] for r in ours[0]] == pytest.approx([r["p"] for r in theirs[0]], rel=1e-6)
