"""A log of corrections in a run: which edits are of which field, and what became of them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from imganalysis import tables as t
from imganalysis import words
from imganalysis.corrections import (
    APPLIED,
    NUCLEAR,
    REGIONAL,
    REVIEW,
    Edit,
    Log,
    Outcome,
    Replay,
    active_edits,
    apply_corrections,
    log_path,
    read_log,
)
from imganalysis.errors import CorrectionsError
from imganalysis.io import file_hash, write_labels
from imganalysis.results import CORRECTIONS, uncorrected_path
from imganalysis.study import SAMPLE
from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from imganalysis.panel import Panel
    from imganalysis.records import FieldResult
    from imganalysis.stack import PixelSize
    from imganalysis.study import Field, Study

LOST = "corrections_lost"
"""Flag of a field with edits that no longer fit."""

APPLIED_, LOST_, UNDONE, OUTLINED, NOTED = "applied", "lost", "undone", "outlined", "noted"


@dataclass(frozen=True)
class Corrections:
    """The edits of a study.

    Parameters
    ----------
    log
        That they stand in.
    by_field
        Name of a field of the study -> its edits that hold.
    strays
        Edits of no field of the study.
    sha256
        Of the log.
    """

    log: Log
    by_field: dict[str, tuple[Edit, ...]]
    strays: tuple[Outcome, ...] = ()
    sha256: str = ""


def load_corrections(place: Path | None, study: Study) -> Corrections | None:
    """Read a log, and find the fields that its edits are of; None where no log is named.

    A field whose name is not in the study is looked for by the content of its file, so that
    images may be renamed or moved.

    Raises
    ------
    CorrectionsError
        No such log, a line that is none, or a log of another study.
    """
    if place is None:
        return None
    path = log_path(place)
    if not path.is_file():
        raise CorrectionsError(f"{path}: no such log of corrections")
    digest, log = file_hash(path), read_log(path)
    edits = active_edits(log.edits)
    homes = _homes(edits, study)
    if edits and not any(homes.values()):
        fields = ", ".join(list(homes)[:3])
        raise CorrectionsError(
            f"{path}: a log of another study: it corrects {plural(len(homes), 'field')} "
            f"({fields}), none of which {study.root} holds, by name or by content"
        )
    by_field: dict[str, list[Edit]] = {}
    strays = []
    for edit in edits:
        home = homes[edit.field]
        if home:
            by_field.setdefault(home, []).append(edit)
        elif edit.kind != REVIEW:
            strays.append(_lost(edit, "no_such_field", f"{edit.field} is not in {study.root}"))
    own_edits = {name: tuple(own) for name, own in by_field.items()}
    return Corrections(log, own_edits, tuple(strays), digest)


def _homes(edits: Sequence[Edit], study: Study) -> dict[str, str]:
    """Name of a field in the log -> its name in the study, empty where it has none."""
    here = {field.name for field in study.fields}
    named = dict.fromkeys(edit.field for edit in edits)
    inputs = {edit.field: edit.input for edit in edits if edit.field not in here and edit.input}
    moved: dict[str, list[str]] = {}
    if inputs:
        for field in study.fields:
            if field.name not in named and not field.problem:
                moved.setdefault(file_hash(field.path), []).append(field.name)
    homes = {}
    for name in named:
        # Of a file with several fields nobody can say which one it was.
        found = moved.get(inputs.get(name, ""), [])
        homes[name] = name if name in here else found[0] if len(found) == 1 else ""
    return homes


@dataclass(frozen=True)
class FieldCorrections:
    """What became of the edits of one field.

    Parameters
    ----------
    outcomes
        One per edit that holds.
    classes
        Label -> the edit that gave its class.
    """

    outcomes: tuple[Outcome, ...] = ()
    classes: dict[int, Edit] = dataclasses.field(default_factory=dict)

    @property
    def applied(self) -> int:
        """Number of edits that changed something here."""
        return sum(not o.lost and o.edit.kind in APPLIED for o in self.outcomes)

    @property
    def lost(self) -> int:
        """Number of edits that no longer fit."""
        return sum(bool(o.lost) for o in self.outcomes)


class Corrector:
    """Corrects the nuclei of one field, and remembers what came of it.

    Parameters
    ----------
    edits
        Of the field.
    where, panel, digest
        The field, its panel, and the SHA-256 of its file.
    """

    def __init__(self, edits: Sequence[Edit], where: Field, panel: Panel, digest: str) -> None:
        self._edits, self._where, self._digest = edits, where, digest
        self._classes = (*panel.classes, t.UNRESOLVED) if where.role == SAMPLE else ()
        self._replay: Replay | None = None
        self.before: NDArray[np.uint32] | None = None

    def __call__(
        self, labels: NDArray[np.uint32], spacing: tuple[float, ...]
    ) -> NDArray[np.uint32]:
        """Give the labels after the edits."""
        fitting = [e for e in self._edits if e.input in ("", self._digest)]
        self._replay = apply_corrections(labels, fitting, spacing, self._classes)
        if any(o.edit.kind in NUCLEAR and not o.lost for o in self._replay.outcomes):
            self.before = labels
        return self._replay.labels

    @property
    def replay(self) -> Replay | None:
        """What came of it."""
        return self._replay

    @property
    def result(self) -> FieldCorrections:
        """What became of the edits."""
        if self._replay is None:  # the labels were never asked for
            return FieldCorrections()
        found = {o.edit.id: o for o in self._replay.outcomes}
        outcomes = []
        for edit in self._edits:
            if edit.input not in ("", self._digest):
                outcomes.append(_lost(edit, "other_input", self._where.path.name))
            elif edit.kind in REGIONAL and self._where.annotations is None:
                outcomes.append(_lost(edit, "no_outlines", self._where.name))
            else:
                outcomes.append(found.get(edit.id, Outcome(edit)))
        return FieldCorrections(tuple(outcomes), self._replay.classes)


def mark_objects(objects: pd.DataFrame, replay: Replay | None) -> pd.DataFrame:
    """Add the column ``corrected``: what a person did to each object, empty for nothing."""
    made = replay.made if replay is not None else {}
    classes = replay.classes if replay is not None else {}
    texts = [
        ";".join(w for w in (made.get(n, ""), "class" if n in classes else "") if w)
        for n in objects[t.LABEL].tolist()
    ]
    return objects.assign(**{t.CORRECTED: pd.Series(texts, objects.index, dtype="str")})


def _lost(edit: Edit, word: str, text: str) -> Outcome:
    return Outcome(edit, word, f"{words.LOST[word]} ({text})")


def edits_of(corrections: Corrections | None, field: str) -> tuple[Edit, ...] | None:
    """Give the edits of a field that hold; None where no log was given."""
    return None if corrections is None else corrections.by_field.get(field, ())


def corrector(
    edits: Sequence[Edit] | None, where: Field, panel: Panel, digest: str
) -> Corrector | None:
    """Make what corrects a field; None where there is no log."""
    return None if edits is None else Corrector(edits, where, panel, digest)


def keep_before(correct: Corrector | None, folder: Path, field: str, pixel_size: PixelSize) -> None:
    """Write the nuclei as they were before the edits, where these changed them."""
    if correct is not None and correct.before is not None:
        path = uncorrected_path(folder, field)
        path.parent.mkdir(exist_ok=True)
        write_labels(path, correct.before, pixel_size)


def marked(result: FieldResult, correct: Corrector | None) -> FieldResult:
    """Say of each object what a person did to it, and of each edit what became of it."""
    if correct is None or result.objects is None:
        return result
    objects = mark_objects(result.objects, correct.replay)
    return dataclasses.replace(result, objects=objects, corrections=correct.result)


def write_table(folder: Path, corrections: Corrections | None, table: pd.DataFrame) -> None:
    """Write ``corrections.csv``, where a log was given."""
    if corrections is not None:
        t.write_csv(folder / CORRECTIONS, table)


def settle(results: Sequence[FieldResult], corrections: Corrections | None) -> list[FieldResult]:
    """Say of every field what became of its edits; all are lost where it was not analysed."""
    if corrections is None:
        return list(results)
    out = []
    for result in results:
        own = result.corrections
        edits = corrections.by_field.get(result.field.name, ())
        if own is None or result.objects is None:
            why = result.reason or "nothing is measured in a control of this role"
            own = FieldCorrections(
                tuple(_lost(e, "field_failed", why) for e in edits if e.kind != REVIEW)
            )
        flags = (*result.flags, LOST) if own.lost else result.flags
        out.append(dataclasses.replace(result, corrections=own, flags=flags))
    return out


def classes_of(results: Sequence[FieldResult]) -> dict[str, dict[int, Edit]] | None:
    """Field -> label -> the edit that gave its class; None where no log was given."""
    found = {r.field.name: r.corrections.classes for r in results if r.corrections is not None}
    return found or None


def count_corrections(fields: pd.DataFrame, results: Sequence[FieldResult]) -> pd.DataFrame:
    """Add ``n_corrections`` and ``n_corrections_lost`` to the fields, where a log was given."""
    own = {r.field.name: r.corrections for r in results if r.corrections is not None}
    if not own:
        return fields
    columns: dict[str, Any] = {
        t.N_CORRECTIONS: [own[n].applied if n in own else None for n in fields[t.FIELD]],
        t.N_LOST: [own[n].lost if n in own else None for n in fields[t.FIELD]],
    }
    return _before_flags(fields, pd.DataFrame(columns, fields.index).astype("Int64"))


def corrected_biopsies(biopsies: pd.DataFrame, fields: pd.DataFrame) -> pd.DataFrame:
    """Add ``n_corrected``, the edits applied in each biopsy's fields, where a log was given."""
    if t.N_CORRECTIONS not in fields.columns:
        return biopsies
    total = fields.groupby(t.BIOPSY)[t.N_CORRECTIONS].sum()
    found = total.reindex(biopsies[t.BIOPSY]).fillna(0).astype("int64").to_numpy()
    return _before_flags(biopsies, pd.DataFrame({t.N_CORRECTED: found}, biopsies.index))


