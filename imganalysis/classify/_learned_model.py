"""The file of a learned class: a model as numbers in JSON, so that nothing is unpickled."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from imganalysis import tables as t
from imganalysis.errors import ModelError
from imganalysis.settings import explain, fingerprint
from imganalysis.settings_base import Fraction, Model, Positive

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from imganalysis.panel import Panel

FORMAT = "imganalysis classifier 1"
MIN_PROBABILITY = 0.5
"""A cell whose likeliest class is less likely than this is unresolved."""

Finite = Annotated[float, Field(allow_inf_nan=False)]


class Feature(Model):
    """A column that the model looks at: asinh(value / scale), then (x - mean) / sd."""

    column: str = Field(min_length=1)
    scale: Positive
    mean: Finite
    sd: Positive
    low: Finite  # of the training, in grey levels, um or 0/1, margin included
    high: Finite


class Learned(Model):
    """A classifier of the cells of one panel.

    Parameters
    ----------
    weights
        One row per class, one number per feature, of the standardised features.
    places
        (batch, acquisition) of the training.
    verdict
        How it did against the rules on held-out patients: ``better``, ``not_shown``, ``worse``.
    card
        What it was trained on, and how well it did.
    content_hash
        Of all that stands before it.
    """

    format: Literal["imganalysis classifier 1"] = "imganalysis classifier 1"
    panel: str
    classes: tuple[str, ...] = Field(min_length=2)
    features: tuple[Feature, ...] = Field(min_length=1)
    weights: tuple[tuple[Finite, ...], ...]
    intercepts: tuple[Finite, ...]
    min_probability: Fraction = MIN_PROBABILITY
    places: tuple[tuple[str, str], ...]
    verdict: Literal["better", "not_shown", "worse"]
    card: dict[str, Any] = Field(default_factory=dict)
    content_hash: str = ""

    @model_validator(mode="after")
    def _fits_together(self) -> Learned:
        if len(set(self.classes)) < len(self.classes) or t.UNRESOLVED in self.classes:
            raise ValueError("classes: each once, and none unresolved")
        shape = {len(row) for row in self.weights}
        if len(self.weights) != len(self.classes) or shape != {len(self.features)}:
            raise ValueError("weights: expected a row per class and a number per feature")
        if len(self.intercepts) != len(self.classes):
            raise ValueError("intercepts: expected one per class")
        return self

    @property
    def fingerprint(self) -> str:
        """Hash of the model and its card."""
        return fingerprint(self.model_dump(mode="json", exclude={"content_hash"}))


def write_classifier(path: Path, model: Learned) -> None:
    """Write a classifier; the same one gives the same bytes.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    content = {**model.model_dump(mode="json"), "content_hash": model.fingerprint}
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8", newline="\n")

    t.write_atomic(path, write)


def read_classifier(path: Path) -> Learned:
    """Read a classifier.

    Raises
    ------
    ModelError
        No such file, not a classifier of this package, or changed since it was written.
    """
    begin = f"{path}: expected a classifier that `imganalysis classifier train` wrote (JSON)"
    try:
        content = json.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{begin}; it cannot be read: {error}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise ModelError(f"{begin} with the format {FORMAT!r}; found {found!r}")
    try:
        model = Learned.model_validate(content)
    except ValidationError as error:
        raise ModelError(f"{path}: damaged: {explain(error)}") from None
    if model.content_hash != model.fingerprint:
        raise ModelError(
            f"{path}: damaged or edited: its content does not have the hash that it was written "
            "with; take the file as it was written, or train again"
        )
    return model


def check_classifier(model: Learned, panels: Sequence[Panel], source: str) -> None:
    """Check that a classifier fits the panels of a study.

    Raises
    ------
    ModelError
        No panel of its name, a class that the panel does not have, or a model that did worse
        than the rules.
    """
    mine = [panel for panel in panels if panel.name == model.panel]
    if not mine:
        names = ", ".join(panel.name for panel in panels)
        raise ModelError(f"{source}: is for the panel {model.panel}; the study has {names}")
    unknown = [name for name in model.classes if name not in mine[0].classes]
    if unknown:
        raise ModelError(
            f"{source}: was trained for {', '.join(unknown)}, which the panel {model.panel} does "
            f"not have (it has {', '.join(mine[0].classes)})"
        )
    if model.verdict == "worse":
        raise ModelError(
            f"{source}: did worse than the rules on held-out patients (see its card), so it does "
            "not replace them; train it on more corrections, or run without --classifier"
        )
