"""Names of the columns of ``biopsies.csv``: those that it always has, and those of a fraction."""

from __future__ import annotations

from imganalysis import tables as t

ESTIMATED = ("lo", "hi", "naive_lo", "naive_hi", "deff", "icc", "ci_method")
"""What the columns of a fraction's interval end in; a variant of it has them too."""

DERIVED = (
    *ESTIMATED, "bound_lo", "bound_hi", "uncapped", "unmerged", "gate", "total_lo", "total_hi",
    "corrected", "lob", "lod", "rg", "rg_lo", "rg_hi", "soft", "field_mean",
)  # fmt: skip
"""What a fraction's own columns end in; no variant has one of these names."""

OF_ENDPOINT = "_bound_lo"
"""What the name of a column ends in that only the endpoint has."""

TAKEN = frozenset(
    {
        "biopsy", "patient", "lesion", "week", "n_fields", "n_fields_failed", "n_unresolved",
        "n_objects", "n_cells", "n_apoptotic", "fragments_per_apoptotic", "ghost_n",
        "ghost_area_mm2", "tissue_mm2", *t.REGION_AREAS, "death_marker_form", "flags", "reason",
        *(f"n_{word}" for word in t.EXCLUSIONS),
    }
)  # fmt: skip
"""Columns that every biopsy has."""


def panel_fields_column(panel: str) -> str:
    """Name of the column of the analysed fields of a panel."""
    return f"n_fields_{panel}"


def positive_control_column(marker: str) -> str:
    """Name of the column of whether a marker's positive control shows it."""
    return f"positive_control_ok_{marker}"


def fraction_columns(fraction: str, variants: tuple[str, ...]) -> list[str]:
    """Names of the columns of a fraction and of its variants, a name for each time it is used."""
    ends = [*DERIVED, *variants, *(f"{variant}_{end}" for variant in variants for end in ESTIMATED)]
    return [fraction, *(f"{fraction}_{end}" for end in ends)]
