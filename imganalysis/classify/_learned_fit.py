"""Training a classifier of cells, and its predictions for patients that it has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis.classify.learned import RANGE_MARGIN, Feature, Learned
from imganalysis.errors import TableError
from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

MIN_PATIENTS = 3
"""Fewest patients of a training: each is held out in turn, and two must be left to learn from."""

MIN_CELLS = 20
"""Fewest corrected cells of a class, from at least two patients."""

MAX_FOLDS = 10
STRENGTH = 1.0
"""Inverse of the L2 penalty on the weights of standardised features."""


@dataclass(frozen=True)
class Examples:
    """Corrected cells, one row each.

    Parameters
    ----------
    values
        (N, F) features as measured, none missing.
    columns
        Names of the features.
    truth
        (N,) class that a reader gave.
    patient
        (N,) patient.
    """

    values: NDArray[np.float64]
    columns: tuple[str, ...]
    truth: NDArray[np.object_]
    patient: NDArray[np.object_]

    def of(self, rows: NDArray[Any]) -> Examples:
        """Take some of them."""
        return Examples(self.values[rows], self.columns, self.truth[rows], self.patient[rows])


def check_examples(examples: Examples, source: str) -> None:
    """Check that there is enough to learn from.

    Raises
    ------
    TableError
        Too few patients, classes, or cells of a class; says how many there are.
    """
    patients = sorted(set(examples.patient))
    if len(patients) < MIN_PATIENTS:
        raise TableError(
            f"{source}: corrections of {plural(len(patients), 'patient')} "
            f"({', '.join(patients) or '-'}); at least {MIN_PATIENTS} are needed, because a model "
            "is tested on patients that it has not seen"
        )
    names = sorted(set(examples.truth))
    if len(names) < 2:
        raise TableError(f"{source}: one class only ({', '.join(names)}); a model tells at least 2")
    few = []
    for name in names:
        own = examples.truth == name
        n = len(set(examples.patient[own]))
        if own.sum() < MIN_CELLS or n < 2:
            few.append(f"{name} ({plural(int(own.sum()), 'cell')} of {plural(n, 'patient')})")
    if few:
        raise TableError(
            f"{source}: too few corrected cells of {', '.join(few)}; a class needs {MIN_CELLS} "
            "of 2 patients. Correct more, or leave the class to the rules with --leave-out CLASS"
        )


def fit(examples: Examples, panel: str, places: Sequence[tuple[str, str]]) -> Learned:
    """Train a classifier on all examples.

    Multinomial logistic regression with an L2 penalty; features that do not vary are left out.
    """
    from sklearn.linear_model import LogisticRegression

    names = tuple(sorted(set(examples.truth)))
    features, x = _standardised(examples)
    regression = LogisticRegression(C=STRENGTH, max_iter=5000, tol=1e-8)
    regression.fit(x, examples.truth.astype(str))
    weights, intercepts = regression.coef_, regression.intercept_
    if len(names) == 2:  # one row: of the second class against the first
        weights = np.vstack([np.zeros_like(weights), weights])
        intercepts = np.array([0.0, intercepts[0]])
    return Learned(
        panel=panel,
        classes=names,
        features=tuple(features),
        weights=tuple(tuple(_short(w) for w in row) for row in weights),
        intercepts=tuple(_short(b) for b in intercepts),
        places=tuple(sorted(set(places))),
        verdict="not_shown",
    )


def _standardised(examples: Examples) -> tuple[list[Feature], NDArray[np.float64]]:
    features, columns = [], []
    for i, column in enumerate(examples.columns):
        raw = examples.values[:, i]
        scale = _short(float(np.median(np.abs(raw)))) or 1.0
        x = np.arcsinh(raw / scale)
        mean, sd = _short(float(x.mean())), _short(float(x.std()))
        if sd < 1e-9:
            continue
        margin = RANGE_MARGIN * float(np.ptp(raw))
        low, high = _short(float(raw.min()) - margin), _short(float(raw.max()) + margin)
        features.append(Feature(column=column, scale=scale, mean=mean, sd=sd, low=low, high=high))
        columns.append((x - mean) / sd)
    if not features:
        raise TableError("no measurement varies between the corrected cells")
    return features, np.column_stack(columns)


def _short(value: float) -> float:
    """Keep eight digits, so that another machine's last bits do not change the file."""
    return float(f"{value:.8g}")


def held_out(
    examples: Examples, panel: str, places: Sequence[tuple[str, str]]
) -> Iterator[tuple[NDArray[np.intp], Learned]]:
    """Train on all but some patients, in turn; gives the rows held out, and the model.

    No patient is on both sides. The folds depend on the cells alone.
    """
    from sklearn.model_selection import GroupKFold

    n = min(MAX_FOLDS, len(set(examples.patient)))
    for seen, unseen in GroupKFold(n).split(examples.values, groups=examples.patient):
        part = examples.of(seen)
        if len(set(part.truth)) > 1:
            yield np.asarray(unseen), fit(part, panel, places)
