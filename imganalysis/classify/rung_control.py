"""The first rung of the ladder: a percentile of cells that were stained without the antibody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis import tables as t
from imganalysis.classify.calls import measure_values
from imganalysis.classify.false_calls import false_positives
from imganalysis.classify.gate_parts import Quantiles, SoftCurve, Verdict
from imganalysis.classify.scopes import comparable, evaluable, of_place
from imganalysis.words import plural

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from imganalysis.panel import Measure
    from imganalysis.settings import Gating

    Numbers = NDArray[np.float64]

PERCENTILES = (1.0, 5.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0)
"""Of the cells that set a gate, kept with it."""

STEPS = 48
"""Of the curve of the soft probability; evenly spaced in the logarithm of the control's tail."""

GUARD_CELLS = 50
"""Of a control too small to set a gate, with which its percentile may say that a mixture's gate is
far off: of 50 log-normal values (log SD 0.5) it is over 1.6 times off the true one in 3 of 100
draws, of 20 in 21."""

NOWHERE = "the study has no secondary-only or isotype control of this panel"


def control_rung(
    controls: pd.DataFrame,
    marker: str,
    measure: Measure,
    gating: Gating,
    place: tuple[str, str, str],
    samples: Numbers | None = None,
) -> tuple[Verdict, dict[str, Any]]:
    """Set a gate from the control of a panel, batch and acquisition.

    Parameters
    ----------
    controls
        Control cells of all scopes, with ``field``, ``panel``, ``batch``, ``acquisition`` and the
        measures; only the evaluable ones count.
    marker, measure
        What is gated.
    gating
        Percentile, fewest control cells, indeterminate band.
    place
        (panel, batch, acquisition).
    samples
        (N,) statistic of the samples' cells, for the soft probability; none without.

    Returns
    -------
    Verdict
        With the value or the reason why there is none.
    dict
        What else a gate of this rung carries.
    """
    cells = of_place(controls, place)
    if cells.empty:
        reason, note = _elsewhere(controls, place)
        return Verdict(rung="control_percentile", reason=reason, note=note), {}
    cells = evaluable(cells)
    some = len(cells) > 0
    cells = comparable(cells)
    if cells.empty and some:
        return Verdict(rung="control_percentile", reason="control_clipped"), {}
    values = measure_values(cells, marker, measure)
    finite = np.isfinite(values)
    values, fields = values[finite], cells[t.FIELD].to_numpy()[finite]
    found: dict[str, Any] = {"rung": "control_percentile", "n": int(values.size)}
    few = values.size < gating.min_control_cells
    said = f"{plural(values.size, 'control cell')}, at least {gating.min_control_cells} are needed"
    found |= {"reason": "control_too_few_cells"} if few else {}
    if few and values.size < GUARD_CELLS:
        note = f"{said} to set a gate, and {GUARD_CELLS} to guard one"
        return Verdict(**found, note=note), {}
    values, fields = _sorted(values, fields)
    value = float(np.percentile(values, gating.control_percentile))
    if few:
        does = "guards a mixture" if value > 0 else "is not above 0 and guards none"
        note = f"{said} to set a gate; their percentile {does}"
        return Verdict(**found, value=value if value > 0 else None, note=note), {}
    if value <= 0:
        note = f"the percentile {gating.control_percentile:g} of its cells is {value:.3g}"
        return Verdict(**found, reason="control_no_signal", note=note), {}
    se = quantile_se(values, gating.control_percentile / 100)
    extra: dict[str, Any] = {
        "percentile": gating.control_percentile,
        "control_fpr": false_positives(
            values, fields, gating.control_percentile, gating.indeterminate_band
        ),
        "quantiles": quantiles(values),
    }
    if samples is not None:
        extra["soft"] = soft_curve(values, samples, gating.ladder.null_above)
    return Verdict(**found, value=value, se=se), extra


def _elsewhere(controls: pd.DataFrame, place: tuple[str, str, str]) -> tuple[str, str]:
    """Say which controls of the panel there are, if any."""
    mine = controls[controls[t.PANEL].astype(str) == place[0]]
    others = mine[[t.BATCH, t.ACQUISITION]].astype(str).drop_duplicates()
    if others.empty:
        return "no_control", NOWHERE
    pairs = sorted(others.itertuples(index=False, name=None))
    said = "; ".join(f"batch {batch or '-'}, acquisition {how or '-'}" for batch, how in pairs)
    return "control_elsewhere", f"controls of this panel are of {said}"


