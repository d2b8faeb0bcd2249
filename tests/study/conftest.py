"""Studies of empty files; what is in them is told by a fake reader."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from imganalysis.errors import PanelError, UnreadableImageError
from imganalysis.panel import Panel
from imganalysis.stack import PixelSize, Series
from imganalysis.study import discover

if TYPE_CHECKING:
    from pathlib import Path


def one_series(path, index=0, name="", tile=None, **more):
    return Series(
        path=path,
        index=index,
        name=name,
        tile=tile,
        axes="CZYX",
        shape=(2, 1, 64, 64),
        dtype="uint8",
        channels=("a", "b"),
        pixel_size=PixelSize(),
        **more,
    )


def panel(name):
    return Panel(name=name, channels=({"marker": "DNA", "role": "nuclei"},))


def by_file_name(panels, file_name, series_name, channels):
    found = [p for p in panels if p.name in f"{file_name} {series_name}"]
    if len(found) != 1:
        raise PanelError(f"{file_name}: {len(found)} panels fit")
    return found[0]


@dataclass
class Builder:
    root: Path
    series: dict = field(default_factory=dict)  # file name -> how to list it
    calls: list = field(default_factory=list)
    panels: list = field(default_factory=list)  # as the manifest gives them, for each call
    one = staticmethod(one_series)
    by_file_name = staticmethod(by_file_name)

    def add(self, *paths, **how):
        for text in paths:
            path = self.root / text
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.name.endswith("zarr"):
                path.mkdir()
                (path / "inside.tif").touch()
            else:
                path.touch()
            if "series" in how:
                self.series[path.name] = how["series"]
        return self

    def manifest(self, text, name="manifest.csv", encoding="utf-8"):
        self.root.mkdir(parents=True, exist_ok=True)
        path = self.root / name
        path.write_bytes(text.encode(encoding))
        return path

    @staticmethod
    def damaged(path):
        raise UnreadableImageError(f"{path}: damaged")

    def list_series(self, path, panel):
        self.calls.append(path)
        self.panels.append(panel)
        how = self.series.get(path.name, lambda p: [one_series(p)])
        return how(path)

    def discover(self, root=None, panels=("apo", "inf"), choose=None, **more):
        return discover(
            root or self.root,
            list_series=self.list_series,
            panels=[panel(name) for name in panels],
            choose_panel=choose,
            **more,
        )


@pytest.fixture
def study(tmp_path):
    # Blanks and letters that are not ASCII, in every path of these tests.
    return Builder(tmp_path / "Prüfung №1 的 study")
