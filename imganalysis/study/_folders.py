"""A study without a manifest: one folder per biopsy, and controls/ROLE/."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imganalysis.errors import StudyError
from imganalysis.run_file import RUN
from imganalysis.study._model import CONTROL_ROLES, Entry
from imganalysis.study._names import image_suffix, is_image, natural_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTROLS = "controls"
SKIPPED = ("truth", "annotations", "__macosx")
LOOSE = "loose_image"
"""Flag of an image that lies beside the biopsies' folders."""

_WEEK_AFTER = re.compile(  # week4, wk 4, W04
    r"(?<![a-z])(?:weeks?|wks?|(?<![0-9])w)[ _-]?([0-9]{1,3})(?![0-9a-z]|[.,][0-9])", re.IGNORECASE
)
_WEEK_BEFORE = re.compile(  # 4weeks
    r"(?<![a-z0-9.,])([0-9]{1,3})(?:weeks?|wks?)(?![a-z])", re.IGNORECASE
)
_PATIENT = re.compile(r"((?:p|pt|pat|patient|subject|subj|case)[ _-]?[0-9]+)[ _-].+", re.IGNORECASE)


@dataclass
class Walk:
    """Looks for images under folders, and counts what it passes by."""

    n_ignored: int = 0

    def images(self, folder: Path, seen: frozenset[Path] = frozenset()) -> Iterator[Path]:
        """Image files at any depth, in natural order; folders that are no study's left out.

        Raises
        ------
        StudyError
            A folder cannot be read.
        """
        real = folder.resolve()
        if real in seen:  # a link that leads back up
            return
        for path in children(folder):
            if is_image(path):
                yield path
            elif path.is_dir():
                if not is_skipped(path):
                    yield from self.images(path, seen | {real})
            else:
                self.n_ignored += 1


def children(folder: Path) -> list[Path]:
    """List what a folder holds, without what is hidden, in natural order.

    Raises
    ------
    StudyError
        It cannot be read.
    """
    try:
        found = [path for path in folder.iterdir() if not path.name.startswith((".", "~$"))]
    except OSError as error:
        raise StudyError(f"{folder}: cannot be read ({error.strerror or error})") from None
    return sorted(found, key=lambda path: natural_key(path.name))


def is_skipped(folder: Path) -> bool:
    """Whether a folder is known to hold no images of the study: truth, or a run's results."""
    return folder.name.casefold() in SKIPPED or (folder / RUN).is_file()


def folder_entries(root: Path) -> tuple[list[Entry], int, list[str]]:
    """List the images of a study that has no manifest.

    Parameters
    ----------
    root
        Folder with one folder per biopsy; images directly in it are biopsies by themselves.
        Or one image, which is a biopsy then.

    Returns
    -------
    entries, n_ignored, notes
        The images; number of files that are none; sentences on what was left out.

    Raises
    ------
    StudyError
        A folder cannot be read, or controls are of no known role.
    """
    if is_image(root):
        name = root.name[: -len(image_suffix(root.name))]
        return [_sample(root, name, _patients([name]))], 0, []
    walk = Walk()
    biopsies: dict[str, list[Path]] = {}
    loose: list[Path] = []
    controls: list[Entry] = []
    notes: list[str] = []
    for path in children(root):
        if is_image(path):
            loose.append(path)
        elif not path.is_dir():
            walk.n_ignored += 1
        elif path.name.casefold() == CONTROLS:
            controls += _controls(path, walk)
        elif not is_skipped(path):
            found = list(walk.images(path))
            if found:
                biopsies[path.name] = found
            else:
                notes.append(f"folder '{path.name}' holds no images")
    flags = (LOOSE,) if biopsies else ()
    names = {path: path.name[: -len(image_suffix(path.name))] for path in loose}
    patients = _patients([*biopsies, *names.values()])
    samples = [_sample(path, name, patients) for name, paths in biopsies.items() for path in paths]
    samples += [_sample(path, name, patients, flags) for path, name in names.items()]
    return samples + controls, walk.n_ignored, notes


def _sample(
    path: Path, biopsy: str, patients: dict[str, str], flags: tuple[str, ...] = ()
) -> Entry:
    return Entry(path, biopsy=biopsy, patient=patients[biopsy], week=week_in(biopsy), flags=flags)


def _controls(folder: Path, walk: Walk) -> Iterator[Entry]:
    known = ", ".join(CONTROL_ROLES)
    for path in children(folder):
        role = re.sub(r"[ -]", "_", path.name.casefold())
        if is_image(path):
            raise StudyError(
                f"{path}: controls lie in {CONTROLS}/ROLE/, ROLE one of {known}; move the file "
                "there, or write a manifest.csv"
            )
        if not path.is_dir():
            walk.n_ignored += 1
        elif role in CONTROL_ROLES:
            for image in walk.images(path):
                inner = image.relative_to(path).parts[:-1]
                stain = inner[0] if inner and role == "single_stain" else ""
                yield Entry(image, role=role, stain=stain)
        elif not is_skipped(path):
            raise StudyError(
                f"{path}: no role of controls is called '{path.name}'; name the folder after one "
                f"of {known}"
            )


def week_in(name: str) -> float | None:
    """Week that a folder's name tells, e.g. ``_week4``, ``wk4``, ``W04``; None if unclear."""
    weeks = {float(text) for form in (_WEEK_AFTER, _WEEK_BEFORE) for text in form.findall(name)}
    return weeks.pop() if len(weeks) == 1 else None


def _patients(biopsies: list[str]) -> dict[str, str]:
    """Patient of each biopsy: a prefix such as ``P01_`` if all names have it, else the biopsy."""
    prefixes = {name: _PATIENT.fullmatch(name) for name in biopsies}
    found = {name: match[1] for name, match in prefixes.items() if match}
    # P1 and p1 would be two patients in the tables and one on the label.
    spellings = Counter(prefix.casefold() for prefix in set(found.values()))
    if len(found) < len(prefixes) or any(n > 1 for n in spellings.values()):
        return {name: name for name in biopsies}
    return found
