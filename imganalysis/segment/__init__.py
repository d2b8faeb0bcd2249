"""Nuclei and cells as label images."""

from imganalysis.segment._skimage import segment_nuclei
from imganalysis.segment.cells import expand_cells, ring_widths, rings
from imganalysis.segment.facts import method_facts, settings_text
from imganalysis.segment.labels import (
    check_labels,
    check_numbered,
    label_ids,
    relabel,
    touching_border,
)
from imganalysis.segment.registry import (
    ModelFacts,
    Segmenter,
    find_nuclei,
    model_facts,
    nucleus_diameter,
)

__all__ = [
    "ModelFacts",
    "Segmenter",
    "check_labels",
    "check_numbered",
    "expand_cells",
    "find_nuclei",
    "label_ids",
    "method_facts",
    "model_facts",
    "nucleus_diameter",
    "relabel",
    "ring_widths",
    "rings",
    "segment_nuclei",
    "settings_text",
    "touching_border",
]
