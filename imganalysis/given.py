"""What a person gives to a run beside the images; all that would stop it is found beforehand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from imganalysis.calibrate import check_calibration
from imganalysis.calibration_file import read_calibrations
from imganalysis.classify.gates_file import adopt_gates
from imganalysis.classify.learned import check_classifier, read_classifier
from imganalysis.correcting import load_corrections, log_facts
from imganalysis.errors import StudyError
from imganalysis.gating import load_gates
from imganalysis.io import file_hash
from imganalysis.positive_controls import positive_controls
from imganalysis.quantify.ratios import check_ratios
from imganalysis.quantify.sections import check_diameters
from imganalysis.quantify.spatial import check_pairs
from imganalysis.reading import check_given, check_method, inputs_of
from imganalysis.results import check_target

if TYPE_CHECKING:
    from pathlib import Path

    from imganalysis.classify.gates import Gate
    from imganalysis.classify.learned import Learned
    from imganalysis.correcting import Corrections
    from imganalysis.prepare.calibration import Calibration
    from imganalysis.settings import Settings
    from imganalysis.study import Study


@dataclass(frozen=True)
class Given:
    """What the files that were named hold.

    Parameters
    ----------
    gates
        None where no file was named, so that they come from the study.
    calibrations
        Those that somebody gives.
    classifier
        A learned class, or None.
    corrections
        A person's edits, or None.
    facts
        Name -> hash of each file, for run.json.
    """

    gates: tuple[Gate, ...] | None = None
    calibrations: tuple[Calibration, ...] = ()
    classifier: Learned | None = None
    corrections: Corrections | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def check_run(
    study: Study,
    out: Path,
    settings: Settings,
    *,
    gates_file: Path | None = None,
    calibration_file: Path | None = None,
    classifier_file: Path | None = None,
    corrections_file: Path | None = None,
    overwrite: bool = False,
) -> Given:
    """Find what would stop a run before it starts.

    Parameters and errors are those of `imganalysis.pipeline.run_study`.
    """
    if not study.samples:
        raise StudyError(f"{study.root}: no field of a biopsy, only controls: nothing to count")
    panels = list(study.panels.values())
    positive_controls(study)
    check_given(study, settings)
    check_method(settings)
    check_pairs(panels, settings.space)
    check_diameters(panels, settings.counting)
    check_ratios(panels, settings.summary)
    check_target(out, overwrite=overwrite, inputs=inputs_of(study, settings))
    classifier = None
    if classifier_file is not None:
        classifier = read_classifier(classifier_file)
        check_classifier(classifier, panels, str(classifier_file))
    calibrations = read_calibrations(calibration_file, study.panels)
    check_calibration(study, settings, calibrations)
    corrections = load_corrections(corrections_file, study)
    gates = None
    if gates_file is not None:
        fields = [(f.name, f.panel, f.batch, f.acquisition) for f in study.samples if f.panel]
        gates = load_gates(gates_file, panels, fields, settings.gating)
        adopt_gates(gates, (), scopes_of(study))  # a gate that fits nowhere is refused here
    facts = {
        "gates_file": gates_file and file_hash(gates_file),
        "calibration_file": calibration_file and file_hash(calibration_file),
        "classifier_file": classifier_file and file_hash(classifier_file),
        "classifier": classifier and classifier.content_hash,
        **log_facts(corrections),
    }
    return Given(gates, calibrations, classifier, corrections, facts)


def scopes_of(study: Study) -> list[tuple[str, str, str]]:
    """Panels, batches and acquisitions of a study, each once."""
    found = [(f.panel, f.batch, f.acquisition) for f in study.fields if f.panel]
    return list(dict.fromkeys(found))
