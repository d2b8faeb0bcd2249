"""The section: its grid of thin slices, its two wavy faces, and the tubes that run through it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from imganalysis.simulate.numeric import F32, bilinear, random_field, rounded

if TYPE_CHECKING:
    from imganalysis.simulate.recipe import FieldSpec, SectionSpec
    from imganalysis.simulate.tissue import Capillary

_SLICE_UM = 0.5  # thickest slice


@dataclass(frozen=True)
class Section:
    """A cut of the tissue, on a grid of slices finer than the microscope's planes.

    Parameters
    ----------
    z, y, x
        Coordinates of the voxels in um; z = 0 is the section's mean lower face.
    dz
        Thickness of a slice in um.
    pixel_um
        Side of a pixel.
    planes_z
        The microscope's planes in um.
    thickness_um
        Of this section.
    tissue
        (K, Y, X) float32 in 0-1, how much of a voxel lies between the faces.
    stretch_y
        Undoes the compression of the knife, which moves along Y.
    """

    z: F32
    y: F32
    x: F32
    dz: float
    pixel_um: float
    planes_z: tuple[float, ...]
    thickness_um: float
    tissue: F32
    stretch_y: float

    @property
    def shape(self) -> tuple[int, int, int]:
        """Slices, rows, columns."""
        return (len(self.z), len(self.y), len(self.x))

    @property
    def plane_slices(self) -> list[int]:
        """The slice nearest to each plane."""
        return [int(np.argmin(np.abs(self.z - np.float32(z)))) for z in self.planes_z]

    def window(
        self, centre: tuple[float, float, float], radius: float
    ) -> tuple[slice, slice, slice] | None:
        """Voxels of the box around a ball, or None where it does not meet the grid."""
        z0, y0, x0 = float(self.z[0]), float(self.y[0]), float(self.x[0])
        found = []
        for c, start, step, n, r in (
            (centre[0], z0, self.dz, len(self.z), radius),
            (centre[1], y0, self.pixel_um, len(self.y), radius),
            (centre[2], x0, self.pixel_um, len(self.x), radius),
        ):
            low = max(0, math.ceil(rounded((c - r - start) / step)))
            high = min(n, math.floor(rounded((c + r - start) / step)) + 1)
            if low >= high:
                return None
            found.append(slice(low, high))
        return (found[0], found[1], found[2])

    def grid(self, window: tuple[slice, slice, slice]) -> tuple[F32, F32, F32]:
        """Coordinates of a window, shaped to broadcast."""
        return (
            self.z[window[0], None, None],
            self.y[None, window[1], None],
            self.x[None, None, window[2]],
        )


def draw_thickness(rng: np.random.Generator, spec: SectionSpec) -> float:
    """Draw the thickness of a section in um."""
    normal = min(max(float(rng.standard_normal()), -2.0), 2.0)
    return rounded(spec.thickness_um + spec.thickness_sd_um * normal)


def cut(
    rng: np.random.Generator,
    spec: SectionSpec,
    field: FieldSpec,
    shape: tuple[int, int],
    thickness_um: float,
) -> Section:
    """Cut a section with wavy faces; the planes lie around its middle.

    Parameters
    ----------
    rng
        Of this step.
    spec, field
        Of the recipe.
    shape
        Rows and columns.
    thickness_um
        As drawn.
    """
    per_step = max(1, math.ceil(field.z_step_um / _SLICE_UM))
    dz = field.z_step_um / per_step
    first = thickness_um / 2.0 - (field.planes - 1) * field.z_step_um / 2.0
    planes = tuple(rounded(first + i * field.z_step_um) for i in range(field.planes))
    below = math.ceil((first + 1.0) / dz)
    above = math.ceil((thickness_um + 1.0 - planes[-1]) / dz)
    count = max(0, below) + (field.planes - 1) * per_step + max(0, above) + 1
    z = np.array([rounded(first + (k - max(0, below)) * dz) for k in range(count)], np.float32)
    y = ((np.arange(shape[0]) + 0.5) * field.pixel_um).astype(np.float32)
    x = ((np.arange(shape[1]) + 0.5) * field.pixel_um).astype(np.float32)
    # Both faces follow one wave; the thickness itself varies much less.
    wave = spec.waviness_um * _waves(rng, shape, field.pixel_um)
    uneven = 0.1 * _waves(rng, shape, field.pixel_um)
    middle = np.float32(thickness_um / 2.0) + np.clip(wave, -spec.waviness_um, spec.waviness_um)
    half = np.float32(thickness_um / 2.0) * (np.float32(1.0) + 0.5 * uneven)
    inside = (half - np.abs(z[:, None, None] - middle)) * np.float32(1.0 / dz) + np.float32(0.5)
    tissue: F32 = np.clip(inside, 0.0, 1.0).astype(np.float32)
    return Section(
        z, y, x, dz, field.pixel_um, planes, thickness_um, tissue, 1.0 / (1.0 - spec.compression)
    )


def _waves(rng: np.random.Generator, shape: tuple[int, int], pixel_um: float) -> F32:
    """Smooth field of SD 0.5 with waves about 60 um long, drawn coarse and enlarged."""
    step = max(1, round(5.0 / pixel_um))
    coarse = random_field(rng, (shape[0] // step + 3, shape[1] // step + 3), (4.0, 4.0)) * 0.5
    rows, columns = np.arange(shape[0]) / step, np.arange(shape[1]) / step
    return bilinear(coarse, rows[:, None], columns[None, :])


def lumen(section: Section, tubes: tuple[Capillary, ...]) -> F32:
    """(K, Y, X) float32 in 0-1: how much of a voxel lies in a capillary."""
    inside = np.zeros(section.shape, np.float32)
    for tube in tubes:
        for point in tube.points:
            centre = (float(point[0]), float(point[1]), float(point[2]))
            window = section.window(centre, tube.radius_um + 0.5)
            if window is None:
                continue
            z, y, x = section.grid(window)
            d = np.sqrt((z - point[0]) ** 2 + (y - point[1]) ** 2 + (x - point[2]) ** 2)
            part = np.clip((tube.radius_um - d) / section.pixel_um + 0.5, 0.0, 1.0)
            inside[window] = np.maximum(inside[window], part.astype(np.float32))
    return inside
