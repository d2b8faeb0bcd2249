"""The command `imganalysis gate`, on a folder of results made of tables alone."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from imganalysis import tables as t
from imganalysis.classify.gates_file import read_gates, write_gates
from imganalysis.cli import app
from imganalysis.errors import GatesError, SettingsError, StudyError
from imganalysis.gate_review import review_gates, rung_table, shown_values
from imganalysis.gating import flag_gates, study_gates
from imganalysis.panel import Panel
from imganalysis.report.gate_figures import gate_figure
from imganalysis.results import write_json
from imganalysis.settings import Settings
from imganalysis.study import SAMPLE

if TYPE_CHECKING:
    from pathlib import Path

PANEL = Panel.model_validate(
    {
        "name": "p",
        "conflicts": [["A", "B"]],
        "channels": [
            {"marker": "DNA", "role": "nuclei"},
            {"marker": "A", "reference": {"positive_for": ["B"]}},
            {"marker": "B"},
        ],
    }
)


def field_cells(name: str, role: str, batch: str, seed: int, n: int = 500) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    a, b = rng.lognormal(1, 0.4, n), rng.lognormal(1, 0.4, n)
    if role == SAMPLE:
        kind = rng.random(n)
        a[kind < 0.4] *= 12
        b[kind > 0.7] *= 12
    return pd.DataFrame(
        {
            t.FIELD: name, t.BIOPSY: f"b{batch}" if role == SAMPLE else "", t.ROLE: role,
            t.PANEL: "p", t.BATCH: batch, t.ACQUISITION: "x", t.LABEL: np.arange(1, n + 1),
            t.CELL_ID: np.arange(1, n + 1), "A_ring_mean": a, "B_ring_mean": b,
            t.COMPARABLE: True, t.EVALUABLE: True,
            "B_call": np.where(b > 10, t.POSITIVE, t.NEGATIVE),
        }
    )  # fmt: skip


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two batches; only the first has a control."""
    folder = tmp_path / "results"
    tables = {
        "s1": field_cells("s1", SAMPLE, "1", 1), "s2": field_cells("s2", SAMPLE, "1", 2),
        "s3": field_cells("s3", SAMPLE, "2", 3), "c1": field_cells("c1", "isotype", "1", 4),
        "c2": field_cells("c2", "isotype", "1", 5),
    }  # fmt: skip
    everything = pd.concat(tables.values(), ignore_index=True)
    fields = everything[[t.FIELD, t.BIOPSY, t.ROLE, t.PANEL, t.BATCH, t.ACQUISITION]]
    fields = fields.drop_duplicates().reset_index(drop=True).assign(status="analysed")
    t.write_csv(folder / "fields.csv", fields)
    for name, table in tables.items():
        t.write_parquet(folder / "cells" / f"{name}.parquet", table)
    write_json(
        folder / "run.json",
        {
            "imganalysis": "0",
            "settings": Settings().model_dump(mode="json"),
            "panels": {"p": PANEL.model_dump(mode="json")},
        },
    )
    controls = everything[everything[t.ROLE] == "isotype"]
    places = fields[fields[t.ROLE] == SAMPLE].reset_index(drop=True)
    samples = {"p": everything[everything[t.ROLE] == SAMPLE].reset_index(drop=True)}
    gates = study_gates(
        controls,
        samples,
        places,
        {"p": PANEL},
        Settings().gating,
        {},
        hashes={"c1": "ab"},
        user="u",
    )
    write_gates(folder / "gates.json", gates)
    return folder


def run(*arguments: object):
    return CliRunner().invoke(app, ["gate", *map(str, arguments)])


def test_every_gate_and_rung_is_shown_and_drawn(results: Path, tmp_path: Path) -> None:
    before = {p: p.read_bytes() for p in results.rglob("*") if p.is_file()}
    csv, js = tmp_path / "rungs.csv", tmp_path / "gates.out.json"
    done = run(results, "--csv", csv, "--json", js, "--out", tmp_path / "figures")
    assert done.exit_code == 0, done.output
    assert {p: p.read_bytes() for p in before} == before  # results are left as they are
    for word in ("control percentile *", "mixture *", "control_elsewhere", "BIC gain"):
        assert word in done.output, word
    table = pd.read_csv(csv, keep_default_na=False)
    assert len(table) == 2 * 2 * 3 and table["in_use"].sum() == 4
    used = table[table["in_use"]].set_index(["marker", "batch"])["rung"].to_dict()
    assert used == {
        ("A", 1): "control_percentile", ("B", 1): "control_percentile",
        ("A", 2): "mixture", ("B", 2): "mixture",
    }  # fmt: skip
    first = table[(table["marker"] == "A") & (table["batch"] == 1)].set_index("rung")
    assert first.loc["reference", "value"] != "" and float(first.loc["mixture", "n"]) == 1000
    assert len(json.loads(js.read_text())["gates"]) == 4
    names = sorted(p.name for p in (tmp_path / "figures").iterdir())
    assert names == ["A_ring_mean.png", "B_ring_mean.png"]
    assert all((tmp_path / "figures" / n).read_bytes()[:4] == b"\x89PNG" for n in names)


