"""What is measured of each nucleus, its ring and its cell, as a panel wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imganalysis import tables as t
from imganalysis.quantify.measure import measure
from imganalysis.quantify.sides import dim_halves

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from imganalysis.panel import Panel


def measure_compartments(
    compartments: Mapping[str, NDArray[np.uint32]],
    cleaned: Mapping[str, NDArray[np.float32]],
    clipped: Any,
    panel: Panel,
    spacing: tuple[float, ...],
    threads: int = 1,
    origin: tuple[int, int, int] = (0, 0, 0),
) -> pd.DataFrame:
    """Measure all that a panel's objects are measured by.

    See `imganalysis.quantify.measure.measure`; and the dimmer half of the rings, of markers that
    lie all around.
    """
    gated = [(c.marker, m.compartment, m.statistic) for c in panel.gated for m in c.measures]
    objects = measure(
        compartments,
        list(cleaned.values()),
        list(cleaned),
        spacing,
        extra=[
            *(names for names in gated if names[2] != t.COMPENSATED),
            (panel.nuclei.marker, "nucleus", "contrast"),
        ],
        clipped=clipped,
        # A hull in space takes milliseconds each, and nothing asks for it.
        solidity=len(spacing) == 2,
        threads=threads,
        origin=origin,
    )
    around = {c.marker: cleaned[c.marker] for c in panel.gated if c.all_around}
    if not around:
        return objects
    sides = dim_halves(compartments["nucleus"], compartments["ring"], around, spacing)
    return objects.merge(sides, on=t.LABEL, how="left")
