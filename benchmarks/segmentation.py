"""Nuclei found and pixels per second, beside the plain way: smoothing, Otsu, watershed.

Real images: those of `nuclei-2d-dsb2018` (BBBC038) that take no part in training. An
image is held out if the SHA-256 of its name without suffix is a multiple of 5. Their scale is
unknown; both ways get the same estimated diameter. Simulated: confocal fields at 0.232 um per
pixel, also the measure of speed.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from _common import ROOT, best_seconds, options, report
from scipy import ndimage as ndi
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.segmentation import watershed

from imganalysis.evaluating import evaluate
from imganalysis.methods import ScikitImageMethod
from imganalysis.segment import find_nuclei
from imganalysis.segment.scores import Counts, count, overlap
from imganalysis.simulate import load_recipe, simulate_field

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

PIXEL_UM = 0.232
QUICK_IMAGES = 20


def plain(
    image: NDArray[Any], spacing: tuple[float, ...], settings: ScikitImageMethod, threads: int = 1
) -> NDArray[np.uint32]:
    """Find nuclei by a Gaussian of one pixel, Otsu, and watershed of the distance."""
    smooth = ndi.gaussian_filter(image.astype(np.float32), 1)
    if smooth.max() == smooth.min():
        return np.zeros(image.shape, np.uint32)
    mask = smooth > threshold_otsu(smooth)
    distance = ndi.distance_transform_edt(mask)
    apart = max(1, round(0.3 * settings.nucleus_diameter_um / spacing[-1]))
    peaks = peak_local_max(distance, min_distance=apart, labels=mask.astype(int))
    seeds = np.zeros(image.shape, np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return watershed(-distance, seeds, mask=mask).astype(np.uint32)


# The first is what the others are compared with.
METHODS: dict[str, Callable[..., NDArray[np.uint32]]] = {
    "Gaussian, Otsu, watershed": plain,
    "scikit-image": find_nuclei,
}


def is_held_out(name: str) -> bool:
    """Whether an image, named without its suffix, is kept from training."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % 5 == 0


def held_out(folder: Path, listing: Path, *, quick: bool) -> int:
    """List the held-out images as a table of pairs; their number."""
    images = sorted(path for path in (folder / "images").glob("*.png") if is_held_out(path.stem))
    if quick:
        images = images[:QUICK_IMAGES]
    rows = [f"{path.name},{(folder / 'masks' / path.stem).resolve()}.tif" for path in images]
    listing.write_text("\n".join(["image,mask", *rows]) + "\n", encoding="utf-8")
    return len(images)


def simulated(size: int) -> list[tuple[NDArray[np.float32], NDArray[np.uint32]]]:
    """Nuclear stain, mean over the planes, and true nuclei of one field of each panel."""
    recipe = load_recipe("melanoma")
    fields = []
    for panel in ("apoptosis", "infiltrate"):
        field = simulate_field(
            recipe, panel, seed=77, week=1, size_px=size, pixel_size_um=PIXEL_UM, planes=5
        )
        patterns = [recipe.markers[c.marker].pattern for c in recipe.panels[panel].channels]
        stain = field.stack.numpy([patterns.index("chromatin")])[0]
        fields.append((stain.mean(axis=0, dtype=np.float32), field.labels))
    return fields


def main() -> None:
    """Score and time every method on the same images, and report."""
    chosen = options(__doc__)
    data = Path(os.environ.get("IMGANALYSIS_TESTDATA", ROOT.parent / "shared" / "data"))
    folder = data / "nuclei-2d-dsb2018"
    if not folder.is_dir():
        sys.exit(f"no {folder}: name the folder of the real images in IMGANALYSIS_TESTDATA")
    settings = ScikitImageMethod()
    fields = simulated(512 if chosen.quick else 1024)
    mpx = sum(image.size for image, _ in fields) / 1e6
    rows: list[list[Any]] = []
    first = 0.0
    with tempfile.TemporaryDirectory() as temporary:
        listing = Path(temporary) / "pairs.csv"
        number = held_out(folder, listing, quick=chosen.quick)
        for name, find in METHODS.items():
            real = evaluate(folder / "images", listing, settings, find=find)
            if real.n_failed:
                sys.exit("\n".join(real.table["message"]))

            def all_fields(find: Callable[..., NDArray[np.uint32]] = find) -> list[Any]:
                return [find(image, (PIXEL_UM, PIXEL_UM), settings) for image, _ in fields]

            found = all_fields()
            made = sum(
                (count(overlap(true, ours)) for (_, true), ours in zip(fields, found, strict=True)),
                Counts(),
            )
            seconds = best_seconds(all_fields, repeats=2 if chosen.quick else 5)
            first = first or seconds
            pooled = [real.pooled, made]
            scores = [[c.ap()[0], c.f1()[0], c.split_rate(), c.merge_rate()] for c in pooled]
            rows.append([name, *scores[0], *scores[1], mpx / seconds, first / seconds])
    each = ("AP@0.5", "F1@0.5", "split", "merged")
    report(
        "Segmentation",
        ["method", *each, *(f"simulated: {name}" for name in each), "Mpx/s", "speed ratio"],
        rows,
        notes=f"Real: {number} images of nuclei-2d-dsb2018 (BBBC038, CC0) kept from training "
        "(SHA-256 of the name a multiple of 5; the constants of the scikit-image method were "
        "chosen on images of the whole set), scale unknown, diameter estimated from "
        f"each image. Simulated: {len(fields)} confocal fields, {mpx:.2f} Mpx at {PIXEL_UM} um, "
        "on which speed is measured, in one process. AP = TP / (TP + FP + FN); all are pooled over "
        "images.",
        target=chosen.json,
    )


if __name__ == "__main__":
    main()
