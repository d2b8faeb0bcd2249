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


def classify_with(
    cells: pd.DataFrame, panel: Panel, model: Learned | None, *, reasons: bool = True
) -> Classified:
    """Classify by the rules and, where a model is given and may, by the model.

    Parameters
    ----------
    cells
        As `classify_cells` takes them, with the features.
    panel
        Its rules.
    model
        None, or one for another panel, leaves the rules alone.
    reasons
        Whether `why` is wanted; without it every text is empty.
    """
    rules = classify_cells(cells, panel, reasons=reasons)
    if model is None or model.panel != panel.name or cells.empty:
        return rules
    return replace_classes(cells, panel, model, rules, reasons=reasons)


def replace_classes(
    cells: pd.DataFrame,
    panel: Panel,
    model: Learned,
    rules: Classified,
    *,
    reasons: bool = True,
) -> Classified:
    """Put a model's classes in the place of the rules' where it may give one."""
    seen = _applied(cells, panel, model, rules)
    place = np.array([panel.classes.index(name) for name in model.classes])
    possible = rules.possible.copy()
    given, sure = seen.given, seen.sure
    possible[np.ix_(given, np.arange(len(panel.classes)))] = False
    possible[np.ix_(given, place)] = _likely(seen.chance[given], sure[given])
    return Classified(
        pd.Series(seen.phenotype, cells.index, dtype="str"),
        _with_remarks(rules.why, model, seen) if reasons else rules.why,
        possible,
        given,
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


def _with_remarks(why: pd.Series, model: Learned, seen: _Applied) -> pd.Series:
    """Add to each cell's `why` what the model said; each pair of texts is joined once."""
    n, k = len(model.features), len(model.classes)
    # One number per remark: not trained; feature unknown; feature outside; class and per cent.
    code = np.zeros(len(why), dtype=np.int64)
    for mask, first in ((seen.outside, 1 + n), (seen.unknown, 1)):
        rows = np.flatnonzero(seen.may & mask.any(axis=1))
        code[rows] = first + mask[rows].argmax(axis=1)
    chance = seen.chance[seen.given]
    percent = np.floor(chance.max(axis=1, initial=0) * 100 + 1e-9).astype(np.int64)
    side = np.where(seen.sure[seen.given], 0, 101 * k)
    code[seen.given] = 1 + 2 * n + side + 101 * chance.argmax(axis=1) + percent
    size = 1 + 2 * n + 202 * k
    keys = why.cat.codes.to_numpy().astype(np.int64) * size + code
    which, found = pd.factorize(keys, sort=True)
    old = why.cat.categories
    texts = [f"{old[key // size]}{_said(model, key % size)}" for key in found.tolist()]
    place = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    codes = np.array([place[text] for text in texts], dtype=np.intp)
    return pd.Series(pd.Categorical.from_codes(codes[which], pd.Index(list(place))), why.index)


def _said(model: Learned, code: int) -> str:
    """Put the number of a remark into words."""
    n, k = len(model.features), len(model.classes)
    name = f"model {model.content_hash[:8] or model.fingerprint[:8]}"
    if code == 0:
        return f"; by the rules: {name} is not trained for every class named"
    if code <= 2 * n:
        words = "not known" if code <= n else "outside the range of its training"
        return f"; by the rules: {name}: {model.features[(code - 1) % n].column} {words}"
    side, rest = divmod(code - 1 - 2 * n, 101 * k)
    label, percent = divmod(rest, 101)
    text = f"; {name}: {model.classes[label]}, probability {percent / 100:.2f}"
    return text + f", under {model.min_probability:g} -> {t.UNRESOLVED}" * side
