"""The totals of the study on which the analysis is modelled."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from imganalysis.cohort.response import response_rates

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "radny2003"
TOTALS = pd.read_csv(FOLDER / "totals.csv")


def of(quantity: str) -> dict[str, int]:
    rows = TOTALS[TOTALS["quantity"] == quantity]
    return dict(zip(rows["group"], rows["n"], strict=True))


def test_the_totals_are_those_of_the_paper() -> None:
    people = of("patients")
    assert people == {"all": 24, "men": 10, "women": 14, "stage III": 16}
    assert people["men"] + people["women"] == people["all"]
    assert of("metastases") == {"all": 245}
    assert of("metastases_response") == {
        "complete": 209, "partial": 21, "progressive": 7, "not_assessable": 8
    }  # fmt: skip
    assert of("patients_response") == {
        "complete": 15, "partial": 5, "progressive": 3, "not_assessable": 1
    }  # fmt: skip
    assert sum(of("metastases_response").values()) == 245
    assert sum(of("patients_response").values()) == 24
    assert set(TOTALS["source"]) == {"abstract", "Table 4 as quoted"}


def test_shares_of_all_who_were_treated() -> None:
    words = [word for word, n in of("patients_response").items() for _ in range(n)]
    table = pd.DataFrame(
        {"level": "patient", "patient": [str(i) for i in range(24)], "response": words}
    )
    rates = response_rates(table).set_index("response")["percent"]
    assert rates["complete"] == pytest.approx(62.5)
    assert round(rates["partial"]) == 21
    # Of metastases; who lay in whom is not known, so that no interval can be had.
    lesions = of("metastases_response")
    assert round(100 * lesions["complete"] / 245) == 85
    assert round(100 * lesions["partial"] / 245, 1) == 8.6  # printed as 6 % in the abstract


def test_it_is_said_that_the_rows_of_the_patients_are_missing() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert "These rows are not here" in text
    assert sorted(p.name for p in FOLDER.iterdir()) == ["README.md", "totals.csv"]
