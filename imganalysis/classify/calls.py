"""Calls: is a cell positive for a marker? Yes, no, or it cannot be told."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Literal

import numpy as np

from imganalysis import tables as t
from imganalysis.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray
    from pandas.api.extensions import ExtensionArray

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
    # Comparisons with NaN are false, so what is unknown stays unknown.
    positive = x >= b
    return _codes(positive, (x < a) & ~positive)


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
    either, both = np.logical_or, np.logical_and
    one, every = (either, both) if how == "any" else (both, either)
    # Call by call: along the axis of a stack numpy is many times slower.
    positive = reduce(one, [c == POSITIVE_CODE for c in calls])
    negative = reduce(every, [c == NEGATIVE_CODE for c in calls])
    absent = reduce(both, [c == ABSENT_CODE for c in calls])
    return _codes(positive, negative, absent)


def _codes(
    positive: NDArray[np.bool_],
    negative: NDArray[np.bool_],
    absent: NDArray[np.bool_] | bool = False,
) -> NDArray[np.uint8]:
    """Codes of calls that are one of these, else unknown; sums are many times faster than masks."""
    unknown = np.uint8(UNKNOWN_CODE)
    codes = unknown - (unknown - np.uint8(POSITIVE_CODE)) * positive
    codes = codes - (unknown - np.uint8(NEGATIVE_CODE)) * negative
    return np.asarray(codes + (np.uint8(ABSENT_CODE) - unknown) * absent, dtype=np.uint8)


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

    found = call_numbers(cells, panel, gates, band)
    words = {t.call_column(marker): call_words(codes) for marker, codes in found.items()}
    return pd.DataFrame(words, index=cells.index)


def call_numbers(
    cells: pd.DataFrame,
    panel: Panel,
    gates: Sequence[Gate],
    band: float,
    instead: Mapping[str, NDArray[np.float64]] | None = None,
) -> dict[str, NDArray[np.uint8]]:
    """Call every gated marker of a panel for every cell, in numbers.

    Parameters
    ----------
    cells, panel, gates, band
        As `call_cells` takes them.
    instead
        Column of a measure -> (N,) values that stand in for the table's; where given, only the
        markers of these columns are called.

    Returns
    -------
    dict
        Marker -> (N,) uint8, index into `CALL_WORDS`.

    Raises
    ------
    TableError
        A measure's column is missing.
    GatesError
        Two gates fit equally well.
    """
    from imganalysis.classify.gates import select_gate

    keys, group = batches_of(cells)
    out = {}
    for channel in panel.gated:
        if instead is not None and not any(column in instead for column in channel.columns):
            continue
        calls = []
        for measure, column in zip(channel.measures, channel.columns, strict=True):
            low, high = np.full(len(keys), np.nan), np.full(len(keys), np.nan)
            for i, (batch, acquisition) in enumerate(keys):
                gate = select_gate(
                    gates, channel.marker, column,
                    panel=panel.name, batch=batch, acquisition=acquisition,
                )  # fmt: skip
                if gate is not None:
                    low[i], high[i] = gate.limits(band)
            if instead is not None and column in instead:
                values = instead[column]
            else:
                values = measure_values(cells, channel.marker, measure)
            calls.append(call_between(values, low[group], high[group]))
        out[channel.marker] = combine(calls)
    return out


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


def call_words(codes: NDArray[np.uint8]) -> ExtensionArray:
    """Turn codes into the words of the table."""
    import pandas as pd

    return pd.Series(CALL_WORDS).array.take(codes)


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
