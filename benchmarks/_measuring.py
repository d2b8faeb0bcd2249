"""What the benchmark of measuring compares: fields of any size, and the peers' ways."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from skimage.measure import regionprops_table

from imganalysis.quantify.measure import measure
from imganalysis.segment import expand_cells, rings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Labels = dict[str, NDArray[np.uint32]]

PIXEL_UM = 0.5
PITCH = 24  # pixels from nucleus to nucleus: 29,000 of them in 4096 x 4096
SHAPE = (
    "label", "area", "centroid", "bbox", "equivalent_diameter_area", "axis_major_length",
    "axis_minor_length", "eccentricity", "orientation", "extent", "solidity", "perimeter_crofton",
)  # fmt: skip
INTENSITY = ("intensity_mean", "intensity_std", "intensity_min", "intensity_max")
MCQUANT = (
    "label", "centroid", "area", "axis_major_length", "axis_minor_length", "eccentricity",
    "solidity", "extent", "orientation",
)  # fmt: skip
CP_COLUMNS = ("sum", "mean", "sd", "min", "max", "p25", "median", "p75")
CP_INSTALL = (
    "not installed: pip install --no-deps cp_measure centrosome mahotas, in an environment of its "
    "own (it asks for an older pillow than the pinned one)"
)


def nuclei(side: int, pitch: int, seed: int = 1) -> NDArray[np.uint32]:
    """Ellipses of different sizes near the points of a grid, (side, side)."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((side, side), np.uint32)
    n = side // pitch
    for number in range(n * n):
        y, x = (np.array(divmod(number, n)) + 0.5) * side / n + rng.uniform(-0.15, 0.15, 2) * pitch
        stretch, radius = rng.uniform(0.8, 1.25), 0.32 * pitch * rng.uniform(0.8, 1.2)
        y0, x0 = max(0, int(y) - pitch), max(0, int(x) - pitch)
        box = labels[y0 : y0 + 2 * pitch, x0 : x0 + 2 * pitch]
        yy, xx = np.ogrid[: box.shape[0], : box.shape[1]]
        far = np.hypot((yy + y0 - y) * stretch, (xx + x0 - x) / stretch)
        box[(far <= radius) & (box == 0)] = number + 1
    return labels


def make_field(
    side: int, channels: int, dtype: type, pitch: int = PITCH
) -> tuple[Labels, NDArray[Any]]:
    """Labels of nuclei, rings and cells, and noise, of a square field.

    It is put together from one block of at most 1024 x 1024 pixels, numbered anew in each place.
    """
    small = min(side, 1024)
    spacing = (PIXEL_UM, PIXEL_UM)
    nucleus = nuclei(small, pitch)
    n = int(nucleus.max())
    wide = pitch / PITCH
    ring = rings(nucleus, spacing, 1.5 * wide)
    cell = expand_cells(nucleus, spacing, 3.0 * wide)
    labels: Labels = {}
    for name, block in (("nucleus", nucleus), ("ring", ring), ("cell", cell)):
        whole = np.zeros((side, side), np.uint32)
        for place, (y, x) in enumerate(np.ndindex(side // small, side // small)):
            part = whole[y * small : (y + 1) * small, x * small : (x + 1) * small]
            np.add(block, np.uint32(place * n), out=part, where=block > 0)
        labels[name] = whole
    noise = np.random.default_rng(2).integers(0, 4000, (channels, small, small)).astype(dtype)
    images = np.empty((channels, side, side), dtype)
    for y, x in np.ndindex(side // small, side // small):
        images[:, y * small : (y + 1) * small, x * small : (x + 1) * small] = noise
    return labels, images


def ours(labels: Labels, images: NDArray[Any], **options: Any) -> Any:
    """Measure with this package."""
    spacing = (PIXEL_UM,) * labels["nucleus"].ndim
    return measure(labels, images, [f"m{i}" for i in range(len(images))], spacing, **options)


def by_regionprops(labels: Labels, images: NDArray[Any]) -> Any:
    """Shape and intensities in one call."""
    return regionprops_table(
        labels["nucleus"],
        np.moveaxis(images, 0, -1),
        properties=(*SHAPE, *INTENSITY),
        spacing=(PIXEL_UM, PIXEL_UM),
    )


def by_mcquant(labels: Labels, images: NDArray[Any]) -> Any:
    """Take the shape once, and the means with a call per channel, as mcquant does."""
    mask = labels["nucleus"]
    tables = [
        regionprops_table(mask, image, properties=("label", "intensity_mean")) for image in images
    ]
    return [*tables, regionprops_table(mask, properties=MCQUANT)]


def has_cp_measure() -> bool:
    """Whether it is installed."""
    return find_spec("cp_measure") is not None


def by_cp_measure(labels: Labels, images: NDArray[Any]) -> Any:
    """Take size and shape once, and the intensities of each channel, with its compiled parts."""
    import cp_measure
    from cp_measure.bulk import get_core_measurements

    cp_measure.set_accelerator("numba")
    known = get_core_measurements()
    mask = labels["nucleus"].astype(np.int64)
    tables = [known["intensity"](mask, image, edge_measurements=False) for image in images]
    return [*tables, known["sizeshape"](mask, None, calculate_advanced=False, new_features=False)]
