"""Figures with axes: the same look, and the same bytes, on every machine."""

from __future__ import annotations

from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from imganalysis.tables import write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BLACK, BLUE, ORANGE, GREEN, VERMILION, GREY = (
    "#000000", "#0072B2", "#E69F00", "#009E73", "#D55E00", "#767676",
)  # fmt: skip
"""Told apart with any colour vision (Okabe and Ito, 2008)."""

LINES = (BLUE, VERMILION, GREEN, BLACK, ORANGE, "#CC79A7", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

_LOOK: Any = {
    # No letter of a user's text is a command.
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.0,
    "axes.titlelocation": "left",
    "legend.frameon": False,
}


@contextmanager
def house_style() -> Iterator[None]:
    """Draw with the same look whatever the user's matplotlib is set to."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_LOOK)
        yield


@contextmanager
def figure_to(path: Path, width: float, height: float) -> Iterator[Any]:
    """Give a figure to draw on, inches, and write it as PNG.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    with house_style():
        figure: Any = Figure(figsize=(width, height), dpi=130, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        data = BytesIO()
        figure.savefig(data, format="png", metadata={"Software": None})
    content = data.getvalue()

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    write_atomic(path, write)
