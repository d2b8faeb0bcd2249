"""Where cells sit: a hard-core process in the compartments, clusters along the capillaries."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy.spatial import cKDTree

from imganalysis.simulate.numeric import rounded
from imganalysis.simulate.tissue import (
    CAPILLARY,
    INFILTRATE,
    NEST,
    STROMA,
    Capillary,
    Pattern,
)

if TYPE_CHECKING:
    import numpy as np

    from imganalysis.simulate.recipe import CellSpec, CompartmentSpec, Recipe, WeekSpec
    from imganalysis.simulate.shapes import Vector

_TRIES = 40  # to place a cell before it is given up


@dataclass(frozen=True)
class Site:
    """Where a cell sits, of what kind it is, how large, and along which direction it lies."""

    kind: str
    compartment: str
    centre: Vector
    diameter_um: float
    along: Vector | None = None


def place_cells(
    rng: np.random.Generator,
    recipe: Recipe,
    week: WeekSpec,
    pattern: Pattern,
    thickness_um: float,
) -> list[Site]:
    """Place cells in the slab around the section: a hard core, softened by the recipe's overlap.

    Notes
    -----
    A section of thickness T shows N_A = N_V (T + h - 2 k) profiles per area of balls of diameter
    h, if a cap less deep than k is not seen (Floderus, Acta Pathol Microbiol Scand 1944, suppl.
    53): from the recipe's profiles the cells per volume follow.
    """
    occupied = _Occupied(recipe, pattern, thickness_um)
    sites: list[Site] = []
    for tube in pattern.capillaries:
        sites += _wall(rng, recipe, tube, occupied)
    compartments = ((NEST, week.nest), (INFILTRATE, week.infiltrate), (STROMA, week.stroma))
    for name, spec in compartments:
        wanted = _counts(rng, recipe, spec, pattern, name, thickness_um)
        # Large cells first: they find no place among small ones.
        for kind in sorted(wanted, key=lambda k: -recipe.cells[k].diameter_um):
            clustered = bool(pattern.capillaries) and kind == recipe.tissue.capillary.clustered
            place = _Clusters(recipe, pattern, thickness_um) if clustered else None
            for _ in range(wanted[kind]):
                site = _place(rng, recipe, pattern, kind, name, occupied, place)
                if site is not None:
                    sites.append(site)
    return sites


def draw_diameter(rng: np.random.Generator, spec: CellSpec) -> float:
    """Draw a nucleus: lognormal, cut at 2.5 SD."""
    sigma = math.sqrt(math.log(1.0 + spec.diameter_cv**2))
    normal = min(max(float(rng.standard_normal()), -2.5), 2.5)
    return rounded(spec.diameter_um * math.exp(sigma * normal - sigma**2 / 2.0))


def _counts(
    rng: np.random.Generator,
    recipe: Recipe,
    spec: CompartmentSpec,
    pattern: Pattern,
    name: str,
    thickness_um: float,
) -> dict[str, int]:
    area_mm2 = len(pattern.squares[name]) * pattern.step_um**2 * 1e-6
    wanted = {}
    for kind, share in spec.mix.items():
        h = recipe.cells[kind].diameter_um
        depth = 2.0 * _reach(recipe.cells[kind]) + thickness_um
        seen = thickness_um + h - 2.0 * recipe.truth.path_um
        profiles = spec.density_mm2 * share * area_mm2
        wanted[kind] = int(rng.poisson(rounded(profiles * depth / seen)))
    return wanted


def _reach(spec: CellSpec) -> float:
    """Distance of a centre from the section beyond which the cell does not reach it."""
    return spec.diameter_um * 0.75 + spec.cytoplasm_um


class _Occupied:
    """Balls already placed; a new one may overlap them only as far as the recipe allows."""

    def __init__(self, recipe: Recipe, pattern: Pattern, thickness_um: float) -> None:
        self.thickness_um = thickness_um
        self._soft = 1.0 - recipe.tissue.overlap
        self._gap = recipe.tissue.gap_um
        self._tubes = [(cKDTree(tube.points), tube.radius_um) for tube in pattern.capillaries]
        self._cells: dict[tuple[int, int], list[tuple[float, float, float, float]]] = {}

    def add(self, centre: Vector, radius: float) -> None:
        key = (int(centre[1] // 20), int(centre[2] // 20))
        self._cells.setdefault(key, []).append((*centre, radius))

    def free(self, centre: Vector, radius: float) -> bool:
        i, j = int(centre[1] // 20), int(centre[2] // 20)
        for key in ((a, b) for a in (i - 1, i, i + 1) for b in (j - 1, j, j + 1)):
            for z, y, x, other in self._cells.get(key, ()):
                near = self._soft * (radius + other) + self._gap
                apart = (centre[0] - z) ** 2 + (centre[1] - y) ** 2 + (centre[2] - x) ** 2
                if apart < near * near:
                    return False
        return all(
            rounded(tree.query(centre)[0]) > tube + 0.8 * radius for tree, tube in self._tubes
        )


def _place(
    rng: np.random.Generator,
    recipe: Recipe,
    pattern: Pattern,
    kind: str,
    compartment: str,
    occupied: _Occupied,
    clusters: _Clusters | None,
) -> Site | None:
    spec = recipe.cells[kind]
    diameter = draw_diameter(rng, spec)
    reach = _reach(spec)
    if clusters is not None:
        clusters.next_cell(rng)
    for _ in range(_TRIES):
        y, x = pattern.draw(rng, compartment) if clusters is None else clusters.draw(rng)
        z = float(rng.uniform(-reach, occupied.thickness_um + reach))
        centre = (rounded(z), rounded(y), rounded(x))
        # A cluster follows its vessel out of its compartment, but not into a nest.
        here = pattern.at(y, x)
        allowed = here == compartment if clusters is None else here != NEST
        if allowed and occupied.free(centre, diameter / 2.0):
            occupied.add(centre, diameter / 2.0)
            return Site(kind, here, centre, diameter)
    return None


class _Clusters:
    """A Thomas process whose parents lie along the capillaries or anywhere outside the nests."""

    def __init__(self, recipe: Recipe, pattern: Pattern, thickness_um: float) -> None:
        self._spec = recipe.tissue.capillary
        self._pattern = pattern
        cell = recipe.cells[self._spec.clustered]
        depth = 2.0 * _reach(cell) + thickness_um
        # The recipe counts profiles; here cells of the whole slab are placed.
        self._mean = rounded(self._spec.cluster_mean * depth / (thickness_um + cell.diameter_um))
        self._left = 0
        self._parent = (0.0, 0.0)

    def next_cell(self, rng: np.random.Generator) -> None:
        """Go on to the next cell, and to the next parent when this one's number is reached."""
        while self._left == 0:
            self._left = int(rng.poisson(self._mean))
            self._parent = self._draw_parent(rng)
        self._left -= 1

    def draw(self, rng: np.random.Generator) -> tuple[float, float]:
        """Draw a place (Y, X) in um around the parent."""
        dy, dx = rng.normal(0.0, self._spec.cluster_sigma_um, 2)
        return self._parent[0] + float(dy), self._parent[1] + float(dx)

    def _draw_parent(self, rng: np.random.Generator) -> tuple[float, float]:
        height, width = self._pattern.side_um
        if rng.random() < self._spec.near_share:
            tube = self._pattern.capillaries[int(rng.integers(len(self._pattern.capillaries)))]
            y, x = tube.points[:, 1], tube.points[:, 2]
            seen = tube.points[(y > 0) & (y < height) & (x > 0) & (x < width)]
            point = seen[int(rng.integers(len(seen)))]
            return float(point[1]), float(point[2])
        for _ in range(_TRIES):
            place = (float(rng.uniform(0.0, height)), float(rng.uniform(0.0, width)))
            if self._pattern.at(*place) != NEST:
                break
        return place


