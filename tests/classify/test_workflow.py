"""Workflows in scimap's form: the flat table against an independent account of its algorithm."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from imganalysis import tables as t
from imganalysis.classify import Gate, call_cells, classify_cells
from imganalysis.classify.workflow import flatten, read_workflow
from imganalysis.classify.workflow_panel import open_states, workflow_panel, write_panel
from imganalysis.cli import app
from imganalysis.errors import ImganalysisError, TableError
from imganalysis.panel import Panel, load_panel

if TYPE_CHECKING:
    from pathlib import Path

MARKERS = ("CD45", "CD3", "CD8", "CD4", "FOXP3", "CD20", "CD56")
LYMPHOID = """\
,,CD45,CD3,CD8,CD4,FOXP3,CD20,CD56
all,Immune cells,pos,,,,,,
Immune cells,T cells,,pos,,,,,
Immune cells,B cells,,,,,,pos,
Immune cells,NK cells,,,,,,,pos
T cells,CD8 T cells,,,pos,,,,
T cells,CD4 T cells,,,,pos,,,
T cells,Regulatory T cells,,,,allpos,allpos,,
T cells-rest,CD56+ T cells,,,,,,,pos
"""


# --- the algorithm, told independently of the code under test ------------------------------------


def reference(workflow: pd.DataFrame, scaled: pd.DataFrame) -> pd.Series:
    """Label cells as scimap 2 does: scores per parent, best wins, children refine the parent."""
    parents = workflow.iloc[:, 0]
    columns: list[pd.Series] = []
    for k, parent in enumerate(parents.drop_duplicates()):
        chosen = np.ones(len(scaled), bool)
        if k:
            chosen = np.any([(c == parent).to_numpy() for c in columns], axis=0)
        labels = pd.Series(None, index=scaled.index, dtype=object)
        if chosen.any():
            rows = workflow[(parents == parent).to_numpy()]
            labels[chosen] = _one_parent(rows, scaled[chosen], parent)
        columns.append(labels)
    out = pd.Series("Unknown", index=scaled.index, dtype=object)
    for labels in columns:  # what stands further right holds, rests and blanks aside
        said = labels.notna() & ~labels.fillna("").str.contains("-rest")
        out[said] = labels[said]
    return out


def _one_parent(rows: pd.DataFrame, scaled: pd.DataFrame, parent: str) -> np.ndarray:
    scores, failed = [], []
    for _, row in rows.iterrows():
        said = row.iloc[2:]
        parts = []
        fail = np.zeros(len(scaled), bool)
        for word in dict.fromkeys(w for w in said if w):
            v = scaled[list(said.index[said == word])].to_numpy()
            flipped = 1 - v
            if word == "pos":
                parts.append(v.mean(axis=1))
                fail |= (v < 0.5).any(axis=1) & (v.shape[1] > 1)
            elif word == "neg":
                parts.append(flipped.mean(axis=1))
                fail |= (v > 0.5).any(axis=1) & (v.shape[1] > 1)
            elif word == "anypos":
                parts.append(v.max(axis=1))
            elif word == "anyneg":
                parts.append(flipped.max(axis=1))
            else:
                sides = v if word == "allpos" else flipped
                parts.append(np.where((sides < 0.5).any(axis=1), 0, sides.max(axis=1)) + 0.01)
        scores.append(np.mean(parts, axis=0))
        failed.append(fail)
    table = np.array(scores)
    rest = (table < 0.5).all(axis=0).astype(float)
    best = np.vstack([table, rest]).argmax(axis=0)
    names = [*rows.iloc[:, 1], f"{parent}-rest"]
    return np.array(
        [
            f"likely-{names[b]}" if b < len(failed) and failed[b][i] else names[b]
            for i, b in enumerate(best)
        ],
        dtype=object,
    )


def test_the_reference_on_cells_worked_out_by_hand():
    rows = pd.DataFrame(
        [["all", "T", "pos", "pos", ""], ["all", "B", "", "", "pos"], ["B", "B2", "pos", "", ""]],
        columns=["p", "n", "CD3", "CD4", "CD20"],
    )
    cells = pd.DataFrame(
        [[0.9, 0.8, 0.1], [0.9, 0.3, 0.1], [0.6, 0.3, 0.8], [0.2, 0.3, 0.8], [0.1, 0.1, 0.2],
         [0.9, 0.05, 0.2]],
        columns=["CD3", "CD4", "CD20"],
    )  # fmt: skip
    assert reference(rows, cells).tolist() == ["T", "likely-T", "B2", "B", "Unknown", "Unknown"]


# --- random workflows on random cells -------------------------------------------------------------


def random_workflow(rng: np.random.Generator) -> pd.DataFrame:
    """Up to four parents, each a phenotype or a rest of an earlier one."""
    markers = list(MARKERS[:5])
    rows, known = [], []
    parents = ["all"]
    for parent in parents:
        for _ in range(int(rng.integers(1, 4))):
            name = f"c{len(known)}"
            known.append(name)
            n = int(rng.integers(1, 4))
            row = dict.fromkeys(markers, "")
            words = rng.choice(["pos", "pos", "pos", "neg", "anypos", "anyneg", "allpos", "allneg"],
                               size=n)  # fmt: skip
            for m, w in zip(rng.choice(markers, n, replace=False), words, strict=True):
                row[str(m)] = str(w)
            rows.append({"parent": parent, "phenotype": name, **row})
        if len(parents) < 4:
            other = str(rng.choice([*known, f"{parent}-rest", f"likely-{known[-1]}"]))
            if other not in parents:
                parents.append(other)
    return pd.DataFrame(rows)


def panel_of(markers: tuple[str, ...]) -> Panel:
    channels = [{"marker": "DNA", "role": "nuclei"}, *({"marker": m} for m in markers)]
    return Panel.model_validate({"name": "p", "channels": channels})


def classes_of(panel: Panel, scaled: pd.DataFrame) -> pd.Series:
    """Calls at a gate of 0.5, as a user has them, and the table's classes."""
    cells = scaled.rename(columns={m: t.measure_column(m, "ring", "mean") for m in scaled.columns})
    gates = [Gate(marker=m, value=0.5) for m in scaled.columns]
    return classify_cells(call_cells(cells, panel, gates, 0.0), panel).phenotype