def test_the_same_gates_give_the_same_picture(results: Path) -> None:
    review = review_gates(results)
    shown = [(s.gate, s.samples, s.controls, s.reference, 0.15) for s in shown_values(review)]
    called = pd.concat([pd.read_parquet(results / "cells" / f"{n}.parquet") for n in ("s1", "s2")])
    n = int((called["B_call"] == t.POSITIVE).sum())
    assert [v.size for v in shown[0][1:4]] == [1000, 1000, n] and 200 < n < 400
    drawn = gate_figure(shown[:2])
    assert drawn == gate_figure(shown[:2]) != gate_figure(shown[2:])
    gate = shown[0][0]
    none = np.zeros(0)
    assert gate_figure([(gate, none, none, none, 0.15)])[:4] == b"\x89PNG"
    with mpl.rc_context({"axes.facecolor": "black", "font.size": 20, "axes.grid": True}):
        assert gate_figure(shown[:2]) == drawn
    assert gate_figure([(gate, np.r_[-1.0, 0.0, 5.0], none, none, 0.15)])[:4] == b"\x89PNG"


def test_a_gate_set_by_hand_is_appended_and_goes_into_a_file_of_its_own(results: Path) -> None:
    kept = (results / "gates.json").read_bytes()
    done = run(results, "--set", "A=9", "--reason", "dim scan", "--batch", "2", "--no-figures")
    assert done.exit_code == 0, done.output
    path = results / "gates_by_hand.json"
    assert "dim scan" in done.output and str(path) in done.output.replace("\n", "")
    gates = {(g.marker, g.batch): g for g in read_gates(path, [PANEL])}
    first = gates["A", "2"]
    assert (first.value, first.method, first.note) == (9, "manual", "dim scan")
    assert first.user and first.time and first.version
    assert [p.method for p in first.previous] == ["mixture"]
    assert gates["A", "1"].method == "control_percentile"
    assert first.control_fpr is None and "fewer than two" in done.output  # batch 2 has no control
    again = run(results, "--set", "A=8", "--reason", "still", "--batch", "2", "--no-figures")
    assert again.exit_code == 0, again.output
    second = {(g.marker, g.batch): g for g in read_gates(path, [PANEL])}["A", "2"]
    assert [(p.value, p.note) for p in second.previous][1:] == [(9.0, "dim scan")]
    assert second.previous[0] == first.previous[0] and second.value == 8
    assert (results / "gates.json").read_bytes() == kept
    # Looked at, it is drawn beside the file and not among the results' own figures.
    assert run(results, "--gates", path).exit_code == 0
    assert (results / "gates_by_hand_figures" / "A_ring_mean.png").is_file()
    assert not (results / "gates").exists()


def test_a_gate_set_by_hand_is_held_against_the_controls(results: Path) -> None:
    done = run(results, "--set", "A=6", "--reason", "x", "--batch", "1", "--no-figures")
    assert done.exit_code == 0 and "limit of blank" in " ".join(done.output.split()), done.output
    path = results / "gates_by_hand.json"
    (gate,) = [g for g in read_gates(path, [PANEL]) if (g.marker, g.batch) == ("A", "1")]
    (shown,) = [s for s in shown_values(review_gates(results, path)) if s.gate == gate]
    rate, (low, high) = gate.control_fpr, gate.limits(0.15)
    assert rate is not None
    assert rate.n_positive == int((shown.controls >= high).sum()) > 0
    assert rate.n_called == int(((shown.controls < low) | (shown.controls >= high)).sum()) < 1000


@pytest.mark.parametrize(
    ("height", "said"),
    [
        ("1e6", "above all 1000 .* 0 % of the cells"),
        ("1e-6", "below all 1000 .* 100 % of"),
        ("9", ""),
    ],
)
def test_a_gate_beyond_all_values_is_warned_of(results: Path, height: str, said: str) -> None:
    done = run(
        results, "--set", f"A={height}", "--reason", "x", "--batch", "1", "--no-figures"
    )  # fmt: skip
    assert done.exit_code == 0 and (results / "gates_by_hand.json").is_file()
    assert ("warning" in done.stderr) == bool(said)
    assert re.search(said, done.stderr)


