"""Cells: nucleus and body in 3-D, the stage of death, and the level of every marker."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from imganalysis.simulate.numeric import rounded
from imganalysis.simulate.shapes import (
    Shape,
    Vector,
    random_bumps,
    random_direction,
    random_shape,
)

if TYPE_CHECKING:
    import numpy as np

    from imganalysis.simulate.placing import Site
    from imganalysis.simulate.recipe import CellSpec, Expression, Recipe, WeekSpec

EARLY, SHRUNKEN, FRAGMENTED = 0, 1, 2  # phases of a cell; a living one is EARLY too


@dataclass(frozen=True)
class Cell:
    """One cell of the tissue.

    Parameters
    ----------
    kind
        Of the recipe.
    compartment
        Where it sits.
    body
        The shape from which the body reaches ``body_um`` outwards.
    body_um
        Width of the cytoplasm around ``body``.
    spread_um
        How much wider it is where no other cell is nearer.
    nuclei
        The nucleus, or its fragments; empty in a ghost.
    stage
        Of death, in (0, 1); None in a living cell.
    diameter_um
        Of the ball of the nucleus's volume before the cell began to die.
    levels
        Of each marker at its own place; 1 is the median of the cells that define it.
    inside
        Of markers that sit in the cytoplasm although their place is elsewhere.
    nonspecific
        Of each marker's secondary antibody, over the whole body.
    dna
        Brightness of the chromatin; 1 is the median of the living.
    texture
        Strength of the chromatin's texture.
    lipofuscin
        Brightness of its autofluorescent granules.
    phase
        0 living or early, 1 shrunken, 2 in fragments.
    patches
        Where on the cell the membrane holds more of its markers, as the bumps of a shape.
    """

    kind: str
    compartment: str
    body: Shape
    body_um: float
    spread_um: float
    nuclei: tuple[Shape, ...]
    nucleoli: tuple[tuple[Vector, float], ...]
    stage: float | None
    diameter_um: float
    levels: dict[str, float]
    inside: dict[str, float]
    nonspecific: dict[str, float]
    dna: float
    texture: float
    lipofuscin: float
    phase: int
    patches: tuple[tuple[Vector, int, float], ...]


def shares_of_dying(week: WeekSpec, effect: float) -> dict[str, float]:
    """For each kind the share that is dying, shifted by an effect on its logit; 0 and 1 stay."""
    shares = {}
    for kind, share in week.dying.items():
        shifted = share
        if 0.0 < share < 1.0:
            shifted = 1.0 / (1.0 + math.exp(-(math.log(share / (1.0 - share)) + effect)))
        shares[kind] = rounded(shifted)
    return shares


def draw_cells(
    rng: np.random.Generator,
    recipe: Recipe,
    week: WeekSpec,
    sites: list[Site],
    effect: float,
) -> list[Cell]:
    """Give every site its cell.

    Parameters
    ----------
    rng
        Of this step.
    recipe, week
        What to draw from.
    sites
        Where.
    effect
        Of the field and the patient on the logit of the dying share.
    """
    shares = shares_of_dying(week, effect)
    return [draw_cell(rng, recipe, site, shares.get(site.kind, 0.0)) for site in sites]


def draw_cell(
    rng: np.random.Generator,
    recipe: Recipe,
    site: Site,
    dying: float,
    shape: Shape | None = None,
) -> Cell:
    """Draw one cell; with the chance ``dying`` it is at some stage of death.

    Its nucleus has the shape that is given, else one of the kind's.
    """
    spec = recipe.cells[site.kind]
    if shape is None:
        aspect = float(rng.uniform(*spec.aspect))
        shape = random_shape(rng, site.centre, site.diameter_um, aspect, spec.roughness, site.along)
    stage = rounded(rng.random()) if rng.random() < dying else None
    levels, inside = {}, {}
    for marker in recipe.markers:
        levels[marker], inside[marker] = _level(rng, spec.expression.get(marker), stage)
    tissue = recipe.tissue
    nonspecific = {
        marker: rounded(
            spec.nonspecific * math.exp(tissue.nonspecific_log_sd * float(rng.standard_normal()))
        )
        for marker in recipe.markers
    }
    body_um = spec.cytoplasm_um * (1.0 + tissue.body_cv * float(rng.standard_normal()))
    dna = math.exp(tissue.dna_log_sd * float(rng.standard_normal()))
    nucleoli = _nucleoli(rng, spec, shape)
    lipofuscin = rounded(rng.uniform(0.3, 1.0)) if rng.random() < spec.lipofuscin else 0.0
    cell = Cell(
        kind=site.kind,
        compartment=site.compartment,
        body=shape,
        body_um=rounded(body_um),
        spread_um=spec.spread_um,
        nuclei=() if spec.anucleate else (shape,),
        nucleoli=() if spec.anucleate else nucleoli,
        stage=stage,
        diameter_um=0.0 if spec.anucleate else shape.diameter_um,
        levels=levels,
        inside=inside,
        nonspecific=nonspecific,
        dna=rounded(dna),
        texture=spec.texture.cv,
        lipofuscin=lipofuscin,
        phase=EARLY,
        patches=random_bumps(rng, 1.0),
    )
    return cell if stage is None else _die(rng, recipe, cell, stage)


def _level(
    rng: np.random.Generator, expression: Expression | None, stage: float | None
) -> tuple[float, float]:
    # The same numbers are drawn for every cell, so that a change of the recipe's levels
    # changes nothing else of the tissue.
    normal, low, aside = float(rng.standard_normal()), rng.random(), rng.random()
    if expression is None:
        return 0.0, 0.0
    level = expression.level
    if stage is not None and expression.dying is not None:
        level = expression.dying
    level *= math.exp(expression.log_sd * normal)
    if expression.low is not None and low < expression.low.fraction:
        level *= expression.low.factor
    if stage is not None:
        level *= math.exp(-expression.loss * stage)
    inside = 0.0
    if expression.cytoplasmic is not None and aside < expression.cytoplasmic.fraction:
        inside = expression.cytoplasmic.level
    return rounded(level), rounded(inside)


def _die(rng: np.random.Generator, recipe: Recipe, cell: Cell, stage: float) -> Cell:
    """Shrink the cell, condense its chromatin, break its nucleus, as far as its stage goes."""
    death, shape = recipe.death, cell.body
    shrink = rounded(rng.uniform(*death.shrink))
    bright = float(rng.uniform(*death.brighten))
    radius = (shape.diameter_um / 2.0 + cell.body_um) * float(rng.uniform(*death.body))
    if stage < death.shrink_from or not cell.nuclei:
        return cell
    # Condensed chromatin is smooth and has no nucleoli, and the cell rounds up.
    cell = replace(
        cell, dna=rounded(cell.dna * bright), texture=0.2 * cell.texture, nucleoli=(), spread_um=0.0
    )
    if stage < death.fragment_from:
        nucleus = shape.rounder(0.7).scaled(shrink)
        width = rounded(radius - nucleus.diameter_um / 2.0)
        return replace(cell, body=nucleus, body_um=width, nuclei=(nucleus,), phase=SHRUNKEN)
    radius = min(radius, death.extent_um / 2.0 + 0.3)
    body = Shape(shape.centre, (2.0, 2.0, 2.0), shape.rows, random_bumps(rng, 0.12))
    pieces = _fragments(rng, recipe, shape, radius - 0.3)
    return replace(cell, body=body, body_um=rounded(radius - 2.0), nuclei=pieces, phase=FRAGMENTED)


def _fragments(
    rng: np.random.Generator, recipe: Recipe, shape: Shape, radius: float
) -> tuple[Shape, ...]:
    """Draw balls that do not touch, within the shrunken body."""
    death = recipe.death
    wanted = int(rng.integers(death.fragments[0], death.fragments[1] + 1))
    sizes = sorted((rounded(rng.uniform(*death.fragment_um)) for _ in range(wanted)), reverse=True)
    pieces: list[Shape] = []
    for diameter in sizes:
        for _ in range(60):
            reach = max(radius - diameter / 2.0, 0.1) * float(rng.random()) ** (1 / 3)
            way = random_direction(rng)
            centre = _moved(shape.centre, way, reach)
            apart = all(
                math.dist(centre, p.centre) > (diameter + p.diameter_um) / 2.0 + 0.4 for p in pieces
            )
            if apart:
                half = rounded(diameter / 2.0)
                pieces.append(
                    Shape(centre, (half, half, half), shape.rows, random_bumps(rng, 0.05))
                )
                break
    return tuple(pieces)


def _nucleoli(
    rng: np.random.Generator, spec: CellSpec, shape: Shape
) -> tuple[tuple[Vector, float], ...]:
    count = int(rng.integers(spec.nucleoli[0], spec.nucleoli[1] + 1))
    reach = 0.45 * min(shape.axes)
    return tuple(
        (
            _moved(shape.centre, random_direction(rng), reach * float(rng.random())),
            rounded(spec.nucleolus_um / 2.0 * float(rng.uniform(0.8, 1.2))),
        )
        for _ in range(count)
    )


def _moved(centre: Vector, way: Vector, by: float) -> Vector:
    return (
        rounded(centre[0] + way[0] * by),
        rounded(centre[1] + way[1] * by),
        rounded(centre[2] + way[2] * by),
    )
