"""The first half: from the pixels of one field to one row per object."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis import tables as t
from imganalysis.artefacts import cell_facts, find_artefacts
from imganalysis.compartments import measure_compartments
from imganalysis.death import NO_SIGNS, Signs, see_signs
from imganalysis.errors import ChannelError, PixelSizeError, SettingsError
from imganalysis.methods import GivenLabels
from imganalysis.prepare.focus import focus_score
from imganalysis.preparing import Prepared, find_tissue, prepare_stack, without_background
from imganalysis.quantify.borders import BIASED, at_border, guard_of
from imganalysis.quantify.contrast import nuclear_contrast
from imganalysis.quantify.frame import evaluate, frame_box, guard_mask
from imganalysis.quantify.grid import area_grid
from imganalysis.quantify.neighbours import compensate, contacts, neighbour_columns
from imganalysis.quantify.sections import seen_um
from imganalysis.quantify.window import FieldSpace, field_space, place_objects
from imganalysis.segment import (
    check_labels,
    check_numbered,
    expand_cells,
    find_nuclei,
    method_facts,
    ring_widths,
    rings,
)
from imganalysis.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd
    from numpy.typing import NDArray

    from imganalysis.panel import Panel
    from imganalysis.prepare.calibration import Calibration
    from imganalysis.stack import Stack

    Correct = Callable[[NDArray[np.uint32], tuple[float, ...]], NDArray[np.uint32]]


SUSPICIOUS = 0.45
"""A nuclear stain has more than this share of its signal in what was found as nuclei."""

RIVAL = 1.4
"""How many times more like nuclei another channel must look for the field to be refused."""


@dataclass(frozen=True)
class Measured:
    """What was seen in one field.

    Parameters
    ----------
    objects
        One row per nucleus; columns of `imganalysis.tables.CELL_COLUMNS` and one per
        measurement.
    nuclei, cells
        (Y, X) or (Z, Y, X) uint32, 0 = background, same ids.
    tissue, frame
        (Y, X) bool: tissue that can be counted in; where cells are counted.
    images
        marker -> (Y, X) or (Z, Y, X) float32, projected, background not yet subtracted.
    grid
        Counted tissue in um2 on the coarse grid.
    contacts
        One row per cell and neighbour, as `imganalysis.quantify.neighbours.contacts` gives it.
    facts
        Name -> value, for ``fields.csv``.
    flags
        Fixed words.
    signs
        Possible fragments, and ghosts.
    space
        What distances in the field need to know.
    masks
        Name -> (Y, X) bool: what was looked for and is no stain.
    """

    objects: pd.DataFrame
    nuclei: NDArray[np.uint32]
    cells: NDArray[np.uint32]
    tissue: NDArray[np.bool_]
    frame: NDArray[np.bool_]
    images: dict[str, NDArray[np.float32]]
    grid: NDArray[Any]
    contacts: pd.DataFrame
    facts: dict[str, Any] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    signs: Signs = NO_SIGNS
    space: FieldSpace | None = None
    masks: dict[str, NDArray[np.bool_]] = field(default_factory=dict)


def measure_stack(
    stack: Stack,
    panel: Panel,
    settings: Settings | None = None,
    *,
    section_um: float | None = None,
    nuclei: NDArray[Any] | None = None,
    allow_black: bool = False,
    threads: int = 1,
    calibration: Calibration | None = None,
    drawn: Mapping[str, NDArray[np.bool_]] | None = None,
    correct: Correct | None = None,
) -> Measured:
    """Segment and measure the nuclei and cells of one field.

    Parameters
    ----------
    stack
        One field of view, CZYX.
    panel
        What its channels show.
    settings
        Of the run; defaults if not given.
    section_um
        Thickness of this section where it is known, um; else that of the settings.
    nuclei
        (Y, X) or (Z, Y, X) label image to use instead of a segmentation.
    allow_black
        Whether channels other than the nuclei may be black, as in a single stain control.
    threads
        That finding and measuring nuclei may use; the result does not depend on it.
    calibration
        Of the field's panel, batch and acquisition; nothing is corrected if not given.
    drawn
        (Y, X) masks that a person outlined: ``tumour``, ``vessel``, ``pigment``, ``exclude``.
    correct
        Gives the nuclei after a person's edits, from those found or given and the pixel's size.

    Raises
    ------
    PixelSizeError
        The pixel size is unknown: nothing can be said in um.
    ImageError
        A channel is missing, black, not finite, or is no nuclear stain.
    LabelsError
        `nuclei` is no label image (a mask is none), or has another size.
    """
    settings = settings or Settings()
    _require_scale(stack)
    seen = prepare_stack(
        stack, panel, settings, section_um, allow_black=allow_black, calibration=calibration
    )
    images, stain = seen.images, panel.nuclei.marker
    flat = images[stain].ndim == 2
    spacing = _spacing(stack, flat)
    if nuclei is None:
        labels = _segment(images[stain], spacing, settings, threads)
    else:
        source = f"{stack.source}: the given nuclei"
        labels = check_labels(nuclei, images[stain].shape, source=source)
        check_numbered(labels, source=source)
    if correct is not None:
        labels = correct(labels, spacing)
    widths = ring_widths(
        labels, spacing, panel.ring_um, panel.small_ring_um, panel.small_nucleus_um
    )
    ring = rings(labels, spacing, widths)
    contrast, explained = nuclear_contrast(images[stain], labels, ring)
    flags = list(seen.flags)
    if nuclei is None and settings.measuring.check_nuclei and explained < SUSPICIOUS:
        score = contrast * explained
        _refuse_rival(images, stain, score, spacing, settings, stack, panel, threads)
        flags.append("weak_nuclear_contrast")
    cells = expand_cells(labels, spacing, settings.measuring.expansion_um)
    dy, dx = spacing[-2:]
    tissue = find_tissue(images, (dy, dx), settings)
    shape = (tissue.shape[0], tissue.shape[1])
    guard_um = guard_of(settings.measuring.guard_um, settings.counting)
    frame = guard_mask(shape, (dy, dx), guard_um, counted=stack.counted)
    compartments = {"nucleus": labels, "ring": ring, "cell": cells}
    drawn = drawn or {}
    left_out = drawn.get("exclude")
    if left_out is not None:
        tissue = tissue & ~left_out
    cleaned = without_background(images, panel, spacing, settings)
    objects, touching, needed = _measured(
        compartments, seen, cleaned, panel, spacing, settings, threads
    )
    objects, found = find_artefacts(
        objects, seen, cleaned, compartments, tissue, panel, spacing, settings,
        drawn.get("pigment"),
    )  # fmt: skip
    border = at_border(labels, frame, settings.counting)
    objects = evaluate(
        objects, tissue, frame, spacing, settings.measuring, needed, border, left_out,
        found.excluded,
    )  # fmt: skip
    tissue = found.tissue
    counted_facts, counted_flags = cell_facts(objects)
    flags += [*found.flags, *counted_flags]
    if settings.counting.frame == "clear_border":
        flags.append(BIASED)
    space = field_space(tissue & frame, frame, (dy, dx), drawn)
    objects = place_objects(objects, (dy, dx), space.frame_um, drawn)
    if objects.empty:
        flags.append("no_nuclei")
    facts = {
        **seen.facts,
        **_size_facts(stack, objects, tissue, frame, dy * dx / 1e6, flat),
        **_depth_facts(
            seen, section_um, float((tissue & frame).sum()) * dy * dx, spacing, settings
        ),
        "nuclear_contrast": contrast,
        "focus": focus_score(_middle(images[stain])),
        **_method_facts(settings, given=nuclei is not None),
        **found.facts,
        **counted_facts,
    }
    return Measured(
        objects,
        labels,
        cells,
        tissue,
        frame,
        images,
        area_grid(tissue & frame, (dy, dx)),
        touching,
        facts,
        tuple(dict.fromkeys((*stack.flags, *flags))),
        see_signs(
            (labels, cells), cleaned, (tissue, frame), objects, panel, spacing,
            frame_box(frame, spacing), settings.counting,
        ),
        space,
        found.masks,
    )  # fmt: skip


def _measured(
    compartments: dict[str, NDArray[np.uint32]],
    seen: Prepared,
    cleaned: dict[str, NDArray[np.float32]],
    panel: Panel,
    spacing: tuple[float, ...],
    settings: Settings,
    threads: int,
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Measure all markers above the background; gives the contacts and the gated columns too."""
    gated = [(c.marker, m.compartment, m.statistic) for c in panel.gated for m in c.measures]
    objects = measure_compartments(compartments, cleaned, seen.clipped, panel, spacing, threads)
    cells, told = compartments["cell"], settings.neighbours
    markers = {c.marker: cleaned[c.marker] for c in panel.gated}
    touching = contacts(
        cells, compartments["ring"], markers, spacing, gap_um=told.gap_um, arc_um=told.arc_um
    )
    objects = objects.join(neighbour_columns(objects, touching, list(markers)))
    given_back = {marker: cleaned[marker] for marker, _, s in gated if s == t.COMPENSATED}
    if given_back:
        objects = objects.merge(compensate(cells, touching, given_back), on=t.LABEL, how="left")
    return objects, touching, [column for channel in panel.gated for column in channel.columns]


