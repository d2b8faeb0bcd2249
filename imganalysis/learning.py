"""Training a classifier on corrections of a run's cells, and checking one on others."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis import __version__
from imganalysis import tables as t
from imganalysis.classify._learned_card import card_text
from imganalysis.classify._learned_fit import STRENGTH, Examples, check_examples, fit, held_out
from imganalysis.classify._learned_scores import SEED, Judgement, scores, verdict
from imganalysis.classify.learned import (
    Learned,
    check_classifier,
    feature_columns,
    feature_values,
    model_facts,
)
from imganalysis.corrected_cells import Corrected, corrected_cells
from imganalysis.errors import TableError
from imganalysis.io import file_hash
from imganalysis.settings import fingerprint
from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

LIBRARIES = ("numpy", "pandas", "scikit-learn", "scipy")


def train_classifier(
    results: Path, corrections: Path, *, panel: str | None = None, leave_out: Sequence[str] = ()
) -> Learned:
    """Train a classifier, test it on held-out patients, and write its card.

    Parameters
    ----------
    results
        Folder of a run.
    corrections
        CSV, see `imganalysis.corrected_cells.read_corrections`.
    panel
        Of whose cells, where the corrections are of several.
    leave_out
        Classes that stay with the rules.

    Returns
    -------
    Learned
        Trained on all corrected cells; its scores are those of models that had not seen the
        patient.

    Raises
    ------
    TableError
        The corrections do not fit the results, or are too few.
    """
    found = corrected_cells(results, corrections, panel)
    unknown = sorted(set(leave_out) - set(found.panel.classes))
    if unknown:
        raise TableError(
            f"--leave-out: the panel {found.panel.name} has no class {', '.join(unknown)}; it has "
            f"{', '.join(found.panel.classes)}"
        )
    columns = [c for c in feature_columns(found.panel) if c in found.cells.columns]
    values = feature_values(found.cells, columns)
    truth = found.cells[t.CORRECT_CLASS].to_numpy(dtype=object)
    # A column that no cell has (solidity of a stack in 3-D) is no feature.
    has = ~np.isnan(values).all(axis=0)
    columns, values = [c for c, yes in zip(columns, has, strict=True) if yes], values[:, has]
    skip = {*leave_out, t.UNRESOLVED}
    known = ~np.isnan(values).any(axis=1)
    use = known & ~np.isin(truth, list(skip))
    dropped = {
        **found.dropped,
        "left to the rules": int(np.isin(truth, list(leave_out)).sum()),
        "unresolved by the reader": int((truth == t.UNRESOLVED).sum()),
        "a measurement or context not known": int((~known & ~np.isin(truth, list(skip))).sum()),
    }
    patient = found.cells["patient"].to_numpy(dtype=object)
    if not use.any():
        raise TableError(_nothing_left(corrections, dropped))
    examples = Examples(values[use], tuple(columns), truth[use], patient[use])
    check_examples(examples, str(corrections))
    places = list(
        found.cells.loc[use, [t.BATCH, t.ACQUISITION]]
        .astype(str)
        .itertuples(index=False, name=None)
    )
    model = fit(examples, found.panel.name, places)
    # Cells with an unknown measurement are judged too: in a run they are left to the rules.
    # So are those of classes left out: what the model makes of them counts too.
    asked = truth != t.UNRESOLVED
    judged = _held_out(found, asked, use, examples, places, model.classes)
    tested = scores(judged)
    said = {
        "imganalysis": __version__,
        "libraries": {name: version(name) for name in LIBRARIES},
        "method": f"multinomial logistic regression, L2 penalty, C = {STRENGTH:g}",
        "seed": SEED,
        "corrections_sha256": file_hash(corrections),
        "panel_hash": fingerprint(found.panel),
        "results": {"fields": sorted(set(found.cells[t.FIELD].astype(str)))},
        "patients": sorted(set(examples.patient)),
        "cells": _counts(examples.truth, examples.patient),
        "left_out": {why: n for why, n in dropped.items() if n},
        "held_out": tested,
    }
    model = model.model_copy(update={"card": said, "verdict": verdict(tested["difference"])})
    return model.model_copy(update={"content_hash": model.fingerprint})


_INSTEAD = {
    "not counted": "correct cells that count: `evaluable` in cells/, the column `exclusion` says "
    "why others do not",
    "readers disagree": "let the readers settle on one class, and give the later time",
    "left to the rules": "leave out fewer classes with --leave-out",
    "unresolved by the reader": "give them a class where it can be told",
    "a measurement or context not known": "give every marker of the panel a gate and run again",
}
"""Why corrections are dropped -> what to do."""


def _nothing_left(corrections: Path, dropped: Mapping[str, int]) -> str:
    """Say why there is no correction to learn from."""
    why = {word: n for word, n in dropped.items() if n}
    said = "; ".join(f"{n} {word} ({_INSTEAD[word]})" for word, n in why.items())
    n = plural(sum(why.values()), "corrected cell")
    return f"{corrections}: none of {n} can be learned from: {said}"


def check_on(
    model: Learned, source: str, results: Path, corrections: Path
) -> tuple[dict[str, Any], dict[str, int]]:
    """Score a classifier on corrections of patients that it was not trained on.

    Returns
    -------
    scores, left out
        As in the card; and why corrections are left out -> how many.

    Raises
    ------
    ModelError
        The classifier does not fit the panel.
    TableError
        The corrections do not fit the results, or every patient was in the training.
    """
    found = corrected_cells(results, corrections, model.panel)
    check_classifier(model.model_copy(update={"verdict": "not_shown"}), [found.panel], source)
    truth = found.cells[t.CORRECT_CLASS].to_numpy(dtype=object)
    patient = found.cells["patient"].to_numpy(dtype=object)
    seen = np.isin(patient, model.card.get("patients", []))
    known = truth != t.UNRESOLVED
    use = known & ~seen
    if not use.any():
        raise TableError(
            f"{corrections}: nothing to check {source} on: of "
            f"{plural(len(truth), 'corrected cell')} {int(seen.sum())} are of patients that it "
            f"was trained on (by their names), and {int((~known).sum())} are unresolved by the "
            "reader"
        )
    dropped = {
        **found.dropped,
        "patients of the training": int(seen.sum()),
        "unresolved by the reader": int((~known & ~seen).sum()),
    }
    rows = np.flatnonzero(use)
    cells = found.cells.iloc[rows].reset_index(drop=True)
    rules = _rows(found, rows)
    final, given, chance = model_facts(cells, found.panel, model, rules)
    judged = Judgement(
        truth[rows], rules.phenotype.to_numpy(dtype=object), final, patient[rows], given, chance,
        model.classes,
    )  # fmt: skip
    return scores(judged), {why: n for why, n in dropped.items() if n}


def _rows(found: Corrected, rows: NDArray[np.intp]) -> Any:
    rules = found.rules
    return type(rules)(
        rules.phenotype.iloc[rows].reset_index(drop=True),
        rules.why.iloc[rows].reset_index(drop=True),
        rules.possible[rows],
    )


def _held_out(
    found: Corrected,
    asked: NDArray[np.bool_],
    use: NDArray[np.bool_],
    examples: Examples,
    places: list[tuple[str, str]],
    classes: tuple[str, ...],
) -> Judgement:
    """Judge each patient's cells by a model of the others, as a run would."""
    truth = found.cells[t.CORRECT_CLASS].to_numpy(dtype=object)
    patient = found.cells["patient"].to_numpy(dtype=object)
    final = found.rules.phenotype.to_numpy(dtype=object).copy()
    given = np.zeros(len(truth), dtype=bool)
    chance = np.zeros((len(truth), len(classes)))
    for unseen, model in held_out(examples, found.panel.name, places):
        of_fold = np.isin(patient, list(set(examples.patient[unseen]))) & asked
        rows = np.flatnonzero(of_fold)
        cells = found.cells.iloc[rows].reset_index(drop=True)
        final[rows], given[rows], some = model_facts(cells, found.panel, model, _rows(found, rows))
        chance[np.ix_(rows, np.array([classes.index(n) for n in model.classes]))] = some
    rules = found.rules.phenotype.to_numpy(dtype=object)
    return Judgement(
        truth[asked], rules[asked], final[asked], patient[asked], given[asked], chance[asked],
        classes,
    )  # fmt: skip


def _counts(truth: NDArray[np.object_], patient: NDArray[np.object_]) -> dict[str, dict[str, int]]:
    """Class -> patient -> corrected cells."""
    return {
        name: {
            who: int(((truth == name) & (patient == who)).sum())
            for who in sorted(set(patient[truth == name]))
        }
        for name in sorted(set(truth))
    }


def write_card(path: Path, model: Learned, name: str) -> None:
    """Write a classifier's card as Markdown beside it.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    text = card_text(model, name)

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8", newline="\n")

    t.write_atomic(path, write)
