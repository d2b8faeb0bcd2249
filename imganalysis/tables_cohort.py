"""Columns and fixed words of the tables of a cohort."""

from __future__ import annotations

PATIENT, LESION, WEEK = "patient", "lesion", "week"
KEYS = (PATIENT, LESION, WEEK)

RESPONSE, RESPONSE_WEEK, DOSE = "response", "response_week", "dose"
EVENT = "event"
TIMES = {"time_weeks": 7.0, "time_months": 365.25 / 12, "time_days": 1.0}
"""Columns of the time followed, and the days of their unit."""
DIAMETERS = ("diameter_a_mm", "diameter_b_mm")

N_BIOPSIES, N_LESIONS, FLAGS = "n_biopsies", "n_lesions", "flags"
COHORT_COLUMNS: dict[str, str] = {
    PATIENT: "the patient, as in biopsies.csv",
    WEEK: "week of the biopsies",
    N_BIOPSIES: "biopsies of the patient in that week",
    N_LESIONS: "lesions that they are of",
    "ENDPOINT": "mean over the patient's lesions; empty where none has a value",
    "ENDPOINT_lo": "its interval, only where the patient has one biopsy in that week",
    "ENDPOINT_hi": "the other end",
    "ENDPOINT_scaled": "what is tested: the mean of ln((x + .5) / (n - x + .5)) of a fraction, of "
    "ln((cells + .5) / mm2) of a density",
    "ENDPOINT_n_NA": "biopsies without a value",
    "ENDPOINT_reason": "why, `;` between",
    FLAGS: "flags of the biopsies, `;` between",
}

QUESTION, ENDPOINT, TITLE, REFERENCE = "question", "endpoint", "title", "reference"
GROUP_BY, GROUP = "group_by", "group"
EFFECT, ESTIMATE, LO, HI = "effect", "estimate", "lo", "hi"
P, P_HOLM, N_TESTS = "p", "p_holm", "n_tests"
P_HOLM_ALL, N_TESTS_ALL = "p_holm_all", "n_tests_all"
METHOD, MODEL, N_PATIENTS, N_REFERENCE = "method", "model", "n_patients", "n_reference"
N_NA, N_UNKNOWN, REASON = "n_NA", "n_unknown", "reason"
TESTS_COLUMNS: dict[str, str] = {
    QUESTION: "`over_weeks`, `between_groups`, `marker_loss` or `survival`",
    ENDPOINT: "column of biopsies.csv; for `marker_loss` the markers; for `survival` the time",
    TITLE: "the same in words",
    WEEK: "week that is looked at; of `survival` the landmark",
    REFERENCE: "week or group with which it is compared",
    GROUP_BY: "column of the clinical table that makes the groups",
    GROUP: "group that is looked at; empty where the test is over more than two, or over a number",
    EFFECT: "what `estimate` is: `odds_ratio`, `density_ratio`, `rank_correlation`",
    ESTIMATE: "the effect; over 1 (over 0 for a correlation) where the week or group has more",
    LO: "its interval",
    HI: "the other end",
    P: "two-sided; the unit is the patient; none for `marker_loss`",
    P_HOLM: "the same after Holm, for all tests of one question (and one `group_by`); the study's "
    "endpoint apart from all other columns",
    N_TESTS: "how many tests that is",
    P_HOLM_ALL: "after Holm for every test of this file",
    N_TESTS_ALL: "how many that is",
    METHOD: "how; see the words",
    MODEL: "what became of the mixed model; see the words",
    N_PATIENTS: "patients that tell something: with both weeks, or of the group",
    N_REFERENCE: "patients of the reference group",
    N_NA: "patients with a biopsy in that week but no value",
    N_UNKNOWN: "patients with a value, but whose group is not known",
    REASON: "why there is no test; see the words",
}

BY_WEEK_COLUMNS: dict[str, str] = {
    ENDPOINT: "column of biopsies.csv",
    TITLE: "the same in words",
    GROUP_BY: "empty for all patients, else the column that makes the groups",
    GROUP: "of that column",
    WEEK: "of the biopsies",
    N_PATIENTS: "patients with a value",
    N_NA: "patients with a biopsy but without a value",
    "median": "of the patients' values",
    "q1": "a quarter of the patients lies below",
    "q3": "a quarter of the patients lies above",
    "min": "least",
    "max": "greatest",
}

NA_COLUMNS: dict[str, str] = {
    ENDPOINT: "column of biopsies.csv",
    TITLE: "the same in words",
    WEEK: "of the biopsies",
    N_BIOPSIES: "biopsies of that week",
    "n_biopsies_NA": "of them, those without a value",
    N_PATIENTS: "patients with a biopsy in that week",
    "n_patients_NA": "of them, those without a value",
    "n_patients_no_biopsy": "patients biopsied in another week but not in this one",
    "reasons": "why, with the number of biopsies: `word n`, `;` between",
    "informative": "biopsies without a value because nothing was left to count: what is missing "
    "depends on what is asked for",
}

