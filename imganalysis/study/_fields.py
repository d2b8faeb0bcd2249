"""From entries to fields: the series of each file, their panels, their names."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imganalysis.errors import ImganalysisError, PanelError, QualitativeImageError, StudyError
from imganalysis.stack import Series
from imganalysis.study._model import ENTRY_FIELDS, IGNORE, IGNORED, SAMPLE, Entry, Field
from imganalysis.study._names import Parts, clean_text, field_names, image_suffix, natural_key
from imganalysis.study._scenes import select_scene

if TYPE_CHECKING:
    from imganalysis.panel import Panel

ListSeries = Callable[[Path, str], Sequence[Series]]
"""Lists the series of a file; called with it and the panel the manifest gives it, if one."""
ChoosePanel = Callable[[Sequence["Panel"], str, str, tuple[str, ...]], "Panel"]


@dataclass(frozen=True)
class Draft:
    """A field before it has a name.

    Parameters
    ----------
    entry, series
        What it is made from; None where the file cannot be read or is not looked into.
    label
        What tells the series from the others of its file; empty where it is the only one.
    panel, problem, text, harmless
        As in `Field`.
    """

    entry: Entry
    series: Series | None = None
    label: str = ""
    panel: str = ""
    problem: str = ""
    text: str = ""
    harmless: bool = False


def expand(entries: Sequence[Entry], list_series: ListSeries, source: str) -> list[Draft]:
    """List the series of every file once, and give each to its entry.

    Parameters
    ----------
    entries
        Of the folders or the manifest.
    list_series
        Lists the series of a file.
    source
        The manifest, for messages.

    Raises
    ------
    StudyError
        The manifest names a series that the file has not, or one twice.
    """
    files: dict[Path, list[Entry]] = {}
    for entry in entries:
        files.setdefault(entry.path.resolve(), []).append(entry)
    drafts: list[Draft] = []
    for mine in files.values():
        if all(e.role == IGNORE and not e.scene for e in mine):
            drafts += [_unread(e, "", "") for e in mine]
            continue
        path = mine[0].path
        try:
            listed = list_series(path, _one_panel(mine))
        except ImganalysisError as error:
            drafts += [_unread(e, error.reason, str(error)) for e in mine]
            continue
        series = [replace(one, name=clean_text(one.name)) for one in listed]
        if series:
            drafts += _of_file(mine, series, source)
        else:
            drafts += [_unread(e, "unreadable", f"{path}: holds no image") for e in mine]
    return drafts


def _one_panel(mine: list[Entry]) -> str:
    """Name of the panel that a manifest gives to all of a file; empty if there is no such."""
    names = {entry.panel for entry in mine if entry.role != IGNORE}
    return names.pop() if len(names) == 1 else ""


def _unread(entry: Entry, problem: str, text: str) -> Draft:
    if entry.role == IGNORE:
        return Draft(entry, None, entry.scene, "", IGNORED, "role ignore", harmless=True)
    return Draft(entry, None, entry.scene, "", problem, text)


def _of_file(mine: list[Entry], series: Sequence[Series], source: str) -> list[Draft]:
    owner = _owners(mine, {s.index: s.name for s in series}, source)
    labels = _labels(series)
    left_out = Entry(mine[0].path, role=IGNORE, extra=dict.fromkeys(mine[0].extra, ""))
    drafts = []
    for s in series:
        draft = Draft(owner.get(s.index, left_out), s, labels[s.index])
        if not s.is_field:
            text = f"no field of view: {s.not_a_field}"
            draft = replace(draft, problem=s.not_a_field, text=text, harmless=True)
        elif draft.entry.role == IGNORE:
            named = s.index in owner
            text = "role ignore" if named else "the manifest names other series of this file"
            draft = replace(draft, problem=IGNORED, text=text, harmless=True)
        drafts.append(draft)
    return drafts


def _owners(mine: list[Entry], names: dict[int, str], source: str) -> dict[int, Entry]:
    """Map the number of each series that an entry stands for to the entry."""
    owner: dict[int, Entry] = {}
    for entry in mine:
        where = f"{source}, line {entry.line}: {entry.path.name}"
        chosen = select_scene(names, entry.scene) if entry.scene else None
        if isinstance(chosen, str):
            raise StudyError(f"{where}: {chosen}")
        for index in names if chosen is None else (chosen,):
            first = owner.setdefault(index, entry)
            if first is not entry:
                raise StudyError(
                    f"{where}: series {index} stands in line {first.line} too; "
                    "keep one row, or give each its scene"
                )
    return owner


def _labels(series: Sequence[Series]) -> dict[int, str]:
    """Find what tells the series of a file apart; nothing for the only field of view."""
    only_field = len({s.index for s in series if s.is_field}) == 1
    names = {s.index: s.name for s in series}
    counts = Counter(name.casefold() for name in names.values())
    labels = {}
    for s in series:
        if only_field and s.is_field:
            labels[s.index] = ""
        elif s.name and counts[s.name.casefold()] == 1:
            labels[s.index] = s.name
        else:
            labels[s.index] = f"{s.name or 'series'}_{s.index}"
    return labels


def choose(
    draft: Draft, root: Path, panels: Sequence[Panel], choose_panel: ChoosePanel | None
) -> Draft:
    """Give a draft its panel: the manifest's, else the one that is found for its series."""
    series = draft.series
    if draft.entry.panel:
        return replace(draft, panel=draft.entry.panel)
    if draft.problem or series is None:
        return draft
    try:
        if choose_panel is not None:
            file_name = _below(draft.entry.path, root)
            chosen = choose_panel(panels, file_name, series.name, series.channels)
        elif len(panels) == 1:
            chosen = panels[0]
        else:
            raise PanelError(f"{draft.entry.path}: no panel; name it in the manifest")
    except ImganalysisError as error:
        if "rgb" in series.flags:  # says more than that no panel fits red, green and blue
            text = f"{draft.entry.path}: RGB shows colours, not intensities; and no panel is chosen"
            return replace(draft, problem=QualitativeImageError.reason, text=f"{text}: {error}")
        return replace(draft, problem=error.reason, text=str(error))
    return replace(draft, panel=chosen.name)


