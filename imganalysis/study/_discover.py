"""From a folder or a manifest to the fields of a study."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imganalysis.errors import StudyError
from imganalysis.run_file import RUN
from imganalysis.study._fields import choose, expand, finish
from imganalysis.study._folders import Walk, children, folder_entries
from imganalysis.study._manifest import MANIFEST, read_manifest, refuse_reserved
from imganalysis.study._model import IGNORE, SAMPLE, Entry, Study
from imganalysis.study._names import clean_text, is_image, name_key
from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from imganalysis.panel import Panel
    from imganalysis.study._fields import ChoosePanel, ListSeries


def discover(
    root: Path,
    *,
    list_series: ListSeries,
    panels: Sequence[Panel],
    choose_panel: ChoosePanel | None = None,
    use_manifest: bool = True,
) -> Study:
    """Find the fields of a study.

    Parameters
    ----------
    root
        Folder with one folder per biopsy and ``controls/ROLE/``, or with a ``manifest.csv``,
        which then alone says what is what; or a manifest of any name; or one image, which is
        a biopsy then.
    list_series
        Lists the series of an image file; called once per file, with the file and the name of
        the panel that the manifest gives it, empty where it gives none.
    panels
        That fields may have.
    choose_panel
        Finds the panel of a series that has none in the manifest, called with the panels, the
        file's path under `root`, the name of the series and the names of the channels. Without
        it a study of one panel needs none.
    use_manifest
        False to look at the folders alone.

    Returns
    -------
    Study
        Every series found. One that cannot be read, or has no panel, is listed with its problem.

    Raises
    ------
    StudyError
        There is nothing to analyse, two biopsies bear one name, or the manifest is wrong.
    """
    root, manifest = _find_manifest(root, use_manifest)
    columns: tuple[str, ...] = ()
    if manifest is None:
        if (root / RUN).is_file():
            raise StudyError(
                f"{root}: holds the results of a run ({RUN}), not a study; give the folder "
                "of the images"
            )
        entries, n_ignored, notes = folder_entries(root)
        if not entries:
            raise StudyError(
                f"{root}: no images; expected one folder per biopsy with image files in it "
                f"(TIFF, LIF, CZI, ND2, OME-Zarr); found {plural(n_ignored, 'other file')}"
            )
    else:
        entries, columns = read_manifest(manifest)
        fractions = [fraction.name for panel in panels for fraction in panel.fractions]
        refuse_reserved(manifest, [c for c in columns if c.startswith(tuple(fractions))])
        n_ignored, notes = _unlisted(root, manifest, entries)
    _check_biopsies(manifest or root, entries)
    known = {panel.name: panel for panel in panels}
    for entry in entries:
        if entry.panel and entry.panel not in known and entry.role != IGNORE:
            raise StudyError(
                f"{manifest}, line {entry.line}: unknown panel '{entry.panel}'; "
                f"known: {', '.join(known) or 'none'}. A panel file is given with --panel"
            )
    root = root.parent if is_image(root) else root
    drafts = expand(entries, list_series, str(manifest or root))
    drafts = [choose(draft, root, panels, choose_panel) for draft in drafts]
    fields = finish(drafts, root)
    used = {f.panel for f in fields}
    return Study(
        root,
        fields,
        {name: panel for name, panel in known.items() if name in used},
        columns,
        "folders" if manifest is None else "manifest",
        n_ignored,
        tuple(clean_text(note) for note in notes),
    )


def _find_manifest(root: Path, use_manifest: bool) -> tuple[Path, Path | None]:
    if root.is_file() and root.suffix.casefold() == ".csv" and use_manifest:
        return root.parent, root
    if not (root.is_dir() or (root.exists() and is_image(root))):
        found = "is no image" if root.exists() else "not found"
        raise StudyError(f"{root}: {found}; expected a folder with one folder per biopsy")
    if not use_manifest or is_image(root):
        return root, None
    found_here = [p for p in children(root) if p.name.casefold() == MANIFEST]
    if len(found_here) > 1:
        raise StudyError(f"{root}: {' and '.join(p.name for p in found_here)}; keep one")
    if not found_here:
        for path in children(root):
            if path.stem.casefold() == "manifest" and path.suffix in (".xlsx", ".xls", ".ods"):
                raise StudyError(f"{path}: a manifest is read as CSV; save it as {MANIFEST} too")
    return root, found_here[0] if found_here else None


def _unlisted(root: Path, manifest: Path, entries: list[Entry]) -> tuple[int, list[str]]:
    """Count what lies in the folder of a manifest and is not in it."""
    walk = Walk()
    listed = {entry.path.resolve() for entry in entries}
    others = [p for p in walk.images(root) if p.resolve() not in listed]
    notes = []
    if others:
        shown = ", ".join(p.relative_to(root).as_posix() for p in others[:3])
        more = ", ..." if len(others) > 3 else ""
        notes.append(f"{plural(len(others), 'image')} not in {manifest.name}: {shown}{more}")
    return max(walk.n_ignored - 1, 0), notes


def _check_biopsies(source: Path, entries: list[Entry]) -> None:
    seen: dict[str, Entry] = {}
    for entry in entries:
        if entry.role != SAMPLE:
            continue
        first = seen.setdefault(name_key(entry.biopsy), entry)
        if first.biopsy != entry.biopsy:
            lines = f" (lines {first.line} and {entry.line})" if entry.line else ""
            raise StudyError(
                f"{source}: two biopsies of one name: '{first.biopsy}' and '{entry.biopsy}'"
                f"{lines}; their files could not be told apart on every computer. Rename one"
            )
