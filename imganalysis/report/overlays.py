"""Pictures of a field on which every call can be checked."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import to_rgb

from imganalysis import tables as t
from imganalysis.label_places import compact
from imganalysis.report._composite import channel_rgb, composite, display_range
from imganalysis.report._outlines import DIM, draw_links, draw_mask_edge, draw_nuclei, enlarge
from imganalysis.report._sheet import FAINT, FRAME, INK, SMALLEST_WIDTH, TISSUE, Item, sheet

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

LARGEST_WIDTH = 2600  # pixels, of an enlarged field
SMALLEST_NUCLEUS = 20  # pixels; fields with smaller nuclei are enlarged
THICKEST = 4  # pixels, of an outline
NOT_EVALUABLE = "not evaluable"


def draw_overlay(
    path: Path,
    *,
    images: Mapping[str, NDArray[Any]],
    colours: Mapping[str, str],
    labels: NDArray[np.uint32],
    cells: pd.DataFrame,
    class_colours: Mapping[str, str],
    pixel_um: float | None,
    frame: NDArray[np.bool_] | None = None,
    tissue: NDArray[np.bool_] | None = None,
    title: str = "",
    ranges: Mapping[str, tuple[float, float]] | None = None,
    side_by_side: bool = True,
) -> None:
    """Draw a field: its channels in their colours, and each nucleus outlined by its class.

    Parameters
    ----------
    path
        PNG file to write; its folder is made.
    images
        marker -> (Y, X), the picture that was measured.
    colours
        marker -> colour of its channel, as matplotlib names it.
    labels
        (Y, X) uint32, 0 = background.
    cells
        One row per nucleus: ``label``, ``phenotype``, ``evaluable``, and ``cell_id`` where
        fragments of one nucleus are to be counted once.
    class_colours
        class -> colour of its outlines, in the order of the legend; white where there is none.
    pixel_um
        Side of a pixel in um; None where unknown: then there is no scale bar, and it says so.
    frame, tissue
        (Y, X) bool; where cells are counted, and where there is tissue.
    title
        Shown as it is.
    ranges
        marker -> (value shown black, value shown in full colour), to show fields of one study
        alike; found from the field itself where not given (1st and 99.8th percentile).
    side_by_side
        The channels alone on the left, with the outlines on the right; else one picture with
        outlines.

    Raises
    ------
    ValueError
        An array has another size than the labels.
    OutputError
        The file cannot be written.
    """
    if not images:
        raise ValueError("no images to draw")
    masks = {"frame": frame, "tissue": tissue}
    given = {**images, **{name: mask for name, mask in masks.items() if mask is not None}}
    for name, array in given.items():
        if array.shape != labels.shape or labels.ndim != 2:
            raise ValueError(f"{name}: shape {array.shape}, expected (Y, X) {labels.shape}")
    shown = {m: (ranges or {}).get(m) or display_range(image) for m, image in images.items()}
    factor = _enlargement(labels)
    plain = enlarge(composite(images, colours, shown), factor)
    outlined = _outlined(plain, labels, cells, class_colours, masks, factor)
    pictures = [plain, outlined] if side_by_side else [outlined]

    um = None if pixel_um is None else pixel_um / factor
    columns = [_channel_items(colours, shown), _class_items(cells, class_colours, labels, masks)]
    data = sheet(pictures, columns, title, um)

    def write(temporary: Path) -> None:
        temporary.write_bytes(data)

    t.write_atomic(path, write)


def _enlargement(labels: NDArray[np.uint32]) -> int:
    """Factor by which a field is enlarged so that outlines leave the nuclei to be seen."""
    width = max(labels.shape[1], 1)
    areas = np.unique(labels[labels > 0], return_counts=True)[1]
    diameter = 2 * math.sqrt(float(np.median(areas)) / math.pi) if areas.size else math.inf
    wanted = max(SMALLEST_WIDTH / width, SMALLEST_NUCLEUS / diameter, 1.0)
    return max(1, min(math.ceil(wanted), LARGEST_WIDTH // max(labels.shape)))


def _rgb(colour: str) -> tuple[int, int, int]:
    r, g, b = (round(255 * v) for v in to_rgb(colour))
    return r, g, b


def _outlined(
    plain: NDArray[np.uint8],
    labels: NDArray[np.uint32],
    cells: pd.DataFrame,
    class_colours: Mapping[str, str],
    masks: Mapping[str, NDArray[np.bool_] | None],
    factor: int,
) -> NDArray[np.uint8]:
    numbers, places = compact(labels)
    table = np.full((len(numbers), 3), 255, np.uint8)
    solid = np.zeros(len(numbers), bool)
    known = cells[np.isin(cells[t.LABEL], numbers)]
    ids = np.searchsorted(numbers, known[t.LABEL].to_numpy(dtype=np.int64))
    solid[ids] = known[t.EVALUABLE].to_numpy(dtype=bool)
    for name, colour in class_colours.items():
        table[ids[(known[t.PHENOTYPE] == name).to_numpy(dtype=bool)]] = _rgb(colour)
    picture = plain.copy()
    tissue, frame = masks["tissue"], masks["frame"]
    if tissue is not None:
        draw_mask_edge(picture, enlarge(tissue, factor), TISSUE, dash=3)
    shown = enlarge(places, factor)
    draw_nuclei(picture, shown, table, solid, width=min(max(2, factor // 2), THICKEST))
    draw_links(picture, shown, _cells_of_many(known.assign(**{t.LABEL: ids})), table)
    if frame is not None:
        draw_mask_edge(picture, enlarge(frame, factor), FRAME, dash=12, width=2)
    return picture


def _cells_of_many(cells: pd.DataFrame) -> list[list[int]]:
    """Labels of each evaluable cell of several objects, ascending."""
    if t.CELL_ID not in cells.columns:
        return []
    evaluable = cells[cells[t.EVALUABLE].astype(bool)]
    many = evaluable[evaluable.duplicated(t.CELL_ID, keep=False)]
    return [sorted(group.tolist()) for _, group in many.groupby(t.CELL_ID)[t.LABEL]]


def _channel_items(
    colours: Mapping[str, str], ranges: Mapping[str, tuple[float, float]]
) -> list[Item]:
    return [
        Item(
            f"{marker} ({low:.3g}\N{EN DASH}{high:.3g})", channel_rgb(colours.get(marker, "white"))
        )
        for marker, (low, high) in ranges.items()
    ]


def _class_items(
    cells: pd.DataFrame,
    class_colours: Mapping[str, str],
    labels: NDArray[np.uint32],
    masks: Mapping[str, NDArray[np.bool_] | None],
) -> list[Item]:
    counted = cells[cells[t.EVALUABLE].astype(bool)]
    if t.CELL_ID in counted.columns:
        counted = counted.drop_duplicates([t.CELL_ID, t.PHENOTYPE])
    counts = {str(name): int(n) for name, n in counted[t.PHENOTYPE].value_counts().items()}
    order = [n for n in class_colours if n in counts]
    order += sorted(n for n in counts if n not in class_colours)
    items = [
        Item(f"{name}: {counts[name]}", INK, "nucleus", _rgb(class_colours.get(name, "white")))
        for name in order
    ]
    n_labels = np.unique(labels[labels > 0]).size
    evaluable = int(cells[t.EVALUABLE].astype(bool).sum())
    if n_labels > evaluable:
        items.append(Item(f"{NOT_EVALUABLE}: {n_labels - evaluable}", FAINT, "dashed", DIM))
    for name, text, colour in (
        ("frame", "guard frame", FRAME),
        ("tissue", "edge of tissue", TISSUE),
    ):
        if masks[name] is not None:
            items.append(Item(text, FAINT, name, colour))
    return items if n_labels else [Item("no nuclei", FAINT), *items]
