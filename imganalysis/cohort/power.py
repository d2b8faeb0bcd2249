"""How many fields and cells one biopsy needs: answered by drawing biopsies and analysing them.

Each draw is analysed by the same estimators that the results are made with. Every number of a
simulation stands beside its standard error (columns ``_se``), which falls with the square root
of the repeats.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis.quantify.statistics import cluster_proportion

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Progress = Callable[[str, int, int], None]

BOOTSTRAPS = 200
PRECISION_COLUMNS = (
    "p", "rho", "fields", "cells_per_field", "cells", "half_width_points", "half_width_points_se",
    "coverage", "coverage_se", "naive_half_width_points", "naive_coverage", "naive_coverage_se",
    "bootstrap_half_width_points", "bootstrap_coverage", "bootstrap_coverage_se", "repeats",
)  # fmt: skip
RARE_COLUMNS = (
    "share", "rho", "lymphocytes", "fields", "expected_cells", "p_none", "p_none_se",
    "half_width_points", "half_width_points_se", "floor", "p_above_floor", "p_above_floor_se",
    "coverage", "coverage_se", "repeats",
)  # fmt: skip


def stream(seed: int, *what: float) -> np.random.Generator:
    """Give a row its own stream, so that it is the same whatever other rows are asked for."""
    return np.random.default_rng([seed, *(round(v * 1e6) for v in what)])


def share_se(hits: int, repeats: int) -> float:
    """Monte Carlo standard error of a share, above 0 also where all or none of them hit."""
    p = (hits + 1) / (repeats + 2)
    return float(np.sqrt(p * (1 - p) / repeats))


def draw_fields(
    rng: np.random.Generator, p: float, rho: float, cells: NDArray[Any], repeats: int
) -> NDArray[np.int64]:
    """Draw cells with the property in the fields of biopsies, beta-binomial.

    Parameters
    ----------
    rng
        Random numbers.
    p
        Share of all cells, 0 to 1.
    rho
        Correlation of cells of one field, 0 to below 1.
    cells
        (fields,) cells counted in each.
    repeats
        Biopsies.

    Returns
    -------
    (repeats, fields) int64
    """
    shape = (repeats, len(cells))
    if rho > 0 and 0 < p < 1:
        own = rng.beta(p * (1 - rho) / rho, (1 - p) * (1 - rho) / rho, shape)
    else:
        own = np.full(shape, float(p))
    return rng.binomial(np.broadcast_to(cells, shape), own).astype(np.int64)


def _intervals(x: NDArray[np.int64], cells: NDArray[Any]) -> NDArray[np.float64]:
    """Interval and naive interval of each biopsy: (repeats, 4)."""
    found = [cluster_proportion(row, cells) for row in x]
    return np.array([(e.lo, e.hi, e.naive_lo, e.naive_hi) for e in found])


def _bootstrap(
    rng: np.random.Generator, x: NDArray[np.int64], cells: NDArray[Any]
) -> NDArray[np.float64]:
    """Percentile bootstrap of fields, (repeats, 2): for comparison, the toolkit has none."""
    m = x.shape[1]
    ends = np.empty((len(x), 2))
    for i, row in enumerate(x):
        pick = rng.integers(0, m, (BOOTSTRAPS, m))
        ends[i] = np.quantile(row[pick].sum(axis=1) / cells[pick].sum(axis=1), (0.025, 0.975))
    return ends


def _covered(ends: NDArray[np.float64], p: float, name: str) -> dict[str, float]:
    # At p = 0 and 1 an end equals p up to rounding.
    hits = int(((ends[:, 0] <= p + 1e-12) & (p - 1e-12 <= ends[:, 1])).sum())
    return {name: hits / len(ends), f"{name}_se": share_se(hits, len(ends))}


def _half(ends: NDArray[np.float64]) -> tuple[float, float]:
    """Mean half width in percent points, and its standard error."""
    half = 50 * (ends[:, 1] - ends[:, 0])
    return float(half.mean()), float(half.std(ddof=1) / np.sqrt(len(half)))


def precision_table(
    p: float,
    rho: float,
    fields: Sequence[int],
    cells: Sequence[int],
    *,
    repeats: int = 1000,
    seed: int = 0,
    bootstrap: bool = False,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Say how wide the interval of one biopsy is, and how often it holds the truth.

    Parameters
    ----------
    p, rho
        Share of cells with the property; correlation of cells of one field.
    fields, cells
        Numbers of fields, and of cells counted in each, of which every pair is tried.
    repeats
        Biopsies drawn for each.
    seed
        Same seed, same table.
    bootstrap
        Add the percentile bootstrap of fields, for comparison.
    progress
        Called with (step, done, total).

    Returns
    -------
    DataFrame
        Columns `PRECISION_COLUMNS`; half widths in percent points.
    """
    rows = []
    pairs = [(m, n) for n in cells for m in fields]
    for done, (m, n) in enumerate(pairs, start=1):
        rng = stream(seed, 1, p, rho, m, n)
        each = np.full(m, n)
        x = draw_fields(rng, p, rho, each, repeats)
        ends = _intervals(x, each)
        row: dict[str, Any] = {
            "p": p, "rho": rho, "fields": m, "cells_per_field": n, "cells": m * n,
            "repeats": repeats, "naive_half_width_points": _half(ends[:, 2:])[0],
        }  # fmt: skip
        row["half_width_points"], row["half_width_points_se"] = _half(ends[:, :2])
        row |= _covered(ends[:, :2], p, "coverage") | _covered(ends[:, 2:], p, "naive_coverage")
        if bootstrap:
            other = _bootstrap(rng, x, each)
            row["bootstrap_half_width_points"] = _half(other)[0]
            row |= _covered(other, p, "bootstrap_coverage")
        rows.append(row)
        if progress:
            progress("one biopsy", done, len(pairs))
    return pd.DataFrame(rows, columns=list(PRECISION_COLUMNS))


