"""One field of view of a simulated section, with all that is true of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from imganalysis.errors import SettingsError
from imganalysis.simulate import optics, truth
from imganalysis.simulate.cells import Cell, draw_cells
from imganalysis.simulate.numeric import F32, rounded, streams
from imganalysis.simulate.placing import place_cells
from imganalysis.simulate.recipe import FieldSpec, Recipe
from imganalysis.simulate.render import Territories, render
from imganalysis.simulate.section import Section, cut, draw_thickness, lumen
from imganalysis.simulate.tissue import NEST, Capillary, draw_pattern
from imganalysis.simulate.varying import add_sheets, turn_sites
from imganalysis.stack import PixelSize, Stack

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

SECONDARY_ONLY = "secondary_only"


@dataclass(frozen=True)
class SimulatedField:
    """A field of view and its truth.

    Parameters
    ----------
    stack
        Pixels, (C, Z, Y, X) uint8 or uint16, as a microscope would give them.
    labels
        (Y, X) uint32, profiles of nuclei and fragments as light through the section shows them.
    labels_3d
        (Z, Y, X) uint32, the same objects at the stack's planes.
    cells
        One row per cell of which a nucleus is seen; fragments are one cell.
    objects
        One row per label: ``label``, ``cell_id``, area and centroid.
    panel, week, control, seed
        What was simulated; ``control`` is empty for a sample.
    thickness_um
        Of the section.
    vessels
        (Y, X) bool, lumen of capillaries.
    ghosts
        Cells without a nucleus that the section shows.
    photons
        (C, Z, Y, X) float32, expected photons without noise, if they were asked for.
    """

    stack: Stack
    labels: NDArray[np.uint32]
    labels_3d: NDArray[np.uint32]
    cells: pd.DataFrame
    objects: pd.DataFrame
    panel: str
    week: int
    control: str
    seed: int
    thickness_um: float
    vessels: NDArray[np.bool_]
    ghosts: int
    photons: F32 | None = None


def simulate_field(
    recipe: Recipe,
    panel: str,
    *,
    seed: int,
    week: int | None = None,
    control: str | None = None,
    size_px: int | None = None,
    pixel_size_um: float | None = None,
    planes: int | None = None,
    z_step_um: float | None = None,
    bits: int | None = None,
    photon_scale: float = 1.0,
    bleed_scale: float = 1.0,
    patient_logit: float | None = None,
    field_logit: float | None = None,
    keep_photons: bool = False,
) -> SimulatedField:
    """Simulate one field of view.

    The same seed gives the same tissue under every panel, with and without antibodies.

    Parameters
    ----------
    recipe
        As `load_recipe` gives it.
    panel
        Name of a panel of the recipe.
    seed
        Of the field; the same arguments give the same bytes.
    week
        Of the recipe; its first by default.
    control
        ``secondary_only`` leaves the primary antibodies out; None for a sample.
    size_px, pixel_size_um, planes, z_step_um, bits
        In place of the recipe's.
    photon_scale, bleed_scale
        Multiply all light, and the bleed-through between channels.
    patient_logit, field_logit
        Effects on the logit of the dying share; None draws them with the recipe's SD.
    keep_photons
        Keep the noiseless image.

    Returns
    -------
    SimulatedField

    Raises
    ------
    SettingsError
        Unknown panel, week or control, or an impossible grid.
    """
    spec = grid(recipe, size_px, pixel_size_um, planes, z_step_um, bits)
    week = check(recipe, panel, week, control)
    rngs = streams(seed, "section", "pattern", "cells", "texture", "light", "noise", "effects")
    thickness = draw_thickness(rngs["section"], recipe.section)
    side = (spec.size_px * spec.pixel_um,) * 2
    section = cut(rngs["section"], recipe.section, spec, (spec.size_px,) * 2, thickness)
    composition = recipe.weeks[week]
    pattern = draw_pattern(rngs["pattern"], recipe, composition, side, thickness)
    sites = place_cells(rngs["pattern"], recipe, composition, pattern, thickness)
    effect = draw_effect(rngs["effects"], recipe, patient_logit, field_logit)
    sites = turn_sites(seed, recipe, sites)
    cells = draw_cells(rngs["cells"], recipe, composition, sites, effect)
    cells = add_sheets(seed, recipe, cells)
    y, x = section.y.astype(float)[:, None], section.x.astype(float)[None, :]
    stroma = np.float32(1.0) - pattern.share(NEST, y, x)
    scene = Scene(spec, section, cells, stroma, pattern.capillaries)
    return image(
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


@dataclass(frozen=True)
class Scene:
    """What stands before the microscope."""

    spec: FieldSpec
    section: Section
    cells: list[Cell]
    stroma: F32
    capillaries: tuple[Capillary, ...] = ()
    territories: Territories | None = None


def image(
    rngs: dict[str, np.random.Generator],
    recipe: Recipe,
    panel: str,
    scene: Scene,
    *,
    seed: int,
    week: int,
    control: str | None,
    photon_scale: float,
    bleed_scale: float,
    keep_photons: bool,
) -> SimulatedField:
    """Stain a scene with a panel, take its picture, and write down what is true of it."""
    section, cells, pixel = scene.section, scene.cells, scene.spec.pixel_um
    channels = recipe.panels[panel].channels
    markers = tuple(channel.marker for channel in channels)
    rendered = render(
        rngs["texture"],
        recipe,
        section,
        cells,
        markers,
        stained=control is None,
        territories=scene.territories,
    )
    blood = lumen(section, scene.capillaries)
    photons = optics.expose(
        rngs["light"],
        recipe,
        recipe.panels[panel],
        section,
        rendered,
        blood,
        scene.stroma,
        photon_scale=photon_scale,
        bleed_scale=bleed_scale,
    )
    data = optics.digitise(
        rngs["noise"], photons, recipe.panels[panel], recipe.detector, scene.spec.bits
    )
    flat, solid, owners = truth.draw_labels(recipe, section, rendered)
    objects = truth.object_table(flat, owners, pixel)
    side = (flat.shape[0] * pixel, flat.shape[1] * pixel)
    vessel = _vessel_distance(scene.capillaries, cells)
    size = PixelSize(scene.spec.z_step_um, pixel, pixel, "metadata")
    return SimulatedField(
        stack=Stack(data, tuple(channel.name for channel in channels), size),
        labels=flat,
        labels_3d=solid,
        cells=truth.cell_table(recipe, cells, owners, objects, side, vessel),
        objects=objects,
        panel=panel,
        week=week,
        control=control or "",
        seed=seed,
        thickness_um=section.thickness_um,
        vessels=(blood * section.tissue).max(axis=0) > 0.5,
        ghosts=len(rendered.ghosts),
        photons=photons if keep_photons else None,
    )


def grid(
    recipe: Recipe,
    size_px: int | None,
    pixel_size_um: float | None,
    planes: int | None,
    z_step_um: float | None,
    bits: int | None,
) -> FieldSpec:
    """Lay what a caller wants over the recipe's grid."""
    from pydantic import ValidationError

    wanted = {
        "size_px": size_px,
        "pixel_um": pixel_size_um,
        "planes": planes,
        "z_step_um": z_step_um,
        "bits": bits,
    }
    given = {key: value for key, value in wanted.items() if value is not None}
    try:
        return FieldSpec.model_validate({**recipe.field.model_dump(), **given})
    except ValidationError as error:
        first = error.errors()[0]
        raise SettingsError(f"{first['loc'][0]}: {first['msg']}, got {first['input']!r}") from None


