"""The cells of a folder of results, ready to be called by other gates; no pixel is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis import __version__
from imganalysis import tables as t
from imganalysis.classify.phenotypes import Classified, classify_cells
from imganalysis.classify.soft import positive_probabilities
from imganalysis.corrections import CLASS
from imganalysis.errors import StudyError, TableError
from imganalysis.gate_review import Review, review_gates
from imganalysis.guarding import guarded_calls
from imganalysis.moving import Held, move_gates
from imganalysis.quantify.merging import merged_cells
from imganalysis.results import BIOPSIES, CORRECTIONS, FIELDS, cells_path, made_with_classifier
from imganalysis.run_file import OUR_KEY, read_run
from imganalysis.second_half import counted_part
from imganalysis.study import SAMPLE

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from imganalysis.counted import Part
    from imganalysis.panel import Panel

CLOSE = 1e-6
"""Relative difference to ``biopsies.csv`` that its eight digits leave."""


@dataclass(frozen=True)
class HeldResults:
    """What a folder of results gives to move gates.

    Parameters
    ----------
    held
        Its counted cells, called by the gates of the run.
    review
        Its gates, with what every rung of the ladder says.
    biopsies
        As in ``biopsies.csv``; index: biopsy.
    """

    held: Held
    review: Review
    biopsies: pd.DataFrame


def held_results(folder: Path) -> HeldResults:
    """Read the cells of a run, so that `imganalysis.moving.move_gates` can call them again.

    Cells of fields that were not counted (failed, or set aside) are left out. A class that a
    person or a model gave stays whatever the gates are.

    Parameters
    ----------
    folder
        Results of `imganalysis.pipeline.run_study`.

    Raises
    ------
    StudyError
        No results; those of another version; or their cells do not give the numbers of their
        ``biopsies.csv`` again.
    TableError
        A table is damaged or missing.
    GatesError
        Their gates are wrong.
    """
    made_by = str(read_run(folder)[OUR_KEY])
    if made_by != __version__:
        raise StudyError(
            f"{folder}: made by imganalysis {made_by}, this is {__version__}; gates are moved on "
            "results of this version only. Run the analysis again"
        )
    if made_with_classifier(folder):
        raise StudyError(
            f"{folder}: a learned classifier gave classes, which do not follow the gates; run the "
            "analysis without it to move gates"
        )
    review = review_gates(folder)
    fields = _sample_fields(folder)
    given = _given_classes(folder)
    parts = []
    for name, panel in review.panels.items():
        mine = fields[fields[t.PANEL] == name].reset_index(drop=True)
        if not mine.empty:
            parts.append(_part(folder, mine, panel, given, review))
    held = Held(tuple(parts), fields, review.panels, review.settings)
    # A name of digits only is a name all the same.
    biopsies = t.read_csv(
        folder / BIOPSIES, dtype={t.BIOPSY: str}, keep_default_na=False, na_values=[""]
    )
    t.require(biopsies, [t.BIOPSY, "reason"], source=str(folder / BIOPSIES))
    found = HeldResults(held, review, biopsies.set_index(t.BIOPSY))
    _check(folder, found)
    return found


def _sample_fields(folder: Path) -> pd.DataFrame:
    path = folder / FIELDS
    fields = t.read_csv(path, dtype=str, keep_default_na=False)
    wanted = [t.FIELD, t.BIOPSY, t.PANEL, "section", t.BATCH, t.ACQUISITION, t.ROLE, "status"]
    t.require(fields, wanted, source=str(path))
    counted = (fields[t.ROLE] == SAMPLE) & (fields["status"] == "analysed")
    return fields.loc[counted, wanted].reset_index(drop=True)


def _given_classes(folder: Path) -> set[tuple[str, str]]:
    """(field, label) of the objects whose class a person gave."""
    path = folder / CORRECTIONS
    if not path.is_file():
        return set()
    table = t.read_csv(path, dtype=str, keep_default_na=False)
    t.require(table, [t.FIELD, t.LABEL, "kind", "status"], source=str(path))
    mine = table[(table["kind"] == CLASS) & (table["status"] == "applied")]
    return set(mine[[t.FIELD, t.LABEL]].itertuples(index=False, name=None))


def _part(
    folder: Path,
    fields: pd.DataFrame,
    panel: Panel,
    given: set[tuple[str, str]],
    review: Review,
) -> Part:
    markers = [channel.marker for channel in panel.channels]
    tables, said = [], []
    for name in fields[t.FIELD]:
        objects = _objects(cells_path(folder, name))
        cells = merged_cells(objects, markers)
        pairs = zip(objects[t.LABEL].tolist(), objects[t.CELL_ID].tolist(), strict=True)
        own = {cell for label, cell in pairs if (name, str(label)) in given}
        tables.append(cells)
        said.append(cells[t.CELL_ID].isin(own).to_numpy(dtype=bool))
    cells = pd.concat(tables, ignore_index=True)
    by_person = np.concatenate(said)
    found = _as_written(cells, panel, by_person)
    return counted_part(cells, found, fields, panel, review.gates, {}, review.settings)


def _objects(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise TableError(f"{path}: no table of cells ({error}); run the analysis again") from None
    needed = [t.FIELD, t.LABEL, t.CELL_ID, t.FRAGMENTS, t.EVALUABLE, t.PHENOTYPE]
    t.require(table, needed, source=f"{path}, written by another version")
    return table


def _as_written(cells: pd.DataFrame, panel: Panel, said: NDArray[np.bool_]) -> Classified:
    """Classes of the table, and what each cell may be."""
    rules = classify_cells(cells, panel)
    phenotype = cells[t.PHENOTYPE].to_numpy(dtype=object)
    possible = rules.possible.copy()
    stays = said | (phenotype != rules.phenotype.to_numpy(dtype=object))
    for row in np.flatnonzero(stays):
        name = phenotype[row]
        possible[row] = np.isin(panel.classes, name) if name != t.UNRESOLVED else True
    return Classified(cells[t.PHENOTYPE], rules.why, possible, stays)


def _check(folder: Path, found: HeldResults) -> None:
    """Refuse cells that do not give the results' own numbers again."""
    again = move_gates(found.held, found.review.gates).fractions
    missing = again.index.difference(found.biopsies.index)
    if len(missing):
        raise StudyError(f"{folder}: {BIOPSIES} lacks {', '.join(map(str, missing))}")
    written = found.biopsies.reindex(again.index)
    for column in again.columns:
        if column not in written.columns:
            continue
        there = written[column].to_numpy(np.float64)
        here = again[column].to_numpy(np.float64)
        wrong = np.isfinite(there) & ~np.isclose(here, there, rtol=CLOSE, atol=1e-9)
        if wrong.any():
            at = int(np.flatnonzero(wrong)[0])
            raise StudyError(
                f"{folder}: its cells give {column} {here[at]:.6g} for {again.index[at]}, but "
                f"{BIOPSIES} says {there[at]:.6g}; gates cannot be moved on them. Were files "
                "replaced, is it of another build, or did a model give classes? Run the analysis "
                "again, without a model"
            )


