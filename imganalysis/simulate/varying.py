"""Variants of a tissue: cells that turn into another kind, and sheets that express a marker.

Each has random numbers of its own, so that nothing else of the tissue changes.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from imganalysis.simulate.numeric import bilinear, random_field, rounded, streams

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imganalysis.simulate.cells import Cell
    from imganalysis.simulate.placing import Site
    from imganalysis.simulate.recipe import Recipe

_STEP_UM = 3.0  # of the periodic grid on which sheets are drawn
_SIDE = 128


def turn_sites(seed: int, recipe: Recipe, sites: Sequence[Site]) -> list[Site]:
    """Turn a share of the cells of a kind into another one, where they are.

    Parameters
    ----------
    seed
        Of the field.
    recipe
        Its `tissue.turned`, one after the other.
    sites
        Where cells sit.
    """
    out = list(sites)
    for number, spec in enumerate(recipe.tissue.turned):
        rng = streams(seed, f"turned {number}")[f"turned {number}"]
        for i, site in enumerate(out):
            if site.kind == spec.kind and site.compartment not in spec.outside:
                if rng.random() < spec.share:
                    out[i] = replace(site, kind=spec.into)
    return out


def add_sheets(seed: int, recipe: Recipe, cells: Sequence[Cell]) -> list[Cell]:
    """Let the cells of a kind express a marker where they lie in a sheet.

    Parameters
    ----------
    seed
        Of the field.
    recipe
        Its `tissue.sheets`, one after the other.
    cells
        As they were drawn.

    Notes
    -----
    Sheets are where a Gaussian random field is above the level that `area` of it exceeds; a
    thresholded field of correlation length L has patches about 2.5 L wide.
    """
    out = list(cells)
    for number, spec in enumerate(recipe.tissue.sheets):
        rng = streams(seed, f"sheet {number}")[f"sheet {number}"]
        field = random_field(rng, (_SIDE, _SIDE), (spec.size_um / 2.5 / _STEP_UM,) * 2)
        level = np.sort(field, axis=None)[::-1][: max(1, round(spec.area * field.size))][-1]
        for i, cell in enumerate(out):
            expressed = spec.level * math.exp(spec.log_sd * float(rng.standard_normal()))
            y, x = (np.array([v / _STEP_UM]) for v in cell.body.centre[1:])
            inside = spec.area > 0 and float(bilinear(field, y, x)[0]) >= float(level)
            if cell.kind == spec.kind and inside:
                levels = {**cell.levels, spec.marker: rounded(expressed)}
                within = {**cell.inside, spec.marker: rounded(spec.inside * expressed)}
                out[i] = replace(cell, levels=levels, inside=within)
    return out
