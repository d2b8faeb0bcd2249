"""Panels and axes reach the files of a study before their series are listed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
import yaml

from imganalysis.opening import open_study
from imganalysis.settings import Reading, Settings

if TYPE_CHECKING:
    from pathlib import Path


def panel(folder: Path, name: str, *, axes: str | None = None, **match: list[str]) -> str:
    """Write a panel of three channels without names."""
    channels = [
        {"marker": marker, "role": role, "index": index}
        for index, (marker, role) in enumerate(
            [("DNA", "nuclei"), ("one", "state"), ("two", "state")]
        )
    ]
    content = {"name": name, "channels": channels, "match": match} | (
        {"axes": axes} if axes else {}
    )
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content))
    return str(path)


def image(path: Path) -> None:
    """Write three planes of which nothing says what they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((3, 20, 30), np.uint16)
    tifffile.imwrite(path, pixels, photometric="minisblack", metadata=None)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two images in two folders."""
    image(tmp_path / "s" / "P01" / "A 1.tif")
    image(tmp_path / "s" / "P01" / "B 1.tif")
    return tmp_path / "s"


def seen(root: Path, *panels: str, **options: object) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Panel and flags of each field."""
    study = open_study(root, panels=panels, **options)  # type: ignore[arg-type]
    assert not [f.problem_text for f in study.fields if f.problem]
    return {f.name: (f.panel, f.flags) for f in study.fields}


def test_axes_of_the_panel_that_the_file_name_tells(root: Path) -> None:
    a = panel(root.parent, "a", axes="CYX", files=["*/a *"], channels=["*0", "*1", "*2"])
    b = panel(root.parent, "b", files=["b *"])
    assert seen(root, a, b) == {"P01_A_1": ("a", ()), "P01_B_1": ("b", ("axes_guessed",))}


def test_axes_of_the_panel_that_the_manifest_tells(root: Path) -> None:
    a, b = panel(root.parent, "a", axes="CYX", files=["B *"]), panel(root.parent, "b", series=["x"])
    text = "biopsy,path,panel\nP01,P01/A 1.tif,a\nP01,P01/B 1.tif,b\n"
    (root / "manifest.csv").write_text(text)
    assert seen(root, a, b) == {"P01_A_1": ("a", ()), "P01_B_1": ("b", ("axes_guessed",))}


def test_axes_of_a_panel_found_otherwise_are_no_guess(root: Path) -> None:
    a = panel(root.parent, "a", axes="CYX", series=["*"])
    assert seen(root, a, panel(root.parent, "b", files=["B *"], series=["x"])) == {
        "P01_A_1": ("a", ()),
        "P01_B_1": ("a", ()),
    }


def test_axes_of_the_user_go_first(root: Path) -> None:
    a = panel(root.parent, "a", axes="TYX")
    settings = Settings(reading=Reading(axes="CYX"))
    study = open_study(root, panels=[a], settings=settings)
    assert [f.flags for f in study.fields] == [(), ()]


def test_a_single_panel_is_used_for_every_file(root: Path) -> None:
    only = panel(root.parent, "only", axes="CYX", files=["A *"], channels=["nothing"])
    assert seen(root, only) == {"P01_A_1": ("only", ()), "P01_B_1": ("only", ())}
