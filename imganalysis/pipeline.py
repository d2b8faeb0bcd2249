"""The main job: a study of images in, one row per biopsy out. Start reading here.

Each field alone, in parallel: `analyse_field` reads, prepares, segments and measures it, and
gives one row per object. The whole study together: `analyse_study` sets gates from the controls,
calls, classifies and summarises; it touches no pixel. `run_study` is both, and writes.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

import pandas as pd

from imganalysis import __version__, correcting
from imganalysis import tables as t
from imganalysis.annotations import drawn_masks
from imganalysis.calibrate import FLAGS, calibrate_study, scope_of
from imganalysis.calibration_file import write_calibrations
from imganalysis.classify.gates_file import write_gates
from imganalysis.classify.learned import flag_learned
from imganalysis.control_fields import UNMEASURED, control_picture
from imganalysis.death import with_numbers
from imganalysis.engine import check_stop, run_tasks, threads_each
from imganalysis.errors import ImganalysisError
from imganalysis.field_table import exclusion_table, field_table
from imganalysis.first_half import measure_stack
from imganalysis.gating import flag_gates
from imganalysis.given import check_run, scopes_of
from imganalysis.io import file_hash
from imganalysis.outline_files import LEFT_OUT, classes_left_out
from imganalysis.pictures import draw_fields, field_pictures
from imganalysis.positive_controls import check_positive_controls, with_positive_controls
from imganalysis.quality import flag_focus
from imganalysis.quantify.biopsies import biopsy_table
from imganalysis.quantify.conflicts import biopsy_conflicts, conflict_counts, fail_conflicts
from imganalysis.quantify.merging import number_cells
from imganalysis.quantify.ratios import ratio_table
from imganalysis.quantify.spatial import space_table
from imganalysis.reading import given_nuclei, inputs_of, read_field
from imganalysis.records import (
    PLACE,
    FieldResult,
    Progress,
    StudyResult,
    Task,
    facts_of,
    place_of,
    placed,
)  # fmt: skip
from imganalysis.results import CALIBRATION as CALIBRATION_NAME
from imganalysis.results import GATES as GATES_NAME
from imganalysis.results import (
    now,
    result_folder,
    run_record,
    user_name,
    write_field,
    write_json,
    write_tables,
)
from imganalysis.run_file import RUN
from imganalysis.second_half import judge
from imganalysis.settings import Settings
from imganalysis.study import SAMPLE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from imganalysis.classify.gates import Gate
    from imganalysis.classify.learned import Learned
    from imganalysis.engine import Stop
    from imganalysis.prepare.calibration import Calibration
    from imganalysis.study import Study


def analyse_field(task: Task) -> FieldResult:
    """Do the first half: read, prepare, segment and measure one field.

    Whatever is wrong with the field is in the result, and never raised.
    """
    where = task.field
    try:
        digest = file_hash(where.path)
        if where.role in UNMEASURED:
            shown = control_picture(where, task.panel, task.settings)
            return FieldResult(where, facts={**shown.facts, "sha256": digest}, flags=shown.flags)
        stack = read_field(where, task.settings, task.panel)
        nuclei = given_nuclei(where, task.settings)
        drawn = drawn_masks(where.annotations, stack, task.settings.space.annotation_unit)
        correct = correcting.corrector(task.corrections, where, task.panel, digest)
        left_out = classes_left_out(where.annotations)
        outlined = {"annotations": ";".join(drawn), "annotations_left_out": ";".join(left_out)}
        if where.annotations is not None:
            outlined["annotations_sha256"] = file_hash(where.annotations)
        seen = measure_stack(
            stack,
            task.panel,
            task.settings,
            section_um=where.section_um,
            nuclei=nuclei,
            threads=task.threads,
            calibration=task.calibration,
            drawn=drawn,
            correct=correct,
        )
        if task.folder is not None:
            write_field(task.folder, where.name, seen, stack.pixel_size)
            correcting.keep_before(correct, task.folder, where.name, stack.pixel_size)
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
    facts = {**seen.facts, "sha256": digest, **outlined}
    flag = FLAGS.get(facts.get("bleedthrough", ""))
    more = ((flag,) if flag else ()) + ((LEFT_OUT,) if left_out else ())
    flags = (*seen.flags, *more)
    found = FieldResult(
        where, seen.objects, seen.grid, facts, flags,
        signs=seen.signs, space=seen.space, contacts=seen.contacts,
    )  # fmt: skip
    return correcting.marked(found, correct)


def _died(task: Task) -> FieldResult:
    message = f"{task.field.path}: its process died, likely for want of memory; try --workers 1"
    return FieldResult(task.field, reason="process_died", message=message)


def analyse_study(
    study: Study,
    results: Sequence[FieldResult],
    settings: Settings,
    gates: Sequence[Gate] | None = None,
    classifier: Learned | None = None,
    corrections: correcting.Corrections | None = None,
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
    classifier
        Gives classes after the rules, to the cells of its panel; the rules alone if not given.
    corrections
        A person's edits of the study, if a log was given.
    """
    results = correcting.settle(results, corrections)
    by_name = {r.field.name: r for r in results}
    done = [by_name[f.name] for f in study.fields if f.name in by_name]
    spaces = {r.field.name: r.space for r in done if r.space is not None}
    objects = {r.field.name: placed(r.field, r.objects) for r in done if r.objects is not None}
    judged = judge(
        objects,
        pd.DataFrame(
            [place_of(r.field) for r in done if r.objects is not None], columns=list(PLACE)
        ),
        {r.field.name: r.grid for r in done if r.grid is not None},
        study.panels,
        settings,
        gates,
        scopes_of(study),
        {r.field.name: r.signs for r in done},
        spaces,
        {r.field.name: r.contacts for r in done if r.contacts is not None},
        classifier,
        correcting.classes_of(results),
        hashes={r.field.name: r.facts.get("sha256", "") for r in done},
        user=user_name(),
        time=now(),
        version=__version__,
    )
    results = with_numbers(results, judged.numbers, judged.unmerged)
    results = flag_learned(results, classifier)
    fields = field_table(
        study, results, judged.counts, judged.region_mm2, judged.excluded,
        settings.projection.section_um,
    )  # fmt: skip
    fields = fail_conflicts(
        fields,
        conflict_counts(judged.cells, study.panels),
        study.panels,
        settings.neighbours.max_conflict,
    )
    fields = correcting.count_corrections(fields, results)
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
    biopsies = flag_gates(biopsy_conflicts(biopsies, samples), samples, judged.gates)
    controlled = check_positive_controls(study, objects, judged.gates, settings.gating)
    biopsies = with_positive_controls(biopsies, samples, controlled, study.panels)
    biopsies = correcting.corrected_biopsies(biopsies, samples)
    cells = {
        name: judged.tables.get(name, number_cells(table, ()).assign(**{t.PHENOTYPE: ""}))
        for name, table in objects.items()
    }
    space = space_table(
        samples,
        judged.tables,
        spaces if settings.space.table else {},
        judged.region_mm2,
        judged.counts.ungated,
        study.panels,
        settings.space,
        settings.summary,
    )
    ratios = ratio_table(samples, judged.counts, study.panels, settings.summary)
    edits = correcting.correction_table(corrections, results)
    exclusions = exclusion_table(fields)
    return StudyResult(
        study, biopsies, fields, exclusions, cells, judged.gates, space, ratios, edits, controlled
    )


