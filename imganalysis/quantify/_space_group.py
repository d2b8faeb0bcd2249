"""The fields of one biopsy and panel, as the rows of ``space.csv`` are made from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from imganalysis import tables as t
from imganalysis.panel import markers_needed
from imganalysis.quantify.biopsies import COUNTED_ROLES
from imganalysis.quantify.nearest import Value, survival, together

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd

    from imganalysis.panel import Panel
    from imganalysis.quantify.nearest import Distances
    from imganalysis.quantify.window import FieldSpace
    from imganalysis.settings import Summary
    from imganalysis.settings_space import Space


class Named(NamedTuple):
    """Classes under one name."""

    name: str
    classes: tuple[str, ...]


def joined(classes: tuple[str, ...]) -> Named:
    """Classes under all their names."""
    return Named("+".join(classes), classes)


@dataclass(frozen=True)
class SeenField:
    """Evaluable cells of one field, and where they were looked for."""

    cells: pd.DataFrame
    space: FieldSpace
    number: int

    def of(self, classes: Iterable[str]) -> pd.DataFrame:
        return self.cells[self.cells[t.PHENOTYPE].isin(list(classes))]


@dataclass(frozen=True)
class Group:
    """Fields of one biopsy and panel."""

    biopsy: str
    panel: Panel
    fields: list[SeenField]
    areas: list[Mapping[str, float] | None]
    ungated: frozenset[str]  # markers without a gate in any of the fields
    thick: bool
    space: Space
    summary: Summary

    def row(self, measure: str, who: str = "", **more: Any) -> dict[str, Any]:
        base = {"biopsy": self.biopsy, "panel": self.panel.name, "measure": measure, "class": who}
        return {**base, **more}

    def why_not(self, classes: Iterable[str]) -> str:
        if self.thick:
            return "thick_stack"
        return "ungated" if markers_needed(self.panel, list(classes)) & self.ungated else ""

    def counted(self) -> list[Named]:
        names = [p.name for p in self.panel.phenotypes if p.role in COUNTED_ROLES]
        return [Named(name, (name,)) for name in dict.fromkeys(names)]

    def fractions(self) -> list[tuple[Named, Named]]:
        """Numerators among denominators, each once."""
        found = {}
        for fraction in self.panel.fractions:
            above, below = fraction.numerator, fraction.denominator
            if set(above) != set(below):
                found[above, below] = joined(above), joined(below)
        return list(found.values())

    def survival(self, parts: Sequence[Distances]) -> tuple[Value, Value]:
        return survival(
            together(parts),
            self.space.near_um,
            confidence=self.summary.confidence,
            deff_default=self.summary.deff_default,
        )
