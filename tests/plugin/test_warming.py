"""Readers are loaded behind the list of a study, and nothing of it is left or seen."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("napari")

from napari_imganalysis import _warming
from napari_imganalysis._fields import open_stack
from napari_imganalysis._results import open_any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def cold(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, bool]]:
    """A process that is ready for nothing."""
    warm: set[tuple[str, bool]] = set()
    monkeypatch.setattr(_warming, "_WARM", warm)
    return warm


def test_a_kind_of_fields_is_warmed_once(
    images: Path, results: Path, cold: set[tuple[str, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def counted(opened: Any, name: str) -> Any:
        asked.append(name)
        return open_stack(opened, name)

    monkeypatch.setattr(_warming, "open_stack", counted)
    for root in (images, results, images):
        _warming.warm(open_any(root), threading.Event())
    assert cold == {(".ome.tif", False), (".ome.tif", True)}
    assert len(asked) == 2, "one field of each kind is opened"


def test_what_cannot_be_read_is_passed_over_and_says_nothing(
    results: Path, tmp_path: Path, cold: set[tuple[str, bool]], capsys: pytest.CaptureFixture[str]
) -> None:
    away = replace(open_any(results), root=tmp_path)
    _warming.warm(away, threading.Event())
    assert not cold
    assert capsys.readouterr() == ("", "")


def test_it_stops_between_two_steps(results: Path, cold: set[tuple[str, bool]]) -> None:
    stop = threading.Event()
    stop.set()
    _warming.warm(open_any(results), stop)
    assert not cold


@pytest.mark.usefixtures("screen")
def test_the_list_is_shown_while_it_runs_and_a_closed_window_ends_it(
    add: Callable[[str], Any], viewer: Any, results: Path,
    monkeypatch: pytest.MonkeyPatch, messages: list[tuple[str, str]],
) -> None:  # fmt: skip
    begun = threading.Event()

    def hangs(_opened: Any, stop: threading.Event) -> None:
        begun.set()
        stop.wait(20)

    monkeypatch.setattr(_warming, "warm", hangs)
    study = add("Study")
    study.open(results)
    assert study.tree.topLevelItemCount(), "the list waits for nothing"
    assert begun.wait(20) and study.warming.running
    from qtpy.QtWidgets import QApplication

    viewer.close()
    QApplication.processEvents()
    assert not [one for one in threading.enumerate() if one.name == _warming.NAME]
    assert not messages
