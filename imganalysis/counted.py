"""The counted cells of one panel, in numbers: field, state, class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis import tables as t
from imganalysis.quantify.summary import tally_codes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from imganalysis.classify.recall import Recall
    from imganalysis.panel import Panel


@dataclass(frozen=True)
class Part:
    """The cells of one panel."""

    panel: Panel
    fields: pd.DataFrame
    cells: pd.DataFrame
    counted: pd.DataFrame  # the evaluable ones
    recall: Recall  # of these
    region_mm2: dict[str, dict[str, float]]  # field -> area of each region


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

    def with_factor(self, marker: str, factor: float) -> NDArray[np.int64]:
        """Count with the gates of one marker multiplied; a panel without it counts as it did."""
        if marker not in self.recall.markers:
            return self.tally(self.recall.states)
        # The region and all else that hangs on neighbours stay as they are.
        return self.tally(self.recall.moved({marker: self.recall.digits(marker, factor)}))

    def fields_where(self, batches: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Find the fields with a cell of one of some batches."""
        found = np.zeros(len(self.fields), dtype=bool)
        found[self.rows[batches[self.recall.batch]]] = True
        return found