def finish(drafts: Sequence[Draft], root: Path) -> tuple[Field, ...]:
    """Bring drafts in order and give them their names."""
    ordered = sorted(drafts, key=lambda draft: _order(draft, root))
    names = field_names([_parts(draft, root) for draft in ordered])
    return tuple(_field(draft, name) for draft, name in zip(ordered, names, strict=True))


def _below(path: Path, root: Path) -> str:
    """Give the path as seen from the study's folder, or whole where it lies elsewhere."""
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def _order(draft: Draft, root: Path) -> tuple[Any, ...]:
    entry, series = draft.entry, draft.series
    rank = 0 if entry.role == SAMPLE else 2 if entry.role == IGNORE else 1
    index = -1 if series is None else series.index
    tile = -1 if series is None or series.tile is None else series.tile
    where = natural_key(_below(entry.path, root))
    return (rank, natural_key(entry.biopsy), where, index, tile, entry.line)


def _parts(draft: Draft, root: Path) -> Parts:
    entry, series = draft.entry, draft.series
    below = _below(entry.path, root)
    name = entry.path.name
    words = [draft.label] if draft.label else []
    if series is not None and series.tile is not None:
        words.append(f"tile{series.tile}")
    return Parts(
        prefix=entry.biopsy or ("" if entry.role in (SAMPLE, IGNORE) else entry.role),
        folders=tuple(part for part in below.split("/")[:-1] if part),
        stem=name[: -len(image_suffix(name))] if image_suffix(name) else entry.path.stem,
        series=tuple(words),
        identity=clean_text("|".join([below, *words])),
    )


def _field(draft: Draft, name: str) -> Field:
    entry, series = draft.entry, draft.series
    own = {key: getattr(entry, key) for key in ENTRY_FIELDS}
    for key in ("biopsy", "patient"):
        own[key] = unicodedata.normalize("NFC", own[key])
    return Field(
        name=name,
        panel=draft.panel,
        series=series.index if series else 0,
        scene=series.name if series else entry.scene,
        tile=series.tile if series else None,
        counted=series.counted if series else None,
        flags=tuple(dict.fromkeys((*entry.flags, *(series.flags if series else ())))),
        problem=draft.problem,
        problem_text=clean_text(draft.text),
        harmless=draft.harmless,
        **own,
    )
