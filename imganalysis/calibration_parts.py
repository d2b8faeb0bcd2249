"""What the controls of one panel, batch and acquisition say together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from imganalysis.control_fields import SINGLE_STAIN, Looked, dye_of
from imganalysis.errors import CalibrationError
from imganalysis.prepare import bleedthrough, flatfield, shift
from imganalysis.prepare.calibration import (
    CORRECTED,
    ELSEWHERE,
    GIVEN,
    NO_CONTROL,
    NOT_DONE,
    OFF,
    PARTLY,
    Calibration,
    Control,
    Share,
    Shift,
    Surface,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from imganalysis.panel import Panel
    from imganalysis.prepare.calibration import State
    from imganalysis.settings import Settings

Scope = tuple[str, str, str]
"""Panel, batch, acquisition."""

_DIGITS = 6  # of what is written: the hash must not hang on the last digit of a machine


def place_text(scope: Scope) -> str:
    """Name a scope in a message, without what has no name."""
    names = zip(("panel", "batch", "acquisition"), scope, strict=True)
    return ", ".join(f"{what} {name}" for what, name in names if name)


def assemble(
    scope: Scope,
    panel: Panel,
    settings: Settings,
    looked: Sequence[Looked],
    for_shift: Sequence[Looked],
    shifts: tuple[tuple[Shift, ...], State],
    elsewhere: bool,
    n_controls: int,
) -> Calibration:
    """Put together what the controls of one scope say."""
    markers = [c.marker for c in panel.channels if c.role != "ignore"]
    good = [x for x in looked if not x.reason]
    # Glass, where there is any, comes nearest to a detector without light.
    offsets = {
        m: round(min(x.lows[m] for x in good), _DIGITS) for m in markers
        if all(m in x.lows for x in good) and good
    }  # fmt: skip
    shares, mixing = _shares(scope, panel, markers, settings, looked, elsewhere)
    surfaces, light = _surfaces(markers, settings, good, offsets, n_controls)
    used = {x.field.name: x for x in (*for_shift, *looked)}
    result = Calibration(
        panel=scope[0],
        batch=scope[1],
        acquisition=scope[2],
        bleedthrough=mixing,
        flatfield=light,
        channel_shift=shifts[1],
        offsets=offsets if shares or surfaces else {},
        shares=shares,
        surfaces=surfaces,
        shifts=shifts[0],
        field_um=_common_size(good) if any(s.coefficients for s in surfaces) else None,
        controls=tuple(
            Control(
                field=x.field.name,
                role=x.field.role,
                stain=x.field.stain,
                hash=x.sha256,
                reason=x.reason,
            )
            for x in used.values()
        ),
    )
    matrix = result.matrix(markers)
    if not shares:
        return result
    try:
        condition = bleedthrough.check_mixing(
            matrix, markers, settings.calibration.max_condition, given=mixing == GIVEN
        )
    except CalibrationError as error:
        raise CalibrationError(f"{place_text(scope)}: {error.message}") from None
    return result.model_copy(update={"condition": round(condition, _DIGITS)})


def _shares(
    scope: Scope,
    panel: Panel,
    markers: Sequence[str],
    settings: Settings,
    looked: Sequence[Looked],
    elsewhere: bool,
) -> tuple[tuple[Share, ...], State]:
    chosen = settings.calibration
    if chosen.bleedthrough == OFF:
        return (), OFF
    if chosen.shares:
        own = tuple(
            Share(detector=i, dye=j, share=chosen.shares.get(i, {}).get(j, 0.0))
            for j in markers
            for i in markers
            if i != j
        )
        return own, GIVEN
    stains = [x for x in looked if x.field.role == SINGLE_STAIN]
    if not stains:
        return (), ELSEWHERE if elsewhere else NO_CONTROL
    out = []
    for dye in markers:
        mine = [x for x in stains if dye_of(x.field, panel) == dye]
        for detector in markers:
            if detector != dye:
                out.append(_share(dye, detector, mine))
    known = sum(part.share is not None for part in out)
    state: State = CORRECTED if known == len(out) else PARTLY if known else NOT_DONE
    return tuple(out), state


def _share(dye: str, detector: str, controls: Sequence[Looked]) -> Share:
    """Share of a dye in a detector, from the dye's controls."""
    if not controls:
        return Share(detector=detector, dye=dye, reason=NO_CONTROL)
    slopes = [x.slopes[detector] for x in controls if detector in x.slopes]
    for x in controls:
        found = x.slopes.get(detector)
        if found is not None and found.reason == bleedthrough.ELSEWHERE:
            raise CalibrationError(
                f"{x.field.path}: single stain control: its `stain` says {dye}, but its light is "
                f"brighter in the channel of {detector}; correct the stain, or give the control "
                "the role ignore"
            )
    if not slopes:
        return Share(detector=detector, dye=dye, reason=controls[0].reason or NO_CONTROL)
    pooled = bleedthrough.pool_slopes(slopes)
    if pooled.reason:
        return Share(detector=detector, dye=dye, n_blocks=pooled.n, reason=pooled.reason)
    return Share(
        detector=detector,
        dye=dye,
        share=round(max(0.0, pooled.value), _DIGITS),
        measured=round(pooled.value, _DIGITS),
        se=round(pooled.se, _DIGITS),
        lo=round(pooled.lo, _DIGITS),
        hi=round(pooled.hi, _DIGITS),
        n_blocks=pooled.n,
    )


