"""The record of a run is read in one place, with one message."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from imganalysis import __version__
from imganalysis.errors import StudyError
from imganalysis.panel import load_panel
from imganalysis.results import is_results
from imganalysis.run_file import read_panels, read_run, run_settings
from imganalysis.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
PANEL = load_panel("apoptosis")


def written(folder: Path, **change: object) -> Path:
    """A folder with the record of a run, changed."""
    record = {
        "imganalysis": __version__,
        "settings": Settings().model_dump(mode="json"),
        "panels": {"a": PANEL.model_dump(mode="json")},
        **change,
    }
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def test_panels_and_settings_come_back(tmp_path: Path) -> None:
    folder = written(tmp_path)
    assert read_panels(folder) == {"a": PANEL}
    assert run_settings(folder, read_run(folder)) == Settings()
    assert is_results(folder)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "run.json: not there"),
        ("{", "run.json: cannot be read"),
        ("[]", "run.json: not written by imganalysis"),
        ('{"panels": {}}', "run.json: not written by imganalysis"),
    ],
)
def test_what_holds_no_results_is_said_and_what_to_do(
    tmp_path: Path, text: str | None, said: str
) -> None:
    if text is not None:
        (tmp_path / "run.json").write_text(text, encoding="utf-8")
    assert not is_results(tmp_path)
    with pytest.raises(StudyError, match="holds no results") as caught:
        read_panels(tmp_path)
    assert said in str(caught.value)
    assert f"imganalysis run {tmp_path} --out RESULTS" in str(caught.value)


def test_a_record_of_another_version_names_both(tmp_path: Path) -> None:
    other = PANEL.model_dump(mode="json") | {"smell": 1}
    folder = written(tmp_path, imganalysis="0.0.1", panels={"a": other})
    with pytest.raises(StudyError, match=r"made by imganalysis 0\.0\.1, .*smell: unknown name"):
        read_panels(folder)
    with pytest.raises(StudyError, match=r"run\.json: not as the run wrote it \(panels: none\)"):
        read_panels(written(tmp_path, panels=[]))
    with pytest.raises(StudyError, match=r"not as the run wrote it \(settings: "):
        run_settings(folder, read_run(written(tmp_path, settings=None)))


def test_nobody_else_reads_it() -> None:
    code = [*(ROOT / "imganalysis").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]
    found = [
        path.name
        for path in code
        if re.search(r"/ (r\.)?RUN\)\.read_text|record\[\"panels\"\]", path.read_text("utf-8"))
    ]
    assert found == ["run_file.py"]