def _wall(
    rng: np.random.Generator, recipe: Recipe, tube: Capillary, occupied: _Occupied
) -> list[Site]:
    """Cells of the wall, each along the tube, on changing sides of it."""
    spec = recipe.tissue.capillary
    cell = recipe.cells[spec.wall]
    sites = []
    steps = max(1, round(spec.spacing_um / 2.0))
    for i in range(0, len(tube.points) - 1, steps):
        step = [float(b - a) for a, b in zip(tube.points[i], tube.points[i + 1], strict=True)]
        angle = float(rng.uniform(0.0, 2.0 * math.pi))
        # Around the axis: Z, and the direction across the tube in the plane.
        across = (-step[2], step[1])
        norm = math.hypot(*across) or 1.0
        off = spec.radius_um + 0.3 * cell.diameter_um
        centre = (
            rounded(tube.points[i, 0] + off * math.sin(angle)),
            rounded(tube.points[i, 1] + off * math.cos(angle) * across[0] / norm),
            rounded(tube.points[i, 2] + off * math.cos(angle) * across[1] / norm),
        )
        reach = _reach(cell)
        if -reach < centre[0] < occupied.thickness_um + reach:
            diameter = draw_diameter(rng, cell)
            occupied.add(centre, diameter / 2.0)
            sites.append(Site(spec.wall, CAPILLARY, centre, diameter, (step[0], step[1], step[2])))
    return sites
