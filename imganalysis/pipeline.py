"""The main job: a study of images in, one row per biopsy out. Start reading here.

Each field alone, in parallel: `analyse_field` reads, prepares, segments and measures it, and
gives one row per object. The whole study together: `analyse_study` sets gates from the controls,
calls, classifies and summarises; it touches no pixel. `run_study` is both, and writes.
"""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from imganalysis import __version__
from imganalysis import tables as t
from imganalysis.classify.gates_file import adopt_gates, read_gates, write_gates
from imganalysis.death import NO_SIGNS, Signs, with_numbers
from imganalysis.engine import run_tasks, threads_each
from imganalysis.errors import ImganalysisError, StudyError
from imganalysis.field_table import exclusion_table, field_table
from imganalysis.first_half import measure_stack
from imganalysis.io import file_hash, write_labels, write_mask
from imganalysis.pictures import Picture, draw_field
from imganalysis.quantify.biopsies import biopsy_table
from imganalysis.quantify.merging import number_cells
from imganalysis.reading import check_given, check_method, given_nuclei, inputs_of, read_field
from imganalysis.results import GATES as GATES_NAME
from imganalysis.results import RUN as RUN_NAME
from imganalysis.results import (
    check_target,
    death_path,
    labels_path,
    mask_path,
    now,
    result_folder,
    run_record,
    user_name,
    write_json,
    write_tables,
)
from imganalysis.second_half import judge
from imganalysis.settings import Settings
from imganalysis.study import SAMPLE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from imganalysis.classify.gates import Gate
    from imganalysis.panel import Panel
    from imganalysis.study import Field, Study

Progress = Callable[[str, int, int], None]
"""Called with (step, done, total)."""

PLACE = (t.FIELD, t.BIOPSY, t.SECTION, t.ROLE, t.PANEL, t.BATCH, t.ACQUISITION)
"""Columns that every object has from its field."""


@dataclass(frozen=True)
class Task:
    """One field to analyse, with all that is needed for it."""

    field: Field
    panel: Panel
    settings: Settings
    folder: Path | None = None  # where labels and masks are written, if anywhere
    threads: int = 1  # that finding nuclei may use


@dataclass(frozen=True)
class FieldResult:
    """What the first half found in one field.

    Parameters
    ----------
    field
        Which.
    objects
        One row per object; None where the field was not analysed.
    grid
        Counted tissue in um2 on the coarse grid; None likewise.
    facts
        Name -> value, for ``fields.csv``.
    flags
        Fixed words.
    reason, message
        Why it was not analysed: a fixed word, and what to do.
    trace
        For developers, where something unforeseen was raised.
    signs
        Possible fragments, and ghosts.
    """

    field: Field
    objects: pd.DataFrame | None = None
    grid: NDArray[Any] | None = None
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    flags: tuple[str, ...] = ()
    reason: str = ""
    message: str = ""
    trace: str = ""
    signs: Signs = NO_SIGNS


@dataclass(frozen=True)
class StudyResult:
    """What the second half made of a study."""

    study: Study
    biopsies: pd.DataFrame
    fields: pd.DataFrame
    exclusions: pd.DataFrame
    cells: dict[str, pd.DataFrame]  # field -> one row per object; of controls without classes
    gates: tuple[Gate, ...]

    @property
    def n_failed(self) -> int:
        """Fields that should have been analysed and were not."""
        return int((self.fields["status"] == "failed").sum())


def analyse_field(task: Task) -> FieldResult:
    """Do the first half: read, prepare, segment and measure one field.

    Whatever is wrong with the field is in the result, and never raised.
    """
    where = task.field
    try:
        digest = file_hash(where.path)
        stack = read_field(where, task.settings, task.panel)
        nuclei = given_nuclei(where, task.settings)
        seen = measure_stack(
            stack,
            task.panel,
            task.settings,
            section_um=where.section_um,
            nuclei=nuclei,
            allow_black=where.role == "single_stain",  # all but one of its channels are
            threads=task.threads,
        )
        if task.folder is not None:
            write_labels(labels_path(task.folder, where.name), seen.nuclei, stack.pixel_size)
            for name, mask in (("tissue", seen.tissue), ("frame", seen.frame)):
                write_mask(mask_path(task.folder, where.name, name), mask, stack.pixel_size)
            for name, table in (("pairs", seen.signs.pairs), ("ghosts", seen.signs.ghosts)):
                if table is not None:
                    t.write_parquet(death_path(task.folder, where.name, name), table)
    except ImganalysisError as error:
        return FieldResult(where, reason=error.reason, message=error.message)
    except MemoryError:
        return FieldResult(where, reason="memory", message=f"{where.path}: out of memory")
    except Exception as error:  # one field must never stop a batch
        return FieldResult(
            where,
            reason="unexpected",
            message=f"{where.path}: {type(error).__name__}: {error}; please report this",
            trace=traceback.format_exc(),
        )
    facts = {**seen.facts, "sha256": digest}
    return FieldResult(where, seen.objects, seen.grid, facts, seen.flags, signs=seen.signs)


def _died(task: Task) -> FieldResult:
    message = f"{task.field.path}: its process died, likely for want of memory; try --workers 1"
    return FieldResult(task.field, reason="process_died", message=message)


