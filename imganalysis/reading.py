"""Reading what a field of a study needs: its stack, and nuclei that somebody else outlined."""

from __future__ import annotations

import unicodedata
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from imganalysis.errors import LabelsError
from imganalysis.io import read_labels, read_stack
from imganalysis.methods import GivenLabels
from imganalysis.segment import check_numbered, model_facts
from imganalysis.stack import IMAGE_SUFFIXES, PixelSize, series_name
from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from imganalysis.panel import Panel
    from imganalysis.settings import Settings
    from imganalysis.stack import Stack
    from imganalysis.study import Field, Study

NO_LABELS = "no_labels"
"""Fixed word for a field that has no label image."""


def read_field(where: Field, settings: Settings, panel: Panel) -> Stack:
    """Read the stack of a field, as its panel and the settings say.

    Raises
    ------
    ImageError
        The file cannot be read, or is no field of view.
    """
    reading = settings.reading
    given = reading.pixel_size
    return read_stack(
        where.path,
        where.series,
        tile=where.tile,
        time=reading.time,
        axes=reading.axes or panel.axes,
        pixel_size=None if given is None else PixelSize(*given, origin="user"),
        allow_rgb=reading.allow_rgb,
        backend=reading.backend,
    )


def check_method(settings: Settings) -> None:
    """Find out before a run whether nuclei can be found as the settings say.

    Raises
    ------
    SettingsError, ModelError, MissingLibraryError
        The method, its weights or a library that it needs cannot be had.
    """
    if not isinstance(settings.segmentation, GivenLabels):
        model_facts(settings.segmentation)


def given_nuclei(where: Field, settings: Settings) -> NDArray[np.uint32] | None:
    """Read the nuclei that the settings name for a field; None where they name none.

    A folder holds one TIFF per field, named like the field, or as ``imganalysis segment`` names
    it: like the image file, with the number of the series where it has several.

    Raises
    ------
    LabelsError
        No such file, more than one, or no label image: a mask is none.
    """
    given = settings.segmentation
    if not isinstance(given, GivenLabels):
        return None
    path = Path(given.path)
    if path.is_dir():
        path = _labels_of(where, path, _label_files(path))[0]
    labels = read_labels(path, given.page)
    check_numbered(labels, source=str(path))
    return labels


def check_given(study: Study, settings: Settings) -> None:
    """Check that each label image that the settings name can mean one field only.

    A field without a label image is no mistake of the whole study: it fails by itself.

    Raises
    ------
    LabelsError
        Nothing there; or a label image may be meant for several fields, or a field has several.
    """
    given = settings.segmentation
    if not isinstance(given, GivenLabels):
        return
    path = Path(given.path)
    fields = [field for field in study.fields if not field.problem]
    if not path.is_dir():
        if not path.exists():
            raise LabelsError(f"{path}: no such label image or folder")
        if len(fields) > 1:
            raise LabelsError(
                f"{path}: one label image, but the study has {plural(len(fields), 'field')} to "
                "analyse; give a folder with one per field, each named like its field or its "
                "image file"
            )
        return
    files = _label_files(path)
    same_stem = Counter(_stem(field.path.name) for field in fields)
    users: dict[Path, str] = {}
    for field in fields:
        try:
            found, by_name = _labels_of(field, path, files)
        except LabelsError as error:
            if error.reason == NO_LABELS:
                continue
            raise
        stem = _stem(field.path.name)
        if not by_name and same_stem[stem] > 1:
            raise LabelsError(
                f"{found}: {same_stem[stem]} fields are of files named {stem!r}; name the label "
                f"images like the fields, this one {field.name}.tif if it is of that field"
            )
        first = users.setdefault(found, field.name)
        if first != field.name:
            raise LabelsError(
                f"{found}: named like the field {first} and like the file of the field "
                f"{field.name}; name the label images like the fields"
            )
    if fields and not users:
        raise LabelsError(
            f"{path}: no label image of any field; expected TIFF files named like the fields "
            f"({fields[0].name}.tif) or like their image files",
            reason=NO_LABELS,
        )


def inputs_of(study: Study, settings: Settings) -> list[Path]:
    """List what a run reads and its results must not replace."""
    given = settings.segmentation
    paths = [path for f in study.fields for path in (f.path, f.annotations) if path is not None]
    return [*paths, Path(given.path)] if isinstance(given, GivenLabels) else paths


def _labels_of(
    field: Field, folder: Path, files: Mapping[str, Sequence[Path]]
) -> tuple[Path, bool]:
    """Find the label image of a field, and whether it is named like the field or its series."""
    name, stem = unicodedata.normalize("NFC", field.name), _stem(field.path.name)
    for wanted in (name, series_name(stem, field.series, field.tile), stem):
        found = files.get(wanted, ())
        if len(found) > 1:
            raise LabelsError(
                f"{folder}: {' and '.join(p.name for p in found)} are both named like the field "
                f"{name} or its file; keep one"
            )
        if found:
            return found[0], wanted != stem
    raise LabelsError(
        f"{folder}: expected a label image (TIFF) named like the field ({name}) or its file "
        f"({stem}), found none",
        reason=NO_LABELS,
    )


def _label_files(folder: Path) -> dict[str, list[Path]]:
    """TIFF files of a folder by their names without the suffix."""
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix.casefold() in (".tif", ".tiff"):
            files.setdefault(_stem(path.name), []).append(path)
    return files


def _stem(name: str) -> str:
    """Name of an image file without its suffix, which may have two parts."""
    name = unicodedata.normalize("NFC", name)
    suffixes = (s for s in IMAGE_SUFFIXES if name.casefold().endswith(s))
    return name[: -len(next(suffixes, "")) or None]


def split_page(text: str) -> tuple[str, int | str | None]:
    """Split FILE[:PAGE] into a path and the number or name of a page.

    The whole text is taken for the path where something of that name is there.

    Raises
    ------
    LabelsError
        There is no such file or folder.
    """
    if Path(text).exists():
        return text, None
    # A drive of Windows has a colon too: only the last one can part off a page.
    path, colon, page = text.rpartition(":")
    if colon and path and Path(path).exists():
        return path, int(page) if page.isdecimal() else page
    raise LabelsError(f"{text}: no such label image or folder (FILE, FILE:PAGE or FOLDER)")
