"""A folder of results, or a study not yet analysed, as the widgets need it. No window here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from imganalysis import __version__
from imganalysis import results as r
from imganalysis import tables as t
from imganalysis.errors import ImganalysisError, StudyError, TableError, UnreadableImageError
from imganalysis.run_file import OUR_KEY, read_run, run_panels, run_settings
from imganalysis.settings import Settings
from imganalysis.study import SAMPLE, Field
from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imganalysis.classify.gates import Gate
    from imganalysis.panel import FractionOf, Panel

NAMES = dict.fromkeys((t.FIELD, t.BIOPSY, t.SECTION, "patient", "lesion"), str)
"""Columns of names: `001` is no number."""

NEEDED_FIELDS = ("field", "biopsy", "panel", "role", "file", "scene", "tile", "status", "flags")
NEEDED_CELLS = (t.LABEL, t.Y, t.X, t.EVALUABLE, t.EXCLUSION, t.PHENOTYPE)
NOT_ANALYSED = "not analysed"


@dataclass(frozen=True)
class Opened:
    """What was opened: a folder of results, or a study of which there are none yet.

    Parameters
    ----------
    folder
        Of the results; None for a study not yet analysed.
    root
        Folder of the images.
    biopsies, fields
        As in ``biopsies.csv`` and ``fields.csv``; of a study not yet analysed the columns that
        are known without analysing.
    panels
        By name.
    settings
        Of the run.
    notes
        Sentences for the user on what to know about it.
    known
        Field -> its record, where it is known without looking into the image file.
    gates
        That the run used.
    """

    folder: Path | None
    root: Path
    biopsies: pd.DataFrame
    fields: pd.DataFrame
    panels: Mapping[str, Panel]
    settings: Settings
    notes: tuple[str, ...] = ()
    known: Mapping[str, Field] | None = None
    gates: tuple[Gate, ...] = ()

    @property
    def analysed(self) -> bool:
        """Whether there are results."""
        return self.folder is not None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the fields that can be opened, in the table's order."""
        shown = self.fields[~self.fields["status"].isin(["not_a_field", "ignored"])]
        return tuple(str(name) for name in shown["field"])

    @property
    def endpoint(self) -> FractionOf | None:
        """The fraction that the panels call their endpoint."""
        found = (f for p in self.panels.values() for f in p.fractions if f.endpoint)
        return next(found, None)

    def row(self, name: str) -> pd.Series[Any]:
        """Row of a field in the table of fields.

        Raises
        ------
        TableError
            There is no such field.
        """
        rows = self.fields[self.fields["field"] == name]
        if rows.empty:
            raise TableError(f"{self.folder or self.root}: no field {name} in its table of fields")
        return rows.iloc[0]

    def panel_of(self, name: str) -> Panel | None:
        """Panel of a field, or None where none was found for it."""
        return self.panels.get(_text(self.row(name)["panel"]))

    def image_path(self, name: str) -> Path:
        """Image file of a field, whether or not it is there."""
        return self.root / _text(self.row(name)["file"])

    def field(self, name: str) -> Field:
        """Record of a field, with the series of its file.

        Raises
        ------
        UnreadableImageError
            The image file is not where the run read it, or holds no such series.
        """
        if self.known is not None:
            if name not in self.known:
                raise TableError(f"{self.root}: no field {name}")
            return self.known[name]
        path = self.image_path(name)
        if not path.exists():
            raise UnreadableImageError(
                f"{path}: the image of the field {name} is not there. If the images were moved, "
                "say where the study's folder is now with 'Locate images...'",
                reason="moved",
            )
        return record_of(self.row(name), path, self._series(name, path))

    def _series(self, name: str, path: Path) -> int:
        """Position of a field's series in its file: the table gives its name, which may repeat."""
        from imganalysis.io import list_series

        row = self.row(name)
        scene, tile = _text(row["scene"]), _number(row["tile"])
        panel = self.panel_of(name)
        axes = self.settings.reading.axes or (panel.axes if panel else None)
        found = [
            one.index
            for one in list_series(path, axes=axes, backend=self.settings.reading.backend)
            if one.tile == tile and (one.name or str(one.index)) in (scene, "")
        ] or [one.index for one in list_series(path, axes=axes) if one.tile == tile]
        same = [
            str(other)
            for other, file, its_scene, its_tile in self.fields[
                ["field", "file", "scene", "tile"]
            ].itertuples(index=False)
            if (file, _text(its_scene), _number(its_tile)) == (row["file"], scene, tile)
        ]
        turn = same.index(name)
        if turn >= len(found):
            raise UnreadableImageError(f"{path}: holds no series {scene!r}; was it replaced?")
        return found[turn]

    def moved_to(self, root: Path) -> Opened:
        """Give the same with the images under another folder.

        Raises
        ------
        StudyError
            None of the study's images is there.
        """
        files = {_text(name) for name in self.fields["file"]} - {""}
        if not any((root / name).exists() for name in files):
            example = min(files, default="(none)")
            raise StudyError(
                f"{root}: does not hold the study's {plural(len(files), 'image file')}; expected "
                f"for example {root / example}. Choose the folder that holds the biopsies' folders"
            )
        known = self.known and {
            name: replace(one, path=root / one.path.relative_to(self.root))
            for name, one in self.known.items()
        }
        return replace(self, root=root, known=known)

    def cells(self, name: str) -> pd.DataFrame | None:
        """Table of a field's objects; None where there is none.

        Raises
        ------
        TableError
            It lacks a column that is needed, or is no table.
        """
        if self.folder is None:
            return None
        path = r.cells_path(self.folder, name)
        return read_cells(path) if path.is_file() else None

    def labels_file(self, name: str) -> Path | None:
        """Label image of a field; None where there is none."""
        path = None if self.folder is None else r.labels_path(self.folder, name)
        return path if path is not None and path.is_file() else None

    def mask_file(self, name: str, mask: str) -> Path | None:
        """Mask of a field; None where there is none."""
        path = None if self.folder is None else r.mask_path(self.folder, name, mask)
        return path if path is not None and path.is_file() else None