def _before_flags(table: pd.DataFrame, columns: pd.DataFrame) -> pd.DataFrame:
    at = table.columns.get_loc("flags")
    parts = [table.iloc[:, :at], columns, table.iloc[:, at:]]
    out = pd.concat(parts, axis=1)
    out.attrs = dict(table.attrs)
    return out


def correction_table(
    corrections: Corrections | None, results: Sequence[FieldResult]
) -> pd.DataFrame:
    """One row per line of the log that is no undo or redo, with what became of it."""
    if corrections is None:
        return pd.DataFrame(columns=list(t.CORRECTION_COLUMNS))
    found = {o.edit.id: o for o in corrections.strays}
    fields: dict[str, str] = {}
    for result in results:
        for outcome in result.corrections.outcomes if result.corrections is not None else ():
            found[outcome.edit.id] = outcome
            fields[outcome.edit.id] = result.field.name
    rows = []
    for edit in corrections.log.edits:
        if "edit" in edit.what:
            continue
        became = found.get(edit.id)
        status = UNDONE
        if became is not None:
            if became.lost:
                status = LOST_
            else:
                status = APPLIED_ if edit.kind in APPLIED else NOTED
                status = OUTLINED if edit.kind in REGIONAL else status
        elif edit.kind == REVIEW:
            status = NOTED
        cells = edit.cells
        values = (
            edit.id, edit.time, edit.user, fields.get(edit.id, edit.field), edit.kind,
            ";".join(str(cell.label) for cell in cells),
            cells[0].x if cells else None, cells[0].y if cells else None,
            _text(edit.before), _after(edit), edit.why, status,
            became.lost if became else "", became.message if became else "",
        )  # fmt: skip
        rows.append(dict(zip(t.CORRECTION_COLUMNS, values, strict=True)))
    return pd.DataFrame(rows, columns=list(t.CORRECTION_COLUMNS))


def lost_edits(table: pd.DataFrame) -> list[tuple[str, str, str]]:
    """List the field, reason and message of the edits that no longer fit."""
    lost = table[table["status"] == LOST_]
    return [
        (name, reason, f"{kind} by {user or 'unknown'}: {message}")
        for name, reason, kind, user, message in lost[
            [t.FIELD, "reason", "kind", "user", "message"]
        ].itertuples(index=False)
    ]


def _after(edit: Edit) -> str:
    if edit.kind in REGIONAL:
        return f"region: {edit.what['region']}"
    return _text(edit.after)


def _text(values: dict[str, Any]) -> str:
    return "; ".join(
        f"{name}: {' '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in values.items()
        if value not in (None, "", []) and name != "annotations"
    )


def log_facts(corrections: Corrections | None) -> dict[str, Any]:
    """Say in ``run.json`` which log was used."""
    if corrections is None:
        return {}
    log = corrections.log
    facts: dict[str, Any] = {"log": str(log.path), "sha256": corrections.sha256}
    facts |= {"lines": len(log.edits), "of_no_field": len(corrections.strays)}
    return {"corrections": {**facts, "cut_short": log.torn} if log.torn else facts}
