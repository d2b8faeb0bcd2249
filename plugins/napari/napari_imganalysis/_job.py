"""One run of the analysis, as the Analyse widget asks for it: what the command line calls."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING

from imganalysis.errors import ImganalysisError, StudyError
from imganalysis.opening import open_study
from imganalysis.panel import builtin_panels, load_panel
from imganalysis.pipeline import run_study
from imganalysis.results import check_target
from imganalysis.study import SAMPLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from imganalysis.engine import Stop
    from imganalysis.records import Progress, StudyResult
    from imganalysis.settings import Settings
    from imganalysis.study import Study
    from napari_imganalysis._results import Opened

FILES = {
    "gates": "Gates file, or scimap's CSV; else the controls and the ladder set them",
    "calibration": "Calibration file, e.g. of an earlier run; else the controls",
    "classifier": "A learned class, see imganalysis classifier; else the rules alone",
    "corrections": "Log of a person's corrections, or its folder",
}
"""Option of the command line that names a file -> what it is."""

PART = (
    "Controls of the same panel, batch and acquisition run too: gates and calibration come from "
    "them. What is told from all fields of a batch (gates without a control, focus) is told from "
    "the chosen fields alone, so that numbers may differ from those of the whole study."
)


@dataclass(frozen=True)
class Job:
    """What shall be run.

    Parameters
    ----------
    root
        Folder, manifest or image of the study.
    out
        Folder for the results.
    settings
        Of the run.
    fields
        Names of the fields to analyse; None for all.
    panels
        Files or built-in names; empty for all built-in ones.
    files
        Option of `FILES` -> file, for those that are given.
    workers
        Processes; None for all processors.
    overwrite
        Whether earlier results may be replaced.
    """

    root: Path
    out: Path
    settings: Settings
    fields: frozenset[str] | None = None
    panels: tuple[str, ...] = ()
    files: Mapping[str, Path] = field(default_factory=dict)
    workers: int | None = None
    overwrite: bool = False

    def command(self, settings_file: Path | None) -> str:
        """Give the command line that does the same; for a part of a study there is none."""
        if self.fields is not None:
            return ""
        words = ["imganalysis", "run", str(self.root), "--out", str(self.out)]
        for panel in self.panels:
            words += ["--panel", panel]
        if settings_file is not None:
            words += ["--settings", str(settings_file)]
        for name, path in self.files.items():
            words += [f"--{name}", str(path)]
        return shlex.join(words + ["--overwrite"] * self.overwrite)


def run_job(job: Job, *, progress: Progress | None = None, stop: Stop | None = None) -> StudyResult:
    """Run what the command line would run, by the same call.

    Raises
    ------
    ImganalysisError
        As in `imganalysis.pipeline.run_study`; nothing is written then.
    """
    study = open_study(job.root, panels=list(job.panels) or None, settings=job.settings)
    if job.fields is not None:
        study = part_of(study, job.fields)
    return run_study(
        study,
        job.out,
        job.settings,
        **{f"{name}_file": path for name, path in job.files.items()},
        workers=job.workers,
        overwrite=job.overwrite,
        progress=progress,
        stop=stop,
    )


def part_of(study: Study, names: frozenset[str]) -> Study:
    """Keep some fields of a study, with the controls of their panels, batches and acquisitions.

    Raises
    ------
    StudyError
        The study has no such field.
    """
    chosen = [one for one in study.fields if one.name in names and one.role == SAMPLE]
    if lost := names - {one.name for one in chosen}:
        raise StudyError(
            f"{study.root}: no field of a biopsy is called {min(lost)}; was the study changed "
            "since it was opened? Open it again"
        )
    scopes = {(one.panel, one.batch, one.acquisition) for one in chosen}
    kept = tuple(
        one
        for one in study.fields
        if one in chosen
        or (one.role != SAMPLE and (one.panel, one.batch, one.acquisition) in scopes)
    )
    used = {one.panel for one in kept}
    panels = {name: panel for name, panel in study.panels.items() if name in used}
    return replace(study, fields=kept, panels=panels)


def check_panels(opened: Opened, panels: Sequence[str]) -> None:
    """Check that a run takes the panels that what is opened was analysed with.

    Raises
    ------
    StudyError
        One is a file's, which was not named.
    PanelError
        A file that was named is wrong.
    """
    found = [load_panel(name) for name in (panels or builtin_panels())]
    known = {panel.name: panel for panel in found}
    for name, panel in opened.panels.items():
        if known.get(name) != panel:
            raise StudyError(
                f"{opened.folder or opened.root}: was analysed with a panel '{name}' that is not "
                f"{'among the files named' if panels else 'the built-in one'}; name its file under "
                "Files, Panels"
            )


def holds_results(out: Path) -> bool:
    """Whether a folder holds earlier results that a run would replace.

    Raises
    ------
    OutputError
        It holds something else, or is a file.
    """
    check_target(out, overwrite=True)
    return out.is_dir() and any(not path.name.startswith(".") for path in out.iterdir())


def free_folder(folder: Path) -> Path:
    """Name a folder beside earlier results that is not there yet."""
    names = (f"{folder.name}_again{n if n > 1 else ''}" for n in count(1))
    return next(path for path in map(folder.with_name, names) if not path.exists())


def is_unforeseen(error: BaseException) -> bool:
    """Whether an error is none that a user can mend, so that its traceback is wanted."""
    return not isinstance(error, ImganalysisError | OSError | MemoryError)


def error_text(error: BaseException) -> str:
    """Say for a user what stopped a run, in the words of the widget."""
    if isinstance(error, ImganalysisError):
        return error.message.replace("give --overwrite", "say yes to replacing").replace(
            "--out", "Results"
        )
    if isinstance(error, MemoryError):
        return "Out of memory; set fewer processes under Files"
    if isinstance(error, OSError):
        name = f"{error.filename}: " if error.filename else ""
        return f"{name}{error.strerror or error}"
    return f"{type(error).__name__}: {error}; please report this"
