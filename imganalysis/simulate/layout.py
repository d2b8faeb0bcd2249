"""A simulated stain on the outlines of real cells."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from imganalysis.errors import LabelsError
from imganalysis.simulate.cells import Cell, draw_cell, shares_of_dying
from imganalysis.simulate.fields import (
    STEPS,
    Scene,
    SimulatedField,
    check,
    draw_effect,
    grid,
    image,
)
from imganalysis.simulate.numeric import rounded, streams
from imganalysis.simulate.placing import Site
from imganalysis.simulate.render import Territories
from imganalysis.simulate.section import cut, draw_thickness
from imganalysis.simulate.shapes import Shape, Vector, random_bumps
from imganalysis.simulate.tissue import INFILTRATE, NEST, STROMA, draw_pattern
from imganalysis.words import plural

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imganalysis.simulate.recipe import CompartmentSpec, Recipe, WeekSpec

_SIZE_LOG_SD = 0.25  # how far a cell's outline may differ from the size its kind should have


def simulate_on_layout(
    recipe: Recipe,
    panel: str,
    layout_labels: NDArray[np.integer[Any]],
    pixel_size_um: float,
    *,
    seed: int,
    week: int | None = None,
    control: str | None = None,
    planes: int | None = None,
    z_step_um: float | None = None,
    bits: int | None = None,
    photon_scale: float = 1.0,
    bleed_scale: float = 1.0,
    patient_logit: float | None = None,
    field_logit: float | None = None,
    keep_photons: bool = False,
) -> SimulatedField:
    """Fill given outlines of cells with nuclei and markers, and take their picture.

    A cell's kind is drawn from the composition of its place, weighted by how well its size fits
    the kind. Its nucleus is an ellipsoid like the outline, smaller by the kind's ratio of nucleus
    to cell, cut by the section somewhere in its middle part; it does not leave the outline.

    Parameters
    ----------
    recipe, panel, seed, week, control
        As in `simulate_field`.
    layout_labels
        (Y, X) integers, 0 background, one number per cell.
    pixel_size_um
        Side of a pixel of the layout and of the image.
    planes, z_step_um, bits, photon_scale, bleed_scale, patient_logit, field_logit, keep_photons
        As in `simulate_field`.

    Returns
    -------
    SimulatedField
        ``cells`` has a column ``outline``, the number of the cell in the layout.

    Raises
    ------
    LabelsError
        The layout is not a plane of whole numbers from 0 on.
    SettingsError
        As in `simulate_field`.
    """
    outlines = _outlines(layout_labels)
    shape = (int(outlines.shape[0]), int(outlines.shape[1]))
    spec = grid(recipe, max(16, *shape), pixel_size_um, planes, z_step_um, bits)
    week = check(recipe, panel, week, control)
    composition = recipe.weeks[week]
    rngs = streams(seed, *STEPS)
    thickness = draw_thickness(rngs["section"], recipe.section)
    section = cut(rngs["section"], recipe.section, spec, shape, thickness)
    side = (shape[0] * pixel_size_um, shape[1] * pixel_size_um)
    pattern = draw_pattern(rngs["pattern"], recipe, composition, side, thickness)
    effect = draw_effect(rngs["effects"], recipe, patient_logit, field_logit)
    shares = shares_of_dying(composition, effect)
    ids = np.unique(outlines[outlines > 0])
    numbered = np.searchsorted(ids, outlines).astype(np.uint32) + np.uint32(1)
    numbered[outlines == 0] = 0
    cells: list[Cell] = []
    for ellipse in _ellipses(numbered, len(ids), pixel_size_um):
        place = pattern.at(*ellipse.centre)
        kind = _kind(rngs["cells"], recipe, composition, place, ellipse.diameter_um)
        cells.append(
            _fit(rngs["cells"], recipe, kind, place, ellipse, thickness, shares.get(kind, 0.0))
        )
    territories = Territories(numbered, _edge(numbered, pixel_size_um))
    scene = Scene(spec, section, cells, np.ones(shape, np.float32), (), territories)
    field = image(
        rngs,
        recipe,
        panel,
        scene,
        seed=seed,
        week=week,
        control=control,
        photon_scale=photon_scale,
        bleed_scale=bleed_scale,
        keep_photons=keep_photons,
    )
    _, first = np.unique(field.labels, return_index=True)
    outline_of = dict(zip(field.labels.flat[first], outlines.flat[first], strict=True))
    field.cells["outline"] = [int(outline_of[label]) for label in field.cells["label"]]
    return field


class _Ellipse:
    """The ellipse of an outline's moments; its axes lie in the plane."""

    def __init__(
        self, rows: NDArray[np.int64], columns: NDArray[np.int64], pixel_um: float
    ) -> None:
        n = len(rows)
        self.area_um2 = n * pixel_um**2
        y, x = float(rows.sum()) / n, float(columns.sum()) / n
        # A pixel is a square, not a point: 1/12 is the variance of its side.
        yy = float(((rows - y) ** 2).sum()) / n + 1 / 12
        xx = float(((columns - x) ** 2).sum()) / n + 1 / 12
        xy = float(((rows - y) * (columns - x)).sum()) / n
        middle, half = (yy + xx) / 2.0, math.hypot((yy - xx) / 2.0, xy)
        angle = rounded(0.5 * math.atan2(2.0 * xy, xx - yy))
        self.centre = (rounded((y + 0.5) * pixel_um), rounded((x + 0.5) * pixel_um))
        self.long_um = rounded(2.0 * math.sqrt(middle + half) * pixel_um)
        self.short_um = rounded(2.0 * math.sqrt(max(middle - half, 1 / 12)) * pixel_um)
        self.along: Vector = (0.0, rounded(math.sin(angle)), rounded(math.cos(angle)))

    @property
    def diameter_um(self) -> float:
        return math.sqrt(4.0 * self.area_um2 / math.pi)