def _sorted(values: Numbers, fields: NDArray[Any]) -> tuple[Numbers, NDArray[Any]]:
    """Sort, so that the order of rows decides on no digit."""
    order = np.argsort(values, kind="stable")
    return values[order], fields[order]


def quantiles(values: Numbers) -> Quantiles:
    """Keep some quantiles of the cells that a gate was set on."""
    found = np.percentile(values, PERCENTILES)
    return Quantiles(percentiles=PERCENTILES, values=tuple(float(v) for v in found))


def quantile_se(values: Numbers, probability: float) -> float | None:
    """Estimate the standard error of a quantile by order statistics.

    Parameters
    ----------
    values
        (N,) sample.
    probability
        Of the quantile, between 0 and 1.

    Returns
    -------
    float or None
        None where the sample is too small for the quantile.

    Notes
    -----
    Maritz and Jarrett, J Am Stat Assoc 1978;73:194. Cells count as independent.
    """
    from scipy.stats import mstats

    rank = int(probability * values.size + 0.5)
    if not 1 < rank < values.size:
        return None
    return float(mstats.mjci(values, prob=[probability])[0])


def soft_curve(control: Numbers, samples: Numbers, null_above: float) -> SoftCurve | None:
    """Tell the probability of being positive by value, from how cells exceed the control.

    Parameters
    ----------
    control
        (N,) statistic of cells that cannot be positive.
    samples
        (M,) the same of the samples of the scope, all of them together.
    null_above
        Quantile of the control under which every cell counts as negative.

    Returns
    -------
    SoftCurve or None
        None without samples.

    Notes
    -----
    One minus the local false discovery rate, ``1 - p0 f0 / f`` (Efron, J Am Stat Assoc
    2004;99:96), told of the share of the control at or above a value, which is uniform for
    negative cells: its density is then 1, and that of the samples is the decreasing step function
    of Grenander, a regression by pooling adjacent violators, so that the probability never falls
    as the value rises. The share of negatives ``p0`` is that of the cells under the quantile
    `null_above`, over `null_above`: the assumption that hardly a positive cell lies there.
    A high quantile is taken because a sample's background is seldom exactly the control's, and
    a cell at the control's median must not be half positive for that. The probabilities of all
    cells then add up to ``(1 - p0) M``, but for steps that would be negative and are 0.
    """
    from scipy.optimize import isotonic_regression

    control = np.sort(control[np.isfinite(control)])
    samples = np.sort(samples[np.isfinite(samples)])
    if not samples.size or not control.size:
        return None
    tail = 1.0 - null_above
    shares = np.geomspace(max(tail, 1 / control.size), 1 / (control.size + 1), STEPS + 1)
    edges = np.unique(np.quantile(control, 1.0 - shares))
    under = np.searchsorted(samples, edges, side="left") / samples.size
    # By counting, and not by the quantiles asked for: controls hold ties.
    above = 1.0 - np.searchsorted(control, edges, side="left") / control.size
    above = np.maximum(above, 1 / (control.size + 1))
    widths = above - np.append(above[1:], 0.0)
    null = min(1.0, float(under[0]) / max(1.0 - float(above[0]), 1e-12))
    keep = widths > 0
    mass = np.diff(np.append(under, 1.0))
    # What lies between edges of no width falls to the next lower one.
    groups = np.maximum(np.cumsum(keep) - 1, 0)
    mass = np.bincount(groups, weights=mass, minlength=int(keep.sum()))
    edges, widths = edges[keep], widths[keep]
    density = isotonic_regression(mass / widths, weights=widths, increasing=True).x
    probability = np.clip(1.0 - null / np.maximum(density, 1e-12), 0.0, 1.0)
    return SoftCurve(
        values=tuple(float(v) for v in edges),
        probabilities=tuple(float(p) for p in np.maximum.accumulate(probability)),
        null_share=null,
        n=int(samples.size),
    )