def _surfaces(
    markers: Sequence[str],
    settings: Settings,
    good: Sequence[Looked],
    offsets: dict[str, float],
    n_controls: int,
) -> tuple[tuple[Surface, ...], State]:
    chosen = settings.calibration
    if chosen.flatfield == OFF:
        return (), OFF
    if not n_controls:
        return (), NO_CONTROL
    size = _common_size(good)
    same = [x for x in good if x.size_um == size]
    out = []
    for marker in markers:
        seen = [x for x in same if marker in x.grids]
        coefficients, se, reason = flatfield.fit_shading(
            [x.grids[marker] for x in seen],
            offsets.get(marker, 0.0),
            max((x.ranges[marker] for x in seen), default=1.0),
            min_fields=chosen.flatfield_fields,
            max_se=chosen.flatfield_se,
        )
        out.append(
            Surface(
                marker=marker,
                coefficients=coefficients or None,
                se=round(se, _DIGITS) if np.isfinite(se) else None,
                reason=reason,
            )
        )
    # An even channel needs no correction, and is as good as corrected.
    done = sum(s.coefficients is not None or s.reason == flatfield.EVEN for s in out)
    state: State = CORRECTED if done == len(out) else PARTLY if done else NOT_DONE
    return tuple(out), state


def _common_size(good: Iterable[Looked]) -> tuple[float, float] | None:
    """Height and width of most controls, um; of several equally frequent the first."""
    sizes = [x.size_um for x in good if x.size_um is not None]
    return max(dict.fromkeys(sizes), key=sizes.count, default=None)


def shifts_of(
    looked: Sequence[Looked], panel: Panel, settings: Settings
) -> tuple[tuple[Shift, ...], State]:
    """Shifts of a panel's channels that its controls agree on, and what that comes to."""
    if settings.calibration.channel_shift == OFF:
        return (), OFF
    good = [x for x in looked if not x.reason]
    if not good:
        return (), NO_CONTROL
    out = []
    for channel in panel.channels:
        if channel.role == "ignore" or channel.marker == panel.nuclei.marker:
            continue
        (dy, dx), spread, reason = shift.agree([x.shifts.get(channel.marker) for x in good])
        known = round(spread, _DIGITS) if np.isfinite(spread) else None
        out.append(Shift(marker=channel.marker, dy_px=dy, dx_px=dx, spread_px=known, reason=reason))
    done = sum(s.reason in ("", shift.NONE) for s in out)
    state: State = CORRECTED if done == len(out) else PARTLY if done else NOT_DONE
    return tuple(out), state
