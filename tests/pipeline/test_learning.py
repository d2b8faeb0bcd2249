"""A learned class from corrections to results, on tables of made-up cells of several patients."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from imganalysis import tables as t
from imganalysis.classify.learned import read_classifier, write_classifier
from imganalysis.cli import app
from imganalysis.corrected_cells import corrected_cells, read_corrections
from imganalysis.errors import ImganalysisError, StudyError, TableError
from imganalysis.learning import check_on, train_classifier
from imganalysis.panel import load_panel
from imganalysis.pipeline import analyse_study
from imganalysis.records import FieldResult, StudyResult
from imganalysis.results import cells_path, run_record, write_json
from imganalysis.settings import Settings
from imganalysis.study import Field, Study
from imganalysis.tables import write_csv, write_parquet

if TYPE_CHECKING:
    from pathlib import Path

A = load_panel("apoptosis")
PATIENTS = ("P1", "P2", "P3", "P4")


def field(root: Path, name: str, patient: str, role: str = "sample", batch: str = "B1") -> Field:
    return Field(
        name=name, biopsy=f"{patient}-W1" if role == "sample" else "", patient=patient,
        lesion="L1", week=1.0, section="S1", panel=A.name, batch=batch, acquisition="A1",
        role=role, stain="", section_um=3.0, annotations=None, path=root / f"{name}.tif",
        series=0, scene="", tile=None, counted=None,
    )  # fmt: skip


def objects(rng: np.random.Generator, n: int, *, control: bool = False) -> pd.DataFrame:
    """Cells that are vital, dying or no tumour; the stain of many is near the gate."""
    kind = np.zeros(n, int) if control else rng.choice(3, n, p=[0.4, 0.4, 0.2])
    lineage = np.where(kind > 0, np.log(22.0), np.log(10.0))
    death = np.where(kind == 2, np.log(24.0), np.log(10.0))
    table = {
        t.LABEL: np.arange(1, n + 1),
        t.Y: rng.uniform(10, 230, n),
        t.X: rng.uniform(10, 230, n),
        t.DIAMETER: np.where(kind > 0, 10.5, 6.5) * np.exp(rng.normal(0, 0.1, n)),
        t.ASPECT: 1.05 + rng.gamma(2.0, 0.1, n),
        t.SOLIDITY: 0.98 - rng.gamma(2.0, 0.01, n),
        t.CAP: False,
        t.EVALUABLE: True,
        t.EXCLUSION: "",
        "TO-PRO-3_nucleus_mean": np.exp(rng.normal(np.log(60), 0.2, n)),
    }
    for marker, level in (("MelanA", lineage), ("casp3", death)):
        values = np.exp(rng.normal(level, 0.25))
        for part in ("nucleus", "ring", "max"):
            table[t.measure_column(marker, part, "mean")] = values
            table[t.measure_column(marker, part, "sd")] = values * rng.uniform(0.15, 0.25, n)
    out = pd.DataFrame(table)
    out["_kind"] = kind
    return out


def measured(root: Path, *, batch: str = "B1") -> tuple[Study, list[FieldResult]]:
    rng = np.random.default_rng(7)
    found = [
        (field(root, f"{p}f{i}", p, batch=batch), objects(rng, 90))
        for p in PATIENTS for i in (1, 2)
    ]  # fmt: skip
    found += [
        (field(root, f"c{i}", "", "secondary_only", batch), objects(rng, 150, control=True))
        for i in (1, 2)
    ]
    grid = np.full((60, 60), 16.0)
    results = [FieldResult(f, cells, grid, {"tissue_mm2": 0.05}) for f, cells in found]
    return Study(root, tuple(f for f, _ in found), {A.name: A}), results


def without(results: list[FieldResult]) -> list[FieldResult]:
    """Measurements as a run has them, without the truth."""
    return [
        dataclasses.replace(r, objects=r.objects.drop(columns="_kind"))
        for r in results
        if r.objects is not None
    ]


def analysed(study: Study, results: list[FieldResult], model=None) -> StudyResult:
    return analyse_study(study, without(results), Settings(), None, model)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folder of results, and a table of corrections: the truth of every cell."""
    root = tmp_path_factory.mktemp("learning")
    study, results = measured(root)
    done = analysed(study, results)
    folder = root / "results"
    write_csv(folder / "fields.csv", done.fields)
    for name, table in done.cells.items():
        write_parquet(cells_path(folder, name), table)
    write_json(folder / "run.json", run_record(study.panels, Settings(), "now"))
    names = np.array(["non_tumour", "tumour_vital", "tumour_apoptotic"])
    corrections = pd.concat(
        [
            pd.DataFrame(
                {
                    t.FIELD: r.field.name,
                    t.LABEL: r.objects[t.LABEL],
                    t.CORRECT_CLASS: names[r.objects["_kind"]],
                    t.READER: "reader 1",
                    t.TIME: "2024-05-01T10:00",
                }
            )
            for r in results
            if r.field.role == "sample" and r.objects is not None
        ]
    )
    path = root / "corrections.csv"
    write_csv(path, corrections)
    return folder, path


