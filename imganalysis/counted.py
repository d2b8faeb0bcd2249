"""The counted cells of one panel, in numbers: field, state, class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis import tables as t
from imganalysis.quantify.summary import tally_codes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from imganalysis.classify.recall import Recall
    from imganalysis.panel import FractionOf, Panel, Variant

    Bools = NDArray[np.bool_]
    Certain = dict[str, NDArray[np.int64]]


@dataclass(frozen=True)
class Blanks:
    """What false calls of a model would give; see `imganalysis.blanking`.

    Parameters
    ----------
    judged
        (N,) bool: counted cells that a model judged.
    expected
        Fraction -> ``numerator``, ``denominator``, ``detectable`` -> (N,) what each judged cell
        adds, as `imganalysis.quantify.summary.Counts` has it by field; NaN where it is unknown.
    """

    judged: Bools
    expected: Mapping[str, Mapping[str, NDArray[np.float64]]]


@dataclass(frozen=True)
class Part:
    """The cells of one panel."""

    panel: Panel
    fields: pd.DataFrame
    cells: pd.DataFrame
    counted: pd.DataFrame  # the evaluable ones
    recall: Recall  # of these
    region_mm2: dict[str, dict[str, float]]  # field -> area of each region
    blanks: Blanks | None = None  # where a model gave classes


class Counted:
    """The counted cells of one panel, with the row of each one's field."""

    def __init__(self, part: Part, fields: pd.Index[str], classes: Sequence[str]) -> None:
        self.part, self.recall, self.fields, self.classes = part, part.recall, fields, classes
        code, names = pd.factorize(part.counted[t.FIELD])
        self.rows = fields.get_indexer(pd.Index(names))[code] if len(code) else code
        place = {name: i for i, name in enumerate(classes)}
        own = [*(place[name] for name in part.panel.classes), place[t.UNRESOLVED]]
        self.column_of = np.array(own, dtype=np.intp)[part.recall.found]  # of each state

    def tally(self, states: NDArray[np.int64], keep: Any = slice(None)) -> NDArray[np.int64]:
        """Count cells by field and class."""
        shape = (len(self.fields), len(self.classes))
        return tally_codes(self.rows[keep], self.column_of[states], shape)

    def certain(self, states: NDArray[np.int64], keep: Any = slice(None)) -> Certain:
        """Count the cells without a class of which every class they may have counts alike.

        Returns
        -------
        dict
            ``FRACTION/VARIANT`` -> (fields, 2) such cells in its numerator and denominator.
        """
        open_ = self.recall.found[states] == len(self.part.panel.classes)
        rows, left, n = self.rows[keep][open_], states[open_], len(self.fields)
        found = {}
        for fraction in self.part.panel.fractions:
            rules: dict[str, FractionOf | Variant] = {"": fraction, **fraction.variants}
            for variant, rule in rules.items():
                inside = membership(self, rule)
                found[f"{fraction.name}/{variant}"] = np.stack(
                    [np.bincount(rows[side[left]], minlength=n) for side in inside], axis=-1
                )
        return found

    def with_factor(self, marker: str, factor: float) -> NDArray[np.int64]:
        """States with the gates of one marker multiplied; a panel without it keeps its own."""
        if marker not in self.recall.markers:
            return self.recall.states
        # The region and all else that hangs on neighbours stay as they are.
        return self.recall.moved({marker: self.recall.digits(marker, factor)})

    def fields_where(self, batches: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Find the fields with a cell of one of some batches."""
        found = np.zeros(len(self.fields), dtype=bool)
        found[self.rows[batches[self.recall.batch]]] = True
        return found


def markers_asked(panel: Panel, classes: Iterable[str]) -> list[str]:
    """Find the markers that a row of some classes asks to be positive, by name."""
    wanted = set(classes)
    rows = [row.when for row in panel.phenotypes if row.name in wanted]
    return sorted({marker for when in rows for marker, call in when.items() if call == "pos"})


def membership(one: Counted, rule: FractionOf | Variant) -> tuple[Bools, Bools]:
    """Say of each state whether its cells are in the numerator and in the denominator.

    A cell whose class is open is in both, or in the denominator alone, where every class that it
    may have is: what is open then does not matter to the fraction. Nor to those of the same
    denominator, so that the parts of a whole are told of the same cells.

    Parameters
    ----------
    one
        Its panel's classes and fractions.
    rule
        A fraction or a variant of one.

    Returns
    -------
    above, below
        (3^n,) bool.
    """
    above, below = _certain(one, rule)
    for other in one.part.panel.fractions:
        if set(other.denominator) == set(rule.denominator):
            below = below & _certain(one, other)[1]
    return above & below, below


def _certain(one: Counted, rule: FractionOf | Variant) -> tuple[Bools, Bools]:
    classes = one.part.panel.classes
    possible = one.recall.table.classes

    def within(names: set[str]) -> Bools:
        outside = ~np.isin(classes, list(names))
        return np.asarray(possible.any(axis=1) & ~possible[:, outside].any(axis=1))

    above = within(set(rule.numerator))
    return above, above | within(set(rule.denominator) - set(rule.numerator))
