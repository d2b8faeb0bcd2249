"""One field of view of a simulated section, with all that is true of it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from imganalysis.errors import SettingsError
from imganalysis.simulate import defects, optics, truth
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

SECONDARY_ONLY, SINGLE_STAIN, UNSTAINED = "secondary_only", "single_stain", "unstained"
CONTROLS = (SECONDARY_ONLY, SINGLE_STAIN, UNSTAINED)
STEPS = (
    "section", "pattern", "cells", "texture", "light", "noise", "effects", "pigment", "defects",
)  # fmt: skip
"""Steps with random numbers of their own."""


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
        (C, Z, Y, X) float32, expected photons without noise, if they were asked for; of the
        stained channels, after all that takes or adds light.
    defects
        Name -> (Y, X) bool: where ``pigment`` blocks light, where the tissue is ``folded``.
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
    defects: dict[str, NDArray[np.bool_]] = dataclasses.field(default_factory=dict)


def simulate_field(
    recipe: Recipe,
    panel: str,
    *,
    seed: int,
    week: int | None = None,
    control: str | None = None,
    stain: str | None = None,
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
        ``secondary_only`` leaves the primary antibodies out, ``single_stain`` every dye but one,
        ``unstained`` all dyes; None for a sample.
    stain
        Marker of the one dye of a ``single_stain`` control.
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
        Unknown panel, week, control or stain, or an impossible grid.
    """
    spec = grid(recipe, size_px, pixel_size_um, planes, z_step_um, bits)
    week = check(recipe, panel, week, control, stain)
    rngs = streams(seed, *STEPS)
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
        stain=stain,
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
    stain: str | None = None,
) -> SimulatedField:
    """Stain a scene with a panel, take its picture, and write down what is true of it."""
    section, cells, pixel = scene.section, scene.cells, scene.spec.pixel_um
    spec, wrong = recipe.panels[panel], recipe.defects
    channels = spec.channels
    markers = tuple(channel.marker for channel in channels)
    granules = None
    if recipe.pigment.share:
        granules = defects.Granules(rngs["pigment"], recipe.pigment, section, cells)
    rendered = render(
        rngs["texture"],
        recipe,
        section,
        cells,
        markers,
        stained=control in (None, SINGLE_STAIN),
        territories=scene.territories,
        granules=granules,
    )
    if control in (SINGLE_STAIN, UNSTAINED):
        # Painted all the same, so that the tissue is the same; what is not there gives no light.
        dyes = {m: dye if m == stain else np.zeros_like(dye) for m, dye in rendered.dyes.items()}
        rendered = replace(rendered, dyes=dyes)
    blood = lumen(section, scene.capillaries)

    def expose(rng: np.random.Generator, seen: Section) -> F32:
        return optics.expose(
            rng,
            recipe,
            spec,
            seen,
            rendered,
            blood,
            scene.stroma,
            photon_scale=photon_scale,
            bleed_scale=bleed_scale,
        )

    photons = defects.tilted(rngs["light"], section, wrong.tilt_um, expose)
    marks = {}
    if granules is not None:
        photons = granules.absorb(photons, spec, photon_scale)
        marks["pigment"] = granules.blocked
    photons, folded = defects.fold(rngs["defects"], photons, wrong, pixel)
    photons = defects.displace(rngs["defects"], photons, wrong)
    if wrong.fold_share:
        marks["folded"] = folded
    data = optics.digitise(
        rngs["noise"],
        photons,
        defects.with_gain(spec, wrong.detector_gain),
        recipe.detector,
        scene.spec.bits,
    )
    names = tuple(channel.name for channel in channels)
    behind = recipe.pigment.transmitted
    if granules is not None and behind is not None:
        light = granules.transmitted(behind, data.shape[1], photon_scale)
        levels = defects.transmitted_levels(rngs["pigment"], light, behind, scene.spec.bits)
        data, names = np.concatenate([data, levels[None]]), (*names, behind.name)
    flat, solid, owners = truth.draw_labels(recipe, section, rendered)
    objects = truth.object_table(flat, owners, pixel)
    side = (flat.shape[0] * pixel, flat.shape[1] * pixel)
    vessel = _vessel_distance(scene.capillaries, cells)
    size = PixelSize(scene.spec.z_step_um, pixel, pixel, "metadata")
    table = truth.cell_table(recipe, cells, owners, objects, side, vessel)
    if granules is not None:
        # Cells are numbered in the order of their owners.
        table[truth.PIGMENTED] = granules.chosen[np.unique(np.array(owners, int))]
    return SimulatedField(
        stack=Stack(data, names, size),
        labels=flat,
        labels_3d=solid,
        cells=table,
        objects=objects,
        panel=panel,
        week=week,
        control=control or "",
        seed=seed,
        thickness_um=section.thickness_um,
        vessels=(blood * section.tissue).max(axis=0) > 0.5,
        ghosts=len(rendered.ghosts),
        photons=photons if keep_photons else None,
        defects=marks,
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


def check(
    recipe: Recipe, panel: str, week: int | None, control: str | None, stain: str | None = None
) -> int:
    """Return the week, the recipe's first by default, once all four are known to exist."""
    if panel not in recipe.panels:
        known = ", ".join(recipe.panels)
        raise SettingsError(f"recipe {recipe.name} has panels {known}, not {panel!r}")
    if control not in (None, *CONTROLS):
        raise SettingsError(f"expected control {' or '.join(CONTROLS)} or none, got {control!r}")
    dyes = [channel.marker for channel in recipe.panels[panel].channels]
    if (control == SINGLE_STAIN and stain not in dyes) or (control != SINGLE_STAIN and stain):
        raise SettingsError(
            f"a control {SINGLE_STAIN}, and no other field, has a stain, one of "
            f"{', '.join(dyes)}; got {stain!r} with control {control or 'none'}"
        )
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