@pytest.mark.parametrize("seed", range(25))
def test_random_workflows_give_scimap_s_classes(seed, tmp_path):
    rng = np.random.default_rng(seed)
    table = random_workflow(rng)
    path = tmp_path / "w.csv"
    table.to_csv(path, index=False)
    workflow = read_workflow(path)
    base = panel_of(MARKERS[:5])
    scaled = pd.DataFrame(rng.random((1500, 5)), columns=MARKERS[:5])
    theirs = reference(table, scaled)
    ours = classes_of(workflow_panel(workflow, base, "p"), scaled)
    told = ~ours.str.contains("_or_")
    # Where calls tell, the class is scimap's, all of it; where not, scimap's is among those named.
    assert (ours[told] == theirs[told]).all()
    assert all(a in b.split("_or_") for a, b in zip(theirs[~told], ours[~told], strict=True))
    # On a table of 0 and 1 every class is scimap's.
    binary = pd.DataFrame(list(product([0.0, 1.0], repeat=5)), columns=MARKERS[:5])
    first = workflow_panel(workflow, base, "p", binary=True)
    assert classes_of(first, binary).tolist() == reference(table, binary).tolist()


def test_what_is_left_open_is_truly_open(tmp_path):
    """Under one parent, what is named is given by some intensities, and nothing else."""
    named = given = 0
    for seed in range(12):
        rng = np.random.default_rng(100 + seed)
        table = random_workflow(rng)
        table = table[table["parent"] == "all"].reset_index(drop=True)
        path = tmp_path / "w.csv"
        table.to_csv(path, index=False)
        workflow = read_workflow(path)
        rows = flatten(workflow)
        markers = list(workflow.markers)
        for state in product([0, 1], repeat=len(markers)):
            # Denser near the ends, where what is rarely given is found.
            scaled = pd.DataFrame(
                (rng.beta(0.4, 0.4, (1500, len(markers))) + state) / 2, columns=markers
            )
            labels = set(reference(table, scaled))
            (row,) = [
                r for r in rows if all(r.when[m] == bool(v) for m, v in
                                       zip(markers, state, strict=True) if m in r.when)
            ]  # fmt: skip
            assert labels <= set(row.labels)
            named, given = named + len(row.labels), given + len(labels)
    assert named > given > 0.95 * named


# --- a lymphoid workflow --------------------------------------------------------------------------


@pytest.fixture
def lymphoid(tmp_path: Path) -> Path:
    path = tmp_path / "lymphoid.csv"
    path.write_text(LYMPHOID, encoding="utf-8")
    return path


def test_a_lymphoid_workflow(lymphoid):
    panel = workflow_panel(read_workflow(lymphoid), panel_of(MARKERS), "lymphoid")
    scaled = pd.DataFrame(
        [[.9, .9, .1, .1, .1, .1, .1], [.9, .9, .9, .1, .1, .1, .1], [.9, .9, .1, .9, .1, .1, .1],
         [.9, .9, .1, .8, .9, .1, .1], [.9, .1, .1, .1, .1, .9, .1], [.9, .1, .1, .1, .1, .1, .9],
         [.9, .9, .1, .1, .1, .1, .8], [.9, .1, .1, .1, .1, .1, .1], [.1, .9, .9, .9, .1, .1, .1],
         [.9, .9, .1, .1, .1, .8, .1]],
        columns=MARKERS,
    )  # fmt: skip
    classes = classes_of(panel, scaled).tolist()
    assert classes == [
        "T_cells", "CD8_T_cells", "CD4_T_cells", "Regulatory_T_cells", "B_cells", "NK_cells",
        "NK_cells_or_CD56+_T_cells", "Immune_cells", "Unknown", "T_cells_or_B_cells",
    ]  # fmt: skip
    theirs = reference(pd.read_csv(lymphoid, keep_default_na=False), scaled)
    for label, name in zip(theirs.str.replace(" ", "_"), classes, strict=True):
        assert label in name.split("_or_")


