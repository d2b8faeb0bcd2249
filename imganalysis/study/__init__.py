"""Study: which images belong to which biopsy, and which are controls."""

from imganalysis.study._discover import discover
from imganalysis.study._manifest import MANIFEST, MANIFEST_COLUMNS
from imganalysis.study._model import CONTROL_ROLES, IGNORED, ROLES, SAMPLE, Biopsy, Field, Study
from imganalysis.study._names import clean_text
from imganalysis.study._write import write_manifest

__all__ = [
    "CONTROL_ROLES",
    "IGNORED",
    "MANIFEST",
    "MANIFEST_COLUMNS",
    "ROLES",
    "SAMPLE",
    "Biopsy",
    "Field",
    "Study",
    "clean_text",
    "discover",
    "write_manifest",
]
