"""What on a field is no stain, which cells it touches, and what is left of the tissue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis import tables as t
from imganalysis.label_places import at_numbers, compact
from imganalysis.prepare.autofluorescence import autofluorescence_mask
from imganalysis.prepare.folds import fold_mask
from imganalysis.prepare.pigment import pigment_mask
from imganalysis.prepare.projection import flattened
from imganalysis.prepare.sharpness import edge_sharpness
from imganalysis.preparing import background_method
from imganalysis.quantify.frame import centre_pixels

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from numpy.typing import NDArray

    from imganalysis.panel import Panel
    from imganalysis.preparing import Prepared
    from imganalysis.settings import Settings

AUTOFLUORESCENCE, PIGMENT, FOLDS, CLIPPED = "autofluorescence", "pigment", "folds", "clipped"
MASKS = (AUTOFLUORESCENCE, PIGMENT, FOLDS, CLIPPED)
"""Masks of a field, as their files are named."""

MANY_CELLS = 0.05
"""Share of the evaluable cells from which a field is flagged."""


@dataclass(frozen=True)
class Artefacts:
    """What was found on a field.

    Parameters
    ----------
    masks
        Name -> (Y, X) bool, of what was looked for.
    tissue
        (Y, X) bool, without folds and without what pigment blocks.
    excluded
        Reason -> (N,) bool, the objects that it applies to.
    facts
        For ``fields.csv``.
    flags
        Fixed words.
    """

    masks: dict[str, NDArray[np.bool_]]
    tissue: NDArray[np.bool_]
    excluded: dict[str, NDArray[np.bool_]]
    facts: dict[str, Any]
    flags: tuple[str, ...]


def find_artefacts(
    objects: pd.DataFrame,
    seen: Prepared,
    cleaned: Mapping[str, NDArray[np.float32]],
    compartments: Mapping[str, NDArray[np.uint32]],
    tissue: NDArray[np.bool_],
    panel: Panel,
    spacing: tuple[float, ...],
    settings: Settings,
    pigment: NDArray[np.bool_] | None = None,
) -> tuple[pd.DataFrame, Artefacts]:
    """Find what is no stain, and say of each object how much of it lies there.

    Parameters
    ----------
    objects
        One row per nucleus.
    seen, cleaned
        Pictures before and after the background was subtracted; a stack left in 3-D is looked
        at as the mean of its planes.
    compartments
        ``nucleus`` and ``cell`` labels.
    tissue
        (Y, X) bool.
    panel, settings
        Of the run.
    spacing
        ([Z,] Y, X) size of a pixel, um.
    pigment
        (Y, X) bool, pigment that somebody outlined, beside what is found.

    Returns
    -------
    objects
        With the columns ``autofluorescent_fraction``, ``af_affected``, ``pigment_fraction``,
        ``edge_sharpness_per_um`` and ``comparable``.
    found
        Masks, tissue that is left, facts and flags.
    """
    looked = look_for(seen, cleaned, tissue, panel, spacing, settings, pigment)
    nuclei = outlines(compartments["nucleus"])
    glow = find_glow(looked, nuclei, panel, settings)
    stain = looked.images[panel.nuclei.marker]
    sharp = edge_sharpness(stain, nuclei, objects[t.LABEL], looked.pixel)
    return judge_artefacts(objects, looked, glow, sharp, compartments["cell"], settings)


@dataclass(frozen=True)
class Looked:
    """What is no stain, wherever the nuclei are.

    Parameters
    ----------
    images
        Marker -> (Y, X), the mean of the planes of a stack left in 3-D.
    pixel
        (Y, X) um.
    tissue
        (Y, X) bool.
    masks
        Of what was looked for; that of pigment is there where it can be seen.
    facts, flags
        Of the field.
    """

    images: dict[str, NDArray[np.float32]]
    pixel: tuple[float, float]
    tissue: NDArray[np.bool_]
    masks: dict[str, NDArray[np.bool_]]
    facts: dict[str, Any]
    flags: tuple[str, ...]


def look_for(
    seen: Prepared,
    cleaned: Mapping[str, NDArray[np.float32]],
    tissue: NDArray[np.bool_],
    panel: Panel,
    spacing: tuple[float, ...],
    settings: Settings,
    pigment: NDArray[np.bool_] | None = None,
) -> Looked:
    """Look for what does not hang on the nuclei; parameters are those of `find_artefacts`."""
    wanted, pixel = settings.artefacts, (spacing[-2], spacing[-1])
    images = {marker: flattened(image) for marker, image in seen.images.items()}
    masks: dict[str, NDArray[np.bool_]] = {}
    blocked = np.zeros(tissue.shape, bool) if pigment is None else pigment.copy()
    if wanted.pigment and seen.transmitted is not None:
        light = flattened(seen.transmitted)
        blocked |= pigment_mask(light, pixel, wanted.pigment_transmission)
    sees_pigment = pigment is not None or (wanted.pigment and seen.transmitted is not None)
    if sees_pigment:
        masks[PIGMENT] = blocked & tissue
    if wanted.folds:
        masks[FOLDS] = fold_mask(images, tissue, pixel)
    clipped = _clipped(seen)
    if clipped is not None:
        masks[CLIPPED] = clipped.any(axis=0) & tissue
    facts, flags = _clipping(seen, clipped, tissue, settings)
    facts |= _levels(seen, cleaned, background_method(panel, settings))
    return Looked(images, pixel, tissue, masks, facts, tuple(flags))


def find_glow(
    looked: Looked, nuclei: NDArray[np.uint32], panel: Panel, settings: Settings
) -> NDArray[np.bool_] | None:
    """Mark what glows by itself outside the nuclei, (Y, X); None where it is not looked for."""
    if not settings.artefacts.autofluorescence or len(looked.images) < 2:
        return None
    stain = panel.nuclei.marker
    return autofluorescence_mask(looked.images, stain, nuclei, looked.pixel) & looked.tissue


def judge_artefacts(
    objects: pd.DataFrame,
    looked: Looked,
    glow: NDArray[np.bool_] | None,
    sharpness: NDArray[np.float64],
    cells: NDArray[np.uint32],
    settings: Settings,
) -> tuple[pd.DataFrame, Artefacts]:
    """Say of each object how much of it lies on what is no stain.

    Parameters
    ----------
    objects
        One row per nucleus.
    looked, glow
        As `look_for` and `find_glow` give them.
    sharpness
        Of each object, as `imganalysis.prepare.sharpness.edge_sharpness` gives it.
    cells
        (Y, X) or (Z, Y, X) labels.
    settings
        Of the run.
    """
    wanted, pixel, tissue = settings.artefacts, looked.pixel, looked.tissue
    masks = looked.masks if glow is None else {AUTOFLUORESCENCE: glow, **looked.masks}
    labels = objects[t.LABEL].to_numpy(np.int64)
    table = objects.copy()
    table[t.AF_SHARE] = _shares(masks.get(AUTOFLUORESCENCE), cells, labels)
    table[t.AF_AFFECTED] = table[t.AF_SHARE].to_numpy() > wanted.af_share
    table[t.PIGMENT_SHARE] = _shares(masks.get(PIGMENT), cells, labels)
    table[t.SHARPNESS] = sharpness
    pigmented = table[t.PIGMENT_SHARE].to_numpy() > wanted.pigment_share
    excluded = {"pigment": pigmented, "folded": _centred(masks.get(FOLDS), objects, pixel)}
    if wanted.min_sharpness is not None:
        # An edge that cannot be told (NaN) compares as not too soft.
        excluded["out_of_focus"] = table[t.SHARPNESS].to_numpy() < wanted.min_sharpness

    left = tissue & ~masks.get(FOLDS, np.zeros_like(tissue))
    if PIGMENT in masks:
        left &= ~masks[PIGMENT] & ~np.isin(outlines(cells), labels[pigmented])
    flags = list(looked.flags)
    table[t.COMPARABLE] = not {"saturated", "zero_clipped"} & set(flags)
    facts = looked.facts | _facts(masks, tissue, float(np.prod(pixel)))
    if masks.get(FOLDS, left[:0]).any():
        flags.append("folds")
    return table, Artefacts(masks, left, excluded, facts, tuple(flags))


def cell_facts(objects: pd.DataFrame) -> tuple[dict[str, Any], list[str]]:
    """Facts and flags that rest on which cells are counted."""
    counted = objects[objects[t.EVALUABLE].astype(bool)]
    affected = int(counted[t.AF_AFFECTED].sum())
    pigmented = int((objects[t.EXCLUSION] == "pigment").sum())
    looked = counted[t.AF_SHARE].notna().any()
    facts = {
        "n_af_affected": affected if looked else None,
        "sharpness_per_um": float(counted[t.SHARPNESS].median()) if len(counted) else None,
    }
    flags = ["autofluorescence"] if affected > MANY_CELLS * len(counted) else []
    if pigmented > MANY_CELLS * (len(counted) + pigmented):
        flags.append("pigment")
    return facts, flags


def outlines(labels: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Labels as seen from above, (Y, X)."""
    return labels if labels.ndim == 2 else np.asarray(labels.max(axis=0))


