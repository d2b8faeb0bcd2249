"""Pictures of analysed fields: the pixels once more, with the calls and the masks on them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imganalysis import tables as t
from imganalysis.artefacts import MASKS
from imganalysis.engine import run_tasks
from imganalysis.io import read_labels
from imganalysis.preparing import prepare_stack
from imganalysis.quality import captions, legend, notes
from imganalysis.reading import read_field
from imganalysis.results import labels_path, mask_path, overlay_path, quality_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from imganalysis.engine import Stop
    from imganalysis.panel import Panel
    from imganalysis.prepare.calibration import Calibration
    from imganalysis.records import FieldResult, Task
    from imganalysis.settings import Settings
    from imganalysis.study import Field


@dataclass(frozen=True)
class Picture:
    """The pictures of one field to draw, from what stands in a folder of results."""

    field: Field
    panel: Panel
    settings: Settings
    folder: Path
    cells: pd.DataFrame
    calibration: Calibration | None = None
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    flags: tuple[str, ...] = ()


def field_pictures(
    folder: Path,
    tasks: Sequence[Task],
    results: Sequence[FieldResult],
    cells: Mapping[str, pd.DataFrame],
) -> list[Picture]:
    """Take what is drawn of a study: every field with a table of cells.

    Parameters
    ----------
    folder
        Of the results.
    tasks, results
        Of all fields.
    cells
        Field -> one row per object, with calls and classes.
    """
    by_name = {r.field.name: r for r in results}
    return [
        Picture(
            task.field, task.panel, task.settings, folder, cells[task.field.name],
            task.calibration, by_name[task.field.name].facts, by_name[task.field.name].flags,
        )
        for task in tasks
        if task.field.name in cells
    ]  # fmt: skip


def draw_fields(
    pictures: Sequence[Picture],
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    stop: Stop | None = None,
) -> list[str]:
    """Draw overlays and quality sheets; gives what could not be drawn. `stop` as in `run_tasks`."""
    if not any(p.settings.output.overlays or p.settings.output.quality for p in pictures):
        return []
    said = run_tasks(
        draw_field,
        pictures,
        workers=workers,
        lost=lambda picture: f"{picture.field.name}: the process died",
        progress=progress,
        stop=stop,
    )
    return [text for text in said if text]


def draw_field(picture: Picture) -> str:
    """Draw the pictures of a field; gives what went wrong, or an empty text."""
    where, output = picture.field, picture.settings.output
    try:
        stack = read_field(where, picture.settings, picture.panel)
        seen = prepare_stack(
            stack,
            picture.panel,
            picture.settings,
            where.section_um,
            allow_black=where.is_control,
            calibration=picture.calibration,
        )
        images = {marker: _plane(image) for marker, image in seen.images.items()}
        if output.overlays:
            _draw_overlay(picture, images, stack.pixel_size.x)
        if output.quality:
            if seen.transmitted is not None and picture.panel.transmitted:
                images[picture.panel.transmitted] = _plane(seen.transmitted)
            _draw_quality(picture, images, stack.pixel_size.x)
    except Exception as error:  # a picture must never cost the numbers
        return f"{where.name}: {type(error).__name__}: {error}"
    return ""


def _draw_overlay(
    picture: Picture, images: dict[str, NDArray[Any]], pixel_um: float | None
) -> None:
    from imganalysis.report.overlays import draw_overlay  # matplotlib is slow to load

    panel, folder, name = picture.panel, picture.folder, picture.field.name
    cells = picture.cells
    if picture.field.is_control:
        cells = cells.assign(**{t.PHENOTYPE: "control"})  # a class in the legend only
    draw_overlay(
        overlay_path(folder, name),
        images=images,
        colours={channel.marker: channel.colour for channel in panel.channels},
        labels=_plane(read_labels(labels_path(folder, name))),
        cells=cells,
        class_colours={row.name: row.colour for row in panel.phenotypes},
        pixel_um=pixel_um,
        frame=_mask(picture, "frame"),
        tissue=_mask(picture, "tissue"),
        title=name,
    )


def _draw_quality(
    picture: Picture, images: dict[str, NDArray[Any]], pixel_um: float | None
) -> None:
    from imganalysis.report.qc import draw_quality  # matplotlib is slow to load

    panel, name = picture.panel, picture.field.name
    masks = {
        mask: _mask(picture, mask)
        for mask in MASKS
        if mask_path(picture.folder, name, mask).is_file()
    }
    draw_quality(
        quality_path(picture.folder, name),
        images=images,
        colours={channel.marker: channel.colour for channel in panel.channels},
        captions=captions(list(images), picture.facts),
        masks=masks,
        tissue=_mask(picture, "tissue"),
        frame=_mask(picture, "frame"),
        legend=legend(picture.facts),
        notes=notes(picture.facts, picture.cells, picture.flags),
        pixel_um=pixel_um,
        title=name,
    )


def _mask(picture: Picture, mask: str) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = read_labels(mask_path(picture.folder, picture.field.name, mask)) > 0
    return found


def _plane(image: NDArray[Any]) -> NDArray[Any]:
    """Middle plane of what was left in 3-D."""
    return image if image.ndim == 2 else image[len(image) // 2]
