"""Our class of each cell against readers', and the readers against each other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis import tables as t
from imganalysis.cohort.acceptance import AGREEMENT_COLUMNS, agreement_row, judge_classes
from imganalysis.cohort.agreement import Statistic
from imganalysis.cohort.biopsy_agreement import OURS, READERS, TOOL
from imganalysis.cohort.cell_scores import cohen_kappa, confusion, f1_score, pabak, proportion
from imganalysis.cohort.click_cells import (
    CELL_ALONE,
    CLICK_ALONE,
    MATCHED,
    ON_EXCLUDED,
    SECOND,
    match_cells,
)
from imganalysis.cohort.matching import DISTANCE_UM
from imganalysis.errors import TableError
from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

NOT_FOUND, EXCLUDED, NOT_CLICKED = "(no cell there)", "(excluded)", "(not clicked)"
"""Beside the classes in a confusion: clicks where we have no cell, or one that is not counted;
cells that the other reading does not have."""

LEAST_CLUSTERS = 5
"""Biopsies from which on they, and no longer the fields, are the clusters of the intervals."""

SCORES = ("prevalence", "sensitivity", "specificity", "f1", "kappa", "pabak", "f1_end_to_end")
PER_CLASS_COLUMNS = (
    "comparison", "kind", "class", "n", "tp", "fp", "fn", "tn", "n_not_found", "n_not_clicked",
    *(f"{score}{end}" for score in SCORES for end in ("", "_lo", "_hi")),
    "cluster", "n_clusters", "method", "target", "verdict", "reason",
)  # fmt: skip


@dataclass(frozen=True)
class CellAgreement:
    """All comparisons of classes, readers among each other first.

    Parameters
    ----------
    agreement
        One row per comparison and statistic, columns as for biopsies.
    per_class
        One row per comparison and class, columns `PER_CLASS_COLUMNS`.
    confusions
        Comparison -> cells by class of the first reading (rows) and of the second (columns).
    pairs
        One row per reader and click, and per cell that a reader did not click.
    notes
        What a reader of the numbers must know, in sentences.
    """

    agreement: pd.DataFrame
    per_class: pd.DataFrame
    confusions: dict[str, pd.DataFrame]
    pairs: pd.DataFrame
    notes: tuple[str, ...]


def compare_cells(
    cells: pd.DataFrame,
    clicks: pd.DataFrame,
    *,
    distance_um: float = DISTANCE_UM,
    confidence: float = 0.95,
    progress: Callable[[str, int, int], None] | None = None,
) -> CellAgreement:
    """Compare our classes with those of one or more readers.

    Parameters
    ----------
    cells, clicks
        As `read_cells` and `read_clicks` give them.
    distance_um
        Farthest that a click may lie from the centroid of its cell.
    confidence
        Of the intervals.
    progress
        Called with (step, done, total) after each comparison.

    Raises
    ------
    TableError
        No field is in both tables, or a label is not in its field.
    """
    fields = set(cells[t.FIELD])
    missing = sorted(set(clicks[t.FIELD]) - fields)
    if len(missing) == clicks[t.FIELD].nunique():
        raise TableError(
            f"no field of the readers is one of ours; theirs are called {', '.join(missing[:3])}, "
            f"ours {', '.join(sorted(fields)[:3])}"
        )
    pairs = match_cells(cells, clicks, distance_um=distance_um)
    readers = list(dict.fromkeys(pairs[t.READER]))
    ours = OURS if OURS not in readers else f"{OURS} (ours)"
    jobs: list[tuple[str, str, str, pd.DataFrame]] = [
        (a, b, READERS, _of_two(pairs, a, b)) for a, b in combinations(readers, 2)
    ]
    jobs += [(r, ours, TOOL, _of_one(pairs[pairs[t.READER] == r])) for r in readers]
    rows: list[dict[str, Any]] = []
    scores: list[dict[str, Any]] = []
    confusions = {}
    for done, (first, second, kind, table) in enumerate(jobs, start=1):
        name = f"{second} against {first}"
        overall, per_class = _scores(name, kind, table, confidence)
        rows += overall
        scores += per_class
        confusions[name] = _crossed(table)
        if progress:
            progress("comparisons", done, len(jobs))
    return CellAgreement(
        pd.DataFrame(rows, columns=list(AGREEMENT_COLUMNS)),
        pd.DataFrame(scores, columns=list(PER_CLASS_COLUMNS)),
        confusions,
        pairs,
        tuple(_notes(pairs, clicks, missing, readers)),
    )


def _of_one(pairs: pd.DataFrame) -> pd.DataFrame:
    """Ours against one reader: classes of both, or why there is none; a cell counts once."""
    alone = {CLICK_ALONE: NOT_FOUND, ON_EXCLUDED: EXCLUDED}
    pairs = pairs[pairs["status"] != SECOND]
    second = pairs["our_class"].where(
        ~pairs["status"].isin(list(alone)), pairs["status"].map(alone)
    )
    first = pairs["reader_class"].where(pairs["status"] != CELL_ALONE, NOT_CLICKED)
    table = pairs[[t.FIELD, t.BIOPSY]].assign(first=first, second=second)
    return table.reset_index(drop=True)


def _of_two(pairs: pd.DataFrame, a: str, b: str) -> pd.DataFrame:
    """Two readers: their classes of the cells that either clicked, in fields that both read."""
    keys = [t.FIELD, t.BIOPSY, t.CELL_ID]
    hit = pairs[pairs["status"].isin([MATCHED, ON_EXCLUDED])]
    parts = [hit[hit[t.READER] == r].set_index(keys)["reader_class"] for r in (a, b)]
    read = [set(pairs[pairs[t.READER] == r][t.FIELD]) for r in (a, b)]
    table = pd.concat(parts, axis=1, keys=["first", "second"]).fillna(NOT_CLICKED).reset_index()
    return table[table[t.FIELD].isin(read[0] & read[1])].reset_index(drop=True)


def _crossed(table: pd.DataFrame) -> pd.DataFrame:
    """Cells by both readings; classes in one order, what is no class last."""

    def order(column: str, special: Sequence[str]) -> list[str]:
        there = set(table[column])
        return [*classes, *(word for word in (t.UNRESOLVED, *special) if word in there)]

    classes = _classes(table)
    crossed = pd.crosstab(table["first"], table["second"])
    return crossed.reindex(
        index=order("first", (NOT_CLICKED,)),
        columns=order("second", (NOT_FOUND, EXCLUDED, NOT_CLICKED)),
        fill_value=0,
    )


def _classes(table: pd.DataFrame) -> list[str]:
    no_class = {t.UNRESOLVED, NOT_FOUND, EXCLUDED, NOT_CLICKED}
    return sorted((set(table["first"]) | set(table["second"])) - no_class)


def clusters_of(table: pd.DataFrame) -> tuple[str, NDArray[np.int64]]:
    """Say what cells are clustered by, and give the cluster of each."""
    named = table[t.BIOPSY].nunique() >= LEAST_CLUSTERS and bool((table[t.BIOPSY] != "").all())
    column = t.BIOPSY if named else t.FIELD
    return column, np.unique(table[column], return_inverse=True)[1].astype(np.int64)


def _scores(
    name: str, kind: str, table: pd.DataFrame, confidence: float
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Overall statistics and those per class of one comparison."""
    classes = _classes(table)
    codes = [*classes, t.UNRESOLVED, NOT_FOUND, EXCLUDED, NOT_CLICKED]
    cluster, at = clusters_of(table)
    first, second = (pd.Index(codes).get_indexer(pd.Index(table[c])) for c in ("first", "second"))
    counts = confusion(at, first, second, len(codes))
    k = len(classes)
    both = counts[:, :k, : k + 1]  # of cells that the first reading has a class for
    if kind == READERS:
        both = both[:, :, :k]  # a cell that a reader leaves open is judged by neither
    square = np.zeros((len(both), k + 1, k + 1), np.int64)
    square[:, :k, : both.shape[2]] = both
    n = square.sum(axis=(1, 2))
    resolved = square[:, :k, :k]
    scores = [
        _one_class(i, name, classes, counts, square, kind, cluster, confidence) for i in range(k)
    ]
    agree = np.trace(square, axis1=1, axis2=2)
    no = "no_matched_cells"
    found: dict[str, Statistic] = {
        "kappa": cohen_kappa(square, confidence=confidence),
        "agreement": proportion(agree, n, reason=no, confidence=confidence),
    }
    if kind == TOOL:
        found["kappa_resolved"] = cohen_kappa(resolved, confidence=confidence)
        found["coverage"] = proportion(
            resolved.sum(axis=(1, 2)), n, reason=no, confidence=confidence
        )
    for score in ("f1", "f1_end_to_end"):
        values = np.array([row[score] for row in scores if score in row], dtype=float)
        values = values[np.isfinite(values)]
        if values.size:
            found[f"macro_{score}"] = Statistic(float(values.mean()))
    total = int(n.sum())
    overall = [
        agreement_row(
            name,
            kind,
            total,
            key,
            replace(v, method=f"{v.method} by {cluster}" if v.method else ""),
        )
        for key, v in found.items()
    ]
    if kind == TOOL:
        matched = table["first"].isin(classes) & table["second"].isin([*classes, t.UNRESOLVED])
        of = set(table.loc[matched, t.BIOPSY]) - {""}
        overall.append(judge_classes(name, kind, total, len(of), scores))
    return overall, scores


