"""A learned class: a model trained on a person's corrections, in place of the rules where it may.

The model is a multinomial logistic regression on measurements. It gives a cell a class only where
the rules leave no class that it was not trained for, every feature is known, and each lies in the
range of the training. Other cells keep the class of the rules, and `why` says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis import tables as t
from imganalysis.classify._learned_model import (
    Feature,
    Learned,
    check_classifier,
    read_classifier,
    write_classifier,
)
from imganalysis.classify.phenotypes import Classified, classify_cells

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from imganalysis.panel import Panel

__all__ = [
    "Feature", "Learned", "check_classifier", "classify_with", "feature_columns", "feature_values",
    "flag_learned", "model_facts", "probabilities", "read_classifier", "replace_classes",
    "write_classifier",
]  # fmt: skip

OPEN_SHARE = 0.95
"""An unresolved cell may be any of the likeliest classes that together reach this probability."""

RANGE_MARGIN = 0.1
"""Share of a feature's range in the training by which a cell may lie outside it."""


def flag_learned(results: Sequence[Any], model: Learned | None) -> list[Any]:
    """Flag the fields in which a model gave classes, and those unlike its training.

    Parameters
    ----------
    results
        `imganalysis.records.FieldResult` of the first half.
    model
        None flags nothing.
    """
    out = []
    for result in results:
        where, words = result.field, []
        if model is not None and where.role == "sample" and where.panel == model.panel:
            if result.objects is not None:
                words.append("learned_class")
            if (where.batch, where.acquisition) not in model.places:
                words.append("classifier_elsewhere")
        out.append(replace(result, flags=(*result.flags, *words)) if words else result)
    return out


def feature_columns(panel: Panel) -> list[str]:
    """Columns that a classifier of a panel looks at, where a table has them.

    Size and shape of the nucleus, its stain, each gated marker in nucleus and ring with the ring's
    SD, and the contexts of the panel's phenotype table.
    """
    columns = [t.DIAMETER, t.ASPECT, t.SOLIDITY]
    columns.append(t.measure_column(panel.nuclei.marker, "nucleus", "mean"))
    for channel in panel.gated:
        columns += [
            t.measure_column(channel.marker, part, statistic)
            for part, statistic in (("nucleus", "mean"), ("ring", "mean"), ("ring", "sd"))
        ]
    asked = {name for row in panel.phenotypes for name in (*row.context, *row.unless)}
    return columns + [t.context_column(name) for name in panel.contexts if name in asked]


def feature_values(cells: pd.DataFrame, columns: Sequence[str]) -> NDArray[np.float64]:
    """Read features, (N, F) float64; NaN where one is missing or unknown."""
    values = np.full((len(cells), len(columns)), np.nan)
    for i, column in enumerate(columns):
        if column in cells.columns:
            read = pd.to_numeric(cells[column].astype("Float64"), errors="coerce")
            values[:, i] = read.to_numpy(dtype=np.float64, na_value=np.nan)
    values[~np.isfinite(values)] = np.nan
    return values


