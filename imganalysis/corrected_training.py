"""Corrected nuclei as training data: images and label images in pairs, as `train` reads them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis.corrections import CLASS, NUCLEAR, REVIEWED, active_edits, review_of
from imganalysis.errors import CorrectionsError, OutputError
from imganalysis.io import write_labels, write_stack
from imganalysis.stack import Stack
from imganalysis.training_data import held_out
from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from imganalysis.corrections import Edit
    from imganalysis.stack import PixelSize
    from imganalysis.study import Study

IMAGES, MASKS = "images", "masks"
SUFFIX = ".ome.tif"
FEW_FIELDS = 5
"""With fewer images, one kept from the training in five is a matter of chance."""


@dataclass(frozen=True)
class TrainingPlan:
    """What a training on the corrections would use.

    Parameters
    ----------
    fields
        Names of the fields that were reviewed as complete, in the study's order.
    held_out
        Those of them that `train` keeps from the training, by their names.
    waiting
        Fields with corrections that nobody has reviewed as complete.
    n_nuclei
        Edits of nuclei in the reviewed fields.
    classes
        Class -> cells of the reviewed fields that a person gave it.
    """

    fields: tuple[str, ...]
    held_out: tuple[str, ...]
    waiting: tuple[str, ...]
    n_nuclei: int
    classes: dict[str, int]

    @property
    def text(self) -> str:
        """The same for people."""
        if not self.fields:
            n = len(self.waiting)
            wait = f"; {plural(n, 'field')} with corrections not yet" if n else ""
            return (
                f"No field is reviewed as complete{wait}. A field trains a network only when every "
                "nucleus in it is right: what is missing would be learnt as background."
            )
        learnt = len(self.fields) - len(self.held_out)
        lines = [
            f"{plural(len(self.fields), 'reviewed field')} with "
            f"{plural(self.n_nuclei, 'correction')} of nuclei: {learnt} to train on, "
            f"{len(self.held_out)} kept to test with.",
            f"{plural(sum(self.classes.values()), 'cell')} with a class by hand: "
            + (", ".join(f"{n} {name}" for name, n in self.classes.items()) or "none")
            + ".",
        ]
        if self.waiting:
            waiting = plural(len(self.waiting), "field")
            lines.append(f"Unused, as not reviewed: {waiting} with corrections.")
        if len(self.fields) < FEW_FIELDS:
            lines.append(f"Under {FEW_FIELDS} fields: expect a network that knows these only.")
        return "\n".join(lines)


def plan_training(study: Study, edits: Sequence[Edit]) -> TrainingPlan:
    """Say what a training on the corrections would use; reads nothing but the log.

    Parameters
    ----------
    study
        Whose fields they are.
    edits
        All lines of the log.
    """
    active = active_edits(edits)
    touched = {edit.field for edit in active if edit.kind in (*NUCLEAR, CLASS)}
    reviewed = []
    for field in study.fields:
        said = review_of(edits, field.name)
        if said is not None and said.after["state"] == REVIEWED and not field.problem:
            reviewed.append(field.name)
    last = {(e.field, e.cells[0].label): e.after["class"] for e in active if e.kind == CLASS}
    counts = Counter(name for (field, _), name in last.items() if field in reviewed)
    return TrainingPlan(
        tuple(reviewed),
        tuple(name for name in reviewed if held_out(name)),
        tuple(f.name for f in study.fields if f.name in touched and f.name not in reviewed),
        sum(e.kind in NUCLEAR and e.field in reviewed for e in active),
        dict(sorted(counts.items())),
    )


def export_pair(
    folder: Path,
    field: str,
    image: NDArray[np.floating[Any]],
    labels: NDArray[np.uint32],
    pixel_size: PixelSize,
    edits: Sequence[Edit],
) -> tuple[Path, Path]:
    """Write the nuclear stain of a reviewed field, and its corrected nuclei.

    Parameters
    ----------
    folder
        Gets ``images/FIELD.ome.tif`` and ``masks/FIELD.ome.tif``, for a source of the kind
        ``folder`` of a training recipe.
    field
        Name of the field.
    image
        (Y, X) or (Z, Y, X) picture of the nuclear stain, as it was segmented; of a stack left
        in 3-D the middle plane is written.
    labels
        Corrected nuclei, shape of `image`.
    pixel_size
        Written into both.
    edits
        All lines of the log.

    Raises
    ------
    CorrectionsError
        The field is not reviewed as complete, or image and labels differ in shape.
    OutputError
        The folder cannot be written.
    """
    said = review_of(edits, field)
    if said is None or said.after["state"] != REVIEWED:
        state = "open" if said is None else said.after["state"]
        raise CorrectionsError(
            f"{field}: its review is {state!r}; only fields reviewed as complete train a network, "
            "since a nucleus that nobody outlined would be learnt as background"
        )
    if image.shape != labels.shape:
        raise CorrectionsError(
            f"{field}: the image is {image.shape} and its labels {labels.shape}; open the field "
            "of this study, and its own labels"
        )
    paths = (folder / IMAGES / f"{field}{SUFFIX}", folder / MASKS / f"{field}{SUFFIX}")
    middle: Any = ... if labels.ndim == 2 else len(labels) // 2
    flat, outlined = np.asarray(image[middle], np.float32), labels[middle]
    try:
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
        stack = Stack(flat[np.newaxis, np.newaxis], ("nuclei",), pixel_size)
        write_stack(paths[0], stack)
        write_labels(paths[1], outlined, pixel_size)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"{folder}: cannot be written ({error.strerror or error})") from None
    return paths