def test_scimap_s_csv_goes_out_and_comes_in(results: Path, tmp_path: Path) -> None:
    path = tmp_path / "scimap.csv"
    done = run(results, "--scimap", path, "--no-figures")
    assert done.exit_code == 0 and "log1p" in done.output
    assert pd.read_csv(path).columns.tolist() == ["markers", "s1", "s2", "s3"]
    mine = {(g.marker, g.batch): g.value for g in review_gates(results).gates}
    theirs = review_gates(results, path).gates
    assert {(g.marker, g.batch): g.value for g in theirs} == pytest.approx(mine, rel=1e-6)
    assert all(g.method == "file" for g in theirs)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (["--set", "A"], GatesError, "expected MARKER=VALUE"),
        (["--set", "A=0", "--reason", "x"], GatesError, "above 0"),
        (["--set", "A=-3", "--reason", "x"], GatesError, "above 0"),
        (["--set", "A=inf", "--reason", "x"], GatesError, "above 0"),
        (["--set", "A=nan", "--reason", "x"], GatesError, "above 0"),
        (["--set", "A=3"], GatesError, "say why with --reason"),
        (["--set", "Z=3", "--reason", "x"], GatesError, "no gate for the marker Z; .* A, B"),
        (["--set", "A=3", "--reason", "x", "--batch", "7"], GatesError, "with batch 7; there are"),
        (["--set", "A=3", "--set", "A=4", "--reason", "x"], SettingsError, "stands twice"),
        (["--reason", "x"], SettingsError, "belong to --set"),
        (["--set", "A=3", "--reason", "x", "--to", "g.csv"], SettingsError, "names a gates file"),
    ],
)
def test_mistakes_are_told(results: Path, options, error, message) -> None:
    done = run(results, *options)
    assert isinstance(done.exception, error)
    assert re.search(message, str(done.exception)), done.exception


def test_the_gates_of_the_results_are_not_written_over(results: Path) -> None:
    done = run(results, "--set", "A=3", "--reason", "x", "--to", results / "gates.json")
    assert isinstance(done.exception, SettingsError)
    assert "left as it is" in str(done.exception)


def test_a_study_that_was_not_run_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(
        StudyError, match=r"A study is analysed first: imganalysis run .* --out RESULTS"
    ):
        review_gates(tmp_path)


def test_results_of_an_earlier_version_climb_the_ladder_again(results: Path) -> None:
    content = json.loads((results / "gates.json").read_text())
    for entry in content["gates"]:
        for key in ("alternatives", "soft", "quantiles", "mixture", "flags", "note"):
            del entry[key]
    (results / "gates.json").write_text(json.dumps(content))
    table = rung_table(review_gates(results))
    assert len(table) >= 12 and table["in_use"].sum() == 4


def test_a_gate_of_a_mixture_is_flagged(results: Path) -> None:
    fields = pd.read_csv(results / "fields.csv", dtype=str, keep_default_na=False)
    samples = fields[fields["role"] == SAMPLE].reset_index(drop=True)
    biopsies = pd.DataFrame({"biopsy": ["b1", "b2"], "flags": ["low_count", ""]})
    gates = [g.model_copy(update={"flags": ()}) for g in review_gates(results).gates]
    assert flag_gates(biopsies, samples, gates)["flags"].tolist() == [
        "low_count",
        "mixture_gate;A:control_elsewhere;B:control_elsewhere",
    ]
    failed = samples.assign(status="failed")
    assert flag_gates(biopsies, failed, gates)["flags"].tolist() == ["low_count", ""]


def test_a_gate_that_another_rung_disputes_is_flagged(results: Path) -> None:
    fields = pd.read_csv(results / "fields.csv", dtype=str, keep_default_na=False)
    samples = fields[fields["role"] == SAMPLE].reset_index(drop=True)
    biopsies = pd.DataFrame({"biopsy": ["b1", "b2"], "flags": ["low_count", ""]})
    gates = [g.model_copy(update={"flags": ()}) for g in review_gates(results).gates]
    one = next(g for g in gates if g.batch == samples["batch"][samples["biopsy"] == "b2"].iloc[0])
    disputed = [*gates, one.model_copy(update={"flags": ("all_negative", "rungs_disagree")})]
    assert flag_gates(biopsies, samples, disputed)["flags"].tolist() == [
        "low_count",
        f"mixture_gate;rungs_disagree;{one.marker}:all_negative;"
        "A:control_elsewhere;B:control_elsewhere",
    ]
