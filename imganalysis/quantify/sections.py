"""What a section shows of its cells: larger nuclei are seen in more sections, so count for more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis import tables as t
from imganalysis.errors import SettingsError
from imganalysis.quantify.statistics import cluster_density

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from imganalysis.panel import FractionOf, Panel
    from imganalysis.settings import Summary
    from imganalysis.settings_counting import Counting

NAN = float("nan")
NO_DIAMETER, NO_THICKNESS = "diameters_unknown", "thickness_unknown"


def check_diameters(panels: Iterable[Panel], counting: Counting) -> None:
    """Check that the nuclear diameters of the settings are of classes that there are.

    Raises
    ------
    SettingsError
        A name that is no class of any panel.
    """
    classes = list(dict.fromkeys(name for panel in panels for name in panel.classes))
    unknown = [name for name in counting.nuclear_um if name not in classes]
    if unknown:
        raise SettingsError(
            f"counting.nuclear_um: no panel of the study has a class {unknown[0]!r}; expected "
            f"one of {', '.join(classes)}"
        )


def visible_share(thickness_um: ArrayLike, diameter_um: ArrayLike) -> NDArray[np.float64]:
    """Share of the profiles whose centre lies in the section: T / (T + h).

    Notes
    -----
    Abercrombie, Anat Rec 1946;94:239. NaN where T or h is unknown.
    """
    thick, wide = np.asarray(thickness_um, np.float64), np.asarray(diameter_um, np.float64)
    return np.asarray(thick / (thick + wide))


def reach_um(
    thickness_um: ArrayLike, diameter_um: ArrayLike, hidden_cap_um: float = 0.0
) -> NDArray[np.float64]:
    """Depth in which the centre of a nucleus lies that shows in the section: T + h - 2 k, um.

    Notes
    -----
    Floderus, Acta Pathol Microbiol Scand 1944;Suppl 53; k is the height of the smallest cap that
    is still seen. With k = 0 it is Abercrombie's.
    """
    depth = np.asarray(thickness_um, np.float64) + np.asarray(diameter_um) - 2 * hidden_cap_um
    return np.asarray(np.where(depth > 0, depth, NAN))


def seen_um(kind: str, *, short: bool, section_um: float | None, settings: Counting) -> float:
    """Thickness of tissue that a picture shows, um; NaN where it is not known.

    Parameters
    ----------
    kind
        ``plane``, ``mean`` or ``3d``, as of the projection.
    short
        Whether the stack is thinner than the section, or its steps are unknown.
    section_um
        Thickness of the section, where somebody said it.
    settings
        Optical section of a single plane.
    """
    if kind == "plane":
        return settings.optical_section_um or NAN
    if kind == "mean" and not short:
        return section_um or NAN
    return NAN


def corrected_columns(
    fraction: FractionOf | None,
    fields: pd.DataFrame,
    counts: pd.DataFrame,
    panels: Mapping[str, Panel],
    classes: Mapping[str, Sequence[str]],
    settings: Summary,
    counting: Counting,
) -> tuple[dict[str, float], list[str]]:
    """Columns of one biopsy that allow for the thickness of what was seen.

    Parameters
    ----------
    fraction
        The endpoint, if there is one.
    fields
        The biopsy's analysed fields: ``field``, ``panel``, ``seen_um``, ``tissue_mm2``,
        ``volume_mm3``.
    counts
        Index: field; columns: classes; evaluable cells.
    panels
        By name.
    classes
        Class -> names of the panels that count it.
    settings
        Confidence, design effect.
    counting
        Nuclear diameters; nothing is corrected without.

    Returns
    -------
    columns, reasons
        ``FRACTION_corrected`` and ``CLASS_per_mm3`` with its interval; why one is NaN.

    Notes
    -----
    In a stack left in 3-D each object is counted once in a known volume (the disector), so
    that no diameter is needed.
    """
    wide = counting.nuclear_um
    thick = fields["seen_um"].to_numpy(np.float64)
    volume = fields["volume_mm3"].to_numpy(np.float64)
    solid = np.isfinite(volume)
    row: dict[str, float] = {}
    why: dict[str, None] = {}

    def reach(name: str) -> NDArray[np.float64]:
        """Depth per field, um; 1 in stacks, whose counts need no correction."""
        found = reach_um(thick, wide.get(name, NAN), counting.hidden_cap_um)
        return np.where(solid, 1.0, found)

    if fraction is not None and wide:
        totals = {}
        for side in ("numerator", "denominator"):
            total = 0.0
            for i, (label, panel) in enumerate(zip(fields[t.FIELD], fields["panel"], strict=True)):
                own = next((f for f in panels[panel].fractions if f.name == fraction.name), None)
                for name in getattr(own, side) if own else ():
                    n = float(counts.loc[label, name])
                    total += n / reach(name)[i] if n else 0.0
            totals[side] = total
        # Counts of stacks and of sections have no common unit.
        mixed = solid.any() and not solid.all()
        known = totals["denominator"] > 0 and not mixed
        column = f"{fraction.name}_corrected"
        row[column] = NAN
        if known and np.isfinite(totals["numerator"] + totals["denominator"]):
            scale = 100.0 if fraction.percent else 1.0
            row[column] = scale * totals["numerator"] / totals["denominator"]
        elif not np.isfinite(totals["denominator"]) or not np.isfinite(totals["numerator"]):
            unseen = not np.isfinite(thick[~solid]).all()
            why[f"{column}: {NO_THICKNESS if unseen else NO_DIAMETER}"] = None
    if wide or solid.any():
        for name, owners in classes.items():
            mine = fields["panel"].isin(owners).to_numpy()
            n = counts.loc[list(fields[t.FIELD][mine]), name].to_numpy(np.float64)
            flat = fields["tissue_mm2"].to_numpy(np.float64) * reach(name) / 1e3
            volumes = np.where(solid, volume, flat)[mine]
            column = f"{name}_per_mm3"
            e: Any = None
            if n.size and np.isfinite(volumes).all():
                e = cluster_density(
                    n, volumes, confidence=settings.confidence,
                    deff_default=settings.deff_default,
                )  # fmt: skip
            elif n.size:
                unseen = not np.isfinite(thick[mine & ~solid]).all()
                why[f"{column}: {NO_THICKNESS if unseen else NO_DIAMETER}"] = None
            row |= {
                column: NAN if e is None else e.value,
                f"{column}_lo": NAN if e is None else e.lo,
                f"{column}_hi": NAN if e is None else e.hi,
            }
    return row, list(why)
