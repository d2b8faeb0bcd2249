"""The whole way from folders to files, as the command does it. All patients are made up."""

from __future__ import annotations

import re
from pathlib import Path  # noqa: TC003

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests
from typer.testing import CliRunner

from imganalysis import tables_cohort as c
from imganalysis.cli import app
from imganalysis.cohort.loss import LOSS_COLUMNS
from imganalysis.cohorting import Asked, analyse_cohort
from imganalysis.errors import OutputError, SettingsError, StudyError, TableError
from imganalysis.tables import write_csv

from .conftest import CLINICAL, made_up, write_results

VISITS = "patient,lesion,week,diameter_a_mm,diameter_b_mm\n" + "".join(
    f"P{i + 1:02},L1,{week},{size},{size}\n"
    for i in range(8)
    for week, size in ((0, 10), (1, 9), (4, (0, 5, 9, 14)[i % 4]))
)


def run(*arguments: object) -> str:
    found = CliRunner().invoke(app, ["cohort", *map(str, arguments)], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.output


@pytest.fixture(scope="module")
def clinical(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clinical") / "clinical.csv"
    path.write_text(CLINICAL, encoding="utf-8")
    return path


def test_the_command_writes_what_the_docs_say(
    results: Path, clinical: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    printed = run(results, "--clinical", clinical, "--out", out, "--landmark", 4)
    assert "Caspase-3 positive fraction" in printed and "no_evaluable_tumour 2" in printed
    assert "apoptotic fraction of tumour cells" not in printed.casefold()
    tables = {p.stem: pd.read_csv(p) for p in out.glob("*.csv")}
    assert set(tables) == {"cohort", "by_week", "tests", "na_by_week", "marker_loss", "survival"}
    assert list(tables["tests"].columns) == list(c.TESTS_COLUMNS)
    assert list(tables["by_week"].columns) == list(c.BY_WEEK_COLUMNS)
    assert list(tables["na_by_week"].columns) == list(c.NA_COLUMNS)
    assert list(tables["survival"].columns) == list(c.SURVIVAL_COLUMNS)
    assert list(tables["marker_loss"].columns) == list(LOSS_COLUMNS)
    cohort = tables["cohort"]
    assert len(cohort) == 24 and list(cohort.columns[:4]) == ["patient", "week", "sex", "dose"]
    with pd.ExcelFile(out / "cohort.xlsx") as book:
        assert set(book.sheet_names) == set(tables)
    figures = {p.name for p in (out / "figures").iterdir()}
    assert {
        "apoptotic_fraction_by_week.png", "apoptotic_fraction_by_response.png", "na_by_week.png",
        "survival.png", "survival_by_dose.png", "survival_by_response.png",
    } <= figures  # fmt: skip
    tests = tables["tests"]
    assert set(tests["method"].dropna()) <= set(c.METHODS)
    assert set(tests["reason"].dropna()) <= set(c.NO_TEST)
    assert set(tests["model"].dropna()) <= set(c.MODELS)
    loss = tests[tests["question"] == "marker_loss"].iloc[0]
    assert loss["estimate"] > 2 and loss["n_patients"] == 8
    assert np.isnan(loss["p"]) and loss["reason"] == "cells_uncertain"
    assert (tables["marker_loss"]["rank_correlation"] < 0).all()


def test_numbers_of_tests_and_their_adjustment(results: Path, clinical: Path) -> None:
    tests = analyse_cohort([results], clinical).tests
    told = tests[tests["p"].notna()]
    assert set(tests["n_tests_all"]) == {len(told)}
    assert list(told["p_holm_all"]) == pytest.approx(
        list(multipletests(told["p"], method="holm")[1])
    )
    main = told[(told["endpoint"] == "apoptotic_fraction") & (told["question"] == "over_weeks")]
    assert set(main["n_tests"]) == {2}
    assert list(main["p_holm"]) == pytest.approx(list(multipletests(main["p"], method="holm")[1]))
    other = told[(told["endpoint"] != "apoptotic_fraction") & (told["question"] == "over_weeks")]
    assert set(other["n_tests"]) == {len(other)}
    assert (told["p_holm"] <= told["p_holm_all"] + 1e-12).all()


def test_values_and_what_is_missing(results: Path, clinical: Path) -> None:
    found = analyse_cohort(
        [results], clinical, Asked(endpoints=("apoptotic_fraction", "T_per_mm2"))
    )
    biopsies = made_up()
    week1 = biopsies[biopsies["week"] == 1]
    row = found.by_week[(found.by_week["week"] == 1) & (found.by_week["group_by"] == "")].iloc[0]
    assert row["median"] == pytest.approx(week1["apoptotic_fraction"].median(), rel=1e-6)
    assert (row["n_patients"], row["n_NA"]) == (8, 0)
    quartile = np.quantile(week1["apoptotic_fraction"], 0.25)
    assert row["q1"] == pytest.approx(quartile, rel=1e-6)
    na = found.na.set_index(["endpoint", "week"])
    assert na.loc[("apoptotic_fraction", 4), "reasons"] == "no_evaluable_tumour 2"
    assert na.loc[("apoptotic_fraction", 4), "informative"] == 2
    assert na.loc[("T_per_mm2", 4), "n_biopsies_NA"] == 0
    one = found.cohort.set_index(["patient", "week"]).loc[("P03", 1.0)]
    source = biopsies.set_index("biopsy").loc["P03-W1"]
    n = source["n_tumour"]
    x = round(source["apoptotic_fraction"] * n)
    assert one["apoptotic_fraction_scaled"] == pytest.approx(np.log((x + 0.5) / (n - x + 0.5)))
    t = round(source["T_per_mm2"] * 0.2)
    assert one["T_per_mm2_scaled"] == pytest.approx(np.log((t + 0.5) / 0.2))
    assert one["apoptotic_fraction_lo"] == pytest.approx(source["apoptotic_fraction_lo"], rel=1e-6)


def test_several_lesions_are_averaged_and_never_pooled(tmp_path: Path, clinical: Path) -> None:
    """Two biopsies of the one lesion, one with 50 times the cells of the other."""
    table = made_up()
    n = table["n_tumour"]
    x = (table["apoptotic_fraction"] * n).round()
    again = table.assign(biopsy=table["biopsy"] + "a", apoptotic_fraction=0.5 * x / n)
    other = table.assign(
        biopsy=table["biopsy"] + "b", lesion="L2", n_tumour=50 * n, apoptotic_fraction=0.2 * x / n
    )
    both = write_results(tmp_path / "both", pd.concat([table, again, other]))
    found = analyse_cohort([both], clinical, Asked(endpoints=("apoptotic_fraction",)))
    mine = found.cohort[found.cohort["week"] == 1]
    old = (x / n)[table["week"] == 1]
    wanted = [((1 + 0.5) / 2 + 0.2) / 2 * value for value in old]
    assert list(mine["apoptotic_fraction"]) == pytest.approx(wanted, rel=1e-6)
    assert mine["apoptotic_fraction_lo"].isna().all()
    assert set(mine["n_lesions"]) == {2} and set(mine["n_biopsies"]) == {3}


def test_only_the_cleaved_form_is_called_apoptotic(tmp_path: Path, clinical: Path) -> None:
    for form, title in (
        ("cleaved", "apoptotic fraction of tumour cells"),
        ("total", "Caspase-3 positive fraction of tumour cells"),
    ):
        folder = write_results(tmp_path / form, made_up(form=form))
        assert analyse_cohort([folder], clinical).endpoints[0].title == title
    mixed = [
        write_results(tmp_path / f"m{form}", made_up(4, form=form, names=names))
        for form, names in (
            ("cleaved", ["P01", "P02", "P03", "P04"]), ("unknown", ["P05", "P06", "P07", "P08"])
        )
    ]  # fmt: skip
    assert "Caspase-3 positive" in analyse_cohort(mixed, clinical).endpoints[0].title


def test_the_same_bytes_again(results: Path, clinical: Path, tmp_path: Path) -> None:
    bytes_of = []
    for name in ("one", "two"):
        out = tmp_path / name
        run(results, "--clinical", clinical, "--out", out, "--endpoint", "apoptotic_fraction")
        files = [p for p in sorted(out.rglob("*")) if p.suffix in (".csv", ".png")]
        bytes_of.append({str(p.relative_to(out)): p.read_bytes() for p in files})
    assert bytes_of[0] == bytes_of[1] and len(bytes_of[0]) > 8


def test_responses_by_diameters(results: Path, tmp_path: Path) -> None:
    path = tmp_path / "visits.csv"
    path.write_text(VISITS, encoding="utf-8")
    found = analyse_cohort([results], path)
    assert found.responses is not None and found.rates is not None
    mine = found.responses[found.responses["level"] == "patient"]
    assert list(mine["response"]) == ["complete", "partial", "stable", "progressive"] * 2
    assert list(found.responses.columns) == list(c.RESPONSE_COLUMNS)
    assert [g.name for g in found.groups] == ["response"]
    assert found.groups[0].groups == ("complete", "partial", "stable", "progressive")
    printed = run(results, "--clinical", path, "--out", tmp_path / "out", "--no-figures")
    assert "2 of 8" in printed and not (tmp_path / "out" / "figures").exists()


def test_an_earlier_cohort_is_replaced_only_when_asked(
    results: Path, clinical: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run(results, "--clinical", clinical, "--out", out, "--no-figures")
    assert (out / "survival.csv").exists()
    with pytest.raises(OutputError, match="give --overwrite"):
        run(results, "--clinical", clinical, "--out", out)
    plain = tmp_path / "plain.csv"
    plain.write_text("patient\n" + "".join(f"P{i + 1:02}\n" for i in range(8)), encoding="utf-8")
    run(results, "--clinical", plain, "--out", out, "--overwrite", "--no-figures")
    assert not (out / "survival.csv").exists()
    with pytest.raises(OutputError, match="holds no cohort"):
        run(results, "--clinical", clinical, "--out", results, "--overwrite")


def test_what_cannot_be_done_is_said(results: Path, clinical: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="holds no results of imganalysis"):
        analyse_cohort([tmp_path], clinical)
    with pytest.raises(SettingsError, match=r"--by stage: .* has no such column; it has sex"):
        analyse_cohort([results], clinical, Asked(by=("stage",)))
    with pytest.raises(SettingsError, match="--endpoint pct_B: the results have no such"):
        analyse_cohort([results], clinical, Asked(endpoints=("pct_B",)))
    with pytest.raises(SettingsError, match="immortal-time bias"):
        analyse_cohort([results], clinical, Asked(survival_by=("response",)))
    with pytest.raises(TableError, match="would count twice"):
        analyse_cohort([results, results], clinical)
    with pytest.raises(SettingsError, match=r"--confidence: expected 0.5 to 1"):
        run(results, "--clinical", clinical, "--out", tmp_path / "o", "--confidence", 95)
    folder = write_results(tmp_path / "broken", made_up(2))
    (folder / "run.json").write_text('{"imganalysis": "0"}', encoding="utf-8")
    with pytest.raises(StudyError, match=r"made by imganalysis 0, .* \(run\.json: panels: none\)"):
        analyse_cohort([folder], clinical)


def test_results_that_are_not_whole_are_told(clinical: Path, tmp_path: Path) -> None:
    folder = write_results(tmp_path / "r", made_up(), cells=True)
    one = folder / "cells" / "P01-W1_0.parquet"
    one.write_bytes(b"no table")
    with pytest.raises(TableError, match=r"P01-W1_0\.parquet: no parquet table, or damaged"):
        analyse_cohort([folder], clinical)
    one.unlink()
    with pytest.raises(TableError, match=r"P01-W1_0\.parquet: no such file; the results are not"):
        analyse_cohort([folder], clinical)


def test_options_that_mean_nothing_are_told(results: Path, clinical: Path) -> None:
    for landmark in (float("nan"), -1.0, float("inf")):
        with pytest.raises(SettingsError, match="--landmark: expected a week from 0 on"):
            analyse_cohort([results], clinical, Asked(landmark=landmark))
    with pytest.raises(SettingsError, match="is dose meant"):
        analyse_cohort([results], clinical, Asked(by=("Dose",)))


def test_numbers_as_names_keep_their_zeros(tmp_path: Path) -> None:
    folder = write_results(tmp_path / "r", made_up(2, names=["007", "NA"]))
    path = tmp_path / "c.csv"
    write_csv(path, pd.DataFrame({"patient": ["007", "NA"]}))
    assert set(analyse_cohort([folder], path).cohort["patient"]) == {"007", "NA"}


def words_of(text: str, head: str) -> dict[str, str]:
    parts = text.split(f"\n{head}\n")[1].split("\n\n")
    table = next(part for part in parts if part.strip().startswith("| "))
    rows = (re.split(r"(?<!\\) \| ", line.strip("| ")) for line in table.strip().splitlines()[2:])
    return {row[0].strip("` "): row[1].strip() for row in rows}


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ("## cohort.csv", c.COHORT_COLUMNS),
        ("## tests.csv", c.TESTS_COLUMNS),
        ("### Words in `method`", c.METHODS),
        ("### Words in `model`", c.MODELS),
        ("### Words in `reason` of tests.csv", c.NO_TEST),
        ("## by_week.csv", c.BY_WEEK_COLUMNS),
        ("## na_by_week.csv", c.NA_COLUMNS),
        ("## marker_loss.csv", LOSS_COLUMNS),
        ("## response.csv", c.RESPONSE_COLUMNS),
        ("### Words in `response`", c.RESPONSES),
        ("### Words in `reason` of response.csv", c.RESPONSE_REASONS),
        ("## survival.csv", c.SURVIVAL_COLUMNS),
    ],
)
def test_the_docs_hold_every_word(repository: Path, head: str, words: dict[str, str]) -> None:
    text = (repository / "docs" / "cohort.md").read_text(encoding="utf-8")
    assert words_of(text, head) == words


def test_the_options_of_the_docs_are_those_of_the_command(repository: Path) -> None:
    from typer.main import get_command

    text = (repository / "docs" / "cohort.md").read_text(encoding="utf-8")
    command = get_command(app).commands["cohort"]  # type: ignore[attr-defined]
    options = {option for p in command.params for option in p.opts}
    said = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))
    assert said <= options | {"--gates"}
    assert {"--clinical", "--landmark", "--allow-unmatched", "--by", "--endpoint"} <= said
