"""The pattern of the tissue: nests, infiltrate, stroma and capillaries."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from imganalysis.simulate.numeric import F32, bilinear, random_field, rounded, smooth

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imganalysis.simulate.recipe import Recipe, WeekSpec

NEST, INFILTRATE, STROMA, CAPILLARY = "nest", "infiltrate", "stroma", "capillary"
CODES = (STROMA, NEST, INFILTRATE)
_STEP_UM = 3.0  # of the coarse grid on which the pattern is drawn
MARGIN_UM = 24.0  # of tissue around the field, so that cells at its border have neighbours
_WALK_UM = 160  # length of a capillary on either side of where it is deepest in the section


@dataclass(frozen=True)
class Capillary:
    """Axis of a tube: (N, 3) points Z, Y, X in um, 1 um apart, and its radius."""

    points: NDArray[np.float64]
    radius_um: float

    def distance(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distance in um of (N, 3) places from the wall, 0 inside."""
        if not len(places):
            return np.zeros(0)
        d = cKDTree(self.points).query(places)[0] - self.radius_um
        wall: NDArray[np.float64] = np.round(np.maximum(d, 0.0), 6)
        return wall


@dataclass(frozen=True)
class Pattern:
    """Compartments on the coarse grid, which reaches beyond the field, and the capillaries.

    Parameters
    ----------
    codes
        (I, J) uint8, position in `CODES`.
    squares
        For each compartment its squares of the grid, (N, 2).
    side_um
        Height and width of the field.
    capillaries
        Tubes.
    """

    codes: NDArray[np.uint8]
    squares: dict[str, NDArray[np.int64]]
    side_um: tuple[float, float]
    capillaries: tuple[Capillary, ...]
    step_um: float = _STEP_UM

    def at(self, y: float, x: float) -> str:
        """Compartment of a place in um; the border's goes on beyond it."""
        i = min(max(int((y + MARGIN_UM) / _STEP_UM), 0), self.codes.shape[0] - 1)
        j = min(max(int((x + MARGIN_UM) / _STEP_UM), 0), self.codes.shape[1] - 1)
        return CODES[int(self.codes[i, j])]

    def draw(self, rng: np.random.Generator, compartment: str) -> tuple[float, float]:
        """Draw a place (Y, X) in um in a compartment, even over it."""
        squares = self.squares[compartment]
        i, j = squares[int(rng.integers(len(squares)))]
        dy, dx = rng.random(2)
        return (float(i + dy) * _STEP_UM - MARGIN_UM, float(j + dx) * _STEP_UM - MARGIN_UM)

    def share(self, compartment: str, y: NDArray[np.float64], x: NDArray[np.float64]) -> F32:
        """Share in 0-1 of a compartment at places in um, smooth across its border."""
        mask = (self.codes == CODES.index(compartment)).astype(np.float32)
        soft = smooth(mask, (1.0, 1.0))
        return bilinear(soft, (y + MARGIN_UM) / _STEP_UM - 0.5, (x + MARGIN_UM) / _STEP_UM - 0.5)


