"""What the first half says of a field after an edit, for the second half."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imganalysis.correcting import FieldCorrections, mark_objects

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from imganalysis.corrections import Replay
    from imganalysis.death import Signs
    from imganalysis.quantify.window import FieldSpace
    from imganalysis.records import FieldResult


@dataclass(frozen=True)
class Remeasured:
    """What the first half says of a field after an edit; see `imganalysis.first_half.Measured`.

    Parameters
    ----------
    objects, contacts, signs, grid, space
        As there, byte for byte.
    labels, cells
        Nuclei and cells.
    behind
        Columns that still show the state before the edit, where `LiveField.update` was told to
        hurry; empty otherwise.
    """

    objects: pd.DataFrame
    contacts: pd.DataFrame
    signs: Signs
    grid: NDArray[Any]
    space: FieldSpace
    labels: NDArray[np.uint32]
    cells: NDArray[np.uint32]
    behind: tuple[str, ...] = ()

    def result(self, earlier: FieldResult, replay: Replay | None = None) -> FieldResult:
        """Give what the second half needs of the field: the earlier result with these nuclei."""
        objects, corrections = self.objects, earlier.corrections
        if replay is not None:
            objects = mark_objects(objects, replay)
            corrections = FieldCorrections(replay.outcomes, replay.classes)
        return dataclasses.replace(
            earlier, objects=objects, grid=self.grid, signs=self.signs, space=self.space,
            contacts=self.contacts, corrections=corrections,
        )  # fmt: skip
