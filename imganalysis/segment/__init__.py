"""Nuclei and cells as label images."""

from imganalysis.segment._skimage import segment_nuclei
from imganalysis.segment.cells import expand_cells, ring_widths, rings
from imganalysis.segment.labels import check_labels, label_ids, relabel, touching_border

__all__ = [
    "check_labels",
    "expand_cells",
    "label_ids",
    "relabel",
    "ring_widths",
    "rings",
    "segment_nuclei",
    "touching_border",
]