@pytest.fixture(scope="module")
def trained(run: tuple[Path, Path]):
    return train_classifier(*run)


def rewritten(run: tuple[Path, Path], tmp_path: Path, change) -> Path:
    """Corrections with a change."""
    path = tmp_path / "changed.csv"
    table = pd.read_csv(run[1], dtype=str)
    write_csv(path, change(table))
    return path


def test_a_model_is_tested_on_patients_that_it_has_not_seen(trained):
    tested = trained.card["held_out"]
    assert tested["n_cells"] == 720
    assert [p["patient"] for p in tested["patients"]] == list(PATIENTS)
    assert trained.classes == ("non_tumour", "tumour_apoptotic", "tumour_vital")
    # Size helps where the stain is near the gate; the rules leave such cells unresolved.
    assert tested["difference"]["lo"] > 0 and trained.verdict == "better"
    assert tested["difference"]["p"] is None  # four patients: an interval and no test
    assert tested["difference"]["n_patients"] == 4
    assert tested["rules_unresolved"] > tested["model_unresolved"]
    assert tested["calibration"]["ece"] < 0.05
    assert sum(row["n"] for row in tested["calibration"]["table"]) == tested["calibration"]["n"]
    n = {name: sum(own.values()) for name, own in trained.card["cells"].items()}
    assert sum(n.values()) + sum(trained.card["left_out"].values()) == 720


def test_the_same_corrections_give_the_same_bytes(run, tmp_path, trained):
    again = train_classifier(*run)
    for name, model in (("a.json", trained), ("b.json", again)):
        write_classifier(tmp_path / name, model)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    shuffled = rewritten(run, tmp_path, lambda c: c.sample(frac=1, random_state=3))
    other = train_classifier(run[0], shuffled)
    assert (other.weights, other.features) == (trained.weights, trained.features)
    assert read_classifier(tmp_path / "a.json") == trained


def test_a_run_with_a_classifier(tmp_path, trained):
    """Its classes are in the tables, those of the rules beside them, and nothing else changes."""
    study, results = measured(tmp_path)
    rules, learned = analysed(study, results), analysed(study, results, trained)
    right = {"rules": 0, "model": 0}
    for r in results:
        if r.field.role != "sample" or r.objects is None:
            assert "phenotype_rules" not in learned.cells[r.field.name]
            continue
        before, after = rules.cells[r.field.name], learned.cells[r.field.name]
        assert "phenotype_rules" not in before
        assert after["phenotype_rules"].tolist() == before["phenotype"].tolist()
        kept = [c for c in before.columns if c not in ("phenotype", "why")]
        pd.testing.assert_frame_equal(before[kept], after[kept])
        names = np.array(["non_tumour", "tumour_vital", "tumour_apoptotic"])[r.objects["_kind"]]
        right["rules"] += int((before["phenotype"] == names).sum())
        right["model"] += int((after["phenotype"] == names).sum())
        said = after["why"].astype(str)
        by_rules = said.str.contains("; by the rules: model ")
        changed = after["phenotype"] != before["phenotype"]
        assert not (changed & by_rules).any()
        assert said[~by_rules].str.contains(f"; model {trained.content_hash[:8]}: ").all()
        # The model never gives, and never takes away, a class that it was not trained for.
        others = [n for n in A.classes if n not in trained.classes]
        assert not after["phenotype"][changed].isin(others).any()
        assert not before["phenotype"][changed].isin(others).any()
    assert right["model"] > right["rules"] + 20
    flags = learned.biopsies["flags"]
    assert flags.str.contains("learned_class").all()
    assert not flags.str.contains("classifier_elsewhere").any()
    assert not rules.biopsies["flags"].str.contains("learned_class").any()
    # Where the model decides, a gate that moves changes nothing.
    spread = [
        (r.biopsies["apoptotic_fraction_gate_casp3_low"]
         - r.biopsies["apoptotic_fraction_gate_casp3_high"]).abs().mean()
        for r in (rules, learned)
    ]  # fmt: skip
    assert spread[1] < spread[0] / 2


def without_stain(results: list[FieldResult], marker: str) -> list[FieldResult]:
    """The same cells, each with a marker's light of a cell that does not have it."""
    rng = np.random.default_rng(11)
    out = []
    for r in results:
        if r.objects is not None and r.field.role == "sample":
            blank = objects(rng, len(r.objects), control=True)
            own = [c for c in blank.columns if c.startswith(f"{marker}_")]
            r = dataclasses.replace(r, objects=r.objects.assign(**{c: blank[c] for c in own}))
        out.append(r)
    return out