def _one_class(
    i: int,
    name: str,
    classes: Sequence[str],
    counts: NDArray[np.int64],
    square: NDArray[np.int64],
    kind: str,
    cluster: str,
    confidence: float,
) -> dict[str, Any]:
    """Scores of one class against all others."""
    k = len(classes)
    tp = square[:, i, i]
    fn = square[:, i].sum(axis=1) - tp
    fp = square[:, :, i].sum(axis=1) - tp
    n = square.sum(axis=(1, 2))
    tn = n - tp - fn - fp
    not_found, not_clicked = counts[:, i, k + 1], counts[:, k + 3, i]
    two = np.stack([np.stack([tp, fn], axis=1), np.stack([fp, tn], axis=1)], axis=1)
    found = {
        "prevalence": proportion(tp + fn, n, reason="no_matched_cells", confidence=confidence),
        "sensitivity": proportion(tp, tp + fn, confidence=confidence),
        "specificity": proportion(tn, tn + fp, confidence=confidence),
        "f1": f1_score(tp, fp, fn, confidence=confidence),
        "kappa": cohen_kappa(two, confidence=confidence),
        "pabak": pabak(tp + tn, n, confidence=confidence),
    }
    if kind == TOOL:
        found["f1_end_to_end"] = f1_score(
            tp, fp + not_clicked, fn + not_found, confidence=confidence
        )
    row: dict[str, Any] = {
        "comparison": name, "kind": kind, "class": classes[i], "n": int(n.sum()),
        "tp": int(tp.sum()), "fp": int(fp.sum()), "fn": int(fn.sum()), "tn": int(tn.sum()),
        "n_not_found": int(not_found.sum()), "n_not_clicked": int(not_clicked.sum()),
    }  # fmt: skip
    for score, v in found.items():
        row |= {score: v.value, f"{score}_lo": v.lo, f"{score}_hi": v.hi}
    reasons = dict.fromkeys(f"{score}: {v.reason}" for score, v in found.items() if v.reason)
    row |= {
        "cluster": cluster,
        "n_clusters": int((n > 0).sum()),
        "method": found["f1"].method,
        "target": "",
        "verdict": "",
        "reason": "; ".join(reasons),
    }
    return row


