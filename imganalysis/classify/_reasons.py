"""Why a cell has its class, in words that a reader of the table understands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from imganalysis import tables as t

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from imganalysis.panel import Context, Panel, Shape

CALL_SAID = ("negative", "positive", "indeterminate", "not measured")
"""Calls in a sentence, by their code."""

CONTEXT_SAID = ("no", "yes", "unknown")
"""Contexts in a sentence, by their digit."""

CAP_SAID = "cap: the section holds only the rim of this nucleus"


def context_said(panel: Panel, name: str, digit: int) -> str:
    """Say what a context is, and for yes, or of a shape, what that means.

    Parameters
    ----------
    panel
        Its `contexts`.
    name
        Of the context.
    digit
        0 no, 1 yes, 2 unknown.
    """
    said = f"{name} {CONTEXT_SAID[digit]}"
    meaning = _meaning(panel.contexts[name], digit)
    return f"{said} ({meaning})" if meaning else said


def _meaning(context: Context, digit: int) -> str:
    if digit > 1:
        return ""
    if context.kind == "shape":
        return _shape(context, yes=digit == 1)
    if digit == 0:
        return ""
    if context.kind == "lymphoid":
        return (
            f"{context.shape}, hardly any {context.no_trace_of}, and {context.min_neighbours} or "
            f"more such neighbours within {context.radius_um:g} um"
        )
    if context.kind == "sheet":
        others = f"{context.positive} positive cells of another shape"
        if context.cut_um is not None:
            return f"among {others} or with wide bodies, or wide or cut small where most are such"
        return f"among {others} or with wide bodies"
    if context.kind == "lonely_granular":
        return f"granular {context.positive}, away from other positive cells"
    return ""


def _shape(shape: Shape, *, yes: bool) -> str:
    parts = []
    if shape.min_diameter_um is not None:
        parts.append(f"{'over' if yes else 'not over'} {shape.min_diameter_um:g} um")
    if shape.max_diameter_um is not None:
        parts.append(f"{'at most' if yes else 'over'} {shape.max_diameter_um:g} um")
    if shape.max_aspect is not None:
        parts.append(f"aspect {'under' if yes else 'at least'} {shape.max_aspect:g}")
    return "nucleus " + (", " if yes else " or ").join(parts)


def remarks(cells: pd.DataFrame) -> tuple[NDArray[np.int64], int]:
    """Find what else is to be said of each cell, as a number: its fragments, and whether a cap.

    Returns
    -------
    numbers, count
        (N,) number from 0, as `remark_said` takes it, and how many there may be.
    """
    n = len(cells)
    cap: NDArray[np.int64] = np.zeros(n, dtype=np.int64)
    pieces: NDArray[np.int64] = np.ones(n, dtype=np.int64)
    if t.CAP in cells.columns:
        cap = cells[t.CAP].astype("boolean").fillna(False).to_numpy(bool).astype(np.int64)
    if t.FRAGMENTS in cells.columns:
        known = cells[t.FRAGMENTS].to_numpy(np.float64, na_value=np.nan)
        pieces = np.where(np.isnan(known), 1, known).astype(np.int64)
    return cap + 2 * pieces, 2 * int(pieces.max(initial=1)) + 2


def remark_said(number: int) -> str:
    """Put a number of `remarks` into words; empty where there is nothing to say."""
    pieces, cap = divmod(number, 2)
    said = [f"{pieces} fragments counted as one cell"] if pieces > 1 else []
    said += [CAP_SAID] if cap else []
    return "".join(f"; {text}" for text in said)
