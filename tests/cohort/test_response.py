"""The study's criterion, by hand-worked sizes. All tables are made up."""

from __future__ import annotations

import pandas as pd
import pytest
from scipy import stats

from imganalysis.cohort.clinical import Visit
from imganalysis.cohort.response import judge, response_rates, responses
from imganalysis.quantify.statistics import cluster_proportion


@pytest.mark.parametrize(
    ("baseline", "later", "response", "reason"),
    [
        (100, [(4, 0)], "complete", ""),
        (100, [(4, 49.9)], "partial", ""),
        (100, [(4, 50)], "stable", ""),
        (100, [(4, 125)], "stable", ""),
        (100, [(4, 125.1)], "progressive", "grew"),
        (100, [(2, 40), (6, 50)], "stable", ""),  # 25 % over the smallest is not more than 25 %
        (100, [(2, 40), (6, 51)], "progressive", "regrowth"),
        (100, [(2, 0), (6, 1)], "progressive", "regrowth"),
        (100, [(2, 180), (6, 60)], "stable", ""),  # a swelling that went back
        (100, [(2, 0), (6, 0)], "complete", ""),
        (100, [(3.9, 0)], "not_assessable", "followed_under_4_weeks"),
        (100, [], "not_assessable", "no_visit"),
        (float("nan"), [(4, 0)], "not_assessable", "no_baseline"),
        (0, [(4, 0)], "not_assessable", "no_baseline"),
    ],
)
def test_the_criterion(baseline, later, response: str, reason: str) -> None:
    found = judge(baseline, later, 0.0)
    assert (found["response"], found["reason"]) == (response, reason)


def rows(*sizes: tuple[str, str, float, float]) -> list[Visit]:
    return [Visit(*row) for row in sizes]


def test_patients_are_judged_by_the_sum_and_all_of_them_count() -> None:
    found = responses(
        rows(
            ("A", "1", -1, 90), ("A", "1", 0, 100), ("A", "1", 4, 0), ("A", "1", 8, 0),
            ("A", "2", 0, 100), ("A", "2", 4, 100), ("A", "2", 8, 90),
            ("A", "new", 4, 50),
            ("B", "1", 0, 100), ("B", "1", 4, 0), ("B", "1", 8, 1),
            ("B", "2", 0, 900), ("B", "2", 4, 300), ("B", "2", 8, 300),
            ("C", "1", 0, 100), ("C", "1", 3, 0),
        ),
        ["A", "B", "C", "D"],
        given={"A": "partial"},
    ).set_index(["level", "patient", "lesion"])  # fmt: skip
    whole = found.loc["patient"].droplevel("lesion")
    assert whole["response"].to_dict() == {
        "A": "partial", "B": "progressive", "C": "not_assessable", "D": "not_assessable"
    }  # fmt: skip
    a = whole.loc["A"]
    assert (a["baseline_mm2"], a["last_mm2"], a["change_percent"], a["n_lesions"]) == (
        200, 90, pytest.approx(-55), 2
    )  # fmt: skip
    # One lesion is back: the sum alone, 301 of 1000, would be a partial response.
    assert whole.loc["B", "reason"] == "regrowth"
    assert whole.loc["D", "reason"] == "no_baseline" and whole.loc["A", "given"] == "partial"
    lesions = found.loc["lesion"]
    assert lesions.loc[("A", "1"), "response"] == "complete"
    assert lesions.loc[("A", "new"), "reason"] == "no_baseline"
    early = responses(rows(("B", "1", 0, 100), ("B", "1", 4, 0), ("B", "1", 8, 1)), ["B"], until=4)
    assert list(early["response"]) == ["complete", "complete"]


def test_a_visit_at_which_a_lesion_was_not_measured_says_nothing_of_the_patient() -> None:
    found = responses(
        rows(("A", "1", 0, 100), ("A", "1", 4, 10), ("A", "1", 8, 10),
             ("A", "2", 0, 100), ("A", "2", 4, 100)), ["A"],
    )  # fmt: skip
    assert found.loc[0, "response_week"] == 4 and found.loc[0, "last_mm2"] == 110


def test_rates_count_everybody() -> None:
    table = pd.DataFrame(
        {
            "level": ["patient"] * 4 + ["lesion"] * 6,
            "patient": [*"ABCD", *"AAABBC"],
            "response": ["complete"] * 2
            + ["partial", "not_assessable"]
            + ["complete"] * 3
            + ["partial"] * 2
            + ["complete"],
        }
    )
    found = response_rates(table).set_index(["level", "response"])
    one = found.loc[("patient", "complete")]
    assert (one["n"], one["of"], one["percent"]) == (2, 4, 50)
    ends = stats.binomtest(2, 4).proportion_ci(method="exact")
    assert (one["lo"], one["hi"]) == pytest.approx((100 * ends.low, 100 * ends.high))
    lesions = found.loc[("lesion", "complete")]
    known = cluster_proportion([3, 0, 1], [3, 2, 1])
    assert (lesions["n"], lesions["of"]) == (4, 6)
    assert (lesions["lo"], lesions["hi"]) == pytest.approx((100 * known.lo, 100 * known.hi))
