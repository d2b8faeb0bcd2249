"""The folder of results: whole or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from imganalysis.errors import OutputError, TableError
from imganalysis.results import check_target, result_folder, write_json
from imganalysis.tables import read_csv, write_csv, write_xlsx

if TYPE_CHECKING:
    from pathlib import Path


RECORD = '{"imganalysis": "1.0"}'


def earlier(out: Path) -> Path:
    """Write the results of an earlier run."""
    with result_folder(out, overwrite=False) as folder:
        for name in ("biopsies.csv", "fields.csv", "cells/old.parquet"):
            (folder / name).write_text("old")
        (folder / "run.json").write_text(RECORD)
    return out


def contents(folder: Path) -> dict[str, str]:
    """Text of every file."""
    return {
        str(p.relative_to(folder)): p.read_text() if p.is_file() else ""
        for p in sorted(folder.rglob("*"))
    }


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
        (folder / "run.json").write_text(RECORD)
    with pytest.raises(ZeroDivisionError), result_folder(tmp_path / "r", overwrite=True) as folder:
        (folder / "biopsies.csv").write_text("new")
        raise ZeroDivisionError
    assert (tmp_path / "r" / "biopsies.csv").read_text() == "old"


def test_existing_results_are_not_touched_unasked(tmp_path: Path) -> None:
    earlier(tmp_path / "r")
    (tmp_path / "r" / "note.txt").write_text("mine")
    with (
        pytest.raises(OutputError, match="is not empty; give --overwrite"),
        result_folder(tmp_path / "r", overwrite=False),
    ):
        pass
    with result_folder(tmp_path / "r", overwrite=True) as folder:
        (folder / "run.json").write_text(RECORD)
    assert (tmp_path / "r" / "note.txt").read_text() == "mine"


def test_overwriting_leaves_nothing_of_the_earlier_run(tmp_path: Path) -> None:
    out = earlier(tmp_path / "r")
    with result_folder(out, overwrite=True) as folder:
        (folder / "run.json").write_text(RECORD)
    assert sorted(p.name for p in out.iterdir()) == ["run.json"]


@pytest.mark.parametrize("record", [None, "{}", "[1]", "not JSON"])
def test_what_is_not_ours_is_never_replaced(tmp_path: Path, record: str | None) -> None:
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "scan.tif").write_text("irreplaceable")
    if record is not None:
        (tmp_path / "run.json").write_text(record)
    for overwrite in (True, False):
        with (
            pytest.raises(OutputError, match="holds no results of imganalysis"),
            result_folder(tmp_path, overwrite=overwrite),
        ):
            pass
    assert (tmp_path / "cells" / "scan.tif").read_text() == "irreplaceable"


def test_inputs_are_never_replaced(tmp_path: Path) -> None:
    out = earlier(tmp_path / "r")
    image, labels = out / "cells" / "old.parquet", out / "labels"
    for path in (image, labels, out, out / ".." / "r" / "x.tif"):
        with pytest.raises(OutputError, match="which is read"):
            check_target(out, overwrite=True, inputs=[tmp_path / "a.tif", path])
        with (
            pytest.raises(OutputError, match="which is read"),
            result_folder(out, overwrite=True, inputs=iter([path])),
        ):
            pass
    check_target(out, overwrite=True, inputs=[tmp_path / "a.tif", tmp_path / "r2", tmp_path])
    assert image.read_text() == "old"


@pytest.mark.parametrize("stage", ["old", "new"])
@pytest.mark.parametrize("name", ["fields.csv", "run.json", "cells"])
def test_results_are_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, stage: str
) -> None:
    out = earlier(tmp_path / "r")
    before = contents(out)
    rename = type(out).rename

    def locked(self: Path, target: Path) -> Path:
        """Refuse once, as where a spreadsheet holds the file."""
        if self.name == name and self.parent.name.startswith(".partial") == (stage == "new"):
            monkeypatch.setattr(type(out), "rename", rename)
            raise PermissionError(13, "in use")
        return rename(self, target)

    monkeypatch.setattr(type(out), "rename", locked)
    with (
        pytest.raises(OutputError, match=rf"{name}: cannot be replaced \(in use\)"),
        result_folder(out, overwrite=True) as folder,
    ):
        for each in ("biopsies.csv", "fields.csv", "gates.json", "cells/new.parquet"):
            (folder / each).write_text("new")
        (folder / "run.json").write_text(RECORD)
    assert contents(out) == before


def test_another_run_that_came_first_is_not_replaced(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="is not empty; give --overwrite"),
        result_folder(tmp_path / "r", overwrite=False) as folder,
    ):
        (folder / "biopsies.csv").write_text("second")
        earlier(tmp_path / "r")
    assert (tmp_path / "r" / "biopsies.csv").read_text() == "old"


def test_leftovers_of_dead_runs_are_swept_and_living_ones_kept(tmp_path: Path) -> None:
    out = tmp_path / "r"
    with result_folder(out, overwrite=False) as folder:
        number = folder.name.rpartition("-")[2]
        assert number == str(os.getpid())
        stem = folder.name.removesuffix(number)
        (folder / "run.json").write_text(RECORD)
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    dead, alive, elsewhere = (
        out / f"{stem}{done.pid}",
        out / f"{stem}{os.getppid()}",
        out / f".partial-other_computer-{done.pid}",
    )
    for left in (dead, alive, elsewhere):
        left.mkdir()
    with result_folder(out, overwrite=True) as folder:
        (folder / "run.json").write_text(RECORD)
    assert [p.exists() for p in (dead, alive, elsewhere)] == [sys.platform == "win32", True, True]


def test_results_set_aside_by_a_run_that_was_killed_are_told(tmp_path: Path) -> None:
    (tmp_path / ".previous").mkdir()
    with pytest.raises(OutputError, match="Move them back"):
        check_target(tmp_path, overwrite=True)


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


def test_json_holds_names_that_are_not_utf8(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"file": "M\udcfcller.tif", "name": "Müller"})
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == {
        "file": "M\udcfcller.tif",
        "name": "Müller",
    }


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
