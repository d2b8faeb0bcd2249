"""How often a cohort in which nothing happens is called different, and how often one that does.

Patients differ (SD 0.8 of the logit), their weeks (0.4) and fields (0.5) too; six fields of 80
tumour cells a biopsy. The cells themselves put into one table, as must not be done, for contrast.
"""

from __future__ import annotations

import time

import numpy as np
from _common import options, report
from _trial import ENDPOINT, trial
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from imganalysis.cohort.compare import two_samples
from imganalysis.cohort.exact import rank_sum_p
from imganalysis.cohort.patients import SCALED, patient_weeks
from imganalysis.cohort.weeks import week_changes

GROUPS = {"weeks": (1.0,)}


def halves(seed: int, **more: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits of 12 and 12 patients, and the table of their cells."""
    biopsies, group = trial(seed, **GROUPS, **more)
    table = patient_weeks(biopsies, [ENDPOINT])
    values, name = table[ENDPOINT.name + SCALED].to_numpy(), table["patient"].map(group)
    n = biopsies["n_tumour"]
    x = (biopsies["apoptotic_fraction"] * n).round()
    mine = (biopsies["patient"].map(group) == "a").to_numpy()
    cells = np.array([[x[m].sum(), (n - x)[m].sum()] for m in (mine, ~mine)])
    return values[name == "a"], values[name == "b"], cells


def between(seed: int, **more: float) -> tuple[bool, bool, bool]:
    a, b, cells = halves(seed, **more)
    pooled = stats.chi2_contingency(cells).pvalue
    return two_samples(b, a).p <= 0.05, rank_sum_p(b, a) <= 0.05, pooled <= 0.05


def weeks(seed: int, **more: float) -> tuple[list[bool], list[str]]:
    biopsies, _ = trial(seed, **more)
    found = week_changes(biopsies, patient_weeks(biopsies, [ENDPOINT]), ENDPOINT)
    return [row["p"] <= 0.05 for row in found], [row["method"] for row in found]


def row(what: str, asked: str, hits: np.ndarray) -> list[object]:
    """Give a share with its interval by the number of cohorts alone (Clopper and Pearson)."""
    lo, hi = proportion_confint(int(hits.sum()), len(hits), method="beta")
    return [what, asked, float(hits.mean()), f"{100 * lo:.1f} to {100 * hi:.1f} %"]


def main() -> None:
    """Simulate, test, and report."""
    chosen = options(__doc__)
    n = 40 if chosen.quick else 1000
    start = time.perf_counter()
    null = np.array([between(seed) for seed in range(2 * n)])
    power = np.array([between(seed, group_shift=1.0) for seed in range(n // 4)])
    no = "12 v 12 patients, no difference: Welch on logits"
    rows = [
        row(no, "3.5 to 6.5 %", null[:, 0]),
        row("the same, exact Mann-Whitney", "3.5 to 6.5 %", null[:, 1]),
        row("the same, cells pooled (not offered)", "about 82 %", null[:, 2]),
        row("odds ratio 2.7 between groups: Welch on logits", "", power[:, 0]),
    ]
    for what, asked, m, more in (
        ("24 patients, weeks 0, 1, 4, one without tumour, no change", "3.5 to 6.5 %",
         n, {"without": 1}),
        ("the same with two lesions each", "3.5 to 6.5 %",
         n // 4, {"without": 1, "lesions": 2, "lesion_sd": 0.5, "fields": 4}),
        ("10 patients, exact Wilcoxon, no change", "at most 5 %", n, {"patients": 10}),
        ("24 patients, odds ratio 1.6 over weeks", "", n // 4, {"without": 1, "change": 0.5}),
    ):  # fmt: skip
        found = [weeks(seed, **more) for seed in range(m)]
        hits = np.array([f[0] for f in found])
        mixed = np.mean([method == "mixed_t" for f in found for method in f[1]])
        rows.append(row(f"{what}: week 1", asked, hits[:, 0]))
        rows.append(row(f"{what}: week 4", asked, hits[:, 1]))
        rows.append([f"{what}: share by the mixed model", "", mixed, ""])
    seconds = time.perf_counter() - start
    report(
        "Cohorts",
        ["share of cohorts called different at 5 %", "asked", "measured", "interval"],
        rows,
        notes=f"{2 * n} cohorts of two groups, {n} of every other kind ({n // 4} with two lesions, "
        "or with a difference), simulated at the level of "
        "counts per field: patients differ by 0.8 on the logit scale, their weeks by 0.4, fields "
        f"by 0.5; 6 (4) fields of 80 tumour cells. Intervals of 95 % by the number of cohorts. "
        f"{seconds:.0f} s in all.",
        target=chosen.json,
    )


if __name__ == "__main__":
    main()
