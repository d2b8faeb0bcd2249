"""Figures of agreement: differences on means, one reading on the other, crossed classes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis.report._canvas import printable as plain
from imganalysis.report._plots import BLACK, BLUE, GREY, ORANGE, VERMILION, figure_to

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

LETTERS_PER_INCH = 15
"""Of a line in the small font: a longer one is broken, or it leaves the figure."""

Limits = tuple[float, float, float]
"""Value, and the lower and upper end of its interval."""


@dataclass(frozen=True)
class PairPanel:
    """One comparison of two readings of the same biopsies, percent.

    Parameters
    ----------
    first_name, second_name
        Who; the difference is second minus first.
    first, second
        (biopsies,) readings.
    bias, lower, upper
        Of the difference; NaN where they cannot be had.
    slope
        Slope and intercept of the difference on the mean; NaN where they cannot be had.
    caption
        Under the title.
    """

    first_name: str
    second_name: str
    first: NDArray[np.float64]
    second: NDArray[np.float64]
    bias: Limits
    lower: Limits
    upper: Limits
    slope: tuple[float, float]
    caption: str = ""


def draw_bland_altman(path: Path, panels: Sequence[PairPanel], level: str = "95 %") -> None:
    """Draw difference on mean of every comparison, one scale for all, with interval bands.

    Parameters
    ----------
    path
        PNG to write.
    panels
        The comparisons.
    level
        Of the intervals, as shown.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    reach = _reach(panels)
    width, height = _size(len(panels), 4.2, 3.7)
    with figure_to(path, width, height) as figure:
        for axes, one in zip(_grid(figure, len(panels)), panels, strict=True):
            mean, difference = (one.first + one.second) / 2, one.second - one.first
            axes.axhline(0, color=GREY, lw=0.8)
            for (value, lo, hi), colour, dash, name in (
                (one.bias, BLUE, "-", "bias"),
                (one.upper, VERMILION, "--", "limit"),
                (one.lower, VERMILION, "--", "limit"),
            ):
                if math.isfinite(value):
                    axes.axhline(value, color=colour, ls=dash, lw=1.3)
                    axes.axhspan(lo, hi, color=colour, alpha=0.13, lw=0)
                    axes.annotate(
                        f"{name} {_signed(value)}", (1, value), ha="left", va="center",
                        xycoords=("axes fraction", "data"), xytext=(3, 0), fontsize=8,
                        textcoords="offset points", color=colour,
                    )  # fmt: skip
            if all(map(math.isfinite, one.slope)) and mean.size:
                ends = np.array([mean.min(), mean.max()])
                axes.plot(ends, one.slope[1] + one.slope[0] * ends, color=BLACK, lw=1, ls=":")
            axes.plot(mean, difference, "o", color=BLACK, mfc="white", ms=5, mew=1.1)
            axes.set_ylim(-reach, reach)
            axes.set_xlim(*_range(mean))
            axes.set_xlabel("mean of both (%)")
            axes.set_ylabel("difference (percent points)")
            axes.set_title(f"{plain(one.second_name)} \N{MINUS SIGN} {plain(one.first_name)}")
            _caption(axes, one.caption)
        said = (
            f"bands: {level} intervals of bias and limits of agreement; dotted: difference "
            "regressed on mean"
        )
        figure.supxlabel(fill(said, int(LETTERS_PER_INCH * width)), fontsize=8, color=GREY)


