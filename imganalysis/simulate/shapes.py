"""Ellipsoids with a smoothly perturbed surface, and their signed distance on a grid."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from imganalysis.simulate.numeric import F32, rounded

if TYPE_CHECKING:
    from numpy.typing import NDArray

Vector = tuple[float, float, float]
Grid = tuple[F32, F32, F32]
"""Coordinates in um along Z, Y and X, shaped to broadcast."""


@dataclass(frozen=True)
class Shape:
    """A perturbed ellipsoid.

    Parameters
    ----------
    centre
        (Z, Y, X) in um.
    axes
        Semi-axes in um.
    rows
        Unit vectors of the axes, each (Z, Y, X).
    bumps
        (direction in the frame of the axes, order 2 or 3, amplitude): the surface lies at
        1 + the sum of amplitude * Legendre polynomial of the cosine with the direction.
    """

    centre: Vector
    axes: Vector
    rows: tuple[Vector, Vector, Vector]
    bumps: tuple[tuple[Vector, int, float], ...] = ()

    @property
    def reach_um(self) -> float:
        """Radius of a ball around the centre that holds the shape."""
        return max(self.axes) * (1.0 + sum(abs(a) for _, _, a in self.bumps))

    @property
    def diameter_um(self) -> float:
        """Diameter of the ball of the same volume, bumps left aside."""
        return 2.0 * math.cbrt(self.axes[0] * self.axes[1] * self.axes[2])

    def scaled(self, factor: float) -> Shape:
        """Grow or shrink about the centre."""
        return replace(self, axes=_vector(factor * a for a in self.axes))

    def rounder(self, by: float) -> Shape:
        """Bring the axes nearer to a ball of the same volume; 1 makes it one."""
        mean = self.diameter_um / 2.0
        axes = _vector(a ** (1.0 - by) * mean**by for a in self.axes)
        bumps = tuple((d, k, rounded(a * (1.0 - by))) for d, k, a in self.bumps)
        return replace(self, axes=axes, bumps=bumps)


def random_shape(
    rng: np.random.Generator,
    centre: Vector,
    diameter_um: float,
    aspect: float,
    roughness: float,
    along: Vector | None = None,
) -> Shape:
    """Draw a shape of a volume; the middle axis lies between the long one and the short one."""
    lengths = (aspect, 1.0 + (aspect - 1.0) * 0.4 * float(rng.random()), 1.0)
    mean = (lengths[0] * lengths[1] * lengths[2]) ** (1 / 3)
    axes = _vector(diameter_um / 2.0 * length / mean for length in lengths)
    first = unit(along) if along is not None else random_direction(rng)
    return Shape(centre, axes, _frame(rng, first), random_bumps(rng, roughness))


def random_bumps(
    rng: np.random.Generator, amplitude: float
) -> tuple[tuple[Vector, int, float], ...]:
    """Draw four bumps whose sum has about this SD over the surface."""
    if amplitude == 0.0:
        return ()
    # The mean square of a Legendre polynomial of order k over the sphere is 1 / (2 k + 1).
    return tuple(
        (random_direction(rng), k, rounded(amplitude * rng.normal() * math.sqrt((2 * k + 1) / 4)))
        for k in (2, 3, 2, 3)
    )


def random_direction(rng: np.random.Generator) -> Vector:
    """Draw a unit vector, even over the sphere."""
    return unit(_vector(rng.standard_normal(3)))


def unit(v: Vector) -> Vector:
    """Bring a vector to length 1."""
    length = math.sqrt(v[0] ** 2 + v[1] ** 2 + v[2] ** 2)
    return _vector(x / length for x in v)


def legendre(cosine: F32, order: int) -> F32:
    """Legendre polynomial of order 2 or 3."""
    if order == 2:
        return 1.5 * cosine * cosine - np.float32(0.5)
    return cosine * (2.5 * cosine * cosine - np.float32(1.5))


def distance(shape: Shape, grid: Grid, stretch_y: float = 1.0) -> tuple[F32, tuple[F32, F32, F32]]:
    """Signed distance to the surface along the ray from the centre.

    Parameters
    ----------
    shape
        The shape.
    grid
        Z, Y and X in um, broadcast against each other.
    stretch_y
        Lengths along Y are multiplied by this before they are measured: more than 1 where the
        knife has pressed the tissue together.

    Returns
    -------
    distance : (Z, Y, X) float32, um, negative inside
    direction : three (Z, Y, X) float32, unit vector in the frame of the shape's axes
    """
    z = grid[0] - np.float32(shape.centre[0])
    y = (grid[1] - np.float32(shape.centre[1])) * np.float32(stretch_y)
    x = grid[2] - np.float32(shape.centre[2])
    u = [
        z * np.float32(row[0] / axis)
        + y * np.float32(row[1] / axis)
        + x * np.float32(row[2] / axis)
        for row, axis in zip(shape.rows, shape.axes, strict=True)
    ]
    r = np.sqrt(u[0] * u[0] + u[1] * u[1] + u[2] * u[2])
    r = np.maximum(r, np.float32(1e-4))
    inverse = np.float32(1.0) / r
    d = (u[0] * inverse, u[1] * inverse, u[2] * inverse)
    surface: F32 | np.float32 = np.float32(1.0)
    for bump, order, amplitude in shape.bumps:
        surface = surface + np.float32(amplitude) * legendre(dot(d, bump), order)
    length = np.sqrt(z * z + y * y + x * x)
    sd: F32 = (np.float32(1.0) - surface * inverse) * length
    return sd, d


def dot(d: tuple[F32, F32, F32], v: Vector) -> F32:
    """Scalar product in a fixed order of sums."""
    product: F32 = d[0] * np.float32(v[0]) + d[1] * np.float32(v[1]) + d[2] * np.float32(v[2])
    return product


def _vector(values: object) -> Vector:
    z, y, x = (rounded(v) for v in values)  # type: ignore[attr-defined]
    return (z, y, x)


def _frame(rng: np.random.Generator, first: Vector) -> tuple[Vector, Vector, Vector]:
    helper = random_direction(rng)
    second = unit(_cross(first, helper))
    return (first, second, unit(_cross(first, second)))


def _cross(a: Vector, b: Vector) -> Vector:
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def soft(sd: NDArray[np.float32], width: float) -> F32:
    """Occupancy in 0-1 of a voxel at a signed distance, over an edge of a width."""
    occupancy: F32 = np.clip(np.float32(0.5) - sd * np.float32(1.0 / width), 0.0, 1.0)
    return occupancy