def draw_pattern(
    rng: np.random.Generator,
    recipe: Recipe,
    week: WeekSpec,
    side_um: tuple[float, float],
    thickness_um: float,
) -> Pattern:
    """Draw compartments by thresholding Gaussian random fields, and capillaries in the stroma."""
    tissue = recipe.tissue
    shape = (
        math.ceil((side_um[0] + 2 * MARGIN_UM) / _STEP_UM),
        math.ceil((side_um[1] + 2 * MARGIN_UM) / _STEP_UM),
    )
    # A thresholded field of correlation length L has patches about 2.5 L wide.
    nest_field = random_field(rng, shape, (tissue.nest_um / 2.5 / _STEP_UM,) * 2)
    other_field = random_field(rng, shape, (tissue.infiltrate_um / 2.5 / _STEP_UM,) * 2)
    jitter = rng.normal(0.0, 1.0, 2) * tissue.area_sd
    nest = _largest(nest_field, week.nest.area + (jitter[0] if week.nest.area else 0.0))
    tubes = tuple(
        _draw_capillary(rng, recipe, side_um, thickness_um, nest) for _ in range(week.capillaries)
    )
    # Lymphocytes leave the blood at vessels: the infiltrate is drawn towards them.
    near = np.full(shape, 99.0)
    for tube in tubes:
        near = np.minimum(near, _grid_distance(shape, tube))
    other_field = other_field + np.maximum(0.0, 1.2 - near / 40.0).astype(np.float32)
    other_field = np.where(nest, np.float32(-99.0), other_field)
    area = week.infiltrate.area + (jitter[1] if week.infiltrate.area else 0.0)
    infiltrate = _largest(other_field, min(area, 0.98 - float(nest.mean()))) & ~nest
    codes = nest.astype(np.uint8) + 2 * infiltrate.astype(np.uint8)
    squares = {name: np.argwhere(codes == code) for code, name in enumerate(CODES)}
    return Pattern(codes, squares, side_um, tubes)


def _largest(field: F32, share: float) -> NDArray[np.bool_]:
    count = round(min(max(share, 0.0), 1.0) * field.size)
    mask = np.zeros(field.size, bool)
    mask[np.argsort(-field, axis=None, kind="stable")[:count]] = True
    return mask.reshape(field.shape)


def _grid_distance(shape: tuple[int, int], tube: Capillary) -> NDArray[np.float64]:
    empty = np.ones(shape, bool)
    index = np.rint((tube.points[:, 1:] + MARGIN_UM) / _STEP_UM).astype(int)
    inside = ((index >= 0) & (index < np.array(shape))).all(axis=1)
    empty[index[inside, 0], index[inside, 1]] = False
    if empty.all():
        return np.full(shape, 99.0)
    distance: NDArray[np.float64] = np.round(ndimage.distance_transform_edt(empty) * _STEP_UM, 6)
    return distance


def _draw_capillary(
    rng: np.random.Generator,
    recipe: Recipe,
    side_um: tuple[float, float],
    thickness_um: float,
    nest: NDArray[np.bool_],
) -> Capillary:
    """Of some smooth walks through the section, take the one that keeps out of the nests most."""
    walks = [_walk(rng, side_um, thickness_um) for _ in range(12)]

    def in_nests(points: NDArray[np.float64]) -> float:
        index = ((points[:, 1:] + MARGIN_UM) / _STEP_UM).astype(int)
        index = np.clip(index, 0, np.array(nest.shape) - 1)
        return float(nest[index[:, 0], index[:, 1]].mean())

    return Capillary(min(walks, key=in_nests), recipe.tissue.capillary.radius_um)


def _walk(
    rng: np.random.Generator, side_um: tuple[float, float], thickness_um: float
) -> NDArray[np.float64]:
    """Walk both ways from a place in the field, in steps of 1 um, turning smoothly."""
    y0, x0 = (float(rng.uniform(0.2, 0.8)) * s for s in side_um)
    heading = float(rng.uniform(0.0, 2.0 * math.pi))
    slope = float(rng.uniform(0.02, 0.12)) * (1.0 if rng.random() < 0.5 else -1.0)
    bends = rng.normal(0.0, 0.012, (2, _WALK_UM))
    ways: list[list[tuple[float, float, float]]] = [[], []]
    for way, sign in zip(ways, (1, -1), strict=True):
        angle, turn, y, x = heading, 0.0, y0, x0
        for i in range(1, _WALK_UM + 1):
            turn = 0.9 * turn + float(bends[(sign + 1) // 2, i - 1])
            angle += turn
            y += sign * math.sin(angle)
            x += sign * math.cos(angle)
            z = thickness_um / 2.0 + sign * i * slope
            way.append((rounded(z), rounded(y), rounded(x)))
    start = (rounded(thickness_um / 2.0), rounded(y0), rounded(x0))
    return np.array([*reversed(ways[1]), start, *ways[0]])
