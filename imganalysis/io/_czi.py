"""Zeiss CZI: sizes, tile positions and the distance scale, which may be missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imganalysis.io._backend import Image, library, reading
from imganalysis.io._facts import Facts, other_axes
from imganalysis.io._pixelsize import believe
from imganalysis.io._tiles import counted_parts

if TYPE_CHECKING:
    from pathlib import Path

_TYPES = {"gray8": "uint8", "gray16": "uint16", "gray32": "uint32", "gray32float": "float32",
          "bgr24": "uint8", "bgr48": "uint16"}  # fmt: skip
# Dimensions of the file that are not axes of the image.
_BLOCK, _SCENE = "B", "S"
_SAMPLES = "A"


def czi_facts(path: Path, image: Image) -> list[Facts]:
    """Every scene of a CZI file, no pixels read.

    Raises
    ------
    MissingLibraryError
        aicspylibczi is not installed.
    UnreadableImageError
        The file is damaged.
    """
    aicspylibczi = library("aicspylibczi", "czi")
    with reading(path, "czi"), path.open("rb") as file:
        czi = aicspylibczi.CziFile(file)
        shapes = czi.get_dims_shape()
        names = image.scenes
        facts = []
        for i, name in enumerate(names):
            ranges = dict(shapes[i] if len(shapes) == len(names) else shapes[0])
            scene = ranges.get(_SCENE)
            # In a consistent file one entry stands for all scenes.
            number = None if scene is None else scene[0] + (0 if len(shapes) == len(names) else i)
            facts.append(_series(czi, name, i, ranges, number))
        return facts


def _series(
    czi: Any, name: str, index: int, ranges: dict[str, tuple[int, int]], scene: int | None
) -> Facts:
    letters = [d for d in czi.dims if d not in (_BLOCK, _SCENE)]
    axes = "".join(letters).replace(_SAMPLES, "S")
    # Ranges may start above 0, e.g. where a scene was cut out of a larger file.
    shape = tuple(ranges[d][1] - ranges[d][0] for d in letters)
    size = dict(zip(axes, shape, strict=True))
    distances = {d: _distance_um(czi.meta, d) for d in "ZYX"}
    note = "no distance scale in the file" if distances["X"] is None else ""
    pixel_size, flags = believe(
        distances["Z"], distances["Y"], distances["X"], planes=size.get("Z", 1), note=note
    )
    if "S" in size:
        flags += ("rgb",)
    tiles: dict[int, tuple[int, int, int, int] | None] = {}
    if size.get("M", 1) > 1:
        tiles, known = _tiles(czi, ranges["M"], size, scene)
        if not known:
            flags += ("overlap_unknown",)
    return Facts(
        name=name,
        axes=axes,
        shape=shape,
        dtype=_TYPES.get(czi.pixel_type, str(czi.pixel_type)),
        channels=_channel_names(czi.meta, index),
        pixel_size=pixel_size,
        not_a_field=other_axes(axes, shape),
        flags=flags,
        tiles=tiles,
    )


def _tiles(
    czi: Any, span: tuple[int, int], size: dict[str, int], scene: int | None
) -> tuple[dict[int, tuple[int, int, int, int] | None], bool]:
    """Tiles that are in the file (numbers may be missing), and whether their overlap is known."""
    first, end = span
    where = {} if scene is None else {"S": scene}
    positions: dict[int, tuple[float, float]] = {}
    moved = False
    for info, box in czi.get_all_mosaic_tile_bounding_boxes(**where).items():
        corner = (float(box.y), float(box.x))
        tile = info.m_index - first
        moved |= positions.setdefault(tile, corner) != corner
        moved |= (box.h, box.w) != (size["Y"], size["X"])
    positions = {tile: at for tile, at in positions.items() if 0 <= tile < end - first}
    parts = None if moved else counted_parts(positions, size["Y"], size["X"])
    if not parts:
        return dict.fromkeys(sorted(positions) or range(end - first)), False
    return parts, True


def _distance_um(meta: Any, axis: str) -> float | None:
    """Scale of an axis: always metres in a CZI; None if missing or given twice."""
    found = meta.findall(f"./Metadata/Scaling/Items/Distance[@Id='{axis}']/Value")
    if len(found) != 1 or not (found[0].text or "").strip():
        return None
    return float(found[0].text) * 1e6


def _channel_names(meta: Any, index: int) -> tuple[str, ...]:
    sets = meta.findall(".//Image/Dimensions/Channels")
    if not sets:
        return ()
    channels = sets[index if index < len(sets) else 0].findall("./Channel")
    return tuple(c.attrib.get("Name") or c.attrib.get("Id") or "" for c in channels)