def _clipped(seen: Prepared) -> NDArray[np.bool_] | None:
    """(C, Y, X), in any plane."""
    if seen.clipped is None or seen.clipped.ndim == 3:
        return seen.clipped
    return np.asarray(seen.clipped.any(axis=1))


def _shares(
    mask: NDArray[np.bool_] | None, cells: NDArray[np.uint32], labels: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Share of each cell's pixels in a mask; NaN where there is none."""
    if mask is None:
        return np.full(len(labels), np.nan)
    numbers, places = compact(cells)
    inside = places[np.broadcast_to(mask, cells.shape)]
    hit, all_ = (np.bincount(at.ravel(), minlength=len(numbers)) for at in (inside, places))
    return np.nan_to_num(at_numbers(numbers, hit / np.maximum(all_, 1), labels))


def _centred(
    mask: NDArray[np.bool_] | None, objects: pd.DataFrame, pixel: tuple[float, float]
) -> NDArray[np.bool_]:
    if mask is None:
        return np.zeros(len(objects), bool)
    return np.asarray(mask[centre_pixels(objects, mask.shape, pixel)])


def _clipping(
    seen: Prepared, clipped: NDArray[np.bool_] | None, tissue: NDArray[np.bool_], settings: Settings
) -> tuple[dict[str, Any], list[str]]:
    """Shares of the tissue at either end of the detector's range, in the worst channel."""
    facts: dict[str, Any] = {"saturated_tissue_fraction": None, "zero_tissue_fraction": None}
    flags = [word for word in seen.flags if word == "saturated"]
    if clipped is None or not tissue.any():
        return facts, flags
    high = {m: float(part[tissue].mean()) for m, part in zip(seen.images, clipped, strict=True)}
    low = max(float(part[tissue].mean()) for part in seen.zeros)
    facts["saturated_tissue_fraction"], facts["zero_tissue_fraction"] = max(high.values()), low
    limits = settings.artefacts
    over = [marker for marker, share in high.items() if share > limits.max_clipped]
    facts["saturated_channels"] = ";".join(over)
    if facts["saturated_channels"]:
        flags.append("saturated")
    if low > limits.max_zero:
        flags.append("zero_clipped")
    return facts, list(dict.fromkeys(flags))


def _facts(
    masks: Mapping[str, NDArray[np.bool_]], tissue: NDArray[np.bool_], pixel_um2: float
) -> dict[str, Any]:
    mm2 = pixel_um2 / 1e6
    area = {name: float(mask.sum()) * mm2 for name, mask in masks.items()}
    facts = {f"{name}_mm2": area.get(name) for name in MASKS}
    return facts | {"tissue_all_mm2": float(tissue.sum()) * mm2}


def _levels(
    seen: Prepared, cleaned: Mapping[str, NDArray[np.float32]], method: str
) -> dict[str, str]:
    """Say which background was subtracted: the median level of each channel."""
    levels = ""
    if method != "none":
        taken = {m: np.nanmedian(image - cleaned[m]) for m, image in seen.images.items()}
        levels = ";".join(f"{marker}={float(level):.4g}" for marker, level in taken.items())
    return {"background": method, "background_levels": levels}
