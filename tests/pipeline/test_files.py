"""Settings files, label images and folders of results as users have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from imganalysis.cli import _settings
from imganalysis.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_group_without_values_has_its_defaults(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("reading:\nsegmentation:\nsummary:\n")
    chosen = _settings({"axes": "CYX"}, file=file, segmentation={"sensitivity": 0.7})
    assert (chosen.reading.axes, chosen.segmentation.sensitivity) == ("CYX", 0.7)
    assert _settings({"axes": None}, file=file).segmentation.sensitivity == 0.5
    nuclei = tmp_path / "nuclei.tif"
    nuclei.touch()
    given = _settings({}, file=file, nuclei=str(nuclei))
    assert given.segmentation.path == str(nuclei)


@pytest.mark.parametrize("group", ["reading", "segmentation", "summary"])
@pytest.mark.parametrize("value", ["CYX", "[1, 2]", "3"])
def test_a_group_that_holds_no_names_is_refused(tmp_path: Path, group: str, value: str) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(f"{group}: {value}\n")
    with pytest.raises(SettingsError, match=f"{group}: expected names and values"):
        _settings({"axes": "CYX"}, file=file, segmentation={"sensitivity": 0.7})


def test_an_unknown_group_is_refused_though_empty(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("raeding:\n")
    with pytest.raises(SettingsError, match="raeding"):
        _settings({}, file=file)
