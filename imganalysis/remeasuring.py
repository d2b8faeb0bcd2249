"""A field whose nuclei are being corrected: only what an edit touches is measured again.

What does not hang on the nuclei (background, tissue, folds, smoothed pictures) is made once. An
edit changes nuclei in one place; rings and cells change as far as they reach, contacts a little
farther. There everything is measured again, in a window that holds what it measures whole, by the
same functions as a whole field and with the same bytes. What one nucleus can change everywhere
(medians over the field, autofluorescence) is taken again of all of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis import tables as t
from imganalysis._windows import Box, around, grown, patch_counts, present, slices, touched
from imganalysis.artefacts import find_glow, judge_artefacts, look_for, outlines
from imganalysis.compartments import measure_compartments
from imganalysis.death import Signs, can_tell_ghosts, ghost_markers
from imganalysis.errors import PixelSizeError
from imganalysis.prepare.sharpness import edge_parts, reach_px, sharpness_of, smoothed_stain
from imganalysis.preparing import find_tissue, prepare_stack, without_background
from imganalysis.quantify._contacts import contact_table
from imganalysis.quantify.borders import at_border, guard_of
from imganalysis.quantify.fragments import flood_order, fragment_pairs
from imganalysis.quantify.frame import evaluate, frame_box, guard_mask
from imganalysis.quantify.ghosts import bodies_alone, find_bodies
from imganalysis.quantify.grid import area_grid
from imganalysis.quantify.neighbours import compensate, count_contacts, neighbour_columns
from imganalysis.quantify.window import FieldSpace, field_space, place_objects
from imganalysis.remeasured import Remeasured
from imganalysis.segment import check_labels, expand_cells, ring_widths, rings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from imganalysis.panel import Panel
    from imganalysis.prepare.calibration import Calibration
    from imganalysis.quantify._contacts import ContactCounts
    from imganalysis.quantify.ghosts import Bodies
    from imganalysis.settings import Settings
    from imganalysis.stack import Stack

WHOLE = 0.25
"""Share of the field from which an edit is measured as a whole field is."""


class LiveField:
    """A field that is measured again and again while its nuclei change.

    Parameters
    ----------
    stack, panel, settings, section_um, calibration, drawn, threads
        As `imganalysis.first_half.measure_stack` takes them.
    labels
        (Y, X) or (Z, Y, X) nuclei to begin with.

    Raises
    ------
    PixelSizeError
        The pixel size is unknown.
    ImageError, LabelsError
        As `measure_stack` does.
    """

    def __init__(
        self,
        stack: Stack,
        panel: Panel,
        settings: Settings,
        labels: NDArray[Any],
        *,
        section_um: float | None = None,
        calibration: Calibration | None = None,
        drawn: Mapping[str, NDArray[np.bool_]] | None = None,
        threads: int = 1,
    ) -> None:
        size = stack.pixel_size
        if not size.known or size.y is None or size.x is None:
            raise PixelSizeError(f"{stack.source}: the pixel size is unknown")
        self._panel, self._settings, self._threads = panel, settings, threads
        self._drawn = drawn or {}
        self._seen = prepare_stack(stack, panel, settings, section_um, calibration=calibration)
        stain = self._seen.images[panel.nuclei.marker]
        flat: tuple[float, float] = (size.y, size.x)
        self._spacing: tuple[float, ...] = flat if stain.ndim == 2 else (size.z or 1.0, *flat)
        self._flat = flat
        self._cleaned = without_background(self._seen.images, panel, self._spacing, settings)
        tissue = find_tissue(self._seen.images, flat, settings)
        shape = (tissue.shape[0], tissue.shape[1])
        guard = guard_of(settings.measuring.guard_um, settings.counting)
        self._frame = guard_mask(shape, flat, guard, counted=stack.counted)
        self._left_out = self._drawn.get("exclude")
        if self._left_out is not None:
            tissue = tissue & ~self._left_out
        self._looked = look_for(
            self._seen, self._cleaned, tissue, panel, self._spacing, settings,
            self._drawn.get("pigment"),
        )  # fmt: skip
        self._smooth = smoothed_stain(self._looked.images[panel.nuclei.marker], flat)
        self._death = panel.death_marker
        self._order = None
        if self._death is not None:
            death = self._cleaned[self._death]
            self._order = flood_order(death, self._spacing, settings.counting)
        self._places: tuple[NDArray[np.bool_], NDArray[Any], FieldSpace, Bodies | None] | None
        self._places = None
        self._labels = check_labels(labels, stain.shape).copy()
        self._measure_whole()
        self._hurried = False
        self.now = self._table()

    @property
    def labels(self) -> NDArray[np.uint32]:
        """The nuclei that were measured last; not to be changed."""
        return self._labels

    def update(self, labels: NDArray[np.uint32], *, hurry: bool = False) -> Remeasured:
        """Measure the field with other nuclei.

        Parameters
        ----------
        labels
            Shape of the field; what differs from the last ones is measured again.
        hurry
            Whether to put off what one nucleus can change all over the field and takes long:
            the autofluorescent share, and which fragments belong together where one is touched.
            `finish` makes up for it.
        """
        labels = check_labels(labels, self._labels.shape)
        change = touched(self._labels, labels)
        if change is None:
            return self.now if hurry else self.finish()
        named, box = change
        if self._is_large(box):
            self._labels = labels.copy()
            self._measure_whole()
        else:
            self._measure_part(labels.copy(), named, box)
        self._hurried = hurry
        self.now = self._table(hurry=hurry)
        return self.now

    def finish(self) -> Remeasured:
        """Make up for what was put off."""
        if self._hurried:
            self._hurried = False
            self.now = self._table()
        return self.now

    def _is_large(self, box: Box) -> bool:
        area = np.prod([high - low for low, high in box])
        return len(self._spacing) == 3 or bool(area > WHOLE * self._labels.size)

    # The parts that hang on single nuclei.

    def _widths(self, labels: NDArray[np.uint32]) -> NDArray[np.float64]:
        panel = self._panel
        return ring_widths(
            labels, self._spacing, panel.ring_um, panel.small_ring_um, panel.small_nucleus_um
        )

    def _measure_whole(self) -> None:
        labels, spacing = self._labels, self._spacing
        self._ring = rings(labels, spacing, self._widths(labels))
        self._cells = expand_cells(labels, spacing, self._settings.measuring.expansion_um)
        self._raw = self._measured(labels, self._ring, self._cells, None)
        self._counts = self._count(self._cells, self._ring, None)
        self._edged = present(labels)
        self._step, self._slope = edge_parts(
            self._smooth, outlines(labels), self._edged, self._flat
        )
        self._known: dict[tuple[int, int], tuple[float, int]] = {}

    def _measure_part(
        self, labels: NDArray[np.uint32], named: NDArray[np.uint32], box: Box
    ) -> None:
        spacing, settings, shape = self._spacing, self._settings, labels.shape
        # How far rings and cells reach, and from how far their owners are told.
        panel = self._panel
        reach_um = max(settings.measuring.expansion_um, panel.ring_um, panel.small_ring_um or 0.0)
        reach = [int(np.ceil(reach_um / step)) + 2 for step in spacing]
        near = grown(box, reach, shape)
        wide = grown(near, reach, shape)
        inner = tuple(slice(a - c, b - c) for (a, b), (c, _) in zip(near, wide, strict=True))
        here, there = slices(near), slices(wide)
        part = labels[there]
        ids = present(part)
        widths: Any = self._panel.ring_um
        if self._panel.small_ring_um is not None:
            whole = np.where(np.isin(labels, ids), labels, 0)
            widths = self._widths(whole.astype(np.uint32))
        ring, cells = self._ring.copy(), self._cells.copy()
        ring[here] = rings(part, spacing, widths)[inner]
        cells[here] = expand_cells(part, spacing, settings.measuring.expansion_um)[inner]
        pairs = ((self._labels, labels), (self._ring, ring), (self._cells, cells))
        changed = [named]
        for old, new in pairs:
            differs = old[here] != new[here]
            changed += [old[here][differs], new[here][differs]]
        mine = present(np.concatenate(changed))
        self._raw = self._spliced(labels, ring, cells, mine)
        # Contacts: whose ring or cell lies near what changed.
        told = settings.neighbours
        far_um = max(told.arc_um, told.gap_um)
        far = [int(np.ceil(far_um / step)) + 3 for step in spacing]
        zone = slices(grown(near, far, shape))
        beside = [image[zone].ravel() for old, new in pairs[1:] for image in (old, new)]
        close = present(np.concatenate([mine, *beside]))
        self._counts = patch_counts(
            self._counts, close, present(labels), self._recount(cells, ring, close, far)
        )
        # Edges: of nuclei as near as they see each other.
        margin = [reach_px(self._flat)] * 2
        zone = slices(grown(box, margin, shape))
        edged = present(np.concatenate([named, labels[zone].ravel()]))
        self._edges(labels, edged, margin)
        gone = set(named.tolist())
        self._known = {k: v for k, v in self._known.items() if not gone & set(k)}
        self._labels, self._ring, self._cells = labels, ring, cells

    def _measured(
        self, labels: NDArray[np.uint32], ring: NDArray[np.uint32], cells: NDArray[np.uint32],
        box: Box | None,
    ) -> pd.DataFrame:  # fmt: skip
        place: Any = ... if box is None else slices(box)
        corner = (0, 0, 0) if box is None else (0, box[-2][0], box[-1][0])
        clipped = self._seen.clipped
        return measure_compartments(
            {"nucleus": labels, "ring": ring, "cell": cells},
            {marker: image[place] for marker, image in self._cleaned.items()},
            None if clipped is None else [mask[place] for mask in clipped],
            self._panel, self._spacing, self._threads, corner,
        )  # fmt: skip

    def _spliced(
        self, labels: NDArray[np.uint32], ring: NDArray[np.uint32], cells: NDArray[np.uint32],
        mine: NDArray[np.uint32],
    ) -> pd.DataFrame:  # fmt: skip
        """Measure some objects, and put their rows in the place of the old ones."""
        kept = self._raw[~np.isin(self._raw[t.LABEL], mine)]
        box = around(mine, (labels, ring, cells), [1] * labels.ndim)
        if box is None:
            return kept.reset_index(drop=True)
        parts = [image[slices(box)] for image in (labels, ring, cells)]
        own = [np.where(np.isin(part, mine), part, 0).astype(np.uint32) for part in parts]
        new = self._measured(own[0], own[1], own[2], box)
        table = pd.concat([kept, new], ignore_index=True) if len(kept) else new
        return table.sort_values(t.LABEL, ignore_index=True)

    def _count(
        self, cells: NDArray[np.uint32], ring: NDArray[np.uint32], box: Box | None
    ) -> ContactCounts:
        told, place = self._settings.neighbours, ... if box is None else slices(box)
        markers = {c.marker: self._cleaned[c.marker][place] for c in self._panel.gated}
        return count_contacts(
            cells, ring, markers, self._spacing, gap_um=told.gap_um, arc_um=told.arc_um
        )

    def _recount(
        self, cells: NDArray[np.uint32], ring: NDArray[np.uint32], close: NDArray[np.uint32],
        far: list[int],
    ) -> ContactCounts | None:  # fmt: skip
        box = around(close, (cells, ring), far)
        if box is None:
            return None
        part = ring[slices(box)]
        return self._count(
            cells[slices(box)], np.where(np.isin(part, close), part, 0).astype(np.uint32), box
        )

    def _edges(
        self, labels: NDArray[np.uint32], edged: NDArray[np.uint32], margin: list[int]
    ) -> None:
        """Put the edges of some nuclei in the place of the old ones."""
        ids = present(labels)
        kept = np.isin(ids, self._edged) & ~np.isin(ids, edged)
        mine = np.isin(ids, edged)
        box = around(ids[mine], (labels,), margin)
        if box is None:  # one that stood alone is gone
            parts = np.zeros(0), np.zeros(0)
        elif not labels[slices(box)].all():
            part = labels[slices(box)]
            parts = edge_parts(self._smooth[slices(box)], part, ids[mine], self._flat)
        else:
            parts = edge_parts(self._smooth, labels, ids[mine], self._flat)
        found = []
        for old, new in zip((self._step, self._slope), parts, strict=True):
            values = np.full(len(ids), np.nan)
            values[kept] = old[np.searchsorted(self._edged, ids[kept])]
            values[mine] = new
            found.append(values)
        self._edged, (self._step, self._slope) = ids, found

    # The parts that hang on all of them.

    def _table(self, *, hurry: bool = False) -> Remeasured:
        panel, settings, spacing = self._panel, self._settings, self._spacing
        touching = contact_table(self._counts, spacing)
        raw, gated = self._raw, [c.marker for c in panel.gated]
        objects = raw.join(neighbour_columns(raw, touching, gated))
        given_back = {
            c.marker: self._cleaned[c.marker]
            for c in panel.gated
            if any(m.statistic == t.COMPENSATED for m in c.measures)
        }
        if given_back:
            level = compensate(self._cells, touching, given_back)
            objects = objects.merge(level, on=t.LABEL, how="left")
        nuclei = outlines(self._labels)
        if not hurry:
            self._glow = find_glow(self._looked, nuclei, panel, settings)
        sharp = sharpness_of(self._step, self._slope)
        objects, found = judge_artefacts(
            objects, self._looked, self._glow, sharp, self._cells, settings
        )
        needed = [column for channel in panel.gated for column in channel.columns]
        border = at_border(self._labels, self._frame, settings.counting)
        objects = evaluate(
            objects, self._looked.tissue, self._frame, spacing, settings.measuring, needed, border,
            self._left_out, found.excluded,
        )  # fmt: skip
        grid, space, bodies = self._where(found.tissue)
        if not can_tell_ghosts(objects, found.tissue & self._frame):
            bodies = None
        objects = place_objects(objects, self._flat, space.frame_um, self._drawn)
        signs, later = self._signs(objects, bodies, hurry=hurry)
        behind = (*([t.AF_SHARE, t.AF_AFFECTED] if hurry else []), *later)
        return Remeasured(objects, touching, signs, grid, space, self._labels, self._cells, behind)

    def _where(self, tissue: NDArray[np.bool_]) -> tuple[NDArray[Any], FieldSpace, Bodies | None]:
        """Give what hangs on the counted tissue, from which cells under pigment are taken."""
        if self._places is None or not np.array_equal(self._places[0], tissue):
            counted = tissue & self._frame
            space = field_space(counted, self._frame, self._flat, self._drawn)
            bodies = None
            if self._death is not None and len(self._spacing) == 2:
                shown = {name: self._cleaned[name] for name in ghost_markers(self._panel)}
                bodies = find_bodies(shown, tissue, self._frame, self._flat)
            self._places = (tissue, area_grid(counted, self._flat), space, bodies)
        return self._places[1:]

    def _signs(
        self, objects: pd.DataFrame, bodies: Bodies | None, *, hurry: bool
    ) -> tuple[Signs, tuple[str, ...]]:
        counting = self._settings.counting
        box = frame_box(self._frame, self._spacing)
        where = box if counting.frame != "unbiased" else None
        if self._death is None:
            return Signs(where), ()
        dna = t.measure_column(self._panel.nuclei.marker, "nucleus", "mean")
        pairs = fragment_pairs(
            self._labels, self._cleaned[self._death], objects, dna, self._spacing, counting,
            order=self._order, known=self._known, only_known=hurry,
        )  # fmt: skip
        ghosts = None
        if bodies is not None and not hurry:  # of the field's counts, not of its table
            ghosts = bodies_alone(bodies, self._labels, self._cells, counting)
        later = (t.CELL_ID, t.FRAGMENTS) if hurry else ()
        return Signs(where, pairs, ghosts), later
