"""A picture with text on it: pixels in, PNG out, the same bytes every time."""

from __future__ import annotations

import struct
import unicodedata
import zlib
from bisect import bisect_left
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, get_font

if TYPE_CHECKING:
    from numpy.typing import NDArray

DPI = 100
Colour = tuple[float, float, float]


@cache
def _font_file(bold: bool) -> str:
    # The font that comes with matplotlib, so that every machine draws the same.
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return str(Path(mpl.get_data_path()) / "fonts" / "ttf" / name)


def _font(size: float, bold: bool) -> FontProperties:
    """Font of a height in pixels."""
    return FontProperties(fname=_font_file(bold), size=size * 72 / DPI)


def printable(text: str, bold: bool = False) -> str:
    """Replace what the font cannot draw by a box, and control characters by blanks."""
    font = get_font(_font_file(bold))
    out = []
    for letter in unicodedata.normalize("NFC", text):
        if unicodedata.category(letter)[0] in "CZ":
            out.append(" ")
        else:
            out.append(letter if font.get_char_index(ord(letter)) else "\N{WHITE SQUARE}")
    return "".join(out)


@cache
def _measuring() -> Any:
    canvas: Any = FigureCanvasAgg(Figure(figsize=(1, 1), dpi=DPI))
    return canvas.get_renderer()


def text_width(text: str, size: float, bold: bool = False) -> float:
    """Width of a line of text in pixels."""
    drawn = printable(text, bold)
    width, _, _ = _measuring().get_text_width_height_descent(drawn, _font(size, bold), False)
    return float(width)


def fitted(text: str, size: float, room: float, bold: bool = False) -> str:
    """Cut a text in its middle until it fits into so many pixels."""

    def cut(keep: int) -> str:
        head = (keep + 1) // 2
        return text[:head] + "\N{HORIZONTAL ELLIPSIS}" + text[len(text) - (keep - head) :]

    if text_width(text, size, bold) <= room:
        return text
    too_wide = bisect_left(
        range(len(text)), True, key=lambda keep: text_width(cut(keep), size, bold) > room
    )
    return cut(max(too_wide - 1, 0))


class Canvas:
    """Pixels, and texts to be drawn on them.

    Parameters
    ----------
    height, width
        In pixels.
    background
        Red, green, blue, 0 to 255.
    """

    def __init__(self, height: int, width: int, background: tuple[int, int, int]) -> None:
        self.pixels = np.empty((height, width, 3), np.uint8)
        self.pixels[:] = background
        self._texts: list[tuple[float, float, str, dict[str, Any]]] = []

    def paste(self, picture: NDArray[np.uint8], y: int, x: int) -> None:
        """Put a (Y, X, 3) picture with its upper left corner at (y, x)."""
        self.pixels[y : y + picture.shape[0], x : x + picture.shape[1]] = picture

    def text(
        self,
        y: float,
        x: float,
        text: str,
        size: float,
        colour: Colour | str,
        *,
        bold: bool = False,
        align: str = "left",
    ) -> None:
        """Put a line of text with its base line at y; no letter of it is a command."""
        how = {
            "fontproperties": _font(size, bold),
            "color": colour,
            "ha": align,
            "va": "baseline",
            "parse_math": False,
        }
        self._texts.append((y, x, printable(text, bold), how))

    def png(self) -> bytes:
        """Give the picture as a PNG without date or version in it."""
        self._draw_texts()
        return encode_png(self.pixels)

    def _draw_texts(self) -> None:
        height, width = self.pixels.shape[:2]
        with mpl.rc_context():
            mpl.rcdefaults()
            figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="none")
            canvas: Any = FigureCanvasAgg(figure)
            for y, x, text, how in self._texts:
                figure.text(x / width, 1 - y / height, text, **how)
            canvas.draw()
            layer = np.asarray(canvas.buffer_rgba())
        inked = np.nonzero(layer[..., 3])
        ink = layer[inked].astype(np.uint16)
        alpha = ink[:, 3:]
        under = self.pixels[inked].astype(np.uint16)
        self.pixels[inked] = (ink[:, :3] * alpha + under * (255 - alpha) + 127) // 255
        self._texts.clear()


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode (Y, X, 3) uint8 as PNG: 8 bit RGB, each row as the difference from the one above."""
    height, width = pixels.shape[:2]
    rows = pixels.reshape(height, width * 3)
    lines = np.empty((height, width * 3 + 1), np.uint8)
    lines[:, 0] = 2  # the filter "Up"; enlarged pictures repeat their rows
    lines[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=lines[1:, 1:])  # modulo 256, as PNG wants it
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 6)), (b"IEND", b""))
    out = [b"\x89PNG\r\n\x1a\n"]
    for kind, data in chunks:
        out += [struct.pack(">I", len(data)), kind, data]
        out.append(struct.pack(">I", zlib.crc32(kind + data)))
    return b"".join(out)