def draw_scatter(path: Path, panels: Sequence[PairPanel]) -> None:
    """Draw one reading on the other of every comparison, with the line of identity.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    both = [v for one in panels for v in (one.first, one.second)]
    low, high = _range(np.concatenate(both) if both else np.zeros(0))
    with figure_to(path, *_size(len(panels), 3.7, 3.8)) as figure:
        for axes, one in zip(_grid(figure, len(panels)), panels, strict=True):
            axes.plot([low, high], [low, high], color=GREY, lw=1)
            axes.annotate(
                "identity", (high, high), ha="right", va="top", fontsize=8, color=GREY,
                xytext=(-2, -34), textcoords="offset points",
            )  # fmt: skip
            axes.plot(one.first, one.second, "o", color=BLUE, mfc="white", ms=5, mew=1.2)
            axes.set_xlim(low, high)
            axes.set_ylim(low, high)
            axes.set_aspect("equal")
            axes.set_xlabel(f"{plain(one.first_name)} (%)")
            axes.set_ylabel(f"{plain(one.second_name)} (%)")
            axes.set_title(f"{plain(one.second_name)} on {plain(one.first_name)}")
            _caption(axes, one.caption)


def draw_confusions(path: Path, confusions: Mapping[str, pd.DataFrame]) -> None:
    """Draw crossed classes: counts as numbers, the share of each row as shade.

    Parameters
    ----------
    path
        PNG to write.
    confusions
        Comparison -> cells by class of the first reading (rows) and of the second.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    n = len(confusions)
    across = max([len(c.columns) for c in confusions.values()], default=1)
    down = max([len(c.index) for c in confusions.values()], default=1)
    names = [str(v) for c in confusions.values() for v in (*c.index, *c.columns)]
    label = 0.075 * max(map(len, names), default=1)
    with figure_to(
        path, *_size(n, 0.62 * across + label + 0.9, 0.42 * down + label + 1.0)
    ) as figure:
        for axes, (name, crossed) in zip(_grid(figure, n), confusions.items(), strict=True):
            _heat(axes, crossed)
            second, _, first = name.partition(" against ")
            axes.set_title(plain(name), fontsize=9)
            axes.set_xlabel(plain(second), fontsize=9)
            axes.set_ylabel(plain(first), fontsize=9)
        figure.supxlabel("numbers: cells; shade: share of the row", fontsize=8, color=GREY)


def _heat(axes: Any, crossed: pd.DataFrame) -> None:
    counts = crossed.to_numpy(dtype=float)
    total = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (i, j), value in np.ndenumerate(counts):
        same = crossed.index[i] == crossed.columns[j]
        axes.text(
            j, i, f"{value:.0f}", ha="center", va="center", fontsize=8,
            color="white" if share[i, j] > 0.55 else BLACK, fontweight="bold" if same else "normal",
        )  # fmt: skip
        if same:
            axes.add_patch(_frame(i, j))
    axes.set_xticks(range(len(crossed.columns)), [plain(str(c)) for c in crossed.columns])
    axes.set_yticks(range(len(crossed.index)), [plain(str(c)) for c in crossed.index])
    axes.tick_params(axis="x", rotation=45, length=0, labelsize=8)
    for tick in axes.get_xticklabels():
        tick.set_horizontalalignment("right")
        tick.set_rotation_mode("anchor")
    axes.tick_params(axis="y", length=0, labelsize=8)
    for side in axes.spines.values():
        side.set_visible(False)


def _frame(i: int, j: int) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, ec=ORANGE, lw=1.5)


def _grid(figure: Any, n: int) -> list[Any]:
    across, down = _shape(n)
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for extra in axes[n:]:
        extra.set_visible(False)
    return list(axes[:n])


def _size(n: int, width: float, height: float) -> tuple[float, float]:
    across, down = _shape(n)
    return width * across + 0.3, height * down + 0.3


def _shape(n: int) -> tuple[int, int]:
    across = 2 if n == 4 else min(max(n, 1), 3)
    return across, math.ceil(max(n, 1) / across)


def _signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "\N{MINUS SIGN}")


def _caption(axes: Any, text: str) -> None:
    if text:
        axes.text(0.02, 0.98, plain(text), transform=axes.transAxes, fontsize=8, va="top")


def _reach(panels: Sequence[PairPanel]) -> float:
    ends = [5.0]
    for one in panels:
        ends += [abs(v) for part in (one.bias, one.lower, one.upper) for v in part]
        ends += np.abs(one.second - one.first).tolist()
    return 1.25 * max(v for v in ends if math.isfinite(v))


def _range(values: NDArray[np.float64]) -> tuple[float, float]:
    if not values.size:
        return 0.0, 100.0
    room = max(2.0, 0.08 * float(np.ptp(values)))
    return max(-1.0, float(values.min()) - room), min(101.0, float(values.max()) + room)
