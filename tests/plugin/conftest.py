"""Results of a tiny study, and a viewer with the plugin, closed without a trace."""

from __future__ import annotations

import shutil
import threading
import warnings
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

from imganalysis.io import write_stack
from imganalysis.opening import open_study
from imganalysis.pipeline import run_study
from imganalysis.settings import Settings
from imganalysis.simulate import load_recipe, simulate_field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# napari's pytest plugin would load napari for every test of the suite; only its fixtures are
# wanted, and only here.
if find_spec("napari") is not None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # napari's own use of pydantic warns at its import
        from napari.utils._testsupport import (  # noqa: F401
            make_napari_viewer,
            mock_app_model,
            pytest_runtest_makereport,
        )

OPTICS: dict[str, Any] = {
    "size_px": 208,
    "pixel_size_um": 0.465,
    "planes": 3,
    "z_step_um": 1.0,
    "bits": 8,
    "bleed_scale": 0.1,
}


def simulated(folder: Path, name: str, panel: str, seed: int, **options: Any) -> None:
    field = simulate_field(load_recipe("melanoma"), panel, seed=seed, **{**OPTICS, **options})
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write_stack(path, field.stack)


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two biopsies of both panels, one with a field that cannot be read; two controls."""
    root = tmp_path_factory.mktemp("plugin") / "study"
    for week, seed in ((0, 10), (1, 20)):
        simulated(root, f"P1_week{week}/A apoptosis.ome.tif", "apoptosis", seed, week=week)
    simulated(root, "P1_week1/B infiltrate.ome.tif", "infiltrate", 30, week=1)
    (root / "P1_week1" / "A broken.ome.tif").write_bytes(b"no image")
    for panel, seed in (("apoptosis", 40), ("infiltrate", 41)):
        simulated(root, f"controls/secondary_only/{panel}.ome.tif", panel, seed, week=1,
                  control="secondary_only", size_px=256)  # fmt: skip
    return root


@pytest.fixture(scope="session")
def results(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of that study, as the command line writes them; nobody may write there."""
    out = tmp_path_factory.mktemp("results") / "out"
    settings = Settings.model_validate({
        "segmentation": {"method": "scikit-image"},
        "gating": {"min_control_cells": 20},
        "output": {"overlays": False, "quality": False, "cells_csv": True},
    })  # fmt: skip
    run_study(open_study(images), out, settings, workers=1)
    return out


@pytest.fixture
def study(images: Path, results: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Copies of the study and its results, to write into."""
    root, out = tmp_path / "study", tmp_path / "out"
    shutil.copytree(images, root)
    shutil.copytree(results, out)
    record = out / "run.json"
    record.write_text(record.read_text().replace(str(images), str(root)))
    return root, out


def plugin_threads() -> set[threading.Thread]:
    from dask import threaded

    # The pool of dask is made by the first that computes, and kept for the process.
    shared = getattr(threaded.default_pool, "_threads", set())
    return {
        one
        for one in threading.enumerate()
        if one.is_alive() and (not one.daemon or one.name.startswith("imganalysis"))
    } - shared


@pytest.fixture(scope="session")
def napari_loaded() -> None:
    """All of napari that is imported when a viewer is made: its use of pydantic warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("napari.viewer", "napari.qt", "napari._qt.qt_main_window", "napari.plugins",
                     "napari._qt._qapp_model.qactions", "napari._app_model"):  # fmt: skip
            import_module(name)


@pytest.fixture
def viewer(screen: None, napari_loaded: None, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A viewer that knows the plugin; after it no widget of ours and no thread may be left."""
    import gc

    from qtpy.QtWidgets import QApplication

    before = plugin_threads()
    made = request.getfixturevalue("make_napari_viewer")()
    yield made
    made.close()
    del made
    QApplication.processEvents()
    gc.collect()
    left = [
        one for one in QApplication.allWidgets() if "napari_imganalysis" in type(one).__module__
    ]
    assert not left, f"widgets left: {left}"
    assert plugin_threads() <= before


@pytest.fixture
def session(viewer: Any) -> Any:
    """What all widgets of the viewer share."""
    from napari_imganalysis._attach import session_of

    return session_of(viewer)


@pytest.fixture
def add(viewer: Any) -> Callable[[str], Any]:
    """Docks a widget of the plugin, found by the manifest."""

    def dock(name: str) -> Any:
        return viewer.window.add_plugin_dock_widget("imganalysis", name, tabify=True)[1]

    return dock


@pytest.fixture
def messages(session: Any) -> list[tuple[str, str]]:
    """What the session told the user, in order."""
    told: list[tuple[str, str]] = []

    def keep(kind: str, text: str) -> None:
        told.append((kind, text))

    session.message.connect(keep)
    return told
