"""What edits need of a study: its fields as the batch names them, and a field's first nuclei."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from imganalysis import results as r
from imganalysis import tables as t
from imganalysis.correction_session import CorrectionSession
from imganalysis.errors import CorrectionsError, ImganalysisError
from imganalysis.io import read_labels
from imganalysis.outline_files import attach_annotations
from imganalysis.study import MANIFEST, Study
from napari_imganalysis._results import record_of

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_imganalysis._fields import OpenField
    from napari_imganalysis._results import Opened


@dataclass(frozen=True)
class Begun:
    """A field as it was before all edits.

    Parameters
    ----------
    labels
        Its nuclei as they were found.
    spacing_um
        ([Z,] Y, X) size of a pixel.
    digest
        SHA-256 of the image file that was analysed; None where the results do not say it.
    """

    labels: NDArray[np.uint32]
    spacing_um: tuple[float, ...]
    digest: str | None


def study_of(opened: Opened) -> Study:
    """Make the study that a folder of results is of, from its tables: no image is opened.

    Raises
    ------
    StudyError
        The manifest gives one file of outlines to several fields.
    """
    outlines = _manifest_outlines(opened.root)
    fields = []
    for _, row in opened.fields.iterrows():
        name = str(row["field"])
        field = record_of(row, opened.image_path(name), 0)
        path = outlines.get((str(row["file"]), field.scene)) or outlines.get((str(row["file"]), ""))
        if str(row["status"]) == "failed":
            problem = str(row.get("reason") or "failed")
            field = replace(field, problem=problem, problem_text=str(row.get("message") or ""))
        fields.append(replace(field, annotations=path))
    return attach_annotations(Study(opened.root, tuple(fields), dict(opened.panels)))


def core_of(opened: Opened, log: Path | None = None) -> CorrectionSession:
    """Open the log of the study that a folder of results is of.

    Raises
    ------
    CorrectionsError
        It is damaged, or of a later version.
    """
    return CorrectionSession(
        study_of(opened), log, results=opened.folder,
        annotation_unit=opened.settings.space.annotation_unit,
    )  # fmt: skip


def _manifest_outlines(root: Path) -> dict[tuple[str, str], Path]:
    """Find the files of outlines that a manifest names: (file, scene) -> path."""
    path = root / MANIFEST
    if not path.is_file():
        return {}
    try:
        table = t.read_csv(path, dtype=str, keep_default_na=False)
    except ImganalysisError:
        return {}
    if not {"path", "annotations"} <= set(table.columns):
        return {}
    scenes = table["scene"] if "scene" in table.columns else [""] * len(table)
    return {
        (file.strip(), scene.strip()): root / named.strip()
        for file, scene, named in zip(table["path"], scenes, table["annotations"], strict=True)
        if named.strip()
    }


def begin(opened: Opened, field: OpenField) -> Begun:
    """Find what the edits of a field start from.

    Raises
    ------
    CorrectionsError
        It was not analysed, or its pixel size is unknown.
    LabelsError
        Its labels cannot be read.
    """
    size = field.stack.pixel_size
    if opened.folder is None or field.labels is None or field.cells is None:
        raise CorrectionsError(
            f"{field.name}: has no nuclei and cells that could be corrected; analyse the study "
            "first, and open its results"
        )
    if size.y is None or size.x is None:
        raise CorrectionsError(f"{field.name}: its pixel size is unknown; nothing can be measured")
    before = r.uncorrected_path(opened.folder, field.name)
    labels = read_labels(before) if before.is_file() else field.labels
    if labels.shape != field.labels.shape:
        raise CorrectionsError(
            f"{before}: {labels.shape} pixels, but labels/ has {field.labels.shape}; run the "
            "analysis again"
        )
    flat = (size.y, size.x)
    spacing = flat if labels.ndim == 2 else (size.z or 1.0, *flat)
    digest = opened.row(field.name).get("sha256")
    return Begun(labels, spacing, str(digest) if digest and digest == digest else None)