def test_the_limit_of_blank_holds_a_model_s_false_calls(tmp_path, trained):
    """No cell is dying, or none of the tumour; the model finds some by size and by dim stain."""
    study, results = measured(tmp_path)
    blank = without_stain(results, "casp3")
    table, again, rules, stained = (
        analysed(study, own, model).biopsies.set_index("biopsy")
        for own, model in ((blank, trained), (blank, trained), (results, None), (results, trained))
    )
    value, limit = table["apoptotic_fraction"], table["apoptotic_fraction_lob"]
    assert (value > 0).any() and (value <= limit).all()
    assert (limit < 0.15).all() and (table["apoptotic_fraction_lod"] > limit).all()
    assert table["flags"].str.contains("below_LoD").all()
    pd.testing.assert_frame_equal(again, table)
    # Nor does it hang on the order of the fields.
    last = blank[::-1]
    turned = analysed(dataclasses.replace(study, fields=study.fields[::-1]), last, trained).biopsies
    pd.testing.assert_frame_equal(turned.set_index("biopsy").loc[table.index], table)
    # No lower than that of the rules, which ask for a brighter stain, and far from a true half.
    limit = stained["apoptotic_fraction_lob"]
    assert (limit > rules["apoptotic_fraction_lob"]).all()
    assert (stained["apoptotic_fraction"] > 2 * limit).all()
    # Tumour that is told by size alone is no tumour to speak of.
    none = analysed(study, without_stain(results, "MelanA"), trained).biopsies
    assert none["apoptotic_fraction"].isna().all()
    assert none["reason"].str.contains("apoptotic_fraction: no_evaluable_tumour").all()


def test_without_two_control_fields_a_model_has_no_limit_of_blank(tmp_path, trained):
    study, results = measured(tmp_path)
    one = [r for r in results if r.field.name != "c2"]
    fields = tuple(r.field for r in one)
    found = analysed(dataclasses.replace(study, fields=fields), one, trained).biopsies
    assert found["apoptotic_fraction"].notna().all()
    assert found["apoptotic_fraction_lob"].isna().all()
    assert found["flags"].str.contains("lod_unknown").all()
    assert found["reason"].str.contains("apoptotic_fraction_lob: blank_unknown").all()


def test_another_batch_is_flagged_and_other_intensities_stay_with_the_rules(tmp_path, trained):
    study, results = measured(tmp_path, batch="B2")
    assert analysed(study, results, trained).biopsies["flags"].str.contains(
        "classifier_elsewhere"
    ).all()  # fmt: skip
    brighter = [
        dataclasses.replace(
            r,
            objects=r.objects.assign(
                **{c: r.objects[c] * 30 for c in r.objects.columns if c.startswith("MelanA_")}
            ),
        )
        for r in results
        if r.objects is not None
    ]
    rules = analysed(study, brighter)
    learned = analysed(study, brighter, trained)
    for r in brighter:
        if r.field.role == "sample":
            cells = learned.cells[r.field.name]
            assert cells["phenotype"].tolist() == rules.cells[r.field.name]["phenotype"].tolist()
            texts = cells["why"].astype(str)
            outside = "MelanA_nucleus_mean outside the range of its training"
            assert texts.str.contains("; by the rules: model ").all()
            assert texts.str.contains(outside).mean() > 0.5


def test_a_classifier_is_checked_on_new_patients_only(run, tmp_path, trained):
    part = rewritten(run, tmp_path, lambda c: c[~c["field"].str.startswith("P4")])
    model = train_classifier(run[0], part)
    found, dropped = check_on(model, "m.json", *run)
    assert [p["patient"] for p in found["patients"]] == ["P4"]
    assert found["n_cells"] == 180
    assert dropped["patients of the training"] == 540
    assert found["difference"]["lo"] is None  # one patient has no interval
    with pytest.raises(
        TableError,
        match=r"nothing to check m\.json on: .*720 are of patients that it was trained on",
    ):
        check_on(trained, "m.json", *run)


def test_the_command_line(run, tmp_path):
    out = tmp_path / "m.json"
    command = ["classifier", "train", str(run[0]), str(run[1]), "--out", str(out)]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0
    assert "tumour_apoptotic" in result.output and "Use it:" in result.output
    card = out.with_suffix(".md").read_text(encoding="utf-8")
    for part in ("## What it was trained on", "P1 ", "`MelanA_ring_mean`", "Brier", "## Limits",
                 "scikit-learn", "C = 1", read_classifier(out).content_hash):  # fmt: skip
        assert part in card
    with pytest.raises(ImganalysisError, match="there already"):
        CliRunner().invoke(app, command, catch_exceptions=False)
    # What is there tells nothing that a spreadsheet or a person did not put there.
    assert set(json.loads(out.read_text(encoding="utf-8"))) >= {"card", "weights", "places"}