def recalled_cells(held: Held, field: str, objects: pd.DataFrame) -> pd.DataFrame:
    """Give the objects of a field the calls and classes of the gates that `held` has.

    Parameters
    ----------
    held
        As `imganalysis.moving.move_gates` gives it.
    field
        Which.
    objects
        One row per object, columns as in ``cells/``.

    Returns
    -------
    DataFrame
        A copy with other calls, probabilities, classes and reasons; what hangs on neighbours, and
        which objects count, stays. Objects that the results do not have stay as they are, and so
        do classes that a person or a model gave.
    """
    for part in held.parts:
        mine = (part.cells[t.FIELD] == field).to_numpy(dtype=bool)
        if mine.any():
            return _recalled(part, mine, objects)
    return objects


def _recalled(part: Part, mine: NDArray[np.bool_], objects: pd.DataFrame) -> pd.DataFrame:
    panel, gates, cells = part.panel, part.recall.gates, part.cells[mine].reset_index(drop=True)
    stays = np.zeros(len(part.cells), bool)
    counted = part.cells[t.EVALUABLE].to_numpy(dtype=bool)
    stays[counted] = part.recall.follows == 0
    if t.PHENOTYPE_RULES in part.cells.columns:
        rules = part.cells[t.PHENOTYPE_RULES].to_numpy(dtype=object)
        stays[~counted] = (part.cells[t.PHENOTYPE].to_numpy(dtype=object) != rules)[~counted]
    calls = guarded_calls(cells, panel, gates, part.recall.band)
    soft = positive_probabilities(cells, panel, gates)
    result = classify_cells(cells.assign(**{name: calls[name] for name in calls.columns}), panel)
    rows = pd.Index(cells[t.CELL_ID]).get_indexer(pd.Index(objects[t.CELL_ID]))
    known = rows >= 0
    follows = known & ~stays[mine][rows]
    new: dict[str, Any] = {
        **{name: (calls[name], known) for name in calls.columns},
        **{name: (soft[name], known) for name in soft.columns},
        t.PHENOTYPE: (result.phenotype, follows),
        t.WHY: (result.why, follows),
        t.PHENOTYPE_RULES: (result.phenotype, known),
    }
    columns = {}
    for name, (values, where) in new.items():
        if name in objects.columns:
            before = objects[name].to_numpy(dtype=object)
            found = np.where(where, values.to_numpy(dtype=object)[rows], before)
            kind: Any = "float64" if name in soft.columns else "str"
            columns[name] = pd.Series(found, objects.index, dtype=kind)
    return objects.assign(**columns)
