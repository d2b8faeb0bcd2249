"""Calibration of a study: the controls of each batch, before any field is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imganalysis.calibration_parts import Scope, assemble, place_text, shifts_of
from imganalysis.control_fields import (
    SINGLE_STAIN,
    UNSTAINED,
    ControlTask,
    Looked,
    dye_of,
    look_at_control,
)
from imganalysis.engine import run_tasks
from imganalysis.errors import CalibrationError
from imganalysis.prepare.bleedthrough import check_mixing
from imganalysis.prepare.calibration import (
    ALL,
    ELSEWHERE,
    GIVEN,
    NO_CONTROL,
    NOT_DONE,
    OFF,
    PARTLY,
    Calibration,
    select_calibration,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imganalysis.engine import Stop
    from imganalysis.panel import Panel
    from imganalysis.records import Progress
    from imganalysis.settings import Settings
    from imganalysis.study import Field, Study

FLAGS = {
    NO_CONTROL: "no_bleedthrough_control",
    ELSEWHERE: "bleedthrough_control_elsewhere",
    PARTLY: "bleedthrough_incomplete",
    NOT_DONE: "bleedthrough_incomplete",
}
"""Flag of a field by what was done about bleed-through."""


def scope_of(where: Field) -> Scope:
    """Panel, batch and acquisition of a field, which share a calibration."""
    return (where.panel, where.batch, where.acquisition)


def calibrate_study(
    study: Study,
    settings: Settings,
    given: Sequence[Calibration] = (),
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> tuple[Calibration, ...]:
    """Calibrate every panel, batch and acquisition of a study by its controls.

    Parameters
    ----------
    study
        What will be analysed.
    settings
        Of the run.
    given
        Calibrations that somebody gives; where one fits, no control is asked.
    workers
        Processes; the result does not depend on it.
    progress
        Called with (step, done, total).
    stop
        Asked whether to stop.

    Returns
    -------
    tuple of Calibration
        One per panel, batch and acquisition, in the order of the fields.

    Raises
    ------
    CalibrationError
        A single stain control names no stain of its panel, or another than it shows; the dyes
        of a panel cannot be told apart; or a given calibration fits nowhere.
    """
    fields = [f for f in study.fields if not f.problem]
    scopes = list(dict.fromkeys(scope_of(f) for f in fields))
    check_calibration(study, settings, given)
    chosen = {scope: select_calibration(given, *scope) for scope in scopes}
    open_scopes = [scope for scope in scopes if chosen[scope] is None]
    controls = [f for f in fields if f.is_control and scope_of(f) in open_scopes]

    def look(tasks: list[ControlTask]) -> list[Looked]:
        return run_tasks(
            look_at_control,
            tasks,
            workers=workers,
            lost=lambda task: Looked(task.field, reason="process_died"),
            progress=(lambda d, n: progress("Controls", d, n)) if progress else None,
            stop=stop,
        )

    panels = study.panels
    # First the shift: dyes are compared where the channels lie on each other.
    first = [
        ControlTask(f, panels[f.panel], settings, only_shift=True)
        for f in controls
        if settings.calibration.channel_shift != OFF and _shows_shift(f, panels[f.panel])
    ]
    moved = look(first)
    parts = {s: shifts_of([x for x in moved if scope_of(x.field) == s], panels[s[0]], settings)
             for s in open_scopes}  # fmt: skip
    by = {
        s: {p.marker: (p.dy_px, p.dx_px) for p in parts[s][0] if p.dy_px or p.dx_px}
        for s in open_scopes
    }
    second = [
        ControlTask(f, panels[f.panel], settings, shifts=by[scope_of(f)])
        for f in controls
        if _is_needed(f, controls, settings)
    ]
    looked = look(second)
    stained = {scope_of(f) for f in fields if f.role == SINGLE_STAIN}
    out = []
    for scope in scopes:
        known = chosen[scope]
        if known is None:
            mine = [x for x in looked if scope_of(x.field) == scope]
            seen = [x for x in moved if scope_of(x.field) == scope and x.field.role == UNSTAINED]
            elsewhere = any(other[0] == scope[0] for other in stained - {scope})
            n_controls = sum(scope_of(f) == scope for f in controls)
            known = assemble(
                scope, panels[scope[0]], settings, mine, seen, parts[scope], elsewhere, n_controls
            )
        out.append(
            known.model_copy(
                update=dict(zip(("panel", "batch", "acquisition"), scope, strict=True))
            )
        )
    return tuple(out)


def check_calibration(study: Study, settings: Settings, given: Sequence[Calibration] = ()) -> None:
    """Find what would stop the calibration before a pixel is read.

    Raises
    ------
    CalibrationError
        As in `calibrate_study`, as far as names tell.
    """
    fields = [f for f in study.fields if not f.problem]
    known = {c.marker for panel in study.panels.values() for c in panel.channels}
    shares = settings.calibration.shares
    unknown = {*shares, *(dye for dyes in shares.values() for dye in dyes)} - known
    if unknown:
        raise CalibrationError(
            f"calibration.shares: no panel of the study has {', '.join(sorted(unknown))}; "
            f"expected of {', '.join(sorted(known))}"
        )
    scopes = {scope_of(f) for f in fields}
    for calibration in given:
        if not any(select_calibration([calibration], *scope) for scope in scopes):
            shown = "; ".join(place_text(scope) for scope in sorted(scopes))
            raise CalibrationError(
                f"a calibration fits no field of the study: {place_text(calibration.scope)}; "
                f"the study has {shown}. Correct it, or take it out"
            )
        for name in sorted({p for p, _, _ in scopes if calibration.panel in (ALL, p)}):
            markers = [c.marker for c in study.panels[name].channels]
            matrix, limit = calibration.matrix(markers), settings.calibration.max_condition
            check_mixing(matrix, markers, limit, given=calibration.bleedthrough == GIVEN)
    for where in fields:
        if where.role == SINGLE_STAIN and select_calibration(given, *scope_of(where)) is None:
            dye_of(where, study.panels[where.panel])


def _shows_shift(where: Field, panel: Panel) -> bool:
    """Whether the nuclear channel and the others show the same light in a control.

    The tissue's own light is seen by all detectors; so is what the nuclear dye leaks.
    """
    if where.role == UNSTAINED:
        return True
    return where.role == SINGLE_STAIN and dye_of(where, panel) == panel.nuclei.marker


def _is_needed(where: Field, controls: Sequence[Field], settings: Settings) -> bool:
    chosen = settings.calibration
    same = [f for f in controls if scope_of(f) == scope_of(where)]
    if chosen.bleedthrough != OFF and where.role == SINGLE_STAIN and not chosen.shares:
        return True
    if chosen.bleedthrough != OFF and chosen.shares:
        return True  # for the low levels of the detectors
    return chosen.flatfield != OFF and len(same) >= chosen.flatfield_fields
