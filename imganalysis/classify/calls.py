"""Calls: is a cell positive for a marker? Yes, no, or it cannot be told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from imganalysis import tables as t
from imganalysis.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from imganalysis.classify.gates import Gate
    from imganalysis.panel import Measure, Panel

NEGATIVE_CODE, POSITIVE_CODE, UNKNOWN_CODE, ABSENT_CODE = range(4)
"""Calls as small numbers; the first two are false and true, the third is neither."""

CALL_WORDS = (t.NEGATIVE, t.POSITIVE, t.INDETERMINATE, t.NOT_MEASURED)
"""Calls as words, by their code."""


def call(values: ArrayLike, gate: ArrayLike, band: ArrayLike = 0.0) -> NDArray[np.uint8]:
    """Call cells positive, negative or indeterminate.

    Positive from ``gate * (1 + band)`` on, negative under ``gate * (1 - band)``, indeterminate
    between; so without a band a value equal to the gate is positive.

    Parameters
    ----------
    values
        (N,) statistic of the marker; NaN is indeterminate.
    gate
        One for all, or (N,); above 0; NaN is no gate: indeterminate.
    band
        Half-width of the indeterminate band, as a share of the gate; one for all, or (N,).

    Returns
    -------
    array
        (N,) uint8, index into `CALL_WORDS`.
    """
    g, b = (np.asarray(a, dtype=np.float64) for a in (gate, band))
    return call_between(values, g * (1 - b), g * (1 + b))


def call_between(values: ArrayLike, low: ArrayLike, high: ArrayLike) -> NDArray[np.uint8]:
    """Call cells by where calls change, as `Gate.limits` gives it.

    Parameters
    ----------
    values
        (N,) statistic of the marker; NaN is indeterminate.
    low, high
        Negative under the first, positive from the second on, indeterminate between; one for
        all, or (N,); NaN is no gate: indeterminate.

    Returns
    -------
    array
        (N,) uint8, index into `CALL_WORDS`.
    """
    x, a, b = (np.asarray(v, dtype=np.float64) for v in (values, low, high))
    codes = np.full(np.broadcast_shapes(x.shape, a.shape, b.shape), UNKNOWN_CODE, dtype=np.uint8)
    # Comparisons with NaN are false, so what is unknown stays unknown.
    codes[np.broadcast_to(x < a, codes.shape)] = NEGATIVE_CODE
    codes[np.broadcast_to(x >= b, codes.shape)] = POSITIVE_CODE
    return codes


def combine(
    calls: Sequence[NDArray[np.uint8]], how: Literal["any", "all"] = "any"
) -> NDArray[np.uint8]:
    """Combine several calls of the same cells by Kleene's three-valued logic.

    Parameters
    ----------
    calls
        (N,) uint8 each; what was not measured counts as unknown, unless nothing was measured.
    how
        ``any``: positive if one is positive, negative if all are negative. ``all``: the reverse.

    Returns
    -------
    array
        (N,) uint8.
    """
    stacked = np.stack(calls)
    decides = POSITIVE_CODE if how == "any" else NEGATIVE_CODE
    other = NEGATIVE_CODE if how == "any" else POSITIVE_CODE
    out = np.full(stacked.shape[1:], UNKNOWN_CODE, dtype=np.uint8)
    out[(stacked == other).all(axis=0)] = other
    out[(stacked == decides).any(axis=0)] = decides
    out[(stacked == ABSENT_CODE).all(axis=0)] = ABSENT_CODE
    return out


def measure_values(cells: pd.DataFrame, marker: str, measure: Measure) -> NDArray[np.float64]:
    """Read a marker's measure from a table of cells.

    Parameters
    ----------
    cells
        One row per cell.
    marker
        As in the panel.
    measure
        Compartment and statistic; ``max`` is worked out from nucleus and ring, where the
        table does not hold it: the nucleus where the ring has no area, else unknown if one of
        the two is.

    Returns
    -------
    array
        (N,) float64.

    Raises
    ------
    TableError
        The column is missing.
    """
    column = t.measure_column(marker, measure.compartment, measure.statistic)
    if measure.compartment == "max" and column not in cells.columns:
        parts = [t.measure_column(marker, c, measure.statistic) for c in ("nucleus", "ring")]
        t.require(cells, parts, source=f"cells, for {column}")
        nucleus, ring = (cells[c].to_numpy(dtype=np.float64, na_value=np.nan) for c in parts)
        greater = np.maximum(nucleus, ring)
        if t.RING_AREA in cells.columns:
            greater = np.where(cells[t.RING_AREA] == 0, nucleus, greater)
        return greater
    t.require(cells, [column], source="cells")
    return cells[column].to_numpy(dtype=np.float64, na_value=np.nan)


def call_cells(
    cells: pd.DataFrame, panel: Panel, gates: Sequence[Gate], band: float
) -> pd.DataFrame:
    """Call every gated marker of a panel for every cell.

    A marker with several measures is positive if one of them is, negative if all are.

    Parameters
    ----------
    cells
        One row per cell of this panel, with the measures; ``batch`` and ``acquisition`` say
        which gate holds for a row (absent: the same for all).
    panel
        Its gated channels are called.
    gates
        Those of the study; a marker without a gate is indeterminate.
    band
        Indeterminate band of gates that do not give their own.

    Returns
    -------
    table
        Index of `cells`; one column ``MARKER_call`` each, of the words in `CALL_WORDS`.

    Raises
    ------
    TableError
        A measure's column is missing.
    GatesError
        Two gates fit equally well.
    """
    import pandas as pd

    from imganalysis.classify.gates import select_gate

    keys, group = batches_of(cells)
    out = {}
    for channel in panel.gated:
        calls = []
        for measure in channel.measures:
            column = t.measure_column(channel.marker, measure.compartment, measure.statistic)
            low, high = np.full(len(keys), np.nan), np.full(len(keys), np.nan)
            for i, (batch, acquisition) in enumerate(keys):
                gate = select_gate(
                    gates, channel.marker, column,
                    panel=panel.name, batch=batch, acquisition=acquisition,
                )  # fmt: skip
                if gate is not None:
                    low[i], high[i] = gate.limits(band)
            values = measure_values(cells, channel.marker, measure)
            calls.append(call_between(values, low[group], high[group]))
        out[t.call_column(channel.marker)] = call_words(combine(calls))
    return pd.DataFrame(out, index=cells.index)


def batches_of(cells: pd.DataFrame) -> tuple[list[tuple[str, str]], NDArray[np.intp]]:
    """List the (batch, acquisition) pairs of a table, and which one each cell has."""
    import pandas as pd

    names: list[list[str]] = []
    codes = []
    for column in (t.BATCH, t.ACQUISITION):
        if column in cells.columns:
            code, words = pd.factorize(cells[column].astype(str))
            names.append([str(word) for word in words])
        else:
            code = np.zeros(len(cells), dtype=np.intp)
            names.append([""])
        codes.append(code)
    width = max(len(names[1]), 1)
    both = np.asarray(codes[0] * width + codes[1], dtype=np.intp)
    seen = np.bincount(both, minlength=1) > 0
    pairs = np.flatnonzero(seen)
    return [(names[0][p // width], names[1][p % width]) for p in pairs], (np.cumsum(seen) - 1)[both]


def is_present(cells: pd.DataFrame) -> NDArray[np.bool_]:
    """Find the cells that are there for their neighbours: those counted, and the guard frame's.

    Debris, and what lies outside the tissue, is no neighbour. Without the columns that tell,
    every cell is one.
    """
    if t.EVALUABLE not in cells.columns:
        return np.ones(len(cells), dtype=bool)
    present = cells[t.EVALUABLE].to_numpy(dtype=bool)
    if t.EXCLUSION in cells.columns:
        present = present | (cells[t.EXCLUSION] == "outside_frame").to_numpy(
            dtype=bool, na_value=False
        )
    return present


def call_words(codes: NDArray[np.uint8]) -> NDArray[np.object_]:
    """Turn codes into the words of the table."""
    return np.array(CALL_WORDS, dtype=object)[codes]


def call_codes(cells: pd.DataFrame, marker: str) -> NDArray[np.uint8]:
    """Read a marker's calls from a table of cells.

    Returns
    -------
    array
        (N,) uint8, index into `CALL_WORDS`; an empty call is unknown.

    Raises
    ------
    TableError
        The column is missing, or holds another word.
    """
    import pandas as pd

    column = t.call_column(marker)
    t.require(cells, [column], source="cells")
    index, words = pd.factorize(cells[column])
    wrong = sorted(set(words) - set(CALL_WORDS))
    if wrong:
        raise TableError(
            f"cells: column {column} holds {', '.join(map(repr, wrong))}; "
            f"calls are {', '.join(CALL_WORDS)}"
        )
    lookup = np.array([*(CALL_WORDS.index(w) for w in words), UNKNOWN_CODE], dtype=np.uint8)
    return lookup[index]  # pandas gives -1 for missing, which is the last