def _outlines(labels: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
    if labels.ndim != 2 or labels.dtype.kind not in "iu":
        raise LabelsError(
            "expected a layout of axes YX and whole numbers, found "
            f"{plural(labels.ndim, 'axis', 'axes')} of {labels.dtype}: give a plane of cell "
            "numbers"
        )
    if labels.size and int(labels.min()) < 0:
        raise LabelsError(f"expected cell numbers from 0 on, found {int(labels.min())}")
    return labels


def _ellipses(labels: NDArray[np.uint32], count: int, pixel_um: float) -> list[_Ellipse]:
    boxes = ndimage.find_objects(labels.astype(np.int64), max_label=count)
    found = []
    for number, box in enumerate(boxes, start=1):
        rows, columns = np.nonzero(labels[box] == number)
        found.append(_Ellipse(rows + box[0].start, columns + box[1].start, pixel_um))
    return found


def _kind(
    rng: np.random.Generator, recipe: Recipe, week: WeekSpec, place: str, diameter_um: float
) -> str:
    spec: CompartmentSpec = {NEST: week.nest, INFILTRATE: week.infiltrate, STROMA: week.stroma}[
        place
    ]
    weights = []
    for kind, share in spec.mix.items():
        cell = recipe.cells[kind]
        # Cut anywhere, a ball shows 0.785 of its diameter on average.
        usual = 0.785 * (cell.diameter_um + 2.0 * cell.cytoplasm_um)
        apart = math.log(diameter_um / usual) / _SIZE_LOG_SD
        weights.append(share * (math.exp(-0.5 * apart**2) + 1e-6))
    pick, total = float(rng.random()) * math.fsum(weights), 0.0
    for kind, weight in zip(spec.mix, weights, strict=True):
        total += weight
        if pick < total:
            return kind
    return next(reversed(spec.mix))


def _fit(
    rng: np.random.Generator,
    recipe: Recipe,
    kind: str,
    place: str,
    ellipse: _Ellipse,
    thickness_um: float,
    dying: float,
) -> Cell:
    spec = recipe.cells[kind]
    ratio = spec.diameter_um / (spec.diameter_um + 2.0 * spec.cytoplasm_um)
    a, b = rounded(ratio * ellipse.long_um), rounded(ratio * ellipse.short_um)
    c = rounded(math.sqrt(a * b))
    z = rounded(thickness_um / 2.0 + c * float(rng.uniform(-0.6, 0.6)))
    centre = (z, *ellipse.centre)
    across: Vector = (0.0, ellipse.along[2], -ellipse.along[1])
    rows = (ellipse.along, across, (1.0, 0.0, 0.0))
    shape = Shape(centre, (a, b, c), rows, random_bumps(rng, spec.roughness))
    site = Site(kind, place, centre, shape.diameter_um)
    return draw_cell(rng, recipe, site, dying, shape)


def _edge(labels: NDArray[np.uint32], pixel_um: float) -> NDArray[np.float32]:
    """Distance of each pixel's centre to the outline of its cell, um."""
    padded = np.pad(labels, 1, mode="edge")
    middle = padded[1:-1, 1:-1]
    border = np.zeros(labels.shape, bool)
    for neighbour in (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]):
        border |= neighbour != middle
    if not border.any():
        return np.full(labels.shape, np.float32(99.0))
    inner: NDArray[np.float32] = (
        (np.round(ndimage.distance_transform_edt(~border), 6) + 0.5) * pixel_um
    ).astype(np.float32)
    return inner
