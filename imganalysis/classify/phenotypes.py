"""Phenotypes: from the calls and contexts of a cell to its class, by the panel's table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from imganalysis import tables as t
from imganalysis.classify._reasons import CALL_SAID, context_said, remark_said, remarks
from imganalysis.classify.calls import ABSENT_CODE, UNKNOWN_CODE, call_codes
from imganalysis.panel_check import RuleTable, rule_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imganalysis.panel import Panel


class Classified(NamedTuple):
    """Classes of cells.

    Parameters
    ----------
    phenotype
        Class, or ``unresolved``.
    why
        Categorical; the calls and contexts, and the class that they gave or the unknowns that
        left it open.
    possible
        (N, classes) bool, in the order of ``panel.classes``: which classes the cell could have
        if what is unknown were known. One where the cell is resolved.
    given
        (N,) whose class a model or a person gave, so that calls do not change it; None for none.
    """

    phenotype: pd.Series
    why: pd.Series
    possible: NDArray[np.bool_]
    given: NDArray[np.bool_] | None = None


def classify_cells(cells: pd.DataFrame, panel: Panel, *, reasons: bool = True) -> Classified:
    """Give each cell its class.

    A marker that is indeterminate or not measured, and a context that is missing, is unknown.
    A cell has a class only if every way to settle its unknowns gives the same.

    Parameters
    ----------
    cells
        One row per cell of this panel, with the calls of the markers and the contexts that its
        phenotype table names; a context without a column is unknown.
    panel
        Its `phenotypes`.
    reasons
        Whether `why` is wanted; without it every text is empty, and much time is saved.

    Returns
    -------
    Classified
        Index of `cells`.

    Raises
    ------
    TableError
        A column of calls is missing, or holds a word that is no call.
    """
    classes = np.array([*panel.classes, t.UNRESOLVED], dtype=object)
    if not panel.phenotypes:
        return Classified(
            pd.Series(np.full(len(cells), t.UNRESOLVED), cells.index, dtype="str"),
            _texts(
                np.zeros(len(cells), dtype=np.intp), ["the panel has no phenotypes"], cells.index
            ),
            np.zeros((len(cells), 0), dtype=bool),
        )
    table = lookup_table(panel)
    states, absent = _codes(cells, table.rules)
    remark, n = remarks(cells) if reasons else (np.zeros(1, dtype=np.int64), 1)
    # One text per state, what of it was not measured, and what else is to be said.
    which, keys = pd.factorize(
        (states * 2 ** len(table.rules.markers) + absent) * n + remark, sort=True
    )
    codes, lacking = np.divmod(keys // n, 2 ** len(table.rules.markers))
    possible = table.classes[codes]
    one = possible.sum(axis=1) == 1
    found = np.where(one, possible.argmax(axis=1), len(classes) - 1)
    texts = (
        [""] * len(keys)
        if not reasons
        else [
            _why(table, panel, code, gone, classes[k]) + remark_said(key % n)
            for key, code, gone, k in zip(
                keys.tolist(), codes.tolist(), lacking.tolist(), found, strict=True
            )
        ]
    )
    return Classified(
        pd.Series(classes[found][which], cells.index, dtype="str"),
        _texts(which, texts, cells.index),
        possible[which],
    )


@dataclass(frozen=True)
class LookupTable:
    """What each state, the unknown ones too, may mean.

    A state is a number in base 3, one digit per marker and context in the order of `rules`, the
    first the most significant: 0 negative or no, 1 positive or yes, 2 unknown.

    Parameters
    ----------
    rules
        Names of the digits, and the rows that apply where all is known.
    rows
        (3^n, rows of the phenotype table) bool: rows that apply in one of the ways to settle
        the unknowns.
    classes
        (3^n, classes) bool, in the order of ``panel.classes``.
    """

    rules: RuleTable
    rows: NDArray[np.bool_]
    classes: NDArray[np.bool_]


def lookup_table(panel: Panel) -> LookupTable:
    """Extend a panel's phenotype table to states with unknowns."""
    rules = rule_table(panel)
    rows: NDArray[Any] = rules.applies
    for axis in range(rows.ndim - 1):
        no, yes = np.take(rows, [0], axis), np.take(rows, [1], axis)
        rows = np.concatenate([no, yes, no | yes], axis)
    # A panel without classes has states too, each without a row.
    rows = rows.reshape(int(np.prod(rows.shape[:-1])), len(panel.phenotypes))
    classes = np.zeros((len(rows), len(panel.classes)), dtype=bool)
    for i, row in enumerate(panel.phenotypes):
        classes[:, panel.classes.index(row.name)] |= rows[:, i]
    return LookupTable(rules, rows, classes)


def state_codes(cells: pd.DataFrame, rules: RuleTable) -> NDArray[np.int64]:
    """State of each cell, as a number of `LookupTable`."""
    return _codes(cells, rules)[0]


def _codes(cells: pd.DataFrame, rules: RuleTable) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give the state of each cell, and in base 2 which of its markers were not measured."""
    codes = np.zeros(len(cells), dtype=np.int64)
    absent = np.zeros(len(cells), dtype=np.int64)
    for marker in rules.markers:
        calls = call_codes(cells, marker)
        absent = absent * 2 + (calls == ABSENT_CODE)
        codes = codes * 3 + np.minimum(calls, UNKNOWN_CODE)
    for name in rules.contexts:
        column = t.context_column(name)
        digit = np.full(len(cells), UNKNOWN_CODE, dtype=np.int64)
        if column in cells.columns:
            values = cells[column].astype("boolean")
            digit = np.where(values.isna(), UNKNOWN_CODE, values.fillna(False)).astype(np.int64)
        codes = codes * 3 + digit
    return codes, absent


def _why(table: LookupTable, panel: Panel, code: int, absent: int, found: str) -> str:
    """Say in words what a state is and what came of it."""
    rules = table.rules
    names = (*rules.markers, *rules.contexts)
    digits = dict(zip(names, _digits(code, len(names)), strict=True))
    for i, marker in enumerate(reversed(rules.markers)):
        digits[marker] += absent >> i & 1
    rows = [panel.phenotypes[i] for i in np.flatnonzero(table.rows[code])]
    asked = {name for row in rows for name in (*row.context, *row.unless)}
    asked |= {m for row in rows for m, call in row.when.items() if call != "any"}
    said = {m: f"{m} {CALL_SAID[digits[m]]}" for m in rules.markers}
    said |= {c: context_said(panel, c, digits[c]) for c in rules.contexts if c in asked}
    facts = ", ".join(said.values())
    text = f"{facts or 'every cell'} -> {found}"
    if found != t.UNRESOLVED:
        return text
    open_ = [said[name] for name in names if digits[name] >= UNKNOWN_CODE and name in asked]
    options = dict.fromkeys(row.name for row in rows)
    return f"{text}: {' or '.join(options)}, because {' and '.join(open_)}"


def _digits(code: int, n: int) -> list[int]:
    digits = []
    for _ in range(n):
        code, digit = divmod(code, 3)
        digits.append(digit)
    return digits[::-1]


def _texts(which: NDArray[np.intp], texts: list[str], index: pd.Index) -> pd.Series:
    """Few texts for many cells: a categorical holds each once."""
    words = list(dict.fromkeys(texts))
    codes = np.array([words.index(text) for text in texts], dtype=np.intp)
    return pd.Series(pd.Categorical.from_codes(codes[which], pd.Index(words)), index)