def probabilities(model: Learned, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability of each class, (N, classes); NaN where a feature is.

    Parameters
    ----------
    model
        The classifier.
    values
        (N, F) its features as measured.
    """
    scale, mean, sd = (
        np.array([getattr(f, name) for f in model.features]) for name in ("scale", "mean", "sd")
    )
    x = (np.arcsinh(values / scale) - mean) / sd
    # Cell by cell and feature by feature in a fixed order: the same bytes for any number of cells.
    score = np.tile(np.array(model.intercepts), (len(values), 1))
    for i in range(len(model.features)):
        score += x[:, [i]] * np.array([row[i] for row in model.weights])
    score -= score.max(axis=1, keepdims=True, initial=-math.inf)
    raised = np.exp(score)
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def classify_with(cells: pd.DataFrame, panel: Panel, model: Learned | None) -> Classified:
    """Classify by the rules and, where a model is given and may, by the model.

    Parameters
    ----------
    cells
        As `classify_cells` takes them, with the features.
    panel
        Its rules.
    model
        None, or one for another panel, leaves the rules alone.
    """
    rules = classify_cells(cells, panel)
    if model is None or model.panel != panel.name or cells.empty:
        return rules
    return replace_classes(cells, panel, model, rules)


def replace_classes(
    cells: pd.DataFrame, panel: Panel, model: Learned, rules: Classified
) -> Classified:
    """Put a model's classes in the place of the rules' where it may give one."""
    seen = _applied(cells, panel, model, rules)
    place = np.array([panel.classes.index(name) for name in model.classes])
    possible = rules.possible.copy()
    given, sure = seen.given, seen.sure
    possible[np.ix_(given, np.arange(len(panel.classes)))] = False
    possible[np.ix_(given, place)] = _likely(seen.chance[given], sure[given])
    said = _remarks(model, seen)
    return Classified(
        pd.Series(seen.phenotype, cells.index, dtype="str"), _joined(rules.why, said), possible
    )


def model_facts(
    cells: pd.DataFrame, panel: Panel, model: Learned, rules: Classified
) -> tuple[NDArray[np.object_], NDArray[np.bool_], NDArray[np.float64]]:
    """Give each cell's final class, whether the model judged it, and its probabilities (or 0)."""
    seen = _applied(cells, panel, model, rules)
    return seen.phenotype, seen.given, seen.chance


@dataclass(frozen=True)
class _Applied:
    """What a model makes of cells, one row each."""

    phenotype: NDArray[np.object_]
    may: NDArray[np.bool_]  # the rules leave no class that the model does not know
    unknown: NDArray[np.bool_]  # (N, F)
    outside: NDArray[np.bool_]  # (N, F)
    given: NDArray[np.bool_]  # the model judges
    sure: NDArray[np.bool_]
    chance: NDArray[np.float64]  # (N, classes)


def _applied(cells: pd.DataFrame, panel: Panel, model: Learned, rules: Classified) -> _Applied:
    values = feature_values(cells, [feature.column for feature in model.features])
    trained = np.isin(panel.classes, model.classes)
    may = ~rules.possible[:, ~trained].any(axis=1)
    unknown = np.isnan(values)
    low, high = (np.array([getattr(f, end) for f in model.features]) for end in ("low", "high"))
    outside = ~unknown & ((values < low) | (values > high))
    given = may & ~unknown.any(axis=1) & ~outside.any(axis=1)
    chance = np.zeros((len(cells), len(model.classes)))
    chance[given] = probabilities(model, values[given])
    sure = given & (chance.max(axis=1) >= model.min_probability)
    phenotype = rules.phenotype.to_numpy(dtype=object).copy()
    phenotype[sure] = np.array(model.classes, dtype=object)[chance.argmax(axis=1)[sure]]
    phenotype[given & ~sure] = t.UNRESOLVED
    return _Applied(phenotype, may, unknown, outside, given, sure, chance)


def _likely(chance: NDArray[np.float64], sure: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Classes that a cell may be: its own, or the likeliest until they reach `OPEN_SHARE`."""
    order = np.argsort(-chance, axis=1, kind="stable")
    ranked = np.take_along_axis(chance, order, axis=1)
    before = np.cumsum(ranked, axis=1) - ranked
    keep = np.where(sure[:, None], np.arange(chance.shape[1]) == 0, before < OPEN_SHARE)
    out = np.zeros(chance.shape, dtype=bool)
    np.put_along_axis(out, order, keep, axis=1)
    return out


def _remarks(model: Learned, seen: _Applied) -> NDArray[np.object_]:
    """Say what is added to each cell's `why`."""
    name = f"model {model.fingerprint[:8]}"
    columns = [feature.column for feature in model.features]
    top, best = seen.chance.max(axis=1), seen.chance.argmax(axis=1)
    said = np.full(
        len(top), f"; by the rules: {name} is not trained for every class named", dtype=object
    )
    words = "outside the range of its training"
    for mask, text in ((seen.outside, words), (seen.unknown, "not known")):
        rows = np.flatnonzero(seen.may & mask.any(axis=1))
        texts = np.array([f"; by the rules: {name}: {c} {text}" for c in columns], dtype=object)
        said[rows] = texts[mask[rows].argmax(axis=1)]
    for k, label in enumerate(model.classes):
        rows = np.flatnonzero(seen.given & (best == k))
        percent = np.floor(top[rows] * 100 + 1e-9).astype(int)
        for p in np.unique(percent):
            some = rows[percent == p]
            said[some] = f"; {name}: {label}, probability {p / 100:.2f}"
    open_ = seen.given & ~seen.sure
    said[open_] = said[open_] + f", under {model.min_probability:g} -> {t.UNRESOLVED}"
    return said


def _joined(why: pd.Series, said: NDArray[np.object_]) -> pd.Series:
    """Few texts for many cells: each pair of texts is joined once."""
    added, words = pd.factorize(said)
    old = why.cat.codes.to_numpy().astype(np.int64)
    keys, which = np.unique(old * len(words) + added, return_inverse=True)
    texts = [str(why.cat.categories[k // len(words)]) + str(words[k % len(words)]) for k in keys]
    unique = list(dict.fromkeys(texts))
    codes = np.array([unique.index(text) for text in texts], dtype=np.intp)
    return pd.Series(
        pd.Categorical.from_codes(codes[which.reshape(-1)], pd.Index(unique)), why.index
    )
