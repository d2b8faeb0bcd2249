"""Fixtures that every test may use: real images, the sample study, a check for open files."""

from __future__ import annotations

import gc
import os
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]

# Before anything imports matplotlib, in worker processes of the tests too.
os.environ["MPLBACKEND"] = "Agg"


def testdata_folder() -> Path:
    """Where the real images are, whether or not they are there."""
    named = os.environ.get("IMGANALYSIS_TESTDATA")
    return Path(named) if named else ROOT.parent / "shared" / "data"


def missing(message: str) -> None:
    """Skip on a machine that lacks something; fail where everything must be there."""
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def no_screen() -> str:
    """Why no window can be opened here; empty where one can."""
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return "no screen: run the tests under xvfb-run, as make test does where it is installed"
    if find_spec("napari") is None or find_spec("pytestqt") is None:
        return "napari or pytest-qt is not installed; make test installs them"
    try:
        from qtpy import QtOpenGLWidgets, QtWidgets  # noqa: F401
    except Exception as error:  # no binding, or a library of the system that it needs is missing
        return f"Qt cannot be loaded ({error}); make test installs what it needs where it may"
    return ""


NO_SCREEN = no_screen()

# It fails where no binding of Qt can be loaded.
pytest_plugins = [] if NO_SCREEN else ["pytestqt.plugin"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options that napari's fixture for viewers asks for; see tests/plugin/conftest.py."""
    parser.addoption("--show-napari-viewer", action="store_true", help="show viewers of the tests")
    parser.addoption("--save-leaked-object-graph", action="store_true", help="of leaked viewers")


@pytest.fixture
def screen() -> None:
    """A window can be opened."""
    if NO_SCREEN:
        missing(NO_SCREEN)


@pytest.fixture(scope="session")
def cellpose3() -> None:
    """Cellpose 3 is there; it has no build for the newest Pythons."""
    if sys.version_info >= (3, 13):
        pytest.skip("Cellpose 3 needs numpy < 2.1, which Python 3.13 has not")
    if find_spec("cellpose") is None or version("cellpose") >= "4":
        missing("Cellpose 3 is not installed; make test installs it")


@pytest.fixture(scope="session")
def testdata() -> Path:
    """Folder of real images; a test that uses it is marked ``realdata``."""
    folder = testdata_folder()
    if not (folder / "README.md").is_file():
        missing(f"no real images in {folder}; name their folder in IMGANALYSIS_TESTDATA")
    return folder.resolve()


@pytest.fixture(scope="session")
def repository() -> Path:
    """Folder of the source."""
    return ROOT


@pytest.fixture(scope="session")
def sample_data() -> Path:
    """The simulated study that ships with the source."""
    folder = ROOT / "sample_data"
    assert (folder / "README.md").is_file(), f"{folder} is part of the source, but empty"
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test that uses real images, so that ``-m "not realdata"`` leaves out all."""
    for item in items:
        if "testdata" in getattr(item, "fixturenames", ()):
            item.add_marker("realdata")


_failed = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[pytest.TestReport]:
    """Remember which tests failed: their traceback keeps their files open."""
    report = yield
    item.stash[_failed] = item.stash.get(_failed, False) or report.failed
    return report


def open_files(*folders: Path) -> set[str]:
    """Files under the folders that this process holds open (Linux; elsewhere none is seen)."""
    handles = Path("/proc/self/fd")
    if not handles.is_dir():
        return set()
    starts = tuple(f"{folder}{os.sep}" for folder in folders)
    found = set()
    for handle in os.listdir(handles):
        try:
            target = os.readlink(handles / handle)
        except OSError:  # the handle of the listing itself
            continue
        if target.startswith(starts):
            found.add(target)
    return found


@pytest.fixture(autouse=True)
def _no_open_files(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test after which an image or table is still open.

    On Windows an open file cannot be moved or deleted, and a study has thousands of files.
    """
    folders = [testdata_folder().resolve(), ROOT / "sample_data"]
    if "tmp_path" in request.fixturenames:
        folders.append(request.getfixturevalue("tmp_path"))
    before = open_files(*folders)
    yield
    if request.node.stash.get(_failed, False):
        return
    left = open_files(*folders) - before
    if left:  # a lazy array that went out of use may still wait for the collector
        gc.collect()
        left = open_files(*folders) - before
    assert not left, f"still open after the test: {', '.join(sorted(left))}"
