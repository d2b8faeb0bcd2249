"""From what a user names - a folder, a file, the sample - to a study."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imganalysis.errors import OutputError, StudyError
from imganalysis.panel import builtin_panels, check_together, choose_panel, load_panel
from imganalysis.settings import Settings
from imganalysis.study import Study, discover

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imganalysis.pipeline import Progress


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
        every file that the manifest does not give another.
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
    from imganalysis.io import list_series

    root = Path(root)
    if not root.exists():
        raise StudyError(f"{root}: no such folder or file")
    loaded = [load_panel(name) for name in (panels or builtin_panels())]
    check_together(loaded)
    reading = (settings or Settings()).reading
    axes = reading.axes or (loaded[0].axes if len(loaded) == 1 else None)
    return discover(
        root,
        list_series=partial(list_series, axes=axes, backend=reading.backend),
        panels=loaded,
        choose_panel=choose_panel,
        use_manifest=use_manifest,
    )


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