def _unlike(mine: pd.DataFrame) -> int:
    """Cells that one reader clicked more than once, and gave different classes."""
    clicked = mine[mine["status"].isin([MATCHED, ON_EXCLUDED, SECOND])]
    return int((clicked.groupby([t.FIELD, t.CELL_ID])["reader_class"].nunique() > 1).sum())


def _notes(
    pairs: pd.DataFrame, clicks: pd.DataFrame, missing: Sequence[str], readers: Sequence[str]
) -> list[str]:
    notes = []
    if missing:
        n = int(clicks[t.FIELD].isin(missing).sum())
        notes.append(
            f"left out: {plural(n, 'click')} in {plural(len(missing), 'field')} that ours does "
            "not have: " + ", ".join(missing)
        )
    for reader in readers:
        mine = pairs[pairs[t.READER] == reader]
        count = mine["status"].value_counts()
        said = [
            f"{int(count.get(word, 0))} {text}"
            for word, text in (
                (MATCHED, "matched"),
                (CLICK_ALONE, "where we have no cell"),
                (ON_EXCLUDED, "on cells that we exclude"),
                (SECOND, "once more on a cell that was clicked, which counts once"),
            )
        ]
        whole = int((mine["status"] != CELL_ALONE).sum())
        notes.append(
            f"{reader}: of {plural(whole, 'click')} in {plural(mine[t.FIELD].nunique(), 'field')} "
            f"{', '.join(said)}; not clicked there: {int(count.get(CELL_ALONE, 0))} of ours"
        )
        if unlike := _unlike(mine):
            notes.append(
                f"{reader}: {plural(unlike, 'cell')} clicked more than once with different "
                "classes; the nearest click counts, of labels the first"
            )
        unsure = int(((mine["reader_class"] == t.UNRESOLVED) & (mine["status"] == MATCHED)).sum())
        if unsure:
            notes.append(f"{reader}: {plural(unsure, 'cell')} left open; they are in no score")
    matched = pairs[pairs["status"] == MATCHED]
    column, _ = clusters_of(matched)
    n = matched[column].nunique()
    what = "biopsies" if column == t.BIOPSY else "fields"
    notes.append(
        f"intervals know that cells of one {column} are alike ({n} {what}); they do not know "
        "that readers, or patients with several biopsies, differ"
        if n > 1
        else f"all cells are of one {column}: how {what} differ is not known, and the intervals "
        "take a design effect of 5 for it"
    )
    if unnamed := int((matched[t.BIOPSY] == "").sum()):
        notes.append(
            f"our tables name no biopsy (column {t.BIOPSY}) of "
            f"{plural(unnamed, 'matched cell')}; a verdict counts biopsies"
        )
    notes.append(
        "f1_end_to_end counts cells that only one side has as errors: it holds only if the reader "
        "clicked every cell of the field"
    )
    if len(readers) == 1:
        notes.append("one reader only: how far readers differ from each other is not known")
    return notes
