"""list_series, describe: what is in an image file, no pixels read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from imganalysis.io._backend import choose_backend, open_image
from imganalysis.io._czi import czi_facts
from imganalysis.io._kind import kind_of
from imganalysis.io._lif import lif_facts
from imganalysis.io._nd2 import nd2_facts
from imganalysis.io._tiff import tiff_facts
from imganalysis.io._zarr import zarr_facts
from imganalysis.stack import Series

if TYPE_CHECKING:
    from imganalysis.io._facts import Facts


def list_series(path: Path, *, axes: str | None = None, backend: str = "auto") -> list[Series]:
    """List every series of an image file, and every tile of a tile scan.

    Parameters
    ----------
    path
        TIFF, OME-TIFF, LIF, CZI, ND2, or an OME-Zarr folder.
    axes
        Axes of a TIFF that does not say which of its axes is the channel, e.g. ``CYX``.
    backend
        ``bioio``, ``aicsimageio``, or ``auto``: the environment variable IMGANALYSIS_READER,
        else the first of the two that is installed.

    Returns
    -------
    list
        In the order of the file. What is no field of view is listed too, with
        `Series.not_a_field` set.

    Raises
    ------
    UnreadableImageError
        The file is missing, damaged, or no image.
    SettingsError
        `axes` does not fit, or no such backend.
    MissingLibraryError
        The library for this format is not installed.
    """
    path = Path(path)
    _, facts = facts_of(path, axes, choose_backend(backend))
    return [one for index, f in enumerate(facts) for one in _series(path, index, f)]


def describe(path: Path, *, axes: str | None = None, backend: str = "auto") -> list[dict[str, Any]]:
    """Describe every series of a file in plain types, ready for JSON.

    Parameters and errors are those of `list_series`.

    Returns
    -------
    list
        One mapping per series or tile: ``series``, ``name``, ``tile``, ``axes``, ``shape``,
        ``dtype``, ``channels``, ``pixel_size_um`` ([z, y, x], None where unknown),
        ``pixel_size_origin``, ``pixel_size_note``, ``n_times``, ``is_field``, ``reason`` (why it
        is no field), ``flags``, ``counted`` ([y0, y1, x0, x1] in pixels, None for all of it).
    """
    return [
        {
            "series": s.index,
            "name": s.name,
            "tile": s.tile,
            "axes": s.axes,
            "shape": list(s.shape),
            "dtype": s.dtype,
            "channels": list(s.channels),
            "pixel_size_um": list(s.pixel_size.as_tuple()),
            "pixel_size_origin": s.pixel_size.origin,
            "pixel_size_note": s.pixel_size.note,
            "n_times": s.n_times,
            "is_field": s.is_field,
            "reason": s.not_a_field,
            "flags": list(s.flags),
            "counted": None if s.counted is None else list(s.counted),
        }
        for s in list_series(path, axes=axes, backend=backend)
    ]


def facts_of(path: Path, axes: str | None, backend: str) -> tuple[str, list[Facts]]:
    """Format of a file and what is known of each of its series."""
    kind = kind_of(path)
    if kind == "tiff":
        return kind, tiff_facts(path, axes)
    if kind == "lif":
        return kind, lif_facts(path)
    if kind == "nd2":
        return kind, nd2_facts(path)
    if kind == "czi":
        return kind, czi_facts(path, open_image(path, kind, backend))
    return kind, zarr_facts(path, lambda: open_image(path, kind, backend))


def _series(path: Path, index: int, facts: Facts) -> list[Series]:
    """One `Series`, or one for each tile, without the tile axis."""
    axes, shape = facts.axes, facts.shape
    if facts.tiles:
        shape = tuple(n for n, axis in zip(shape, axes, strict=True) if axis != "M")
        axes = axes.replace("M", "")
    return [
        Series(
            path=path,
            index=index,
            name=facts.name,
            tile=tile,
            axes=axes,
            shape=shape,
            dtype=facts.dtype,
            channels=facts.channel_names(),
            pixel_size=facts.pixel_size,
            n_times=facts.size("T"),
            counted=facts.tiles.get(tile) if tile is not None else None,
            not_a_field=facts.not_a_field,
            flags=facts.flags,
        )
        for tile in (facts.tiles or (None,))
    ]
