"""Nuclei found in stacks whose planes lie further apart than pixels: a real one and simulated ones.

The real one shows the 8 nuclei of an embryo. The simulated ones are sections thick enough to hold
whole nuclei.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from _common import options, report
from _nuclei import (
    DENSE,
    NESTS,
    NETWORK,
    PIXEL_UM,
    PLAIN,
    add_model,
    real_data,
    simulated,
    volume,
    ways,
)

from imganalysis.annotated import read_annotated
from imganalysis.segment.scores import THRESHOLDS, Counts, count, overlap
from imganalysis.simulate import load_recipe

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from _nuclei import Way
    from numpy.typing import NDArray

    from imganalysis.simulate import Recipe

EMBRYO = "embryo, real"
EMBRYO_RATIO = 2.18  # distance of planes over the side of a pixel
EMBRYO_PX = 20.0  # diameter of its nuclei, as measured by eye
SEEDS = {NESTS: 55_000, DENSE: 56_000}
THICKNESS_UM = 10.0
Z_STEPS_UM = (0.5, 1.0)
DIAMETER_UM = 8.0  # default of every method


@dataclass(frozen=True)
class Stack:
    """A stack (Z, Y, X), its true nuclei, and the size of its voxels in um."""

    image: NDArray[Any]
    labels: NDArray[np.integer[Any]]
    spacing: tuple[float, float, float]


def embryo(folder: Path) -> Stack:
    """Read the stack of the embryo, at the scale at which its nuclei are of the default size."""
    (image,), (mask,) = (sorted((folder / name).glob("*.tif")) for name in ("images_raw", "labels"))
    pixels, labels, _ = read_annotated(image, mask)
    pixel = DIAMETER_UM / EMBRYO_PX
    return Stack(pixels, labels, (EMBRYO_RATIO * pixel, pixel, pixel))


def thick(recipe: Recipe) -> Recipe:
    """Cut the same tissue, with as many nuclei in a volume, into thicker sections.

    A section of thickness T shows profiles of balls of diameter h in proportion to T + h - 2 k,
    where k is the least path that shows (Abercrombie, Anat Rec 1946;94:239).
    """
    path = 2 * recipe.truth.path_um
    week = recipe.weeks[0]
    changed = {}
    for name in ("nest", "infiltrate", "stroma"):
        spec = getattr(week, name)
        more = sum(
            share * (THICKNESS_UM + h - path) / (recipe.section.thickness_um + h - path)
            for kind, share in spec.mix.items()
            for h in [recipe.cells[kind].diameter_um]
        )
        changed[name] = spec.model_copy(update={"density_mm2": spec.density_mm2 * more})
    section = recipe.section.model_copy(update={"thickness_um": THICKNESS_UM})
    weeks = {**recipe.weeks, 0: week.model_copy(update=changed)}
    return recipe.model_copy(update={"section": section, "weeks": weeks})


def stacks(recipe: Recipe, kind: str, step_um: float, number: int, size: int) -> list[Stack]:
    """Simulate stacks through whole sections."""
    found = []
    for seed in range(SEEDS[kind], SEEDS[kind] + number):
        planes = round(THICKNESS_UM / step_um) + 1
        field = simulated(recipe, kind, seed=seed, size=size, planes=planes, z_step_um=step_um)
        spacing = (step_um, PIXEL_UM, PIXEL_UM)
        found.append(Stack(volume(recipe, field), field.labels_3d, spacing))
    return found


def row(name: str, ratio: float, way: Way, counts: Counts) -> list[Any]:
    """Lay out one row of the table."""
    strict = counts.f1()[THRESHOLDS.index(0.7)]
    scores = [counts.f1()[0], strict, counts.split_rate(), counts.merge_rate()]
    shown = ["" if value is None else value for value in [*scores, counts.count_error()]]
    asked = ("F1@0.5 = 1" if name == EMBRYO else "F1@0.5 >= 0.90") if way.name == NETWORK else ""
    return [name, ratio, counts.n_true, way.name, counts.hits[0], *shown, asked]


def main() -> None:
    """Score the methods that know stacks on the same stacks, and report."""
    chosen = options(__doc__, add_model)
    folder = real_data("nuclei-3d-embryo")
    recipe = thick(load_recipe("melanoma"))
    number, size = (1, 160) if chosen.quick else (3, 256)
    sets = {EMBRYO: [embryo(folder)]}
    for step in Z_STEPS_UM:
        for kind in (NESTS, DENSE):
            sets[f"{kind}, planes {step:g} um apart"] = stacks(recipe, kind, step, number, size)
    rows: list[list[Any]] = []
    methods = [way for way in ways(chosen.model) if way.name != PLAIN]
    for name, several in sets.items():
        ratio = several[0].spacing[0] / several[0].spacing[2]
        for way in methods:
            if way.missing:
                rows.append([name, ratio, "", way.name, *[""] * 6, way.missing])
                continue
            each = [count(overlap(one.labels, way(one.image, one.spacing))) for one in several]
            rows.append(row(name, ratio, way, sum(each, Counts())))
    report(
        "Segmentation of stacks",
        ["stack", "plane distance over pixel", "true", "method", "found at 0.5", "F1@0.5",
         "F1@0.7", "split", "merged", "count error", "asked for"],
        rows,
        notes="Embryo: nuclei-3d-embryo (QCANet, MIT), diameter given as "
        f"{EMBRYO_PX:g} px. Simulated: {number} stack(s) of {size} x {size} px at {PIXEL_UM} um "
        f"through sections of {THICKNESS_UM:g} um of each kind; nests and dense infiltrate as in "
        "the planes, with as many nuclei in a volume as in the recipe's sections. IoU is that of "
        "volumes; counts are pooled over stacks.",
        target=chosen.json,
    )  # fmt: skip


if __name__ == "__main__":
    main()
