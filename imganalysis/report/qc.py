"""One sheet per field on which it can be seen what was done to it and what is no stain."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import to_rgb

from imganalysis import tables as t
from imganalysis.report._canvas import Canvas, fitted
from imganalysis.report._composite import channel_rgb, composite, display_range
from imganalysis.report._outlines import draw_mask_edge, enlarge
from imganalysis.report._sheet import BACKGROUND, FAINT, FRAME, INK, Item, entry, rows_of, scale_bar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

COLOURS = {
    "autofluorescence": "#F0E442",
    "pigment": "#CC79A7",
    "folds": "#56B4E9",
    "clipped": "#D55E00",
}
"""Of masks; told apart with any colour vision (Okabe and Ito, 2008)."""

TISSUE = (0, 200, 145)
PANEL = 560  # pixels, of a picture's longer side
SMALLEST = 480  # pixels, of a column
MARGIN, GAP = 14, 14
TITLE, HEAD, TEXT = 24, 19, 16  # height of letters in pixels
LINE = 24
_DIM = 0.55  # of the picture under the masks
_FILL = 0.45  # of a mask's colour over it


def draw_quality(
    path: Path,
    *,
    images: Mapping[str, NDArray[Any]],
    colours: Mapping[str, str],
    captions: Mapping[str, str],
    masks: Mapping[str, NDArray[np.bool_]],
    tissue: NDArray[np.bool_],
    frame: NDArray[np.bool_],
    legend: Mapping[str, str],
    notes: Sequence[str],
    pixel_um: float | None,
    title: str = "",
) -> None:
    """Draw a field's sheet: every channel as it was seen, and all masks on one picture.

    Parameters
    ----------
    path
        PNG file to write; its folder is made.
    images
        marker -> (Y, X), corrected by the calibration, before the background is subtracted.
    colours
        marker -> colour of its channel, as matplotlib names it.
    captions
        marker -> what to know about the channel, under its picture.
    masks
        Name (a key of `COLOURS`) -> (Y, X) bool.
    tissue, frame
        (Y, X) bool.
    legend
        Name of a mask, ``tissue`` or ``frame`` -> text of its entry.
    notes
        Lines below everything.
    pixel_um
        Side of a pixel in um; None where unknown.
    title
        Shown as it is.

    Raises
    ------
    ValueError
        An array has another size than the tissue, or a mask has no colour.
    OutputError
        The file cannot be written.
    """
    for name, array in {**images, **masks, "frame": frame}.items():
        if array.shape != tissue.shape or tissue.ndim != 2:
            raise ValueError(f"{name}: shape {array.shape}, expected (Y, X) {tissue.shape}")
    if strange := sorted(set(masks) - set(COLOURS)):
        raise ValueError(f"no colour for the masks {', '.join(strange)}")
    shrink = max(1, math.ceil(max(tissue.shape) / PANEL))
    grow = max(1, round(PANEL / max(tissue.shape))) if shrink == 1 else 1
    um = None if pixel_um is None else pixel_um * shrink / grow
    small = {m: enlarge(_shrunk(image, shrink), grow) for m, image in images.items()}
    ranges = {m: display_range(image) for m, image in small.items()}
    pictures = [composite({m: small[m]}, {m: "white"}, ranges) for m in small]
    marked = _marked(small, colours, ranges, masks, tissue, frame, shrink, grow)
    heads = [Item(m, channel_rgb(colours.get(m, "white"))) for m in small]
    texts = [f"shown {_level(a)}\N{EN DASH}{_level(b)}" for a, b in ranges.values()]
    under = [[text, captions.get(m, "")] for m, text in zip(small, texts, strict=True)]
    entries = _entries(masks, legend)
    data = _page(title, [*pictures, marked], heads, under, entries, notes, um)
    t.write_atomic(path, lambda temporary: _write(temporary, data))


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _level(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _shrunk(image: NDArray[Any], factor: int) -> NDArray[np.float32]:
    """Means of squares of pixels; what is left over at the far sides is cut off."""
    values = np.asarray(image, np.float32)
    if factor == 1:
        return values
    height, width = (n // factor for n in values.shape)
    tiles = values[: height * factor, : width * factor].reshape(height, factor, width, factor)
    return np.asarray(tiles.mean(axis=(1, 3)))


def _marked(
    images: Mapping[str, NDArray[Any]],
    colours: Mapping[str, str],
    ranges: Mapping[str, tuple[float, float]],
    masks: Mapping[str, NDArray[np.bool_]],
    tissue: NDArray[np.bool_],
    frame: NDArray[np.bool_],
    shrink: int,
    grow: int,
) -> NDArray[np.uint8]:
    """Lay all masks over the channels, dimmed."""
    picture = (composite(images, colours, ranges) * _DIM).astype(np.uint8)
    for name, colour in COLOURS.items():
        if name not in masks or not masks[name].any():
            continue
        # Of a small mask something is seen in every square that it reaches into.
        mask = enlarge(_shrunk(masks[name], shrink) > 0, grow)
        ink = 255 * np.array(to_rgb(colour))
        picture[mask] = (picture[mask] * (1 - _FILL) + ink * _FILL).astype(np.uint8)
        draw_mask_edge(picture, mask, _rgb(colour))
    for area, line, dash in ((tissue, TISSUE, 0), (frame, FRAME, 12)):
        half = enlarge(_shrunk(area, shrink) >= 0.5, grow)
        draw_mask_edge(picture, half, line, dash=dash, width=2)
    return picture


def _rgb(colour: str) -> tuple[int, int, int]:
    r, g, b = (round(255 * v) for v in to_rgb(colour))
    return r, g, b


def _entries(masks: Mapping[str, NDArray[np.bool_]], legend: Mapping[str, str]) -> list[Item]:
    items = []
    for name, swatch, line in (("frame", "frame", FRAME), ("tissue", "line", TISSUE)):
        if name in legend:
            items.append(Item(legend[name], INK, swatch, line))
    for name, colour in COLOURS.items():
        if name in legend:
            drawn = name in masks and bool(masks[name].any())
            swatch = "filled" if drawn else ""
            items.append(Item(legend[name], INK if drawn else FAINT, swatch, _rgb(colour)))
    return items


def _page(
    title: str,
    pictures: list[NDArray[np.uint8]],
    heads: list[Item],
    under: list[list[str]],
    entries: list[Item],
    notes: Sequence[str],
    um: float | None,
) -> bytes:
    """Put everything on one sheet; PNG."""
    height, width = pictures[0].shape[:2]
    column = max(width, SMALLEST)
    across = 2 if len(pictures) <= 4 else 3
    down = math.ceil(len(pictures) / across)
    block = 28 + height + 2 * LINE + 10
    room = across * column + (across - 1) * GAP
    lines = rows_of(entries, room, TEXT)
    top = MARGIN + TITLE + 10
    end = top + down * block + len(lines) * 28 + len(notes) * LINE + MARGIN
    page = Canvas(end, room + 2 * MARGIN, BACKGROUND)
    page.text(MARGIN + TITLE, MARGIN, fitted(title, TITLE, room, True), TITLE, INK, bold=True)
    everything = Item("what is counted in, and what is no stain", INK)
    captions = [*under, ["", ""]]
    for i, (picture, head) in enumerate(zip(pictures, [*heads, everything], strict=True)):
        y, x = top + i // across * block, MARGIN + i % across * (column + GAP)
        page.text(y + 20, x, fitted(head.text, HEAD, column, True), HEAD, head.ink, bold=True)
        page.paste(picture, y + 28, x)
        scale_bar(page, y + 28 + height, x + width, width, um)
        for line, text in enumerate(captions[i]):
            base = y + 28 + height + (line + 1) * LINE - 4
            page.text(base, x, fitted(text, TEXT, column), TEXT, FAINT if line == 0 else INK)
    y = top + down * block
    for row in lines:
        for offset, item in row:
            entry(page, y, MARGIN + offset, item, TEXT)
        y += 28
    for note in notes:
        page.text(y + TEXT + 2, MARGIN, fitted(note, TEXT, room), TEXT, INK)
        y += LINE
    return page.png()