def rare_table(
    share: float,
    rho: float,
    lymphocytes: Sequence[int],
    cells_per_field: int,
    *,
    floor: float = 0.01,
    repeats: int = 1000,
    seed: int = 0,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Say what can be known of a rare class from so many cells.

    Parameters
    ----------
    share
        Of the class among the cells of its denominator, 0 to 1.
    rho
        Correlation of cells of one field.
    lymphocytes
        Cells of the denominator, all fields together.
    cells_per_field
        Of the denominator in one field; more cells are more fields.
    floor
        Share that false calls alone give; an interval that does not lie above it shows nothing.
    repeats, seed, progress
        As in `precision_table`.

    Returns
    -------
    DataFrame
        Columns `RARE_COLUMNS`.
    """
    rows = []
    for done, total in enumerate(lymphocytes, start=1):
        m = max(1, round(total / cells_per_field))
        each = np.full(m, total // m) + (np.arange(m) < total % m)
        x = draw_fields(
            stream(seed, 2, share, rho, total, cells_per_field), share, rho, each, repeats
        )
        ends = _intervals(x, each)
        none, above = int((x.sum(axis=1) == 0).sum()), int((ends[:, 0] > floor).sum())
        row: dict[str, Any] = {
            "share": share, "rho": rho, "lymphocytes": total, "fields": m,
            "expected_cells": share * total, "p_none": none / repeats,
            "p_none_se": share_se(none, repeats), "floor": floor,
            "p_above_floor": above / repeats, "p_above_floor_se": share_se(above, repeats),
            "repeats": repeats,
        }  # fmt: skip
        row["half_width_points"], row["half_width_points_se"] = _half(ends[:, :2])
        rows.append(row | _covered(ends[:, :2], share, "coverage"))
        if progress:
            progress("rare class", done, len(lymphocytes))
    return pd.DataFrame(rows, columns=list(RARE_COLUMNS))
