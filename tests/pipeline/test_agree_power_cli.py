"""`imganalysis agree` and `imganalysis power` as a user types them."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from imganalysis import agreeing, powering
from imganalysis.cli import main


@pytest.fixture
def run(monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["imganalysis", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        return stopped.value.code or 0, printed.out, printed.err

    return call


@pytest.fixture
def biopsies(tmp_path):
    rng = np.random.default_rng(1)
    truth = rng.uniform(2, 60, 20)
    names = [f"B{i}" for i in range(20)]
    ours = pd.DataFrame({"biopsy": names, "apoptotic_fraction": truth / 100})
    ours["apoptotic_fraction_bound_lo"] = 0.0
    ours.to_csv(tmp_path / "biopsies.csv", index=False)
    rows = [(n, r, v + d) for r, d in (("A$n", 1), ("=Bob", -1))
            for n, v in zip(names, truth + rng.normal(0, 1, 20), strict=True)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["biopsy", "reader", "percent"])
    table["percent"] = table["percent"].clip(0, 100)
    table.to_csv(tmp_path / "readers.csv", index=False)
    return tmp_path / "biopsies.csv", tmp_path / "readers.csv"


def test_agree_on_biopsies(run, biopsies, tmp_path):
    out = tmp_path / "out"
    code, said, _ = run("agree", *biopsies, "--out", out)
    assert code == 0
    assert "Acceptance" in said and "MET" in said and "Pearson" in said
    assert " NA" not in said and "no interval" not in said
    assert said.index("=Bob - A$n") < said.index("imganalysis - A$n")
    assert sorted(p.name for p in out.iterdir()) == [
        "agreement.csv", "bland_altman.png", "pairs.csv", "scatter.png",
    ]  # fmt: skip
    for name in ("bland_altman.png", "scatter.png"):
        picture = imread(out / name)
        assert picture.shape[0] > 300 and picture.std() > 0.05
    # No formula, and the same bytes again.
    assert "'=Bob" in (out / "pairs.csv").read_text()
    again = tmp_path / "again"
    assert run("agree", *biopsies, "--out", again)[0] == 0
    for path in out.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes(), path.name
    code, _, err = run("agree", *biopsies, "--out", out)
    assert code == 2 and "--overwrite" in err
    assert run("agree", *biopsies, "--out", out, "--overwrite")[0] == 0


def test_a_reason_is_printed_where_it_is_the_reason_of_something_shown(run, biopsies, tmp_path):
    readers = pd.read_csv(biopsies[1])
    few = tmp_path / "few.csv"
    readers[readers["biopsy"].isin(["B0", "B1"])].to_csv(few, index=False)
    code, said, _ = run("agree", biopsies[0], few)
    assert code == 0 and "NA too_few_biopsies: fewer than three" in said
    assert "too few biopsies for a verdict (2 of 20)" in said
    three = tmp_path / "three.csv"
    readers[readers["biopsy"].isin(["B0", "B1", "B2"])].to_csv(three, index=False)
    code, said, _ = run("agree", biopsies[0], three)
    assert "too few biopsies for a verdict (3 of 20)" in said
    assert "NA too_few" not in said and "MET" not in said
    # Cells that all agree: no score is NA, but kappa has no interval.
    cells = pd.DataFrame(
        {"field": "F", "label": range(1, 41), "centroid_y_um": np.arange(40) * 5.0,
         "centroid_x_um": 3.0, "phenotype": ["T", "NK"] * 20}
    )  # fmt: skip
    cells.to_csv(tmp_path / "cells.csv", index=False)
    clicks = pd.DataFrame({"field": "F", "label": cells["label"], "class": cells["phenotype"]})
    clicks.to_csv(tmp_path / "ann.csv", index=False)
    code, said, _ = run("agree", tmp_path / "cells.csv", tmp_path / "ann.csv")
    assert code == 0 and "no interval no_disagreement" in said and "NA " not in said
    assert "too few biopsies for a verdict (0 of 20)" in said


def test_agree_on_cells(run, tmp_path):
    rng = np.random.default_rng(2)
    cells = pd.DataFrame(
        {"field": "F", "label": range(1, 41), "centroid_y_um": np.arange(40) * 5.0,
         "centroid_x_um": 3.0, "phenotype": rng.choice(["T", "NK"], 40)}
    )  # fmt: skip
    clicks = pd.DataFrame(
        {"field": "F", "x_um": 3.2, "y_um": cells["centroid_y_um"], "class": cells["phenotype"]}
    )
    clicks.loc[:3, "class"] = ["NK", "T", "NK", "T"]
    cells.to_csv(tmp_path / "cells.csv", index=False)
    clicks.to_csv(tmp_path / "ann.csv", index=False)
    out = tmp_path / "out"
    given = ("agree", tmp_path / "cells.csv", tmp_path / "ann.csv", "--out", out)
    code, said, _ = run(*given)
    assert code == 0 and "imganalysis against ann" in said and "design effect of 5" in said
    assert sorted(p.name for p in out.iterdir()) == [
        "agreement.csv", "confusion.csv", "confusion.png", "pairs.csv", "per_class.csv",
    ]  # fmt: skip
    assert pd.read_csv(out / "confusion.csv")["n_cells"].sum() == 40
    assert imread(out / "confusion.png").std() > 0.05
    code, _, err = run(*given, "--overwrite", "--unit", "percent")
    assert code == 2 and "these are of cells" in err
    assert run(*given, "--overwrite", "--same", "NK")[0] == 2
    assert run(*given, "--overwrite", "--same", "NK=T", "--distance", "0.1")[0] == 0
    assert pd.read_csv(out / "confusion.csv")["n_cells"].sum() == 80


def test_mistakes_are_one_line(run, biopsies, tmp_path):
    for arguments, expected in (
        (("agree", biopsies[0], tmp_path / "none.csv"), "no such file"),
        (("agree", biopsies[0], biopsies[1], "--same", "a=b"), "of biopsies"),
        (("agree", *biopsies, "--confidence", "2"), "--confidence"),
        (("agree", *biopsies, "--out", biopsies[0]), "is a file"),
        (("agree", *reversed(biopsies)), "Ours comes first"),
        (("power", "--p", "40"), "--p: expected a share"),
        (("power", "--fields", "five"), "--fields"),
        (("power", "--from", tmp_path, "--week", "first"), "--week: expected a week"),
        (
            ("agree", *biopsies, "--ours-column", "apoptotic_fractoin"),
            "no column apoptotic_fractoin; is apoptotic_fraction meant?",
        ),
        (("power", "--from", tmp_path), "run.json"),
    ):
        code, _, err = run(*arguments)
        assert code == 2 and expected in err and "Traceback" not in err
        assert len(err.strip().splitlines()) == 1


def test_power(run, tmp_path):
    out = tmp_path / "out"
    small = ("power", "--fields", "3,10", "--cells", "40", "--patients", "4,12", "--repeats", "30")
    code, said, _ = run(*small, "--bootstrap", "--out", out)
    assert code == 0
    for text in ("Answers", "too few for a test", "bootstrap of fields", "default"):
        assert text in said
    assert sorted(p.name for p in out.iterdir()) == sorted(powering.NAMES)
    assert imread(out / "power.png").std() > 0.05
    again = tmp_path / "again"
    assert run(*small, "--bootstrap", "--out", again)[0] == 0
    for path in out.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes(), path.name
    other = tmp_path / "other"
    assert run(*small, "--seed", "1", "--out", other)[0] == 0
    assert (out / "precision.csv").read_bytes() != (other / "precision.csv").read_bytes()
    assert run(*small, "--out", out)[0] == 2


def test_an_input_is_never_replaced(run, biopsies, tmp_path):
    moved = biopsies[1].rename(tmp_path / agreeing.PAIRS)
    code, _, err = run("agree", biopsies[0], moved, "--out", tmp_path, "--overwrite")
    assert code == 2 and "is read" in err
    assert moved.exists()
