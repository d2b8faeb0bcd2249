"""Overlays of analysed fields: the pixels once more, with the calls on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imganalysis import tables as t
from imganalysis.engine import run_tasks
from imganalysis.io import read_labels
from imganalysis.preparing import prepare_stack
from imganalysis.reading import read_field
from imganalysis.results import labels_path, mask_path, overlay_path

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from imganalysis.panel import Panel
    from imganalysis.prepare.calibration import Calibration
    from imganalysis.settings import Settings
    from imganalysis.study import Field


@dataclass(frozen=True)
class Picture:
    """One overlay to draw, from what stands in a folder of results."""

    field: Field
    panel: Panel
    settings: Settings
    folder: Path
    cells: pd.DataFrame
    calibration: Calibration | None = None


def draw_fields(
    pictures: Sequence[Picture],
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """Draw overlays; gives what could not be drawn."""
    said = run_tasks(
        draw_field,
        pictures,
        workers=workers,
        lost=lambda picture: f"{picture.field.name}: the process died",
        progress=progress,
    )
    return [text for text in said if text]


def draw_field(picture: Picture) -> str:
    """Draw the overlay of a field; gives what went wrong, or an empty text."""
    from imganalysis.report.overlays import draw_overlay  # matplotlib is slow to load

    where, panel, folder = picture.field, picture.panel, picture.folder
    try:
        stack = read_field(where, picture.settings, panel)
        images = prepare_stack(
            stack,
            panel,
            picture.settings,
            where.section_um,
            allow_black=where.is_control,
            calibration=picture.calibration,
        ).images
        labels = read_labels(labels_path(folder, where.name))
        cells = picture.cells
        if where.is_control:
            cells = cells.assign(**{t.PHENOTYPE: "control"})  # a class in the legend only
        draw_overlay(
            overlay_path(folder, where.name),
            images={marker: _plane(image) for marker, image in images.items()},
            colours={channel.marker: channel.colour for channel in panel.channels},
            labels=_plane(labels),
            cells=cells,
            class_colours={row.name: row.colour for row in panel.phenotypes},
            pixel_um=stack.pixel_size.x,
            frame=read_labels(mask_path(folder, where.name, "frame")) > 0,
            tissue=read_labels(mask_path(folder, where.name, "tissue")) > 0,
            title=where.name,
        )
    except Exception as error:  # a picture must never cost the numbers
        return f"{where.name}: {type(error).__name__}: {error}"
    return ""


def _plane(image: NDArray[Any]) -> NDArray[Any]:
    """Middle plane of what was left in 3-D."""
    return image if image.ndim == 2 else image[len(image) // 2]
