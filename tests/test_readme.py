"""What the README shows is run, and what it names is there."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def copy_part(study: Path, target: Path) -> None:
    """One biopsy and one panel of a study with their controls, for the sake of time."""
    manifest = pd.read_csv(study / "manifest.csv")
    sample = manifest["role"] == "sample"
    biopsy, panel = manifest[sample & (manifest["week"] == 1)].iloc[0][["biopsy", "panel"]]
    part = manifest[((manifest["biopsy"] == biopsy) | ~sample) & (manifest["panel"] == panel)]
    for path in part["path"]:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(study / path, target / path)
    part.to_csv(target / "manifest.csv", index=False)


def test_the_python_example_runs(
    sample_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    marked = re.findall(r"<!-- example.*?-->\n```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(marked) == README.count("```python") == 1
    copy_part(sample_data, tmp_path / "sample_data")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    exec(compile(marked[0], "README.md", "exec"), names)  # noqa: S102
    biopsies = pd.read_csv(tmp_path / "results" / "biopsies.csv")
    printed = capsys.readouterr().out
    assert not biopsies["apoptotic_fraction"].isna().any()
    assert all(name in printed for name in biopsies["biopsy"])
    assert re.search(r"^[1-9]\d* nuclei, median [1-9]\d*\.\d µm²$", printed, flags=re.MULTILINE)


def test_each_result_that_the_readme_names_is_one_that_is_written() -> None:
    from imganalysis import results

    table = README.split("### Results")[1].split("\n\n")[1]
    named = re.findall(r"`([\w.]+)/?`(?=[^|]*\|[^|]*\|$)", table, flags=re.MULTILINE)
    assert sorted(named) == sorted(results.NAMES)


def test_each_column_of_the_manifest_is_explained() -> None:
    from imganalysis.study import MANIFEST_COLUMNS

    table = README.split("`manifest.csv` says")[1].split("\n\n")[1]
    first = [line.split("|")[1] for line in table.splitlines()[2:]]
    assert sorted(re.findall(r"`(\w+)`", " ".join(first))) == sorted(MANIFEST_COLUMNS)


def test_each_command_and_link_of_the_readme_is_there() -> None:
    from imganalysis.cli import app

    commands = {c.name or getattr(c.callback, "__name__", "") for c in app.registered_commands}
    commands |= {group.name for group in app.registered_groups}
    named = set(re.findall(r"`imganalysis (\w+) [^`]*`", README.split("### Commands")[1]))
    assert named == commands
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), f"README links to {target}"