def check(recipe: Recipe, panel: str, week: int | None, control: str | None) -> int:
    """Return the week, the recipe's first by default, once all three are known to exist."""
    if panel not in recipe.panels:
        known = ", ".join(recipe.panels)
        raise SettingsError(f"recipe {recipe.name} has panels {known}, not {panel!r}")
    if control not in (None, SECONDARY_ONLY):
        raise SettingsError(f"expected control {SECONDARY_ONLY} or none, got {control!r}")
    if week is None:
        return min(recipe.weeks)
    if week not in recipe.weeks:
        known = ", ".join(map(str, recipe.weeks))
        raise SettingsError(f"recipe {recipe.name} has weeks {known}, not {week!r}")
    return week


def draw_effect(
    rng: np.random.Generator, recipe: Recipe, patient: float | None, field: float | None
) -> float:
    """Draw the effects of patient and field on a logit, or take those that are given."""
    drawn = rng.standard_normal(2)
    if patient is None:
        patient = recipe.effects.patient_logit_sd * float(drawn[0])
    if field is None:
        field = recipe.effects.field_logit_sd * float(drawn[1])
    return rounded(patient + field)


def _vessel_distance(tubes: tuple[Capillary, ...], cells: list[Cell]) -> NDArray[np.float64]:
    centres = np.array([cell.body.centre for cell in cells], float).reshape(-1, 3)
    best = np.full(len(centres), np.inf)
    for tube in tubes:
        best = np.minimum(best, tube.distance(centres))
    return best
