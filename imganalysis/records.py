"""What is handed from step to step: a field to analyse, what was found in it, and in the study."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from imganalysis import tables as t
from imganalysis.death import NO_SIGNS, Signs

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from imganalysis.classify.gates import Gate
    from imganalysis.correcting import FieldCorrections
    from imganalysis.corrections import Edit
    from imganalysis.panel import Panel
    from imganalysis.positive_controls import Checked
    from imganalysis.prepare.calibration import Calibration
    from imganalysis.quantify.window import FieldSpace
    from imganalysis.settings import Settings
    from imganalysis.study import Field, Study

Progress = Callable[[str, int, int], None]
"""Called with (step, done, total)."""

PLACE = (t.FIELD, t.BIOPSY, t.SECTION, t.ROLE, t.PANEL, t.BATCH, t.ACQUISITION)
"""Columns that every object has from its field."""


@dataclass(frozen=True)
class Task:
    """One field to analyse, with all that is needed for it."""

    field: Field
    panel: Panel
    settings: Settings
    folder: Path | None = None  # where labels and masks are written, if anywhere
    threads: int = 1  # that finding nuclei may use
    calibration: Calibration | None = None  # of its panel, batch and acquisition
    corrections: Sequence[Edit] | None = None  # of a person; None where no log was given


@dataclass(frozen=True)
class FieldResult:
    """What the first half found in one field.

    Parameters
    ----------
    field
        Which.
    objects
        One row per object; None where the field was not analysed.
    grid
        Counted tissue in um2 on the coarse grid; None likewise.
    facts
        Name -> value, for ``fields.csv``.
    flags
        Fixed words.
    reason, message
        Why it was not analysed: a fixed word, and what to do.
    trace
        For developers, where something unforeseen was raised.
    signs
        Possible fragments, and ghosts.
    space
        What distances in the field need to know; None where it was not analysed.
    contacts
        One row per cell and neighbour; None where the field was not analysed.
    corrections
        What became of a person's edits; None where no log was given.
    """

    field: Field
    objects: pd.DataFrame | None = None
    grid: NDArray[Any] | None = None
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    flags: tuple[str, ...] = ()
    reason: str = ""
    message: str = ""
    trace: str = ""
    signs: Signs = NO_SIGNS
    space: FieldSpace | None = None
    contacts: pd.DataFrame | None = None
    corrections: FieldCorrections | None = None


@dataclass(frozen=True)
class StudyResult:
    """What the second half made of a study."""

    study: Study
    biopsies: pd.DataFrame
    fields: pd.DataFrame
    exclusions: pd.DataFrame
    cells: dict[str, pd.DataFrame]  # field -> one row per object; of controls without classes
    gates: tuple[Gate, ...]
    space: pd.DataFrame = dataclasses.field(default_factory=pd.DataFrame)
    ratios: pd.DataFrame = dataclasses.field(default_factory=pd.DataFrame)
    corrections: pd.DataFrame = dataclasses.field(default_factory=pd.DataFrame)
    positive_controls: tuple[Checked, ...] = ()

    @property
    def n_failed(self) -> int:
        """Fields that should have been analysed and were not."""
        return int((self.fields["status"] == "failed").sum())


def placed(where: Field, objects: pd.DataFrame) -> pd.DataFrame:
    """Say of each object which field it is of."""
    return pd.concat([pd.DataFrame(place_of(where), index=objects.index), objects], axis=1)


def place_of(where: Field) -> dict[str, str]:
    """Which field an object is of, and what its gates hang on."""
    values: tuple[str, ...] = (where.name, where.biopsy, where.section, where.role)
    values += (where.panel, where.batch, where.acquisition)
    return dict(zip(PLACE, values, strict=True))


def facts_of(results: Sequence[FieldResult]) -> dict[str, dict[str, Any]]:
    """Say what ``run.json`` holds of each field."""
    return {
        "inputs": {r.field.name: r.facts.get("sha256") for r in results},
        "annotations": {
            r.field.name: r.facts["annotations_sha256"]
            for r in results
            if "annotations_sha256" in r.facts
        },
        "errors": {r.field.name: r.trace for r in results if r.trace},
    }