def _size_facts(
    stack: Stack,
    objects: pd.DataFrame,
    tissue: NDArray[np.bool_],
    frame: NDArray[np.bool_],
    pixel_mm2: float,
    flat: bool,
) -> dict[str, Any]:
    size = stack.pixel_size
    return {
        "pixel_size_z_um": size.z,
        "pixel_size_y_um": size.y,
        "pixel_size_x_um": size.x,
        "pixel_size_origin": size.origin,
        "time_point": stack.time,
        "n_objects": len(objects),
        "n_evaluable": int(objects[t.EVALUABLE].sum()),
        "field_mm2": tissue.size * pixel_mm2,
        "frame_mm2": float(frame.sum()) * pixel_mm2,
        # Cells per area of a thick stack mean nothing without its depth.
        "tissue_mm2": float((tissue & frame).sum()) * pixel_mm2 if flat else float("nan"),
    }


def _depth_facts(
    seen: Prepared,
    section_um: float | None,
    tissue_um2: float,
    spacing: tuple[float, ...],
    settings: Settings,
) -> dict[str, float]:
    """How deep the tissue is that was seen, and the volume in which a stack is counted."""
    short = bool({"short_stack", "z_step_unknown"} & set(seen.flags))
    kind, counting = seen.facts["projection"], settings.counting
    volume = float("nan")
    if kind == "3d":
        # The first plane is looked at only: what reaches it is not counted.
        planes = seen.facts["n_planes"] - (counting.stack == "disector")
        volume = tissue_um2 * planes * spacing[0] / 1e9
    section_um = section_um or settings.projection.section_um
    thick = seen_um(kind, short=short, section_um=section_um, settings=counting)
    return {"seen_um": thick, "volume_mm3": volume}


