"""Study, Biopsy, Field: frozen records of what is to be analysed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from imganalysis.study._names import clean_text

if TYPE_CHECKING:
    from pathlib import Path

    from imganalysis.panel import Panel

SAMPLE, IGNORE = "sample", "ignore"
CONTROL_ROLES = ("secondary_only", "isotype", "single_stain", "positive_control", "unstained")
"""Roles of fields that set gates or calibrate, and are never counted."""

ROLES = (SAMPLE, *CONTROL_ROLES, IGNORE)

IGNORED = "ignored"
"""The problem of a field that the manifest leaves out."""


@dataclass(frozen=True)
class Entry:
    """One image file, or one series of it, as a folder or a row of the manifest gives it.

    Its texts are made ones that every table can hold, see `clean_text`; paths stay as they are.

    Parameters
    ----------
    path
        The image file.
    biopsy, patient, lesion, section, panel, batch, acquisition, role, stain, extra
        As in `Field`; ``panel`` is empty where it is still to be found.
    week, section_um, annotations
        As in `Field`.
    scene
        Name or number of the series; empty for all of the file.
    line
        Of the manifest, from 1; 0 where there is no manifest.
    """

    path: Path
    biopsy: str = ""
    patient: str = ""
    lesion: str = ""
    week: float | None = None
    section: str = ""
    panel: str = ""
    batch: str = ""
    acquisition: str = ""
    role: str = SAMPLE
    stain: str = ""
    section_um: float | None = None
    annotations: Path | None = None
    scene: str = ""
    extra: dict[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    line: int = 0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, str):
                object.__setattr__(self, name, clean_text(value))
        extra = {name: clean_text(value) for name, value in self.extra.items()}
        object.__setattr__(self, "extra", extra)


@dataclass(frozen=True)
class Field:
    """One field of view: one series, or one tile of it, of an image file.

    What is no field of view, or cannot be analysed, is listed too, with its problem.

    Parameters
    ----------
    name
        Unique in the study; safe as a file name.
    biopsy, patient, lesion
        Names; the patient is the biopsy where nothing else is known. Empty for controls.
    week
        Of the biopsy, since the start of therapy; None where unknown.
    section
        Name of the section.
    panel
        Name of the panel; empty where none was found.
    batch, acquisition
        Names of the staining batch and of the acquisition setting.
    role
        One of `ROLES`.
    stain
        Of a ``single_stain`` control: what was stained.
    section_um
        Thickness of the section in um; None where unknown.
    annotations
        File of a person's outlines.
    path, series, scene, tile
        The file; number (from 0) and name of the series in it; number of the tile.
    counted
        (y0, y1, x0, x1) in pixels, as in `imganalysis.stack.Series`.
    extra
        Further columns of the manifest.
    flags
        Fixed words for what to know about it.
    problem
        Fixed word for why it is not analysed; empty if it is.
    problem_text
        The same for people.
    harmless
        Whether the problem is none: no field of view, or left out on purpose.
    """

    name: str
    biopsy: str
    patient: str
    lesion: str
    week: float | None
    section: str
    panel: str
    batch: str
    acquisition: str
    role: str
    stain: str
    section_um: float | None
    annotations: Path | None
    path: Path
    series: int
    scene: str
    tile: int | None
    counted: tuple[int, int, int, int] | None
    extra: dict[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    problem: str = ""
    problem_text: str = ""
    harmless: bool = False

    @property
    def is_failure(self) -> bool:
        """Whether it should have been analysed and cannot be."""
        return bool(self.problem) and not self.harmless

    @property
    def is_control(self) -> bool:
        """Whether it sets gates or calibrates, and is never counted."""
        return self.role in CONTROL_ROLES


@dataclass(frozen=True)
class Biopsy:
    """One tissue sample of one patient at one time, and its fields."""

    name: str
    patient: str
    lesion: str
    week: float | None
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class Study:
    """Everything in one run.

    Parameters
    ----------
    root
        The study's folder.
    fields
        All that was found, samples first, in natural order.
    panels
        Those that fields use, by name.
    columns
        Further columns of the manifest, in its order.
    source
        Whether folders or a manifest told what is what.
    n_ignored
        Files that are no images.
    notes
        Sentences on what was found and left out.
    """

    root: Path
    fields: tuple[Field, ...]
    panels: dict[str, Panel]
    columns: tuple[str, ...] = ()
    source: Literal["folders", "manifest"] = "folders"
    n_ignored: int = 0
    notes: tuple[str, ...] = ()

    @property
    def samples(self) -> tuple[Field, ...]:
        """Fields of biopsies, those with a problem too."""
        return tuple(f for f in self.fields if f.role == SAMPLE)

    @property
    def controls(self) -> tuple[Field, ...]:
        """Fields of controls, those with a problem too."""
        return tuple(f for f in self.fields if f.is_control)

    @property
    def biopsies(self) -> tuple[Biopsy, ...]:
        """The biopsies with their sample fields, in the order of the fields."""
        groups: dict[str, list[Field]] = {}
        for sample in self.samples:
            groups.setdefault(sample.biopsy, []).append(sample)
        return tuple(
            Biopsy(name, fields[0].patient, fields[0].lesion, fields[0].week, tuple(fields))
            for name, fields in groups.items()
        )


ENTRY_FIELDS = tuple(
    f.name for f in dataclasses.fields(Entry) if f.name not in ("line", "scene", "panel", "flags")
)
"""What a field takes over from its entry."""
