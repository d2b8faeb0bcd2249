"""The statistics of a channel in a compartment: their names, what they need, their values."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis import tables as t
from imganalysis.quantify._totals import COMPARTMENTS, NUCLEUS, RING, Plan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from imganalysis.quantify._totals import Totals

MAX = "max"
CONTRAST_UM = 0.5
"""Distance of the two pixels that local contrast compares, um; about the grain of chromatin."""

_FREE = ("mean", "sum")
_MOMENTS = ("sd", "min", "max")
_ABOVE, _ZERO, _SATURATED, _CONTRAST = (
    "fraction_above", "zero_fraction", "saturated_fraction", "contrast",
)  # fmt: skip
_KNOWN = (*_FREE, *_MOMENTS, "median", "p0 to p100", _ABOVE, _ZERO, _SATURATED, _CONTRAST)

Wanted = tuple[int, str, str]
"""Channel, compartment, statistic."""


def share(statistic: str) -> float | None:
    """Percentile that a statistic's name stands for, from 0 to 1; None if it is none."""
    if statistic == "median":
        return 0.5
    number = statistic[1:]
    if statistic[:1] == "p" and number.isascii() and number.isdecimal() and int(number) <= 100:
        return int(number) / 100
    return None


def make_plan(
    wanted: Sequence[Wanted],
    markers: Sequence[str],
    spacing_um: tuple[float, ...],
    thresholds: Mapping[str, float],
    *,
    clipped: bool,
    solidity: bool,
) -> Plan:
    """Say what must be added up for the statistics that are wanted.

    Raises
    ------
    ValueError
        An unknown statistic, a fraction above no level or above one that is no finite number,
        or the saturation of unknown pixels.
    """
    moments, zeros = False, set()
    levels: dict[int, float] = {}
    shares: dict[tuple[int, int], set[float]] = {}
    contrast: dict[tuple[int, int], None] = {}
    for channel, compartment, name in wanted:
        marker = markers[channel]
        both = (NUCLEUS, RING) if compartment == MAX else (compartment,)
        keys = [(channel, COMPARTMENTS.index(one)) for one in both]
        part = share(name)
        if part is not None:
            for key in keys:
                shares.setdefault(key, set()).add(part)
        elif name in _MOMENTS:
            moments = True
        elif name == _ABOVE:
            if marker not in thresholds:
                raise ValueError(f"{_ABOVE} of {marker} needs a threshold")
            level = thresholds[marker]
            if not isinstance(level, Real) or not np.isfinite(float(level)):
                raise ValueError(
                    f"{_ABOVE} of {marker}: its threshold is a finite number, got {level!r}"
                )
            levels[channel] = float(level)
        elif name == _ZERO:
            zeros.add(channel)
        elif name == _SATURATED:
            if not clipped:
                raise ValueError(f"{_SATURATED} of {marker} needs the clipped pixels")
        elif name == _CONTRAST:
            contrast |= dict.fromkeys(keys)
        elif name not in _FREE:
            raise ValueError(f"unknown statistic {name!r}; known are {', '.join(_KNOWN)}")
    lag = [max(1, int(np.floor(CONTRAST_UM / step + 0.5))) for step in spacing_um[-2:]]
    return Plan(
        channels=len(markers),
        moments=moments,
        levels=levels,
        zeros=frozenset(zeros),
        clipped=frozenset(range(len(markers)) if clipped else ()),
        percentiles={key: tuple(sorted(own)) for key, own in shares.items()},
        contrast=tuple(contrast),
        lag=(lag[0], lag[1]),
        perimeter=len(spacing_um) == 2,
        solidity=solidity,
    )


def value(totals: Totals, plan: Plan, wanted: Wanted) -> NDArray[np.float64]:
    """Take one statistic of every object, NaN where there is no pixel or a broken one."""
    channel, compartment, name = wanted
    k = COMPARTMENTS.index(compartment)
    count, total = totals.count[:, k], totals.sum(channel, k)
    known = (count > 0) & np.isfinite(total)
    n = np.maximum(count, 1)
    result: NDArray[Any]
    if name == "mean":
        result = np.where(known, total, 0) / n
    elif name == "sum":
        result = total
    elif name in _MOMENTS:
        moments = np.where(known[:, np.newaxis], totals.moments[channel][:, k], 0)
        if name == "sd":
            variance = moments[:, 3] / n - np.square(moments[:, 2] / n)
            result = np.sqrt(np.maximum(variance, 0))
        else:
            result = moments[:, 4 if name == "min" else 5]
    elif name == _CONTRAST:
        result = totals.contrast[channel, k]
    elif name in (_ABOVE, _ZERO, _SATURATED):
        hits = {_ABOVE: totals.above, _ZERO: totals.zeros, _SATURATED: totals.clipped}[name]
        result = hits[channel][:, k] / n
    else:
        shares = plan.percentiles[channel, k]
        result = totals.percentiles[channel, k][:, shares.index(share(name) or 0.0)]
    return np.where(known, result, np.nan)


def columns(
    totals: Totals, plan: Plan, wanted: Sequence[Wanted], markers: Sequence[str]
) -> dict[str, NDArray[np.float64]]:
    """Columns of all that is wanted, each once, with those that the greater of two is of."""
    result: dict[str, NDArray[np.float64]] = {}
    for channel, compartment, name in wanted:
        column = t.measure_column(markers[channel], compartment, name)
        if column in result:
            continue
        if compartment != MAX:
            result[column] = value(totals, plan, (channel, compartment, name))
            continue
        two = []
        for one in (NUCLEUS, RING):
            own = t.measure_column(markers[channel], one, name)
            if own not in result:
                result[own] = value(totals, plan, (channel, one, name))
            two.append(result[own])
        n_ring = totals.count[:, COMPARTMENTS.index(RING)]
        # Every nucleus has pixels, so its NaN is a broken pixel, which is passed on: half a
        # measurement is none.
        result[column] = np.where(n_ring == 0, two[0], np.maximum(*two))
    return result


def saturated(totals: Totals) -> NDArray[np.float64]:
    """Share of each nucleus's pixels that are clipped, in the channel where it is greatest."""
    count = totals.count[:, COMPARTMENTS.index(NUCLEUS)]
    if not totals.clipped:
        return np.full(count.size, np.nan)
    worst = np.max([hits[:, 0] for hits in totals.clipped.values()], axis=0)
    return np.asarray(worst / count)
