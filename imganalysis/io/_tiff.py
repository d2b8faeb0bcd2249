"""TIFF of every kind: series, axes and names as tifffile and the tags give them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imganalysis.errors import SettingsError
from imganalysis.io._backend import library, reading
from imganalysis.io._facts import Facts, other_axes
from imganalysis.io._ome import OmeImage, ome_images
from imganalysis.io._pixelsize import believe
from imganalysis.io._tiffsize import tag_pixel_size
from imganalysis.io._tiffwhole import check_whole
from imganalysis.io._xml import child_text, local, parse_xml

if TYPE_CHECKING:
    from pathlib import Path

# Letters of tifffile for axes that the file does not name.
_UNKNOWN = "QI"
_THUMBNAILS = ("thumbnail", "macro", "macro image", "label", "label image", "overview")
_COLOUR = (2, 6, 8, 9, 10)  # RGB, YCbCr, CIELab and its kin
_REDUCED = 1  # bit of NewSubfileType


def tiff_facts(path: Path, axes: str | None = None) -> list[Facts]:
    """Every series of a TIFF, no pixels read.

    Parameters
    ----------
    path
        The file.
    axes
        Axes for series that do not name their channels, e.g. ``CYX``.

    Raises
    ------
    SettingsError
        `axes` does not fit.
    UnreadableImageError
        The file is damaged, cut off, or its pixels are in other files.
    """
    tifffile = library("tifffile", "tiff")
    with reading(path, "tiff"), tifffile.TiffFile(path) as tif:
        ome = _ome(tif, path)  # before the series: tifffile would follow names of other files
        series = list(tif.series)
        check_whole(tif, series, path)
        colour_first = bool(series) and _rgb(series[0])
        return [
            _series(path, tif, s, _match(ome, series, i), axes, first=i == 0, colour=colour_first)
            for i, s in enumerate(series)
        ]


def _ome(tif: Any, path: Path) -> list[OmeImage] | None:
    if not tif.is_ome:
        return None
    return ome_images(tif.pages.first.description, path)


def _match(ome: list[OmeImage] | None, series: list[Any], index: int) -> OmeImage | None:
    """Find the OME image of a series: same place in the list, and same size."""
    if ome is None or len(ome) != len(series):
        return None
    size = dict(zip(series[index].axes, series[index].shape, strict=True))
    image = ome[index]
    return image if image.shape == (size.get("Y"), size.get("X")) else None


def _series(
    path: Path,
    tif: Any,
    series: Any,
    ome: OmeImage | None,
    asked: str | None,
    *,
    first: bool,
    colour: bool,
) -> Facts:
    shape = tuple(int(n) for n in series.shape)
    axes, flags = _axes(path, series, asked, is_ome=tif.is_ome)
    rgb = _rgb(series) and "S" in axes
    planes = shape[axes.index("Z")] if "Z" in axes else 1
    if ome is not None:
        pixel_size, more = believe(ome.z, ome.y, ome.x, planes=planes, note=ome.note)
    elif tif.is_ome:
        pixel_size, more = believe(
            None, None, None, planes=planes, note="the OME-XML does not fit the pixels"
        )
    else:
        pixel_size, more = tag_pixel_size(tif, series, planes)
    name = ome.name if ome is not None else _name(series)
    reduced = int(series.keyframe.subfiletype or 0) & _REDUCED
    thumbnail = not first and (name.lower() in _THUMBNAILS or bool(reduced) or (rgb and not colour))
    n_channels = shape[axes.index("C")] if "C" in axes else 1
    return Facts(
        name=name,
        axes=axes,
        shape=shape,
        dtype=str(series.dtype),
        channels=ome.channels if ome is not None else _channel_names(path, tif, series, n_channels),
        pixel_size=pixel_size,
        not_a_field="thumbnail" if thumbnail else other_axes(axes, shape),
        flags=(*more, *flags, *(("rgb",) if rgb else ())),
    )


def _rgb(series: Any) -> bool:
    """Whether samples are colours; several samples of a grey image are channels."""
    size = dict(zip(series.axes, series.shape, strict=True))
    return size.get("S") in (3, 4) and int(series.keyframe.photometric) in _COLOUR


def _axes(
    path: Path, series: Any, asked: str | None, *, is_ome: bool
) -> tuple[str, tuple[str, ...]]:
    """Axes of a series, and a flag where they are a guess."""
    found = str(series.axes)
    unknown = any(letter in _UNKNOWN for letter in found)
    if asked:
        wanted = asked.upper()
        if len(set(wanted)) < len(wanted) or set(wanted) - set("TCZYX") or wanted[-2:] != "YX":
            raise SettingsError(
                f"axes: expected letters of TCZYX, each once, with YX last, got {asked!r}"
            )
        if len(found) < 3 or found[-1] == "S":
            return _guess(found), ()
        if is_ome or "C" in found:
            return found, ("axes_ignored",) if wanted != found else ()
        if len(wanted) != len(found):
            raise SettingsError(
                f"{path}: axes {wanted} are {len(wanted)}, the image has {len(found)} of sizes "
                f"{' x '.join(map(str, series.shape))}. Give one letter for each."
            )
        return wanted, ()
    return _guess(found), ("axes_guessed",) if unknown else ()


def _guess(found: str) -> str:
    """Take unnamed axes, from the last, for Z, then C, then T, as bioio does."""
    free = [letter for letter in "ZCT" if letter not in found]
    letters = list(found)
    for i in reversed(range(len(letters))):
        if letters[i] in _UNKNOWN and free:
            letters[i] = free.pop(0)
    return "".join(letters)


def _name(series: Any) -> str:
    """Name of a series that is not OME: only slide scanners give one."""
    return str(series.name) if series.kind in ("qpi", "svs", "scn") else ""


def _channel_names(path: Path, tif: Any, series: Any, n: int) -> tuple[str, ...]:
    """Names of channels: of the pages where each is one channel, else ImageJ's slice labels."""
    if len(series.pages) != n or n < 1:
        return ()
    names = tuple(page_name(page, path) for page in series.pages)
    if all(names):
        return names
    labels = (tif.imagej_metadata or {}).get("Labels") if tif.is_imagej else None
    if isinstance(labels, list) and len(labels) == n and len(set(labels)) == n:
        return tuple(str(label) for label in labels)
    return ()


def page_name(page: Any, path: Path) -> str:
    """Name of a page of a TIFF: PageName tag, or PerkinElmer's description; empty if none."""
    if page is None:
        return ""
    page = page.aspage()  # a frame of a series shares tags with its first page: read its own
    tag = page.tags.get(285)
    if tag is not None and str(tag.value).strip():
        return str(tag.value).strip()
    text = str(page.description)
    if "<PerkinElmer" not in text and "<SegmentationImage" not in text:
        return ""
    root = parse_xml(text, path)
    if local(root.tag) == "SegmentationImage":
        return child_text(root, "CompartmentType")
    return child_text(root, "Name") if local(root.tag).startswith("PerkinElmer") else ""
