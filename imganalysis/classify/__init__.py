"""Gates, calls, contexts and phenotypes: from measurements of cells to their classes."""

from imganalysis.classify.calls import call, call_cells, combine
from imganalysis.classify.contexts import evaluate_contexts
from imganalysis.classify.gates import Gate, scale_gates, select_gate
from imganalysis.classify.gates_file import adopt_gates, change_gate, read_gates, write_gates
from imganalysis.classify.ladder import gates_from_controls, set_gates
from imganalysis.classify.phenotypes import Classified, classify_cells
from imganalysis.classify.region import field_region, inside, region_mask
from imganalysis.classify.soft import positive_probabilities

__all__ = [
    "Classified", "Gate", "adopt_gates", "call", "call_cells", "change_gate", "classify_cells",
    "combine", "evaluate_contexts", "field_region", "gates_from_controls", "inside",
    "positive_probabilities", "read_gates", "region_mask", "scale_gates", "select_gate",
    "set_gates", "write_gates",
]  # fmt: skip
