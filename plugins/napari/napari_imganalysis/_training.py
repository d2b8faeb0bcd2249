"""Corrections as training labels: what there is, the folder for `imganalysis train`, a classifier.

No window.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from imganalysis import results as r
from imganalysis import tables as t
from imganalysis.calibrate import scope_of
from imganalysis.calibration_file import read_calibrations
from imganalysis.corrected_training import export_pair, plan_training
from imganalysis.correction_session import CorrectionSession
from imganalysis.corrections import NUCLEAR
from imganalysis.errors import CorrectionsError
from imganalysis.preparing import prepare_stack
from imganalysis.words import plural
from napari_imganalysis._edit_study import begin
from napari_imganalysis._fields import load_field

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from imganalysis.classify.learned import Learned
    from imganalysis.corrected_training import TrainingPlan
    from napari_imganalysis._editing import Editor
    from napari_imganalysis._results import Opened

RECIPE, TRAINED = "recipe.yaml", "trained"
STEPS = 1500
FIELD_STEP, TRAIN_STEP = "Fields", "Training"


@dataclass(frozen=True)
class Prepared:
    """A folder that `imganalysis train` can begin with.

    Parameters
    ----------
    folder
        Gets ``images/``, ``masks/`` and the recipe.
    fields
        That were exported.
    learnt
        Of them, those that are trained on; the others are kept to test with.
    """

    folder: Path
    fields: tuple[str, ...] = ()
    learnt: tuple[str, ...] = ()

    @property
    def recipe(self) -> Path:
        """The recipe."""
        return self.folder / RECIPE

    @property
    def out(self) -> Path:
        """Where the network shall stand."""
        return self.folder / TRAINED

    @property
    def command(self) -> str:
        """What does the same from a command line."""
        return shlex.join(["imganalysis", "train", str(self.recipe), "--out", str(self.out)])


@dataclass
class Going:
    """How far something is that runs in a thread, and whether it shall stop."""

    step: str = ""
    done: int = 0
    total: int = 0
    stopped: bool = field(default=False)

    def say(self, step: str, done: int, total: int) -> None:
        """Keep how far it is; raises `CorrectionsError` where it shall stop."""
        self.step, self.done, self.total = step, done, total
        if self.stopped:
            raise CorrectionsError("stopped")


def plan_of(editor: Editor) -> TrainingPlan | None:
    """Say what a training would use; None where no results are opened."""
    core = editor.core
    return None if core is None else plan_training(core.study, core.log.edits)


def class_table(editor: Editor, opened: Opened) -> tuple[pd.DataFrame, dict[str, int]]:
    """Collect the classes that people gave, as `imganalysis classifier train` reads them.

    Returns
    -------
    table
        ``field``, ``label``, ``class``, ``reader``, ``time``.
    left_out
        Why corrected cells are left out -> how many: a cell must be in the results as it is now.
    """
    core = editor.core
    if core is None:
        raise CorrectionsError("Open the results of a study first")
    said = core.corrected_classes().rename(columns={"user": t.READER})
    said = said[[t.FIELD, t.LABEL, t.CORRECT_CLASS, t.READER, t.TIME]].reset_index(drop=True)
    behind = {e.field for e in core.pending() if e.kind in NUCLEAR}
    keep, left_out = [], {"nuclei edited since the run": 0, "not in the results": 0}
    known: dict[str, set[int]] = {}
    for name, label in zip(said[t.FIELD], said[t.LABEL], strict=True):
        if name not in known:
            cells = opened.cells(name) if name in set(opened.fields["field"]) else None
            known[name] = set() if cells is None else set(cells[t.LABEL].tolist())
        if name in behind:
            left_out["nuclei edited since the run"] += 1
        elif label not in known[name]:
            left_out["not in the results"] += 1
        keep.append(name not in behind and label in known[name])
    kept = said[np.array(keep, dtype=bool)].reset_index(drop=True)
    return kept, {why: n for why, n in left_out.items() if n}


def patients_of(opened: Opened, table: pd.DataFrame) -> pd.DataFrame:
    """Count corrected cells and patients per class: ``class``, ``cells``, ``patients``."""
    fields = opened.fields.set_index("field")
    patient = table[t.FIELD].map(fields["patient"]) if "patient" in fields.columns else ""
    grouped = table.assign(patient=patient).groupby(t.CORRECT_CLASS, sort=True)
    counts = grouped.agg(cells=(t.LABEL, "size"), patients=("patient", "nunique"))
    return counts.reset_index()


def export(editor: Editor, opened: Opened, folder: Path, going: Going) -> Prepared:
    """Write the reviewed fields as pairs of image and nuclei, and a recipe to train on them.

    Raises
    ------
    CorrectionsError
        No field is reviewed, or nothing would be left to train on.
    OutputError
        The folder cannot be written.
    ImganalysisError
        An image cannot be read.
    """
    core, plan = editor.core, plan_of(editor)
    if core is None or plan is None:
        raise CorrectionsError("Open the results of a study first")
    if not plan.fields:
        raise CorrectionsError(plan.text)
    learnt = tuple(name for name in plan.fields if name not in plan.held_out)
    if not learnt:
        raise CorrectionsError(
            f"All reviewed fields ({', '.join(plan.fields)}) are kept to test with, by their "
            "names; review one more"
        )
    if (folder / RECIPE).exists():
        raise CorrectionsError(f"{folder / RECIPE}: is there already; choose another folder")
    own = CorrectionSession(core.study, core.log.path, results=opened.folder)
    path = None if opened.folder is None else opened.folder / r.CALIBRATION
    known = read_calibrations(path if path is not None and path.is_file() else None, opened.panels)
    for number, name in enumerate(plan.fields):
        going.say(FIELD_STEP, number, len(plan.fields))
        shown = load_field(opened, name)
        begun = begin(opened, shown)
        own.open_field(name, begun.labels, begun.spacing_um, begun.digest)
        panel = shown.panel
        if panel is None:
            raise CorrectionsError(f"{name}: no panel was found for it")
        calibration = next((c for c in known if c.scope == scope_of(shown.where)), None)
        seen = prepare_stack(
            shown.stack, panel, opened.settings, shown.where.section_um, calibration=calibration
        )
        export_pair(
            folder, name, seen.images[panel.nuclei.marker], own.labels(name),
            shown.stack.pixel_size, core.log.edits,
        )  # fmt: skip
        own.close_field(name)
    content = {
        "name": "corrected",
        "description": f"Nuclei, trained on {plural(len(learnt), 'corrected field')}",
        "start": "nuclei",
        "training": {
            "network": {"width": [16, 32, 64, 128], "channels": 2, "diameter_px": 22.0},
            "steps": STEPS, "crop_px": [144, 176], "learning_rate": 0.0005, "warmup_steps": 100,
        },
        "sources": {"corrected": {"kind": "folder", "images": "images", "masks": "masks",
                                  "credit": f"corrected by {editor.user}"}},
    }  # fmt: skip
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    t.write_atomic(folder / RECIPE, lambda temporary: _write(temporary, text))
    return Prepared(folder, plan.fields, learnt)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def train_network(prepared: Prepared, going: Going, threads: int = 1) -> str:
    """Train as `imganalysis train` does; stopped, it goes on the next time.

    Raises
    ------
    ImganalysisError
        As the command does.
    """
    from imganalysis.segment.beginning import CHECKPOINT
    from imganalysis.segment.models import TRAINS, model_path
    from imganalysis.segment.onnx import write_onnx
    from imganalysis.segment.training import train
    from imganalysis.training_data import about_weights, load_examples, read_recipe

    chosen, out = read_recipe(prepared.recipe), prepared.out
    out.mkdir(parents=True, exist_ok=True)
    resume = (out / CHECKPOINT).exists()
    examples = load_examples(chosen, prepared.folder, going.say, keep=out)

    def told(_word: str, done: int, total: int) -> None:
        going.step, going.done, going.total = TRAIN_STEP, done, total

    trained = train(
        examples, chosen.training, out, about=about_weights(chosen),
        start=None if resume else model_path(str(chosen.start), TRAINS), resume=resume,
        threads=threads, stop=lambda: going.stopped, progress=told,
    )  # fmt: skip
    network = out / f"{chosen.name}.onnx"
    write_onnx(trained.weights, network)
    state = "finished" if trained.finished else "stopped; 'Train network' goes on with it"
    return (
        f"{network}: {trained.step} of {plural(chosen.training.steps, 'step')}, loss "
        f"{trained.loss:.4f}; {state}. Measure it on fields that it has not seen before you use "
        f"it: imganalysis evaluate; then: imganalysis run STUDY --out RESULTS --model {network}"
    )


def train_on_classes(
    editor: Editor, opened: Opened, out: Path, panel: str | None = None
) -> tuple[Learned, str]:
    """Train a classifier on the corrected classes; gives it and its card, as Markdown.

    Writes `out`, its card beside it, and the table that it was trained on.

    Raises
    ------
    ImganalysisError
        Too few corrected cells or patients, or the file cannot be written.
    """
    from imganalysis.classify.learned import write_classifier
    from imganalysis.learning import train_classifier, write_card

    if opened.folder is None:
        raise CorrectionsError("Open the results of a study first")
    table, left_out = class_table(editor, opened)
    if table.empty:
        why = "; ".join(f"{n} {reason}" for reason, n in left_out.items())
        raise CorrectionsError(
            "No corrected cell to train on" + (f" ({why}): run the analysis again with the log"
                                               if why else "")
        )  # fmt: skip
    corrections = out.with_name(f"{out.stem}_corrections.csv")
    t.write_csv(corrections, table)
    model: Any = train_classifier(opened.folder, corrections, panel=panel)
    write_classifier(out, model)
    card = out.with_suffix(".md")
    write_card(card, model, out.name)
    return model, card.read_text(encoding="utf-8")