def run_study(
    study: Study,
    out: Path,
    settings: Settings | None = None,
    *,
    gates_file: Path | None = None,
    calibration_file: Path | None = None,
    classifier_file: Path | None = None,
    corrections_file: Path | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    stop: Stop | None = None,
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
    calibration_file
        Calibrations that somebody gives; from the controls if not given.
    classifier_file
        A learned class, see `imganalysis.classify.learned`; the rules alone if not given.
    corrections_file
        A log of a person's corrections, or its folder; nothing is corrected if not given.
    workers
        Processes; all processors by default. The results do not depend on it.
    overwrite
        Whether earlier results in `out` may be replaced.
    progress
        Called with (step, done, total).
    stop
        Asked now and then whether to stop; nothing is written then.

    Raises
    ------
    StudyError
        The study holds no field of a biopsy.
    OutputError
        `out` cannot be written, or holds something.
    LabelsError
        Nuclei are given that fit no field, or several.
    ModelError, MissingLibraryError
        Weights or a library that finding nuclei needs cannot be had; or the classifier's file is
        damaged, does not fit the study, or did worse than the rules.
    GatesError
        The gates file is wrong or does not fit the study.
    CalibrationError
        The calibration file is wrong or does not fit the study, a control shows another dye
        than it says, or the dyes of a panel cannot be told apart.
    CorrectionsError
        The log of corrections is damaged, or of another study.
    StoppedError
        `stop` said so.
    """
    settings = settings or Settings()
    say = progress or (lambda step, done, total: None)
    given = check_run(
        study,
        out,
        settings,
        gates_file=gates_file,
        calibration_file=calibration_file,
        classifier_file=classifier_file,
        corrections_file=corrections_file,
        overwrite=overwrite,
    )
    started = now()
    with result_folder(out, overwrite=overwrite, inputs=inputs_of(study, settings)) as folder:
        calibrations = calibrate_study(
            study, settings, given.calibrations, workers=workers, progress=say, stop=stop
        )
        tasks = _field_tasks(study, settings, folder, workers, calibrations, given.corrections)
        results = run_tasks(
            analyse_field,
            tasks,
            workers=workers,
            lost=_died,
            progress=lambda done, total: say("Fields", done, total),
            stop=stop,
        )
        results = flag_focus(results)
        result = analyse_study(
            study, results, settings, given.gates, given.classifier, given.corrections
        )
        check_stop(stop)
        _write_result(folder, result, settings)
        correcting.write_table(folder, given.corrections, result.corrections)
        write_calibrations(folder / CALIBRATION_NAME, calibrations)
        undrawn = draw_fields(
            field_pictures(folder, tasks, results, result.cells),
            workers=workers,
            progress=lambda done, total: say("Pictures", done, total),
            stop=stop,
        )
        write_json(
            folder / RUN,
            {
                **run_record(study.panels, settings, started),
                "study": {
                    "root": str(study.root),
                    "from": study.source,
                    "notes": list(study.notes),
                },
                **given.facts,
                "calibrations": {"; ".join(c.scope): c.fingerprint for c in calibrations},
                "positive_controls": [vars(one) for one in result.positive_controls],
                **facts_of(results),
                "overlays_not_drawn": undrawn,
            },
        )
    return result


def _field_tasks(
    study: Study,
    settings: Settings,
    folder: Path,
    workers: int | None,
    calibrations: Sequence[Calibration],
    corrections: correcting.Corrections | None,
) -> list[Task]:
    """Make one task per field that can be read."""
    fields = [f for f in study.fields if not f.problem]
    by_scope = {calibration.scope: calibration for calibration in calibrations}
    threads = threads_each(workers, len(fields))
    return [
        Task(
            f, study.panels[f.panel], settings, folder, threads, by_scope[scope_of(f)],
            correcting.edits_of(corrections, f.name),
        )
        for f in fields
    ]  # fmt: skip


def _write_result(folder: Path, result: StudyResult, settings: Settings) -> None:
    """Write the tables and the gates."""
    write_tables(
        folder,
        biopsies=result.biopsies,
        fields=result.fields,
        exclusions=result.exclusions,
        ratios=result.ratios,
        space=result.space if settings.space.table else None,
        cells=result.cells,
        cells_csv=settings.output.cells_csv,
    )
    write_gates(folder / GATES_NAME, result.gates)
