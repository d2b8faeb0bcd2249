"""The sheet of an overlay: title, pictures, scale bars, legends."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from imganalysis.report._canvas import Canvas, fitted, text_width
from imganalysis.report._outlines import draw_mask_edge, draw_nuclei

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

SMALLEST_WIDTH = 800  # pixels, of a picture's column
BACKGROUND = (18, 18, 18)
FRAME, TISSUE = (255, 255, 255), (205, 190, 120)
GAP, MARGIN = 12, 14
TITLE, TEXT, SMALL = 24, 19, 15  # height of letters in pixels
LINE = 30
INK, FAINT = (0.95, 0.95, 0.95), (0.65, 0.65, 0.65)


@dataclass(frozen=True)
class Item:
    """One entry of the legend."""

    text: str
    ink: tuple[float, float, float]
    swatch: str = ""  # nucleus, dashed, frame, tissue, filled, line
    colour: tuple[int, int, int] = FRAME


def rows_of(
    items: Iterable[Item], room: float, size: float = TEXT
) -> list[list[tuple[float, Item]]]:
    """Break entries into rows; each with its x."""
    rows: list[list[tuple[float, Item]]] = [[]]
    x = 0.0
    for item in items:
        width = text_width(item.text, size) + (32 if item.swatch else 0)
        if rows[-1] and x + width > room:
            rows.append([])
            x = 0.0
        rows[-1].append((x, item))
        x += width + 26
    return rows


def sheet(
    pictures: list[NDArray[np.uint8]], columns: list[list[Item]], title: str, um: float | None
) -> bytes:
    """Put title, pictures and legends on one sheet; PNG."""
    height, width = pictures[0].shape[:2]
    column = max(width, SMALLEST_WIDTH)
    xs = [MARGIN + i * (column + GAP) for i in range(len(pictures))]
    legends = [rows_of(items, column) for items in columns]
    together = len(pictures) == 1
    depth = sum(map(len, legends)) if together else max(map(len, legends))
    top = MARGIN + TITLE + 14
    page = Canvas(
        top + height + 10 + depth * LINE + MARGIN,
        2 * MARGIN + len(pictures) * column + (len(pictures) - 1) * GAP,
        BACKGROUND,
    )
    room = page.pixels.shape[1] - 2 * MARGIN
    page.text(MARGIN + TITLE, MARGIN, fitted(title, TITLE, room, True), TITLE, INK, bold=True)
    for picture, x in zip(pictures, xs, strict=True):
        page.paste(picture, top, x)
        scale_bar(page, top + height, x + width, width, um)
    y: float = top + height + 10
    for i, rows in enumerate(legends):
        for row, entries in enumerate(rows):
            for offset, item in entries:
                entry(page, y + row * LINE, xs[0 if together else i] + offset, item)
        y += len(rows) * LINE if together else 0
    return page.png()


def entry(sheet: Canvas, y: float, x: float, item: Item, size: int = TEXT) -> None:
    """Put one entry of a legend with its upper left corner at (y, x)."""
    if item.swatch:
        _swatch(sheet, round(y) + 4, round(x), item)
        x += 32
    sheet.text(y + size + 2, x, item.text, size, item.ink)


def _swatch(sheet: Canvas, y: int, x: int, item: Item) -> None:
    side = 23
    box = np.zeros((side, side, 3), np.uint8)
    if item.swatch in ("nucleus", "dashed"):
        rows, columns = np.ogrid[:side, :side]
        disc = ((rows - 11) ** 2 + (columns - 11) ** 2 <= 90).astype(np.uint32)
        table = np.array([item.colour] * 2, np.uint8)
        draw_nuclei(box, disc, table, np.array([False, item.swatch == "nucleus"]), width=4)
    elif item.swatch == "line":
        box[10:13, 1:22] = item.colour
    elif item.swatch == "filled":
        box[4:19, 2:21] = item.colour
    else:
        half = np.zeros((side, side), bool)
        half[11:] = True
        wide = item.swatch == "frame"
        draw_mask_edge(box, half, item.colour, dash=6 if wide else 3, width=2 if wide else 1)
    sheet.paste(box, y, x)


def scale_bar(sheet: Canvas, bottom: int, right: int, width: int, um: float | None) -> None:
    """Draw a bar of a round length into the lower right corner, on a dark ground."""
    if um is None:
        note = "no scale: pixel size unknown"
        room = round(text_width(note, SMALL)) + 16
        sheet.pixels[bottom - 30 : bottom - 6, right - room - 6 : right - 6] //= 4
        sheet.text(bottom - 13, right - 14, note, SMALL, INK, align="right")
        return
    length = round_length(width * um / 4.5)
    pixels = max(1, round(length / um))
    text = f"{length:g} \N{MICRO SIGN}m"
    room = max(pixels, round(text_width(text, TEXT))) + 20
    sheet.pixels[bottom - 48 : bottom - 8, right - room - 8 : right - 8] //= 4
    middle = right - 8 - room / 2
    start = round(middle - pixels / 2)
    sheet.pixels[bottom - 19 : bottom - 14, start : start + pixels] = 255
    sheet.text(bottom - 26, middle, text, TEXT, INK, align="center")


def round_length(um: float) -> float:
    """Find the largest of 1, 2, 5 times a power of ten that is not above a length."""
    power = 10.0 ** math.floor(math.log10(um))
    return next(m * power for m in (5, 2, 1) if m * power <= um * (1 + 1e-9))
