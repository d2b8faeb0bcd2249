"""Cells to densities of dye, and to labels, on the slices of a section."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from imganalysis.simulate.paint import Part, Textures, View, Window, paint
from imganalysis.simulate.shapes import distance, soft

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imganalysis.simulate.cells import Cell
    from imganalysis.simulate.defects import Granules
    from imganalysis.simulate.numeric import F32
    from imganalysis.simulate.recipe import Recipe
    from imganalysis.simulate.section import Section

_FAR = np.float32(99.0)


@dataclass(frozen=True)
class Territories:
    """Given outlines of the cells, which then fill them, in place of bodies that are drawn.

    Parameters
    ----------
    labels
        (Y, X) outlines, the cell at position i of the list being i + 1.
    edge_um
        (Y, X) float32, distance to the outline, inside.
    """

    labels: NDArray[np.uint32]
    edge_um: F32


@dataclass(frozen=True)
class Rendered:
    """Dye per voxel, and where each nucleus is.

    Parameters
    ----------
    dyes
        For each marker (K, Y, X) float32; 1 gives the recipe's peak photons.
    lipofuscin
        (K, Y, X) float32.
    objects
        (K, Y, X) uint32, objects in the order of the cells and their nuclei.
    path_um
        For each object its window in the plane and its path of light in um, (Y, X) float32.
    owners
        For each object the position of its cell.
    bodies
        (K, Y, X) float32 in 0-1, tissue that is cell.
    ghosts
        Positions of the cells without a nucleus that the section shows.
    """

    dyes: dict[str, F32]
    lipofuscin: F32
    objects: NDArray[np.uint32]
    path_um: list[tuple[tuple[slice, slice], F32]]
    owners: list[int]
    bodies: F32
    ghosts: list[int]


def render(
    rng: np.random.Generator,
    recipe: Recipe,
    section: Section,
    cells: list[Cell],
    markers: tuple[str, ...],
    *,
    stained: bool,
    territories: Territories | None = None,
    granules: Granules | None = None,
) -> Rendered:
    """Fill the section with cells.

    Parameters
    ----------
    rng
        Of this step.
    recipe
        Patterns of the markers.
    section
        Where.
    cells
        In the order in which their objects are numbered.
    markers
        What is stained.
    stained
        False where the primary antibodies were left out.
    territories
        Outlines to fill instead of the cells' own bodies.
    granules
        Pigment, which is put into its cells.
    """
    parts = [
        part
        for index, cell in enumerate(cells)
        if (part := _measure(section, cell, index, territories)) is not None
    ]
    owner, second, nuclear = _share_out(section, parts)
    textures = Textures(rng, recipe, section)
    out = Rendered(
        {marker: np.zeros(section.shape, np.float32) for marker in markers},
        np.zeros(section.shape, np.float32),
        np.zeros(section.shape, np.uint32),
        [],
        [],
        np.zeros(section.shape, np.float32),
        [],
    )
    for part in parts:
        cell = cells[part.index]
        w = part.window
        tissue = section.tissue[w]
        mine = owner[w] == part.index
        nucleus = soft(part.nucleus, section.pixel_um) * tissue
        # A nucleus lies before any body, and before the nuclei that are farther from here.
        nucleus *= nuclear[w] == part.index
        spread = np.float32(cell.spread_um if territories is None else 0.0)
        body = soft(part.body - spread, section.pixel_um) * tissue * mine
        if territories is None:
            body = np.maximum(body, nucleus)
        body = body * ((nuclear[w] == part.index) | (nuclear[w] < 0))
        out.bodies[w] = np.maximum(out.bodies[w], body)
        if not cell.nuclei and (body > 0.5).any():
            out.ghosts.append(part.index)
        _number(section, cell, part, nucleus, out)
        view = View(part, cell, body, nucleus, np.maximum(body - nucleus, 0.0), mine, second[w])
        for marker in markers:
            out.dyes[marker][w] += paint(recipe, section, textures, view, marker, stained)
        if granules is not None:
            granules.fill(part, view.cytoplasm)
        if cell.lipofuscin:
            puncta = textures.puncta(recipe, part, 0.5)
            out.lipofuscin[w] += np.float32(cell.lipofuscin) * view.cytoplasm * puncta
    return out


def _measure(
    section: Section, cell: Cell, index: int, territories: Territories | None
) -> Part | None:
    reach = cell.body.reach_um + cell.body_um + cell.spread_um + 0.6
    if territories is None:
        window = section.window(cell.body.centre, reach)
    else:
        window = _territory_window(section, territories, index)
    if window is None or not section.tissue[window].any():
        return None
    grid = section.grid(window)
    body, direction = distance(cell.body, grid, section.stretch_y)
    nucleus: F32 = np.full(body.shape, _FAR)
    piece = np.zeros(body.shape, np.uint8)
    for number, shape in enumerate(cell.nuclei):
        sd = body if shape is cell.body else distance(shape, grid, section.stretch_y)[0]
        nearer = sd < nucleus
        nucleus = np.where(nearer, sd, nucleus)
        piece[nearer] = number
    if territories is None:
        body = body - np.float32(cell.body_um)
    else:
        plane = window[1:]
        inside = territories.labels[plane] == index + 1
        flat = np.where(inside, -territories.edge_um[plane], np.float32(section.pixel_um))
        body = np.broadcast_to(flat, body.shape).astype(np.float32)
        nucleus = np.where(inside, nucleus, _FAR)
    if not (body < section.pixel_um + cell.spread_um).any():
        return None
    return Part(index, window, body, nucleus, piece, direction)


def _territory_window(section: Section, territories: Territories, index: int) -> Window | None:
    rows, columns = np.nonzero(territories.labels == index + 1)
    if not len(rows):
        return None
    return (
        slice(0, section.shape[0]),
        slice(int(rows.min()), int(rows.max()) + 1),
        slice(int(columns.min()), int(columns.max()) + 1),
    )


def _share_out(
    section: Section, parts: list[Part]
) -> tuple[NDArray[np.int32], F32, NDArray[np.int32]]:
    """Give each voxel to the body it lies deepest in, and to a nucleus if it lies in one.

    Returns
    -------
    owner : (K, Y, X) int32, position of the cell, -1 where none is near
    second : (K, Y, X) float32, distance to the body of the next best, um
    nuclear : (K, Y, X) int32, position of the cell whose nucleus this is, -1 where none
    """
    owner = np.full(section.shape, -1, np.int32)
    nuclear = np.full(section.shape, -1, np.int32)
    first = np.full(section.shape, _FAR)
    second = np.full(section.shape, _FAR)
    deepest = np.full(section.shape, np.float32(0.5 * section.pixel_um))
    for part in parts:
        w = part.window
        wins = part.body < first[w]
        second[w] = np.where(wins, first[w], np.minimum(second[w], part.body))
        first[w] = np.where(wins, part.body, first[w])
        owner[w] = np.where(wins, np.int32(part.index), owner[w])
        deeper = part.nucleus < deepest[w]
        deepest[w] = np.where(deeper, part.nucleus, deepest[w])
        nuclear[w] = np.where(deeper, np.int32(part.index), nuclear[w])
    return owner, second, nuclear


def _number(section: Section, cell: Cell, part: Part, nucleus: F32, out: Rendered) -> None:
    """Count the nucleus, or each of its fragments, and keep its path of light."""
    for number in range(len(cell.nuclei)):
        single = nucleus * (part.piece == number) if len(cell.nuclei) > 1 else nucleus
        solid = single > 0.5
        if not solid.any():
            continue
        out.owners.append(part.index)
        view = out.objects[part.window]
        view[solid] = len(out.owners)
        path = np.zeros(single.shape[1:], np.float32)
        for plane in single:  # in order: the sum of a stack of planes is exact this way
            path += plane * np.float32(section.dz)
        out.path_um.append((part.window[1:], path))
