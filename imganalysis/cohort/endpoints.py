"""What is compared: fractions and densities of a biopsy, and the scale on which they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis.errors import SettingsError
from imganalysis.quantify.biopsies import COUNTED_ROLES
from imganalysis.quantify.summary import fraction_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from imganalysis.panel import FractionOf, Panel

HALDANE = 0.5
"""Added to the cells with and without a property, so that 0 and 1 have a logit (Haldane, 1956)."""

FRACTION, DENSITY = "fraction", "density"
CLEAVED = "cleaved"
FORM = "death_marker_form"
NOTHING_LEFT = frozenset({"no_evaluable_tumour", "no_defined_lymphocytes", "empty_denominator"})
"""Reasons of an empty fraction that are a finding, not a fault."""


@dataclass(frozen=True)
class Endpoint:
    """One column of ``biopsies.csv`` that is compared.

    Parameters
    ----------
    name
        The column; ``_lo`` and ``_hi`` stand beside it.
    kind
        `FRACTION` or `DENSITY`.
    title
        In words, with the unit.
    count
        Column of the cells below the line; fractions only.
    percent
        Whether the fraction is in percent.
    areas
        Columns of the tissue in which the cells were counted, mm2; densities only.
    main
        The study's endpoint.
    """

    name: str
    kind: str
    title: str
    count: str = ""
    percent: bool = False
    areas: tuple[str, ...] = ()
    main: bool = False

    @property
    def shown(self) -> tuple[float, str]:
        """By what a value is multiplied to be shown, and the title of that."""
        if self.kind == FRACTION and not self.percent:
            return 100.0, f"{self.title}, %"
        return 1.0, self.title

    @property
    def effect(self) -> str:
        """What the exponential of a difference on the scale is."""
        return "odds_ratio" if self.kind == FRACTION else "density_ratio"

    def scaled(self, biopsies: pd.DataFrame) -> NDArray[np.float64]:
        """Give each biopsy's value on the scale of the tests, NaN where there is none.

        A fraction's Haldane-corrected logit, ln((x + .5) / (n - x + .5)); a density's
        ln((cells + .5) / mm2).
        """
        value = biopsies[self.name].to_numpy(np.float64)
        out = np.full(len(value), np.nan)
        if self.kind == FRACTION:
            n = biopsies[self.count].to_numpy(np.float64)
            fine = np.isfinite(value) & (n > 0)
            x = np.rint(value[fine] / (100.0 if self.percent else 1.0) * n[fine])
            out[fine] = np.log((x + HALDANE) / (n[fine] - x + HALDANE))
        else:
            area = biopsies[list(self.areas)].to_numpy(np.float64)
            mm2 = np.nansum(area, axis=1)
            fine = np.isfinite(value) & (mm2 > 0)
            cells = np.rint(value[fine] * mm2[fine])
            out[fine] = np.log((cells + HALDANE) / mm2[fine])
        return out

    def reasons(self, biopsies: pd.DataFrame) -> list[str]:
        """Give the fixed word for why each biopsy has no value, empty where it has one."""
        group = self.name if self.kind == FRACTION else "densities"
        out = []
        for text, value in zip(biopsies["reason"], biopsies[self.name], strict=True):
            said = "" if text is None or text != text else str(text)
            words = dict(part.strip().partition(": ")[::2] for part in said.split(";"))
            out.append("" if np.isfinite(float(value)) else words.get(group, "unknown"))
        return out


def endpoints(
    panels: Mapping[str, Panel], biopsies: pd.DataFrame, wanted: Sequence[str] = ()
) -> list[Endpoint]:
    """Find what can be compared.

    Parameters
    ----------
    panels
        Of the runs, by name.
    biopsies
        Of all runs.
    wanted
        Columns, if not all.

    Returns
    -------
    list of Endpoint
        The study's endpoint first, other fractions, densities.

    Raises
    ------
    SettingsError
        A wanted column is none of them.
    """
    found = []
    for fraction in fraction_names(panels.values()):
        if fraction.name in biopsies.columns:
            title = _title(fraction, panels, biopsies)
            kind: Any = {"count": fraction.count, "percent": fraction.percent}
            found.append(Endpoint(fraction.name, FRACTION, title, main=fraction.endpoint, **kind))
    owners: dict[str, list[str]] = {}
    for panel in panels.values():
        for phenotype in panel.phenotypes:
            area = f"tissue_{panel.name}_mm2"
            if phenotype.role in COUNTED_ROLES and area not in owners.get(phenotype.name, []):
                owners.setdefault(phenotype.name, []).append(area)
    for name, areas in owners.items():
        column = f"{name}_per_mm2"
        there = tuple(area for area in areas if area in biopsies.columns)
        if column in biopsies.columns and there:
            found.append(Endpoint(column, DENSITY, f"{name} per mm2", areas=there))
    if not wanted:
        return found
    by_name = {endpoint.name: endpoint for endpoint in found}
    for name in wanted:
        if name not in by_name:
            raise SettingsError(
                f"--endpoint {name}: the results have no such fraction or density; "
                f"they have {', '.join(by_name) or 'none'}"
            )
    return [by_name[name] for name in dict.fromkeys(wanted)]


def _title(fraction: FractionOf, panels: Mapping[str, Panel], biopsies: pd.DataFrame) -> str:
    """Name a fraction; the endpoint by what the antibody is known to see."""
    of = fraction.count.removeprefix("n_").replace("_", " ")
    share = f"{' + '.join(fraction.numerator)}, {'%' if fraction.percent else 'share'} of {of}"
    if not fraction.endpoint:
        return share
    forms = set(biopsies[FORM].dropna().astype(str)) - {""} if FORM in biopsies.columns else set()
    if forms == {CLEAVED}:
        return f"{fraction.name.replace('_', ' ')} of {of} cells"
    for panel in panels.values():
        if panel.death_marker and any(f.name == fraction.name for f in panel.fractions):
            channel = panel.channel(panel.death_marker)
            marker = channel.names[0] if channel.names else channel.marker
            return f"{marker} positive fraction of {of} cells"
    return share
