"""How sure the counts of a fraction are: gates drawn anew, probabilities, false calls."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from imganalysis import tables as t
from imganalysis.classify.calls import NEGATIVE_CODE, POSITIVE_CODE, UNKNOWN_CODE
from imganalysis.counted import Counted, membership
from imganalysis.panel import markers_needed
from imganalysis.quantify.misclassified import PATTERNS, WIDTH, deciding_marker, pattern

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from imganalysis.classify.gates import Gate
    from imganalysis.panel import FractionOf

DRAWS = 100
"""Sets of gates that are drawn."""


def gate_factors(gate: Gate | None, marker: str, column: str) -> NDArray[np.float64]:
    """Draw a gate anew from its standard error.

    Parameters
    ----------
    gate
        With a standard error, or none.
    marker, column
        Whose it is: of two gates each has its own draws, one gate has the same everywhere.

    Returns
    -------
    array
        (DRAWS,) factors of its value: quantiles of a log-normal distribution in an order that the
        gate's place decides on. NaN without a standard error; 1 where there is no gate.
    """
    from scipy.special import ndtri

    if gate is None or gate.value is None:
        return np.ones(DRAWS)
    if gate.se is None:
        return np.full(DRAWS, np.nan)
    words = "\n".join((marker, column, gate.panel, gate.batch, gate.acquisition))
    seed = int(hashlib.sha256(words.encode()).hexdigest()[:16], 16)
    order = np.random.default_rng(seed).permutation(DRAWS)
    return np.asarray(np.exp(ndtri((order + 0.5) / DRAWS) * gate.se / gate.value))


def drawn_counts(one: Counted, fraction: FractionOf) -> NDArray[np.float64]:
    """Count the numerator and denominator of a fraction with its gates drawn anew.

    The region and all else that hangs on neighbours stay as they are. Only cells near a gate
    can change, so only they are called again.

    Returns
    -------
    array
        (DRAWS, fields, 2); NaN in fields with a gate that has no standard error.
    """
    recall, n = one.recall, len(one.fields)
    needed = _needed(one, fraction)
    sides = membership(one, fraction)

    def count(states: NDArray[np.int64], rows: NDArray[np.intp]) -> NDArray[np.int64]:
        return np.stack([np.bincount(rows[side[states]], minlength=n) for side in sides], axis=-1)

    factors: dict[str, list[NDArray[np.float64]]] = {}  # per measure (batches, DRAWS)
    unknown = np.zeros(recall.n_batches, dtype=bool)
    changes = np.zeros(len(one.rows), dtype=bool)
    for marker in needed:
        own = zip(one.part.panel.channel(marker).columns, recall.markers[marker].gates, strict=True)
        drawn = [
            np.reshape([gate_factors(g, marker, c) for g in gates], (len(gates), DRAWS))
            for c, gates in own
        ]
        for each in drawn:
            unknown |= np.isnan(each).any(axis=1)
        factors[marker] = drawn = [np.nan_to_num(each, nan=1.0) for each in drawn]
        ends = [
            recall.digits(marker, [edge(d, axis=1) for d in drawn]) for edge in (np.min, np.max)
        ]
        changes |= ends[0] != ends[1]
    some = np.flatnonzero(changes)
    near, rows = recall.only(some), one.rows[some]
    fixed = count(recall.states, one.rows) - count(near.states, rows)
    result = np.empty((DRAWS, n, 2))
    for i in range(DRAWS):
        digits = {m: near.digits(m, [d[:, i] for d in own]) for m, own in factors.items()}
        result[i] = fixed + count(near.moved(digits), rows)
    result[:, one.fields_where(unknown)] = np.nan
    return result


def soft_counts(one: Counted, fraction: FractionOf) -> pd.DataFrame:
    """Add up the probabilities that cells are in the numerator and in the denominator.

    Markers are taken for independent given the cell, contexts stay as they are. What the table
    leaves open for a context that is unknown is in neither.

    Returns
    -------
    DataFrame
        Index: field; ``numerator`` and ``denominator``; NaN in fields with a cell of which a
        marker that the fraction needs has no probability.
    """
    import pandas as pd

    recall, n = one.recall, len(one.fields)
    asked = recall.table.rules.markers
    needed = _needed(one, fraction)
    chance, unknown = {}, np.zeros(len(one.rows), dtype=bool)
    for marker in asked:
        column = t.probability_column(marker)
        known = np.full(len(one.rows), np.nan)
        if column in one.part.counted.columns:
            known = one.part.counted[column].to_numpy(np.float64, na_value=np.nan)
        if marker in needed:
            unknown |= np.isnan(known)
        # A marker that the fraction does not need may be either.
        chance[marker] = np.where(np.isnan(known), 0.5, known)
    lost = np.zeros(n, dtype=bool)
    lost[one.rows[unknown]] = True
    sides = membership(one, fraction)
    sums = {"numerator": np.zeros(n), "denominator": np.zeros(n)}
    called = sum(
        (recall.markers[m].place * recall.markers[m].digits.astype(np.int64) for m in asked),
        start=np.zeros(len(one.rows), np.int64),
    )
    states = recall.states - called * recall.follows
    for choice in np.ndindex(*(2,) * len(asked)):
        weight = np.ones(len(one.rows))
        place = 0
        for marker, digit in zip(asked, choice, strict=True):
            place += digit * recall.markers[marker].place
            weight *= chance[marker] if digit else 1.0 - chance[marker]
        for side, of_state in zip(sums, sides, strict=True):
            inside = of_state[states + place * recall.follows]
            sums[side] += np.bincount(one.rows, np.where(inside, weight, 0.0), minlength=n)
    return pd.DataFrame({k: np.where(lost, np.nan, v) for k, v in sums.items()}, index=one.fields)


def decided_counts(one: Counted, fraction: FractionOf) -> NDArray[np.float64]:
    """Count the cells by what they would count for with the deciding marker negative or positive.

    Returns
    -------
    array
        (fields, WIDTH) as `imganalysis.quantify.misclassified.correct_fraction` takes it; all 0 in
        fields of other panels, and without a marker that decides.
    """
    recall, n = one.recall, len(one.fields)
    result = np.zeros((n, WIDTH))
    marker = deciding_marker(one.part.panel, fraction)
    if marker is None:
        return result
    other = [recall.set_to(marker, digit) for digit in (NEGATIVE_CODE, POSITIVE_CODE)]
    above, below = (
        np.column_stack([side[states] for states in other]) for side in membership(one, fraction)
    )
    digit = recall.markers[marker].digits
    # A cell that counts alike either way counts whatever its call is: a person gave its class.
    alike = (above[:, 0] == above[:, 1]) & (below[:, 0] == below[:, 1])
    kept = (digit != UNKNOWN_CODE) | alike
    called = (digit[kept] == POSITIVE_CODE).astype(np.intp)
    kind = called * PATTERNS + pattern(above[kept], below[kept])
    flat = np.bincount(one.rows[kept] * 2 * PATTERNS + kind, minlength=n * 2 * PATTERNS)
    result[:, : 2 * PATTERNS] = flat.reshape(n, 2 * PATTERNS)
    rates = np.zeros(recall.n_batches)
    for column in recall.markers[marker].gates:
        found = [None if gate is None else gate.control_fpr for gate in column]
        rates += np.array([np.nan if rate is None else rate.mean for rate in found])
    channel = one.part.panel.channel(marker)
    for i, rate in enumerate(rates):
        mine = one.fields_where(np.arange(recall.n_batches) == i)
        result[mine, -2] = rate
        result[mine, -1] = np.nan if channel.sensitivity is None else channel.sensitivity
    return result


def _needed(one: Counted, fraction: FractionOf) -> list[str]:
    """Markers of which the call decides whether a cell is in a fraction, in the panel's order."""
    needed = markers_needed(one.part.panel, (*fraction.numerator, *fraction.denominator))
    return [channel.marker for channel in one.part.panel.gated if channel.marker in needed]