def test_the_panel_is_written_and_read_again(lymphoid, tmp_path):
    """The file is sound, and the command line gives it."""
    base = tmp_path / "base.yaml"
    write_panel(base, panel_of(MARKERS))
    out = tmp_path / "lymphoid.yaml"
    command = ["panel", "from-scimap", str(lymphoid), "-p", str(base), "-o", str(out)]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0
    lines = result.output.splitlines()
    where = next(i for i, line in enumerate(lines) if line.startswith("  T_cells_or_B_cells, "))
    assert lines[where + 1].startswith("    CD3+ ") or " CD3+" in lines[where + 1]
    assert "CD20+" in lines[where + 1]
    # No more than can be read, and what is left out is counted.
    shown = [line for line in lines if line.startswith("    ") and line.rstrip()[-1] in "+-"]
    heads = [line for line in lines if line.startswith("  ") and line.endswith("of calls:")]
    assert 5 < len(shown) <= 20 < sum(int(line.split(", ")[1].split()[0]) for line in heads)
    assert any("in the file" in line for line in lines)
    read = load_panel(out)
    made = workflow_panel(read_workflow(lymphoid), load_panel(base), "lymphoid")
    assert read == made
    before = out.read_bytes()
    again = CliRunner().invoke(app, [*command, "--overwrite"], catch_exceptions=False)
    assert again.exit_code == 0
    assert out.read_bytes() == before
    with pytest.raises(ImganalysisError, match="there already"):
        CliRunner().invoke(app, command, catch_exceptions=False)


def test_names_of_a_panel_s_channels_are_found(tmp_path):
    path = tmp_path / "w.csv"
    path.write_text("parent,phenotype,CD-3,ncam\nall,T,pos,neg\n", encoding="utf-8")
    made = workflow_panel(read_workflow(path), load_panel("infiltrate"), "w")
    assert {m for row in made.phenotypes for m in row.when} == {"CD3", "CD56"}
    states = open_states(made, flatten(read_workflow(path)))
    assert list(states) == ["T_or_Unknown", "Unknown"]
    every = [one for calls in states.values() for one in calls]
    assert "CD3+ CD56+" in every and "CD3- CD56+" in every and "CD3+ CD56-" not in every
    # `T` is scored by the mean of both: with one wrong it is a matter of the intensities.
    assert set(made.classes) == {"T", "T_or_Unknown", "Unknown"}


def test_a_joint_panel_keeps_its_conflicts_and_measures(tmp_path):
    path = tmp_path / "w.csv"
    path.write_text("parent,phenotype,CD3\nall,T,pos\n", encoding="utf-8")
    joint = load_panel("joint")
    made = workflow_panel(read_workflow(path), joint, "w")
    assert made.conflict_pairs == joint.conflict_pairs
    assert [c.measures for c in made.channels] == [c.measures for c in joint.channels]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("parent,phenotype\nall,T\n", "expected the columns parent, phenotype and one per marker"),
        ("parent,phenotype,CD3\n", "no phenotype in it"),
        ("parent,phenotype,CD3\nall,T,Pos\n", r"line 2, column CD3: 'Pos' is none of pos, neg"),
        ("parent,phenotype,CD3\nall,T,\n", r"line 2: 'T' asks for no marker"),
        ("parent,phenotype,CD3\nall,,pos\n", "line 2: a row needs a parent and a phenotype"),
        ("parent,phenotype,CD3\nall,T,pos\nall,T,neg\n", r"line 3: 'T' stands twice under 'all'"),
        ("parent,phenotype,CD3\nall,T,pos\nB,C,pos\n", r"the parent 'B' is no phenotype"),
        ("parent,phenotype,CD3\nall,T-resting,pos\n", "'T-resting'.*deletes them"),
        ("parent,phenotype,CD19\nall,B,pos\n", r"calls no marker CD19 .*never taken for negative"),
        ("parent,phenotype,CD3\nall,T 1,pos\nall,T_1,neg\n", "'T 1' and 'T_1' would both be"),
        ("parent,phenotype,CD3,CD-3\nall,T,pos,pos\n", "two columns speak of CD3"),
    ],
)
def test_what_cannot_be_expressed_is_refused(tmp_path, text, message):
    path = tmp_path / "w.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TableError, match=message) as caught:
        workflow_panel(read_workflow(path), load_panel("infiltrate"), "w", source=str(path))
    assert "w.csv" in str(caught.value)


def test_too_many_markers_are_refused(tmp_path):
    markers = [f"M{i}" for i in range(13)]
    path = tmp_path / "w.csv"
    path.write_text(
        f"parent,phenotype,{','.join(markers)}\nall,T,{','.join(['pos'] * 13)}\n", encoding="utf-8"
    )
    with pytest.raises(TableError, match=r"asks for 13 markers .* at most 12"):
        workflow_panel(read_workflow(path), panel_of(tuple(markers)), "w")