def _require_scale(stack: Stack) -> None:
    size = stack.pixel_size
    if not size.known:
        note = f" ({size.note})" if size.note else ""
        raise PixelSizeError(
            f"{stack.source}: the pixel size is unknown{note}; "
            "give it in um with --pixel-size [Z,]Y,X"
        )


def _spacing(stack: Stack, flat: bool) -> tuple[float, ...]:
    """Size of a pixel along the axes of the picture, um."""
    size = stack.pixel_size
    # _require_scale and the projection have refused stacks without these.
    assert size.y is not None and size.x is not None  # noqa: S101
    if flat:
        return (size.y, size.x)
    assert size.z is not None  # noqa: S101
    return (size.z, size.y, size.x)


def _segment(
    image: NDArray[Any], spacing: tuple[float, ...], settings: Settings, threads: int
) -> NDArray[np.uint32]:
    method = settings.segmentation
    if isinstance(method, GivenLabels):
        raise SettingsError("the settings name label images: give the nuclei of this field")
    return find_nuclei(image, spacing, method, threads)


def _method_facts(settings: Settings, *, given: bool) -> dict[str, str]:
    method = settings.segmentation
    if given or isinstance(method, GivenLabels):
        return {"segmentation": "given", "model": "", "model_sha256": ""}
    return method_facts(method)


def _refuse_rival(
    images: dict[str, NDArray[np.float32]],
    stain: str,
    score: float,
    spacing: tuple[float, ...],
    settings: Settings,
    stack: Stack,
    panel: Panel,
    threads: int,
) -> None:
    """Refuse a field in which another channel looks more like nuclei than the nuclear one."""
    for marker, image in images.items():
        if marker == stain:
            continue
        labels = _segment(image, spacing, settings, threads)
        ring = rings(labels, spacing, panel.ring_um)
        rival = float(np.prod(nuclear_contrast(image, labels, ring)))
        if rival > RIVAL * max(score, 0.0):
            raise ChannelError(
                f"{stack.source}: the channel of {stain} does not look like nuclei, and the one "
                f"of {marker} does; check that the file belongs to the panel '{panel.name}' and "
                "that its channels are in the panel's order (check_nuclei: false in the "
                "settings measures it all the same)",
                reason="nuclear_contrast",
            )


def _middle(image: NDArray[Any]) -> NDArray[Any]:
    return image if image.ndim == 2 else image[len(image) // 2]
