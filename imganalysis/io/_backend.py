"""Which library reads pixels; both stand behind one small protocol."""

from __future__ import annotations

import os
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

from imganalysis.errors import (
    ImganalysisError,
    MissingLibraryError,
    SettingsError,
    UnreadableImageError,
)
from imganalysis.io._quiet import quiet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BACKENDS = ("bioio", "aicsimageio")
ENVIRONMENT = "IMGANALYSIS_READER"

FORMATS_LINE = 'pip install "imganalysis[formats]"'
FORMAT_NAMES = {"tiff": "TIFF", "lif": "Leica LIF", "czi": "Zeiss CZI", "nd2": "Nikon ND2",
                "zarr": "OME-Zarr", "png": "PNG"}  # fmt: skip


class Image(Protocol):
    """An image file, opened by one of the libraries."""

    @property
    def scenes(self) -> tuple[str, ...]:
        """Name of each series."""

    def lazy(self, series: int) -> tuple[str, Any]:
        """Axes (one letter each) and dask array of one series."""


def choose_backend(backend: str = "auto") -> str:
    """Name of the library that reads: as asked for, else as the environment says, else bioio.

    Raises
    ------
    SettingsError
        No such library.
    MissingLibraryError
        It is not installed.
    """
    asked = backend
    if backend == "auto":
        asked = os.environ.get(ENVIRONMENT, "").strip() or "auto"
    if asked == "auto":
        for name in BACKENDS:
            if find_spec(name) is not None:
                return name
        raise MissingLibraryError(
            "no library that reads images is installed: pip install imganalysis"
        )
    if asked not in BACKENDS:
        where = "backend" if backend != "auto" else f"environment variable {ENVIRONMENT}"
        raise SettingsError(
            f"{where}: expected auto, {' or '.join(BACKENDS)} as reader of images, got {asked!r}"
        )
    if find_spec(asked) is None:
        raise MissingLibraryError(f"{asked} is not installed: pip install {asked}")
    return asked


def open_image(path: Path, kind: str, backend: str) -> Image:
    """Open a file; `kind` and `backend` are checked already.

    Raises
    ------
    MissingLibraryError
        The library for this format is not installed.
    UnreadableImageError
        The file is damaged.
    """
    adapter = import_module(f"imganalysis.io._{backend}")
    with reading(path, kind):
        image: Image = adapter.open_image(path, kind)
    return image


def library(name: str, kind: str) -> Any:
    """Import a library that a format needs.

    Raises
    ------
    MissingLibraryError
        It is not installed.
    """
    try:
        with quiet():
            return import_module(name)
    except ImportError as error:
        raise MissingLibraryError(
            f"reading {FORMAT_NAMES[kind]} needs {name.partition('.')[0]} ({error}): {FORMATS_LINE}"
        ) from error


@contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Keep a reader quiet, and say in words what it could not read.

    Raises
    ------
    UnreadableImageError
        The reader failed, with whatever error it has for that.
    """
    try:
        with quiet():
            yield
    except (ImganalysisError, MemoryError):
        raise
    except Exception as error:  # readers of seven libraries raise what they like
        why = " ".join(str(error).split())[:300] or type(error).__name__
        raise UnreadableImageError(
            f"{path}: expected a {FORMAT_NAMES[kind]} image, but it cannot be read: it is damaged, "
            f"incomplete, or of a variety that is not supported ({why}). Copy it again from its "
            f"source, or save it as OME-TIFF from its software."
        ) from error
