"""Where a dye sits in a cell: over the chromatin, in grains, evenly, or on the membrane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from imganalysis.simulate.numeric import F32, FWHM_PER_SIGMA, random_field
from imganalysis.simulate.recipe import Chromatin, Diffuse, Expression, Granular, Membrane, Recipe
from imganalysis.simulate.shapes import Vector, dot, legendre, soft

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imganalysis.simulate.cells import Cell
    from imganalysis.simulate.section import Section

Window = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Part:
    """One cell within the section, between the two passes."""

    index: int
    window: Window
    body: F32
    nucleus: F32
    piece: NDArray[np.uint8]
    direction: tuple[F32, F32, F32]


@dataclass(frozen=True)
class View:
    """What is needed to paint one cell: occupancies in 0-1 over its window, (K, Y, X) float32."""

    part: Part
    cell: Cell
    body: F32
    nucleus: F32
    cytoplasm: F32
    mine: NDArray[np.bool_]
    second: F32


def paint(
    recipe: Recipe,
    section: Section,
    textures: Textures,
    view: View,
    marker: str,
    stained: bool,
) -> F32:
    """Dye of one marker in one cell, (K, Y, X) float32."""
    pattern, cell = recipe.markers[marker], view.cell
    if isinstance(pattern, Chromatin):
        texture = textures.chromatin(recipe, view.part, cell)
        for centre, radius in cell.nucleoli:
            texture = texture * _nucleolus(section, view.part, centre, radius, pattern.nucleolus)
        return (
            np.float32(cell.dna) * view.nucleus * texture
            + np.float32(pattern.halo) * view.cytoplasm
        )
    dye = np.float32(pattern.nonspecific * cell.nonspecific[marker]) * view.body
    level, inside = np.float32(cell.levels[marker]), np.float32(cell.inside[marker])
    if not stained or not (level or inside):
        return dye
    dye = dye + inside * view.cytoplasm
    if isinstance(pattern, Granular):
        own = recipe.cells[cell.kind].expression.get(marker, Expression())
        grains = textures.puncta(recipe, view.part, own.puncta_um or pattern.puncta_um)
        floor = np.float32(pattern.floor if own.floor is None else own.floor)
        return dye + level * view.cytoplasm * (floor + (np.float32(1.0) - floor) * grains)
    if isinstance(pattern, Diffuse):
        nuclear = np.float32(pattern.nucleus[cell.phase])
        even = textures.even(recipe, view.part)
        return dye + level * even * (view.cytoplasm + nuclear * view.nucleus)
    return dye + level * _membrane(section, view, pattern)


def _membrane(section: Section, view: View, pattern: Membrane) -> F32:
    """Sheet around the body, or half way to the next body where the two touch."""
    edge = np.maximum(view.part.body, np.float32(0.5) * (view.part.body - view.second))
    # A scanner samples points: the sheet is widened only as far as half a pixel needs.
    width = (pattern.thickness_um**2 + (0.6 * section.pixel_um) ** 2) ** 0.5 * 1.7
    relative = edge * np.float32(1.0 / width)
    sheet = np.maximum(np.float32(1.0) - np.float32(2.0) * relative * relative, 0.0)
    patch: F32 | np.float32 = np.float32(1.0)
    strength = np.float32(pattern.patchiness)
    for way, order, amplitude in view.cell.patches:
        patch = patch + strength * np.float32(amplitude) * legendre(
            dot(view.part.direction, way), order
        )
    patch = np.clip(patch, 0.15, 2.0)
    painted: F32 = sheet * sheet * patch * view.mine * section.tissue[view.part.window]
    return painted * (np.float32(1.0) - np.minimum(view.nucleus, 1.0))


def _nucleolus(section: Section, part: Part, centre: Vector, radius: float, factor: float) -> F32:
    z, y, x = section.grid(part.window)
    d = np.sqrt(
        (z - np.float32(centre[0])) ** 2
        + (y - np.float32(centre[1])) ** 2
        + (x - np.float32(centre[2])) ** 2
    )
    return np.float32(1.0) + np.float32(factor - 1.0) * soft(d - np.float32(radius), 0.5)


class Textures:
    """Random fields, drawn once per field of view; each cell looks at its own place of them."""

    def __init__(self, rng: np.random.Generator, recipe: Recipe, section: Section) -> None:
        self._rng = rng
        self._section = section
        side = 2 * int(40.0 / section.pixel_um)  # twice the widest cell
        self._shape = (section.shape[0], side, side)
        self._fields: dict[float, F32] = {}
        lengths = {c.texture.corr_um for c in recipe.cells.values()} | {0.5, 1.5}
        lengths |= {m.puncta_um for m in recipe.markers.values() if isinstance(m, Granular)}
        # Grains of one kind of cell come last, so that the other fields stay what they are.
        expressions = [e for c in recipe.cells.values() for e in c.expression.values()]
        later = {e.puncta_um for e in expressions if e.puncta_um is not None} - lengths
        for length in [*sorted(lengths), *sorted(later)]:
            sigma = length / FWHM_PER_SIGMA
            scales = (sigma / section.dz, sigma / section.pixel_um, sigma / section.pixel_um)
            self._fields[length] = random_field(rng, self._shape, scales)

    def _crop(self, part: Part, corr_um: float) -> F32:
        field = self._fields[corr_um]
        height = part.window[1].stop - part.window[1].start
        width = part.window[2].stop - part.window[2].start
        place = np.random.PCG64([part.index, round(corr_um * 1000)]).random_raw(2)
        i, j = (int(v % np.uint64(self._shape[1])) for v in place)
        rows = (np.arange(i, i + height)) % self._shape[1]
        columns = (np.arange(j, j + width)) % self._shape[2]
        return field[part.window[0]][:, rows[:, None], columns[None, :]]

    def chromatin(self, recipe: Recipe, part: Part, cell: Cell) -> F32:
        """Mean 1, SD the cell's texture, not under 0.2."""
        field = self._crop(part, recipe.cells[cell.kind].texture.corr_um)
        chromatin: F32 = np.maximum(np.float32(1.0) + np.float32(cell.texture) * field, 0.2)
        return chromatin

    def puncta(self, recipe: Recipe, part: Part, diameter_um: float) -> F32:
        """Grains of a diameter: the peaks of a random field, 1 at a usual one."""
        field = self._crop(part, diameter_um)
        grains: F32 = np.minimum(np.maximum(field - np.float32(0.3), 0.0) * np.float32(1.7), 3.0)
        return grains

    def even(self, recipe: Recipe, part: Part) -> F32:
        """Mean 1, a faint unevenness of what is diffuse."""
        field = self._crop(part, 1.5)
        even: F32 = np.maximum(np.float32(1.0) + np.float32(0.12) * field, 0.4)
        return even