LEVEL, N_VISITS, FOLLOWED = "level", "n_visits", "followed_weeks"
RESPONSE_COLUMNS: dict[str, str] = {
    LEVEL: "`lesion` or `patient`",
    PATIENT: "the patient",
    LESION: "the lesion; empty for a patient",
    N_LESIONS: "lesions that it is judged by",
    "baseline_mm2": "sum of the products of perpendicular diameters before treatment",
    "smallest_mm2": "the smallest sum before the last visit, the baseline among them",
    "last_mm2": "the sum at the last visit",
    "change_percent": "last against baseline",
    FOLLOWED: "weeks from the baseline to the last visit",
    N_VISITS: "visits after the baseline at which all its lesions were measured",
    RESPONSE: "at the last visit; see the words",
    "best_response": "best of all visits, by size alone",
    RESPONSE_WEEK: "week of the last visit",
    REASON: "why it is `not_assessable`, or why `progressive`; see the words",
    "given": "the response that the clinical table gives, if it does",
}

SURVIVAL_COLUMNS: dict[str, str] = {
    GROUP_BY: "empty for all patients, else the column that makes the groups",
    GROUP: "of that column",
    "landmark": "week from which time counts, if not from the start",
    "unit": "of the time",
    "time": "at which somebody died or was lost to follow-up; the first row is the start",
    "n_at_risk": "patients just before",
    "n_events": "events at that time",
    "n_censored": "patients last seen alive at that time",
    "survival": "Kaplan-Meier estimate",
    LO: "its interval, on the log-log scale",
    HI: "the other end",
}

METHODS: dict[str, str] = {
    "mixed_t": "linear mixed model with a random patient (and lesion, and visit); t with "
    "patients - 1 degrees of freedom",
    "patient_means_t": "one-sample t test of the patients' differences of means, as the mixed "
    "model could not be had",
    "signed_rank_exact": "exact Wilcoxon signed-rank test of the patients' means; the estimate is "
    "Hodges and Lehmann's",
    "t_interval": "mean over patients with its t interval; no test",
    "welch": "Welch's t test of the patients' means",
    "rank_sum_exact": "exact Mann-Whitney test of the patients' means; the estimate is Hodges and "
    "Lehmann's",
    "welch_interval": "difference of means over patients with Welch's interval; no test",
    "kruskal_permutation": "Kruskal-Wallis over patients; p by 9999 permutations of patients",
    "spearman_permutation": "Spearman's correlation over patients; p by 9999 permutations of "
    "patients, interval after Bonett and Wright",
    "sign_exact": "exact sign test over patients, as some odds ratios are 0 or infinite; the "
    "estimate is the median",
    "patient_t": "one-sample t test over patients",
    "log_rank": "log-rank test over patients",
}
"""Words in the column ``method`` of tests.csv."""

MODELS: dict[str, str] = {
    "patient": "fitted with a random patient",
    "patient_lesion": "fitted with a random patient and lesion",
    "patient_visit": "fitted with a random patient and visit",
    "patient_lesion_visit": "fitted with a random patient, lesion and visit",
    "not_converged": "did not converge, so that patient means stand",
    "no_patient_variance": "patients do not differ by more than chance, where the model's errors "
    "cannot be trusted, so that patient means stand",
}
"""Words in the column ``model`` of tests.csv."""

NO_TEST: dict[str, str] = {
    "no_pairs": "no patient has a value in both weeks",
    "too_few_patients": "fewer than 6 patients, or groups so small that no order of the patients "
    "would give p below 0.05",
    "no_value": "no patient has a value in that week",
    "one_group": "all patients with a value are of one group",
    "varies_within_patient": "a patient's rows say different things, and the unit is the patient",
    "no_variation": "the values of all patients are equal, so that their spread is not known",
    "no_contrast": "no field holds cells that could tell",
    "cells_uncertain": "the ratio hangs on cells of other kinds that count as tumour cells without "
    "their marker, so that a p would say nothing",
    "no_events": "nobody had the event",
}
"""Words in the column ``reason`` of tests.csv."""

RESPONSES: dict[str, str] = {
    "complete": "gone",
    "partial": "the sum of the products of perpendicular diameters is down by more than 50 %",
    "stable": "neither of the others",
    "progressive": "the sum is up by more than 25 % over its smallest value so far, or a lesion "
    "that was gone is back",
    "not_assessable": "followed for under 4 weeks, or not measured before treatment",
}
"""Words in the column ``response`` of response.csv, best first."""

RESPONSE_REASONS: dict[str, str] = {
    "followed_under_4_weeks": "the last visit is less than 4 weeks after the baseline",
    "no_baseline": "not measured at week 0 or before",
    "no_visit": "never measured after the baseline",
    "grew": "up by more than 25 %",
    "regrowth": "was smaller or gone, and has grown again",
}
"""Words in the column ``reason`` of response.csv."""
