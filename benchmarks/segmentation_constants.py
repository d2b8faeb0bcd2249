"""What the constants of the scikit-image method are worth, chosen without the held-out images.

Each constant is made smaller and larger by a quarter. The changes that help on the images that
training may use are made one after the other, each kept if it helps beside those before: so the
constants would have been chosen without a look at the held-out images.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
from _common import ROOT, options, report

from imganalysis.annotated import pairs_of, read_annotated
from imganalysis.methods import ScikitImageMethod
from imganalysis.segment import _merge, _skimage
from imganalysis.segment.registry import nucleus_diameter
from imganalysis.segment.scores import Counts, count, overlap
from imganalysis.segment.spacing import spacing_for
from imganalysis.training_data import held_out, image_id

MODULES = {"_skimage": _skimage, "_merge": _merge}
CONSTANTS = (
    *(
        f"_skimage.{name}"
        for name in (
            "_SMOOTH", "_SEED_SMOOTH", "_BACKGROUND", "_PEAK", "_AROUND", "_BLUR", "_RIM", "_HOLE",
            "_LOCAL", "_EDGE", "_FINAL_EDGE", "_LEVEL", "_SEED_WIDE", "_FAR", "_SADDLE",
            "_BRIGHTNESS", "_NOISE",
        )
    ),
    *(f"_merge.{name}" for name in ("_NECK", "_SEAM", "_CONVEX", "_LARGEST")),
)  # fmt: skip
SHARES = ("_skimage._LEVEL", "_merge._SEAM", "_merge._CONVEX")
"""Below 1: what they lack of it is changed, not they."""
LESS, MORE = 0.8, 1.25
LEAST_GAIN = 0.0005
QUICK_CONSTANTS, QUICK_STEP = 2, 20

Changes = tuple[tuple[str, float], ...]


def folder() -> Path:
    """Images of BBBC038 with their masks."""
    data = Path(os.environ.get("IMGANALYSIS_TESTDATA", ROOT.parent / "shared" / "data"))
    return data / "nuclei-2d-dsb2018"


def value_of(constant: str) -> float:
    """Give a constant as the method has it."""
    module, _, name = constant.partition(".")
    return float(getattr(MODULES[module], name))


def changed(constant: str, factor: float) -> float:
    """Make a constant smaller or larger; a share that is near 1 stays below it."""
    value = value_of(constant)
    return 1 - (1 - value) / factor if constant in SHARES else value * factor


@lru_cache(maxsize=2)
def _pairs(held: bool, step: int) -> list[tuple[Path, Path]]:
    pairs, _ = pairs_of(folder() / "images", folder() / "masks")
    return [pair for pair in pairs if held_out(image_id(pair[0])) == held][::step]


def score(changes: Changes, held: bool, step: int) -> Counts:
    """Pool the counts of all images, with some constants changed."""
    before = {constant: value_of(constant) for constant, _ in changes}
    method = ScikitImageMethod()
    try:
        _set(dict(changes))
        total = Counts()
        for image_path, mask_path in _pairs(held, step):
            image, truth, _ = read_annotated(image_path, mask_path)
            diameter = nucleus_diameter(image, method)
            found = np.zeros(image.shape, np.uint32)
            if np.isfinite(diameter):
                spacing = spacing_for(diameter, method.nucleus_diameter_um, (), 2)
                found = _skimage.segment_nuclei(image, spacing, method)
            total = total + count(overlap(truth, found))
        return total
    finally:
        _set(before)


def _set(values: dict[str, float]) -> None:
    for constant, value in values.items():
        module, _, name = constant.partition(".")
        setattr(MODULES[module], name, value)


def chosen_on_training(
    gains: dict[tuple[str, float], float], as_it_is: float, step: int
) -> tuple[Changes, float]:
    """Make the changes that help, the most helpful first, as long as each helps beside the others.

    Parameters
    ----------
    gains
        (constant, value) to AP@0.5 on training images with that change alone, those that help.
    as_it_is
        AP@0.5 without a change.
    step
        As in `score`.

    Returns
    -------
    changes
        That were kept.
    float
        AP@0.5 on training images with them.
    """
    kept: Changes = ()
    best = as_it_is
    for change in sorted(gains, key=lambda change: -gains[change]):
        if change[0] in dict(kept):
            continue
        ap = gains[change] if not kept else float(score((*kept, change), False, step).ap()[0])
        if ap > best:
            kept, best = (*kept, change), ap
    return kept, best


def main() -> None:
    """Change each constant, choose on the training images, and report on the held-out ones."""
    chosen = options(__doc__)
    if not folder().is_dir():
        sys.exit(f"no {folder()}: name the folder of the real images in IMGANALYSIS_TESTDATA")
    constants = CONSTANTS[:QUICK_CONSTANTS] if chosen.quick else CONSTANTS
    step = QUICK_STEP if chosen.quick else 1
    tried: list[Changes] = [()]
    tried += [((c, changed(c, factor)),) for c in constants for factor in (LESS, MORE)]
    with ProcessPoolExecutor(2) as pool:
        training = [
            float(counts.ap()[0])
            for counts in pool.map(score, tried, [False] * len(tried), [step] * len(tried))
        ]
    as_it_is = training[0]
    gains = {
        changes[0]: ap
        for changes, ap in zip(tried[1:], training[1:], strict=True)
        if ap > as_it_is + LEAST_GAIN
    }
    kept, best = chosen_on_training(gains, as_it_is, step)
    held = [float(score(changes, True, step).ap()[0]) for changes in ((), kept)]
    new = dict(kept)
    rows = [
        [constant, value_of(constant), training[1 + 2 * k], as_it_is, training[2 + 2 * k],
         new.get(constant, "")]
        for k, constant in enumerate(constants)
    ]  # fmt: skip
    n_training, n_held = len(_pairs(False, step)), len(_pairs(True, step))
    report(
        "Constants of the scikit-image method",
        ["constant", "value", "AP@0.5 a quarter smaller", "as it is", "a quarter larger",
         "chosen on training images"],
        rows,
        notes=f"AP@0.5 on the {n_training} images of nuclei-2d-dsb2018 (BBBC038, CC0) that "
        "training may use, each constant changed alone by a factor 0.8 or 1.25 (of shares near 1, "
        "what they lack of it). The values were once chosen on images of the whole set. Chosen on "
        f"training images only (changes that help by more than {LEAST_GAIN:g}, one after the "
        f"other, each kept if it helps beside those before: AP@0.5 {best:.3f} in place of "
        f"{as_it_is:.3f}), they reach {held[1]:.3f} on the {n_held} held-out images; as they are, "
        f"{held[0]:.3f}.",
        target=chosen.json,
    )  # fmt: skip


if __name__ == "__main__":
    main()