def read_cells(path: Path) -> pd.DataFrame:
    """Read a table of cells, with the columns that the widgets need.

    Raises
    ------
    TableError
        It lacks a column that is needed, or is no table.
    """
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise TableError(f"{path}: no table of cells ({error}); run the analysis again") from None
    t.require(table, NEEDED_CELLS, source=f"{path}, written by another version")
    if table[t.LABEL].duplicated().any():
        raise TableError(f"{path}: a label stands twice; expected one row per object")
    return table


def open_any(path: Path) -> Opened:
    """Open a folder of results, or else a study's folder or image file.

    Raises
    ------
    ImganalysisError
        Neither; or results of a version that cannot be read.
    """
    return open_results(path) if r.is_results(path) else open_unanalysed(path)


def open_results(folder: Path) -> Opened:
    """Read the tables and the record of a run.

    Raises
    ------
    StudyError
        No results, or those of a version that this one cannot read.
    TableError
        A table is damaged.
    """
    folder = Path(folder)
    record = read_run(folder)
    made_by = str(record[OUR_KEY])
    panels, settings = run_panels(folder, record), run_settings(folder, record)
    try:
        root = Path(record["study"]["root"])
        biopsies = t.read_csv(
            folder / r.BIOPSIES, dtype=NAMES, keep_default_na=False, na_values=[""]
        )
        fields = t.read_csv(folder / r.FIELDS, dtype=NAMES, keep_default_na=False, na_values=[""])
        t.require(fields, NEEDED_FIELDS, source=str(folder / r.FIELDS))
        t.require(biopsies, ("biopsy", "flags"), source=str(folder / r.BIOPSIES))
        gates = _gates(folder)
    except (KeyError, TypeError, AttributeError, ImganalysisError) as error:
        if made_by == __version__ and isinstance(error, ImganalysisError):
            raise
        raise StudyError(
            f"{folder}: made by imganalysis {made_by}, this is {__version__}, which cannot read "
            f"it ({error}). Run the analysis again, or open it with version {made_by}"
        ) from None
    if not root.is_absolute() and not root.exists():
        root = folder.parent / root
    notes = []
    if made_by != __version__:
        notes.append(
            f"{folder}: made by imganalysis {made_by}, this is {__version__}; the tables are "
            "shown as they stand. Run the analysis again before you change gates"
        )
    return Opened(folder, root, biopsies, fields, panels, settings, tuple(notes), None, gates)


def _gates(folder: Path) -> tuple[Gate, ...]:
    from imganalysis.classify.gates_file import read_gates

    path = folder / r.GATES
    return tuple(read_gates(path)) if path.is_file() else ()


def open_unanalysed(root: Path, settings: Settings | None = None) -> Opened:
    """Find what a study holds, without analysing.

    Raises
    ------
    StudyError
        Not there, or no image in it.
    """
    from imganalysis.opening import open_study

    study = open_study(root, settings=settings)
    base = root if root.is_dir() else root.parent
    rows = [_unanalysed_row(one, base) for one in study.fields]
    biopsies = [
        {"biopsy": b.name, "patient": b.patient, "lesion": b.lesion, "week": b.week,
         "n_fields": len(b.fields), "flags": ""}
        for b in study.biopsies
    ]  # fmt: skip
    return Opened(
        None,
        base,
        pd.DataFrame(
            biopsies, columns=["biopsy", "patient", "lesion", "week", "n_fields", "flags"]
        ),
        pd.DataFrame(rows),
        study.panels,
        settings or Settings(),
        tuple(study.notes),
        {one.name: one for one in study.fields},
    )


def _unanalysed_row(one: Field, root: Path) -> dict[str, Any]:
    inside = one.path.is_relative_to(root)
    row = {name: getattr(one, name) for name in ("biopsy", "patient", "lesion", "week", "section")}
    row |= {"field": one.name, "panel": one.panel, "batch": one.batch, "role": one.role}
    row |= {"acquisition": one.acquisition, "scene": one.scene, "tile": one.tile}
    row["file"] = one.path.relative_to(root).as_posix() if inside else str(one.path)
    if one.problem:
        row["status"] = "failed" if one.is_failure else "not_a_field"
    else:
        row["status"] = NOT_ANALYSED
    return row | {
        "reason": one.problem, "message": one.problem_text, "flags": ";".join(one.flags)
    }  # fmt: skip


def record_of(row: pd.Series[Any], path: Path, series: int) -> Field:
    """Record of a field from its row in the table of fields."""
    text: dict[str, Any] = {
        name: _text(row.get(name, ""))
        for name in ("biopsy", "patient", "lesion", "section", "panel", "batch", "acquisition",
                     "stain", "scene")
    }  # fmt: skip
    week, thick = row.get("week"), row.get("section_um")
    return Field(
        name=str(row["field"]),
        week=None if week is None or pd.isna(week) else float(week),
        role=_text(row["role"]) or SAMPLE,
        section_um=None if thick is None or pd.isna(thick) else float(thick),
        annotations=None,
        path=path,
        series=series,
        tile=_number(row["tile"]),
        counted=None,
        flags=tuple(word for word in _text(row["flags"]).split(";") if word),
        **text,
    )


def _text(value: Any) -> str:
    return "" if value is None or pd.isna(value) else str(value)


def _number(value: Any) -> int | None:
    return None if value is None or pd.isna(value) else int(value)
