"""From what a user names - a folder, a file, the sample - to a study."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imganalysis.errors import OutputError, StudyError
from imganalysis.outline_files import attach_annotations
from imganalysis.panel import builtin_panels, check_together, choose_panel, load_panel
from imganalysis.settings import Settings
from imganalysis.study import Field, Study, discover

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imganalysis.panel import Panel
    from imganalysis.records import Progress
    from imganalysis.settings import Reading
    from imganalysis.stack import Series


def open_study(
    root: str | Path,
    *,
    panels: Sequence[str] | None = None,
    settings: Settings | None = None,
    use_manifest: bool = True,
) -> Study:
    """Find the biopsies, fields and controls of a study.

    Parameters
    ----------
    root
        A folder with one folder per biopsy, or with a ``manifest.csv``; or one image file.
    panels
        Built-in names or YAML files; all built-in panels by default. A single one is used for
        every file, whatever its `match`; of several, the manifest or `choose_panel` says which.
    settings
        Of the run; how files are read.
    use_manifest
        Follow a ``manifest.csv`` in the folder; else the folders alone tell.

    Raises
    ------
    StudyError
        Not there, no image in it, or a wrong manifest.
    PanelError
        A panel file is wrong.
    """
    root = Path(root)
    if not root.exists():
        raise StudyError(f"{root}: no such folder or file")
    loaded = [load_panel(name) for name in (panels or builtin_panels())]
    check_together(loaded)
    study = discover(
        root,
        list_series=partial(_list, root, (settings or Settings()).reading, loaded),
        panels=loaded,
        choose_panel=choose_panel if len(loaded) > 1 else None,
        use_manifest=use_manifest,
    )
    settled = replace(study, fields=tuple(_settled(field, study) for field in study.fields))
    return attach_annotations(settled)


def _list(
    root: Path, reading: Reading, panels: Sequence[Panel], path: Path, named: str
) -> Sequence[Series]:
    """List the series of a file, with the axes that the user or its panel gives."""
    from imganalysis.io import list_series

    axes = reading.axes
    if axes is None:
        below = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
        if named or len(panels) == 1:
            mine = [p for p in panels if named in ("", p.name)]
        else:
            mine = [p for p in panels if any(_glob(below, form) for form in p.match.files)]
        found = {p.axes for p in mine}
        axes = found.pop() if len(found) == 1 else None
    return list_series(path, axes=axes, backend=reading.backend)


def _glob(path: str, pattern: str) -> bool:
    """Whether a pattern of a panel holds for a file, by its path or its name."""
    path, pattern = path.casefold(), pattern.casefold()
    return fnmatchcase(path, pattern) or fnmatchcase(path.rpartition("/")[2], pattern)


def _settled(field: Field, study: Study) -> Field:
    """Drop the flag for guessed axes where the panel, found by something else, gives them."""
    if field.panel in study.panels and study.panels[field.panel].axes is not None:
        return replace(field, flags=tuple(f for f in field.flags if f != "axes_guessed"))
    return field


def sample_study(data: Path | None, out: Path) -> Path:
    """Folder of the sample study: the one given, the repository's, or one simulated into `out`.

    Raises
    ------
    StudyError
        `data` is not there.
    """
    if data is not None:
        if not data.is_dir():
            raise StudyError(f"{data}: no such folder")
        return data
    beside = Path(__file__).resolve().parents[1] / "sample_data"
    if (beside / "manifest.csv").is_file():
        return beside
    made = out.parent / f"{out.name}_sample_data"
    if not (made / "manifest.csv").is_file():
        simulate_to(made)
    return made


def simulate_to(
    out: Path,
    *,
    recipe: str = "melanoma",
    plan: str = "sample",
    seed: int = 2003,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write a study of simulated confocal stacks, with its truth.

    Parameters
    ----------
    out
        Folder for the study.
    recipe, plan
        Built-in names or YAML files: what tissue and stains are like; which biopsies and fields.
    seed
        Same seed, same bytes.
    overwrite
        Write into a folder that is not empty.
    progress
        Called with (step, done, total).

    Raises
    ------
    OutputError
        `out` is not empty, or cannot be written.
    """
    from imganalysis import simulate
    from imganalysis.io import write_labels, write_stack

    if out.is_dir() and any(out.iterdir()) and not overwrite:
        raise OutputError(f"{out}: is not empty; give --overwrite to write into it")
    options: dict[str, Any] = {}
    if progress is not None:
        options["progress"] = lambda done, total: progress("Simulated fields", done, total)
    simulate.simulate_study(
        out,
        simulate.load_recipe(recipe),
        plan=plan,
        seed=seed,
        write_stack=write_stack,
        write_labels=write_labels,
        **options,
    )
