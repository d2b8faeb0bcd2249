"""Files of outlines: which field each is of, and what of them is not used."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from imganalysis.annotations import FOLDER, SUFFIX, WRITTEN, class_of, features_of, load, region_of
from imganalysis.errors import StudyError
from imganalysis.study import clean_text

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from imganalysis.study import Study

LEFT_OUT = "outlines_left_out"
"""Flag of a field with outlines of classes that mean nothing here."""
COLUMN = "annotations_left_out"
"""Column of ``fields.csv`` that lists these classes."""
NO_CLASS = "no class"


def attach_annotations(study: Study) -> Study:
    """Give each field without outlines those of ``annotations/FIELD.geojson`` in its study.

    Files there that are of no field are named in the study's notes.

    Raises
    ------
    StudyError
        The manifest gives one file to several fields: their coordinates are not the same.
    """
    first: dict[Path, str] = {}
    fields = []
    for field in study.fields:
        if field.annotations is None:
            path = study.root / FOLDER / f"{field.name}{SUFFIX}"
            found = replace(field, annotations=path) if path.is_file() else field
            fields.append(found)
            continue
        fields.append(field)
        if field.problem:
            continue
        other = first.setdefault(field.annotations.resolve(), field.name)
        if other != field.name:
            raise StudyError(
                f"{field.annotations}: given for the fields {other} and {field.name}; outlines "
                "belong to one field. Give each series its row with its scene, or name the "
                f"files {FOLDER}/FIELD{SUFFIX}, e.g. {FOLDER}/{field.name}{SUFFIX}"
            )
    whole = replace(study, fields=tuple(fields))
    return replace(whole, notes=(*study.notes, *_of_no_field(whole)))


def _of_no_field(study: Study) -> list[str]:
    """Say which files beside the study no field uses, one sentence each."""
    folder = study.root / FOLDER
    if not folder.is_dir() or not study.fields:
        return []
    used = {f.annotations.resolve() for f in study.fields if f.annotations is not None}
    # A field whose outlines the manifest names elsewhere has its file all the same.
    used |= {(folder / f"{f.name}{SUFFIX}").resolve() for f in study.fields}
    return [
        f"{path}: no field has this name, so that its outlines are not used; expected the name of "
        f"a field as in fields.csv, e.g. {study.fields[0].name}{SUFFIX}. Rename it, or name it in "
        "the manifest's column annotations"
        for path in sorted(folder.iterdir())
        if path.suffix.casefold() == SUFFIX and path.is_file() and path.resolve() not in used
    ]


def classes_left_out(path: Path | None) -> tuple[str, ...]:
    """Classes of the outlines in a file that are none of those that are used, each once.

    Raises
    ------
    AnnotationsError
        The file cannot be read.
    """
    if path is None:
        return ()
    features, _ = features_of(load(path), path)
    names = [class_of(one, str(path)) or NO_CLASS for one in features if region_of(one) is None]
    return tuple(dict.fromkeys(clean_text(name).replace(";", ",") for name in names))


def left_out_of(fields: pd.DataFrame) -> list[tuple[str, str, str]]:
    """List the field, word and message of outlines that were left out, from ``fields.csv``."""
    used = ", ".join(WRITTEN.values())
    return [
        (str(name), LEFT_OUT, f"{classes.replace(';', ', ')}: outlines that are used are {used}")
        for name, classes in fields[["field", COLUMN]].itertuples(index=False)
        if isinstance(classes, str) and classes
    ]
