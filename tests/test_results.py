"""The folder of results: whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pytest

from imganalysis.errors import OutputError, TableError
from imganalysis.results import result_folder
from imganalysis.tables import read_csv, write_csv, write_xlsx

if TYPE_CHECKING:
    from pathlib import Path


def test_results_appear_whole(tmp_path: Path) -> None:
    out = tmp_path / "Ergebnisse für Müller"
    with result_folder(out, overwrite=False) as folder:
        (folder / "biopsies.csv").write_text("a")
        assert not (out / "biopsies.csv").exists()
    assert sorted(p.name for p in out.iterdir()) == ["biopsies.csv"]


def test_nothing_is_left_of_a_run_that_stopped(tmp_path: Path) -> None:
    out = tmp_path / "results"
    with pytest.raises(KeyboardInterrupt), result_folder(out, overwrite=False) as folder:
        (folder / "biopsies.csv").write_text("a")
        raise KeyboardInterrupt
    assert not out.exists()


def test_earlier_results_survive_a_run_that_stopped(tmp_path: Path) -> None:
    with result_folder(tmp_path / "r", overwrite=False) as folder:
        (folder / "biopsies.csv").write_text("old")
    with pytest.raises(ZeroDivisionError), result_folder(tmp_path / "r", overwrite=True) as folder:
        (folder / "biopsies.csv").write_text("new")
        raise ZeroDivisionError
    assert (tmp_path / "r" / "biopsies.csv").read_text() == "old"


def test_existing_results_are_not_touched_unasked(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("mine")
    with (
        pytest.raises(OutputError, match="is not empty; give --overwrite"),
        result_folder(tmp_path, overwrite=False),
    ):
        pass
    with result_folder(tmp_path, overwrite=True) as folder:
        (folder / "run.json").write_text("{}")
    assert (tmp_path / "note.txt").read_text() == "mine"


def test_overwriting_leaves_nothing_of_the_earlier_run(tmp_path: Path) -> None:
    out = tmp_path / "r"
    with result_folder(out, overwrite=False) as folder:
        (folder / "cells" / "old.parquet").write_text("old")
    with result_folder(out, overwrite=True) as folder:
        (folder / "run.json").write_text("{}")
    assert sorted(p.name for p in out.iterdir()) == ["run.json"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    with (
        pytest.raises(OutputError, match="is a file"),
        result_folder(tmp_path / "f", overwrite=True),
    ):
        pass
    with (
        pytest.raises(OutputError, match="cannot be written"),
        result_folder(tmp_path / "f" / "r", overwrite=True),
    ):
        pass


def test_csv_for_spreadsheets(tmp_path: Path) -> None:
    table = pd.DataFrame({"biopsy": ["=1+1", "Müller"], "x": [-0.5, None]})
    write_csv(tmp_path / "a.csv", table)
    data = (tmp_path / "a.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    assert data.decode("utf-8-sig") == "biopsy,x\n'=1+1,-0.5\nMüller,\n"
    assert list(read_csv(tmp_path / "a.csv").columns) == ["biopsy", "x"]
    write_csv(tmp_path / "b.csv", pd.DataFrame({"x": [1]}))
    assert (tmp_path / "b.csv").read_bytes() == b"x\n1\n"
    write_xlsx(tmp_path / "a.xlsx", {"biopsies": table})
    assert pd.read_excel(tmp_path / "a.xlsx")["biopsy"][0] == "'=1+1"


def test_unreadable_tables(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no such file"):
        read_csv(tmp_path / "a.csv")
    (tmp_path / "latin.csv").write_bytes(b"biopsy\nM\xfcller\n")
    with pytest.raises(TableError, match="not UTF-8"):
        read_csv(tmp_path / "latin.csv")
    (tmp_path / "empty.csv").write_bytes(b"")
    with pytest.raises(TableError, match="not a table"):
        read_csv(tmp_path / "empty.csv")
