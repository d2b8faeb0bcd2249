"""Checks of fractions: their classes, and columns of results that must not meet."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from imganalysis.errors import PanelError
from imganalysis.tables_biopsies import DERIVED, TAKEN, fraction_columns, panel_fields_column
from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imganalysis.panel import FractionOf, Panel, Variant


def check_fractions(panel: Panel) -> None:
    """Check the fractions of one panel.

    Raises
    ------
    PanelError
        Two endpoints, columns of the same name, an unknown class, or a class that is counted
        above the line but not below it.
    """
    if sum(f.endpoint for f in panel.fractions) > 1:
        raise PanelError("fractions: at most one is the endpoint")
    for fraction in panel.fractions:
        for variant in fraction.variants:
            if variant in DERIVED or variant.startswith("gate_"):
                raise PanelError(
                    f"fractions.{fraction.name}.variants.{variant}: the column "
                    f"{fraction.name}_{variant} is one of the fraction's own; give the variant "
                    "another name"
                )
    _check_columns(panel.fractions, [panel.name])
    for fraction in panel.fractions:
        parts: dict[str, FractionOf | Variant]
        parts = {"": fraction, **{f".variants.{k}": v for k, v in fraction.variants.items()}}
        for suffix, part in parts.items():
            _check_classes(panel, part, f"fractions.{fraction.name}{suffix}")


def _check_columns(fractions: Iterable[FractionOf], panels: Iterable[str]) -> None:
    """Refuse two columns of one name; fractions of one denominator may share its count."""
    fractions = tuple(fractions)
    columns = Counter(
        column for f in fractions for column in fraction_columns(f.name, tuple(f.variants))
    )
    columns.update([*TAKEN, *map(panel_fields_column, panels)])
    for column, n in columns.items():
        if n > 1:
            raise PanelError(f"fractions: the column {column} would stand {plural(n, 'time')}")
    denominators: dict[str, set[str]] = {}
    for fraction in fractions:
        if fraction.count in columns:
            raise PanelError(
                f"fractions.{fraction.name}.count: the column {fraction.count} holds something else"
            )
        own = set(fraction.denominator)
        if denominators.setdefault(fraction.count, own) != own:
            raise PanelError(
                f"fractions.{fraction.name}.count: the column {fraction.count} counts another "
                "denominator already"
            )


def _check_classes(panel: Panel, part: FractionOf | Variant, place: str) -> None:
    unknown = sorted({*part.numerator, *part.denominator} - set(panel.classes))
    if unknown:
        raise PanelError(
            f"{place}: unknown class {', '.join(unknown)}; "
            f"the panel has {', '.join(panel.classes) or 'none'}"
        )
    outside = sorted(set(part.numerator) - set(part.denominator))
    if outside:
        raise PanelError(f"{place}: {', '.join(outside)} counted above the line but not below it")


def check_together(panels: Iterable[Panel]) -> None:
    """Check that the panels of one study can be summarised in one table.

    Fractions of one name share their columns, whichever panel a biopsy was stained with; what
    is said of the endpoint alone has columns without its name.

    Parameters
    ----------
    panels
        Those of the study.

    Raises
    ------
    PanelError
        Two panels define a fraction differently, or have different endpoints, or columns of
        the same name for different things.
    """
    first: dict[str, tuple[Panel, FractionOf]] = {}
    panels = tuple(panels)
    for panel in panels:
        for fraction in panel.fractions:
            other, known = first.setdefault(fraction.name, (panel, fraction))
            for what, mine, theirs in (
                ("percent", fraction.percent, known.percent),
                ("endpoint", fraction.endpoint, known.endpoint),
                ("count", fraction.count, known.count),
                ("variants", sorted(fraction.variants), sorted(known.variants)),
            ):
                if mine != theirs:
                    raise PanelError(
                        f"panels '{other.name}' and '{panel.name}' define the fraction "
                        f"{fraction.name} differently: `{what}` is {_shown(theirs)} in the one "
                        f"and {_shown(mine)} in the other; make them the same, or give one "
                        "another name"
                    )
    endpoints = [(panel.name, f.name) for panel, f in first.values() if f.endpoint]
    if len(endpoints) > 1:
        (panel_a, a), (panel_b, b) = endpoints[:2]
        raise PanelError(
            f"panels '{panel_a}' and '{panel_b}' have different endpoints ({a} and {b}); a study "
            "has one: take `endpoint` out of one of them, or analyse the panels separately"
        )
    names = ", ".join(dict.fromkeys(panel.name for panel, _ in first.values()))
    try:
        shared = [f.model_copy(update={"denominator": ()}) for _, f in first.values()]
        _check_columns(shared, [panel.name for panel in panels])
    except PanelError as error:
        raise PanelError(f"panels {names} together: {error.message}") from None


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)