def analyse_study(
    study: Study,
    results: Sequence[FieldResult],
    settings: Settings,
    gates: Sequence[Gate] | None = None,
) -> StudyResult:
    """Do the second half: gates, calls, classes, and one row per biopsy.

    Parameters
    ----------
    study
        What was analysed.
    results
        Of `analyse_field`, for the fields that could be tried.
    settings
        Of the run.
    gates
        Gates that somebody set; from the controls if not given.
    """
    by_name = {r.field.name: r for r in results}
    done = [by_name[f.name] for f in study.fields if f.name in by_name]
    objects = {r.field.name: _placed(r.field, r.objects) for r in done if r.objects is not None}
    judged = judge(
        objects,
        pd.DataFrame([_place(r.field) for r in done if r.objects is not None], columns=list(PLACE)),
        {r.field.name: r.grid for r in done if r.grid is not None},
        study.panels,
        settings,
        gates,
        _scopes(study),
        {r.field.name: r.signs for r in done},
        hashes={r.field.name: r.facts.get("sha256", "") for r in done},
        user=user_name(),
        time=now(),
        version=__version__,
    )
    results = with_numbers(results, judged.numbers, judged.unmerged)
    fields = field_table(study, results, judged.counts, judged.region_mm2, judged.excluded)
    samples = fields[fields["role"] == SAMPLE].reset_index(drop=True)
    samples.attrs["extra_columns"] = study.columns
    biopsies = biopsy_table(
        samples,
        judged.counts,
        study.panels,
        settings.summary,
        no_negatives=judged.no_negatives,
        counting=settings.counting,
    )
    cells = {
        name: judged.tables.get(name, number_cells(table, ()).assign(**{t.PHENOTYPE: ""}))
        for name, table in objects.items()
    }
    return StudyResult(study, biopsies, fields, exclusion_table(fields), cells, judged.gates)


def _placed(where: Field, objects: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([pd.DataFrame(_place(where), index=objects.index), objects], axis=1)


def _place(where: Field) -> dict[str, str]:
    """Which field an object is of, and what its gates hang on."""
    values: tuple[str, ...] = (where.name, where.biopsy, where.section, where.role)
    values += (where.panel, where.batch, where.acquisition)
    return dict(zip(PLACE, values, strict=True))


def check_run(
    study: Study,
    out: Path,
    settings: Settings,
    *,
    gates_file: Path | None = None,
    overwrite: bool = False,
) -> tuple[Gate, ...] | None:
    """Find what would stop a run before it starts; gives the gates of the file, if any.

    Parameters and errors are those of `run_study`.
    """
    if not study.samples:
        raise StudyError(f"{study.root}: no field of a biopsy, only controls: nothing to count")
    check_given(study, settings)
    check_method(settings)
    check_target(out, overwrite=overwrite, inputs=inputs_of(study, settings))
    if gates_file is None:
        return None
    gates = read_gates(gates_file, study.panels.values())
    adopt_gates(gates, (), _scopes(study))  # a gate that fits nowhere is refused here
    return gates


def _scopes(study: Study) -> list[tuple[str, str, str]]:
    """Panels, batches and acquisitions of a study, each once."""
    found = [(f.panel, f.batch, f.acquisition) for f in study.fields if f.panel]
    return list(dict.fromkeys(found))


def run_study(
    study: Study,
    out: Path,
    settings: Settings | None = None,
    *,
    gates_file: Path | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> StudyResult:
    """Analyse a study and write its results.

    Parameters
    ----------
    study
        From `open_study`.
    out
        Folder for the results.
    settings
        Of the run; defaults if not given.
    gates_file
        Gates that somebody set; from the controls if not given.
    workers
        Processes; all processors by default. The results do not depend on it.
    overwrite
        Whether earlier results in `out` may be replaced.
    progress
        Called with (step, done, total).

    Raises
    ------
    StudyError
        The study holds no field of a biopsy.
    OutputError
        `out` cannot be written, or holds something.
    LabelsError
        Nuclei are given that fit no field, or several.
    ModelError, MissingLibraryError
        Weights or a library that finding nuclei needs cannot be had.
    GatesError
        The gates file is wrong or does not fit the study.
    """
    settings = settings or Settings()
    say = progress or (lambda step, done, total: None)
    gates = check_run(study, out, settings, gates_file=gates_file, overwrite=overwrite)
    started = now()
    inputs = inputs_of(study, settings)
    with result_folder(out, overwrite=overwrite, inputs=inputs) as folder:
        fields = [f for f in study.fields if not f.problem]
        threads = threads_each(workers, len(fields))
        tasks = [Task(f, study.panels[f.panel], settings, folder, threads) for f in fields]
        results = run_tasks(
            analyse_field,
            tasks,
            workers=workers,
            lost=_died,
            progress=lambda done, total: say("Fields", done, total),
        )
        result = analyse_study(study, results, settings, gates)
        write_tables(
            folder,
            biopsies=result.biopsies,
            fields=result.fields,
            exclusions=result.exclusions,
            cells=result.cells,
            cells_csv=settings.output.cells_csv,
        )
        write_gates(folder / GATES_NAME, result.gates)
        undrawn = _draw(tasks, result.cells, workers, say) if settings.output.overlays else []
        write_json(
            folder / RUN_NAME,
            {
                **run_record(study.panels, settings, started),
                "study": {"root": str(study.root), "from": study.source},
                "gates_file": None if gates_file is None else file_hash(gates_file),
                "inputs": {r.field.name: r.facts.get("sha256") for r in results},
                "errors": {r.field.name: r.trace for r in results if r.trace},
                "overlays_not_drawn": undrawn,
            },
        )
    return result


def _draw(
    tasks: Sequence[Task],
    cells: dict[str, pd.DataFrame],
    workers: int | None,
    say: Progress,
) -> list[str]:
    """Draw the overlay of each analysed field; gives what could not be drawn."""
    pictures = [
        Picture(task.field, task.panel, task.settings, task.folder, cells[task.field.name])
        for task in tasks
        if task.folder is not None and task.field.name in cells
    ]
    said = run_tasks(
        draw_field,
        pictures,
        workers=workers,
        lost=lambda picture: f"{picture.field.name}: the process died",
        progress=lambda done, total: say("Overlays", done, total),
    )
    return [text for text in said if text]