# --- corrections ----------------------------------------------------------------------------------


def test_the_latest_correction_of_a_reader_holds(run, tmp_path):
    path = tmp_path / "c.csv"
    rows = [
        ("P1f1", "3", "tumour_vital", "a", "2024-05-02"),
        ("P1f1", "3", "non_tumour", "a", "2024-05-01"),
        ("P1f1", "4", "non_tumour", "a", ""),
        ("P1f1", "4", "tumour_vital", "a", ""),
        ("P1f1", "5", "tumour_vital", "a", ""),
        ("P1f1", "5", "non_tumour", "b", ""),
        ("P1f1", "6", "non_tumour", "a", ""),
        ("P1f1", "6", "non_tumour", "b", ""),
    ]
    columns = [t.FIELD, t.CELL_ID, t.CORRECT_CLASS, t.READER, t.TIME]
    write_csv(path, pd.DataFrame(rows, columns=columns))
    found = corrected_cells(run[0], path)
    said = dict(zip(found.cells[t.LABEL], found.cells[t.CORRECT_CLASS], strict=True))
    assert said == {3: "tumour_vital", 4: "tumour_vital", 6: "non_tumour"}
    assert found.dropped == {"not counted": 0, "readers disagree": 1}
    assert set(found.cells["patient"]) == {"P1"}


def test_corrections_of_which_none_can_be_used_are_told_apart(run, tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    columns = [t.FIELD, t.LABEL, t.CORRECT_CLASS, t.READER]
    disputed = [("P1f1", i, name, who) for i in (3, 4, 5)
                for name, who in (("tumour_vital", "a"), ("non_tumour", "b"))]  # fmt: skip
    open_ = [("P2f1", 3, t.UNRESOLVED, "a"), ("P3f1", 3, "non_tumour", "a")]
    for rows, expected in (
        (disputed, r"none of 3 corrected cells .*: 3 readers disagree \(let the readers settle"),
        ([*disputed, *open_], r"none of 5 .*3 readers disagree .*1 left to the rules \(leave out "
         r"fewer.*1 unresolved by the reader \(give them a class"),
    ):  # fmt: skip
        write_csv(path, pd.DataFrame(rows, columns=columns))
        with pytest.raises(TableError, match=expected) as caught:
            train_classifier(run[0], path, leave_out=["non_tumour"])
        assert "patient" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.drop(columns="class"), r"changed\.csv: missing column\(s\) class"),
        (lambda c: c.iloc[:0], "no correction in it"),
        (lambda c: c.assign(label="first"), "line 2: label is the number of a cell; found 'first'"),
        (lambda c: c.assign(label="999"), "line 2: P1f1 has no cell 999"),
        (lambda c: c.assign(field="X"), "line 2: the results in .* have no field 'X'"),
        (lambda c: c.assign(field="c1"), "line 2: c1 is a control"),
        (lambda c: c.assign(**{"class": "T"}), "line 2: 'T' is no class of the panel apoptosis"),
        (lambda c: c.assign(time="week one"), "line 2: time: expected a date"),
        (lambda c: c[c["field"].str.startswith(("P1", "P2"))], r"2 patients \(P1, P2\); at l"),
        (lambda c: c.assign(**{"class": "non_tumour"}), r"one class only \(non_tumour\)"),
        (lambda c: c.groupby("class").head(19), r"too few .* non_tumour \(\d+ cells of 1 patient"),
    ],
)  # fmt: skip
def test_corrections_that_do_not_do_are_refused(run, tmp_path, change, message):
    path = rewritten(run, tmp_path, change)
    # Enough patients, so that it is the classes that are too few.
    with pytest.raises(TableError, match=message):
        if "groupby" in message or "too few" in message:
            wide = pd.read_csv(run[1], dtype=str)
            rare = wide[wide["class"] == "non_tumour"].head(15)
            write_csv(path, pd.concat([wide[wide["class"] != "non_tumour"], rare]))
        train_classifier(run[0], path)


def test_a_folder_without_results_is_named(run, tmp_path):
    with pytest.raises(StudyError, match="holds no results"):
        train_classifier(tmp_path, run[1])
    with pytest.raises(TableError, match="no class T; it has"):
        train_classifier(*run, leave_out=["T"])
    with pytest.raises(TableError, match="no such file"):
        read_corrections(tmp_path / "none.csv")


def test_a_class_can_be_left_to_the_rules(run):
    model = train_classifier(*run, leave_out=["tumour_apoptotic"])
    assert model.classes == ("non_tumour", "tumour_vital")
    left = model.card["left_out"]["left to the rules"]
    assert left > 100
    # What the model makes of their cells is counted all the same.
    (own,) = [c for c in model.card["held_out"]["classes"] if c["class"] == "tumour_apoptotic"]
    assert own["n_cells"] == left
