"""The picture of a gate: who lies on which side of it, and what every rung of the ladder says."""

from __future__ import annotations

import io
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from imganalysis import tables as t
from imganalysis.report._canvas import printable
from imganalysis.report._plots import house_style
from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from imganalysis.classify.gates import Gate

    Cells = tuple[Gate, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], float]

INK, SAMPLES = "#1a1a1a", "#c9c9c9"
COLOURS = {"control_percentile": "#0072B2", "reference": "#D55E00", "mixture": "#009E73"}
"""Told apart with any colour vision (Okabe and Ito, 2008); each with a line of its own too."""

LINES = {
    "control_percentile": (0, (1, 1.2)),
    "reference": (0, (6, 2)),
    "mixture": (0, (6, 2, 1, 2)),
}
NAMES = {
    "control_percentile": "control", "reference": "reference", "mixture": "mixture",
    "manual": "by hand", "file": "from a file", "none": "no gate",
}  # fmt: skip
BINS, PER_PAGE, DPI = 70, 4, 110


def draw_gates(folder: Path, shown: Sequence[Cells]) -> list[Path]:
    """Draw the gates, one file per column that is gated, of at most four batches each.

    Parameters
    ----------
    folder
        For the PNG files ``COLUMN.png``, ``COLUMN_2.png`` and so on.
    shown
        Gate, values of the samples, the controls and the reference cells, and the indeterminate
        band of gates that do not give their own.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    OutputError
        A file cannot be written.
    """
    groups: dict[tuple[str, str], list[Cells]] = {}
    for cells in shown:
        groups.setdefault((cells[0].panel, cells[0].column), []).append(cells)
    columns = [column for _, column in groups]
    written = []
    for (panel, column), mine in groups.items():
        stem = column if columns.count(column) == 1 else f"{panel}_{column}"
        for page in range(0, len(mine), PER_PAGE):
            number = page // PER_PAGE + 1
            path = folder / f"{stem}{'' if number == 1 else f'_{number}'}.png"
            data = gate_figure(mine[page : page + PER_PAGE])
            t.write_atomic(path, partial(_write, data=data))
            written.append(path)
    return written


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def gate_figure(shown: Sequence[Cells]) -> bytes:
    """Draw one gate under the other; PNG, the same bytes for the same gates."""
    height = 3.6 * len(shown) + 0.3
    with house_style():
        figure = Figure(figsize=(9.6, height), dpi=DPI, facecolor="white")
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(shown), 1, squeeze=False)[:, 0]
        figure.subplots_adjust(
            left=0.085, right=0.70, top=1 - 0.4 / height, bottom=0.6 / height, hspace=0.42
        )
        for axis, cells in zip(axes, shown, strict=True):
            _draw(axis, *cells)
        stream = io.BytesIO()
        figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def _draw(
    axis: Any,
    gate: Gate,
    samples: NDArray[np.float64],
    controls: NDArray[np.float64],
    reference: NDArray[np.float64],
    band: float,
) -> None:
    drawn = [v for v in (samples, controls, reference) if v.size]
    axis.set_title(_title(gate), loc="left", fontsize=10.5, color=INK, fontweight="bold")
    axis.tick_params(labelsize=9, colors=INK)
    positive = np.concatenate([v[v > 0] for v in drawn]) if drawn else np.zeros(0)
    if not positive.size:
        axis.text(0.5, 0.5, "no cell with a value above 0", transform=axis.transAxes, ha="center")
        axis.set_xticks([]), axis.set_yticks([])
        return
    said = [v.value for v in gate.alternatives if v.value] + ([gate.value] if gate.value else [])
    low = min([float(np.quantile(positive, 0.002)), *(0.8 * v for v in said)])
    high = max([float(positive.max()) * 1.05, *(1.3 * v for v in said)])
    edges = np.geomspace(low, high, BINS + 1)
    axis.set_xscale("log")
    axis.set_yscale("function", functions=(_root, np.square))
    handles: list[Any] = []
    top = 0.0
    for values, name, style in (
        (samples, "samples", {"color": SAMPLES, "histtype": "stepfilled"}),
        (controls, "control", _outline("control_percentile")),
        (reference, "reference cells", _outline("reference")),
    ):
        if not values.size:
            continue
        # What lies left of the picture stands in its first bar.
        heights = axis.hist(
            np.clip(values, low, high), edges,
            weights=np.full(values.size, 100 / values.size), **style,
        )[0]  # fmt: skip
        top = max(top, float(heights.max()))
        handles.append(_handle(f"{name}, {plural(values.size, 'cell', form=',')}", style))
    axis.set_ylim(0, top * 1.12)
    axis.set_xlim(low, high)
    if gate.value is not None:
        first, last = gate.limits(band)
        if last > first:
            axis.axvspan(first, last, color="#f0e442", alpha=0.45, lw=0)
            handles.append(Patch(color="#f0e442", alpha=0.45, label="indeterminate"))
        axis.axvline(gate.value, color=INK, lw=2.2)
        how = NAMES[gate.method]
        handles.append(Line2D([], [], color=INK, lw=2.2, label=f"gate {gate.value:.4g}, {how}"))
    for verdict in gate.alternatives:
        name = NAMES[verdict.rung]
        if verdict.value is None:
            if verdict.reason != "no_reference":
                handles.append(_words(f"no gate by {name}:\n{verdict.reason}"))
            continue
        label = f"{name} {verdict.value:.4g}" + (f",\n{verdict.reason}" if verdict.reason else "")
        if verdict.rung != gate.method:
            line: dict[str, Any] = {"color": COLOURS[verdict.rung], "ls": LINES[verdict.rung]}
            axis.axvline(verdict.value, lw=1.8, **line)
            handles.append(Line2D([], [], lw=1.8, label=label, **line))
    handles += [_words(f"! {flag}") for flag in gate.flags]
    if gate.value is not None:
        reach = [
            f"{100 * float((values >= gate.value).mean()):.2g} % of the {name}"
            for name, values in (("samples", samples), ("control", controls))
            if values.size
        ]
        handles.append(_words("the gate is reached by\n" + "\n".join(reach)))
    below = 100 * float((samples < low).mean()) if samples.size else 0.0
    if below:
        handles.append(_words(f"first bar: and {below:.2g} % below"))
    axis.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.02), frameon=False, fontsize=8.5,
        handlelength=2.2, labelcolor=INK, alignment="left",
    )  # fmt: skip
    column = printable(gate.column)
    axis.set_xlabel(f"{column}, {gate.unit} (log scale)", fontsize=9.5, color=INK)
    axis.set_ylabel("cells, % (root scale)", fontsize=9.5, color=INK)
    axis.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    axis.yaxis.set_major_formatter(lambda y, _: f"{y:g}")
    ticks = [v for v in (0, 0.25, 1, 2.5, 5, 10, 20, 40, 80) if v <= top * 1.12]
    axis.set_yticks(ticks)


def _root(value: Any) -> Any:
    return np.sqrt(np.maximum(value, 0))


def _words(text: str) -> Any:
    return Line2D([], [], lw=0, label=text)


def _outline(rung: str) -> dict[str, Any]:
    return {"histtype": "step", "color": COLOURS[rung], "lw": 1.6}


def _handle(label: str, style: dict[str, Any]) -> Any:
    if style["histtype"] == "stepfilled":
        return Patch(color=style["color"], label=label)
    return Line2D([], [], color=style["color"], lw=style["lw"], label=label)


def _title(gate: Gate) -> str:
    place = f"panel {gate.panel}, batch {gate.batch or '-'}, acquisition {gate.acquisition or '-'}"
    return printable(f"{gate.marker}   {place}", bold=True)
