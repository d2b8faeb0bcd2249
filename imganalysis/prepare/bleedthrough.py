"""Bleed-through: what of each dye reaches the other dyes' detectors, and taking it off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats
from skimage.filters import threshold_otsu

from imganalysis.errors import CalibrationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

BLOCK_UM = 1.0
"""Side of the blocks whose means are compared, um: less than a cell, more than a pixel."""

BINS = 12
"""Levels of the dye at which the other detectors are read."""

IN_BIN = 30
"""Fewest blocks of a level."""

TILES = 4
"""A control is cut into as many parts along each side, left out in turn."""

RELIABLE = 0.3
"""Of the steps between levels told by one half of the pixels, the least part that the other half
must see again: noise alone shows none of it."""

APART = 5.0
"""Standard deviations of the blocks without the dye by which those with it must be brighter."""

BRIGHTER = 4.0
"""Times the light of a dye's own detector that another one must see for the stain to be wrong."""

FOREIGN = 0.25
"""A second dye is in a control where its light varies by so much of the dye's own range."""

MAX_SE = 0.02
"""A share with a greater standard error is not known well enough to be used."""

ZEROS = 0.1
"""Levels with more zero pixels in the other detector say nothing: its offset cuts them off."""

NO_SIGNAL, ELSEWHERE = "no_signal", "brighter_elsewhere"
FOREIGN_DYE, ZERO_CLIPPED, IMPRECISE = "second_dye", "zero_clipped", "imprecise"


@dataclass(frozen=True)
class Slope:
    """What one control says of the light of its dye in one detector.

    Parameters
    ----------
    value
        Grey levels there per grey level in the dye's own detector; NaN with a reason.
    without
        The same with each part of the field left out, of the parts that hold the dye.
    weight
        Of this control among others of its dye: its levels' spread times their blocks.
    n
        Blocks that hold the dye.
    reason
        Fixed word for why there is no value.
    """

    value: float = float("nan")
    without: tuple[float, ...] = ()
    weight: float = 0.0
    n: int = 0
    reason: str = ""


def dye_slopes(
    pixels: NDArray[Any],
    own: int,
    pixel_um: tuple[float, float],
    clipped: NDArray[np.bool_] | None = None,
) -> list[Slope]:
    """Read a single stain control: its dye's light in each detector.

    Parameters
    ----------
    pixels
        (C, Y, X), or (C, Z, Y, X) for planes that are all used; grey levels.
    own
        Position of the dye's own detector.
    pixel_um
        Size of a pixel (Y, X), um.
    clipped
        Pixels at the end of the range, shape of `pixels`; blocks with one play no part.

    Returns
    -------
    list of Slope
        One per detector; that of its own is 1.

    Notes
    -----
    Obs = S dye + b (pixel regression in positive pixels). A regression on noisy pixels is drawn
    towards 0, and choosing bright ones chooses their noise. So the pixels of each block are
    split like a chessboard: one half says at which level of the dye the block is, the other
    half gives the means that are compared, with noise that had no part in the choice (Wald,
    Ann Math Stat 1940;11:284). The blocks above Otsu's threshold are put into levels of equal
    number; the mean of the middle half of the blocks of each level, which like a median dirt and
    autofluorescent specks do not move, gives one point; the slope is that of the line through
    the points. The background is the line's own intercept, so that it need not be known.
    """
    halves = _halves(pixels, pixel_um, clipped)
    count = pixels.shape[0]
    if halves is None or not halves.values.size:
        return [Slope(reason=NO_SIGNAL) for _ in range(count)]
    one, other, tile = halves.values[0], halves.values[1], halves.tile
    level = _positive_level(np.concatenate([one[own], other[own]]))
    # Each half chooses once and is read once.
    chosen = [one[own] > level, other[own] > level]
    key = np.concatenate([one[own][chosen[0]], other[own][chosen[1]]])
    read = np.concatenate([other[:, chosen[0]], one[:, chosen[1]]], axis=1)
    again = np.concatenate([one[:, chosen[0]], other[:, chosen[1]]], axis=1)
    zeros = np.concatenate([halves.zeros[:, chosen[0]], halves.zeros[:, chosen[1]]], axis=1)
    where = np.concatenate([tile[chosen[0]], tile[chosen[1]]])
    n = key.size // 2
    if n < BINS * IN_BIN:
        return _nothing(one, own, n)
    points = _points(key, np.concatenate([read, key[np.newaxis]]))
    x, steps = points[own], points[-1]
    if (x[-1] - x[0]) < RELIABLE * (steps[-1] - steps[0]):
        return _nothing(one, own, n)
    used = _means(key, zeros) <= ZEROS
    whole = _lines(points[:-1], own, used)
    parts = [where != t for t in np.unique(where)]
    parts = [keep for keep in parts if keep.sum() >= BINS * IN_BIN]
    without = [_lines(_points(key[k], read[:, k]), own, used) for k in parts]
    weight = float(np.var(x)) * key.size
    found = []
    for i in range(count):
        if i == own:
            found.append(Slope(1.0, (), 0.0, n))
        elif used[i].sum() < BINS // 2:
            found.append(Slope(n=n, reason=ZERO_CLIPPED))
        else:
            value = float(whole[i])
            residue = (half[i] - value * half[own] for half in (read, again))
            if _common_sd(*residue) > FOREIGN * max(np.ptp(x), np.ptp(points[i])):
                found.append(Slope(n=n, reason=FOREIGN_DYE))
            else:
                others = tuple(float(slopes[i]) for slopes in without)
                found.append(Slope(value, others, weight, n, ELSEWHERE if value > 1 else ""))
    return found


@dataclass(frozen=True)
class _Halves:
    """Means of the two halves of each block: (2, C, N); zeros (C, N); tile (N,)."""

    values: NDArray[np.float64]
    zeros: NDArray[np.float64]
    tile: NDArray[np.intp]


def _halves(
    pixels: NDArray[Any], pixel_um: tuple[float, float], clipped: NDArray[np.bool_] | None
) -> _Halves | None:
    # An even side, so that both halves of a chessboard have as many pixels.
    block = [2 * max(1, round(BLOCK_UM / step / 2)) for step in pixel_um]
    stacked = pixels if pixels.ndim == 4 else pixels[:, np.newaxis]
    rows, columns = (size // b for size, b in zip(stacked.shape[-2:], block, strict=True))
    if rows < TILES or columns < TILES:
        return None
    ok = np.isfinite(stacked).all(axis=0)
    if clipped is not None:
        ok &= ~clipped.reshape(stacked.shape).any(axis=0)
    board = np.add.outer(np.arange(block[0]), np.arange(block[1])) % 2 == 0
    half = board.sum()

    def blocks(plane: NDArray[Any]) -> NDArray[Any]:
        cut = plane[..., : rows * block[0], : columns * block[1]]
        shape = (*cut.shape[:-2], rows, block[0], columns, block[1])
        return np.moveaxis(cut.reshape(shape), -3, -2)

    whole = blocks(ok).all(axis=(-2, -1))
    means = np.empty((2, len(stacked), int(whole.sum())))
    zeros = np.empty((len(stacked), int(whole.sum())))
    for i, channel in enumerate(stacked):
        values = blocks(channel.astype(np.float64))[whole]
        means[0, i] = (values * board).sum(axis=(-2, -1)) / half
        means[1, i] = (values * ~board).sum(axis=(-2, -1)) / half
        zeros[i] = (values == 0).mean(axis=(-2, -1))
    tiles = np.add.outer(
        np.arange(rows) * TILES // rows * TILES, np.arange(columns) * TILES // columns
    )
    tile = np.broadcast_to(tiles, whole.shape)[whole]
    return _Halves(means, zeros, tile)


def _nothing(blocks: NDArray[np.float64], own: int, n: int) -> list[Slope]:
    """Of a control without its dye: which detector sees far more light than the dye's own."""
    low, high = np.percentile(blocks, (50, 99.5), axis=1)
    far = high - low > BRIGHTER * max(float(high[own] - low[own]), 1e-9)
    return [Slope(n=n, reason=ELSEWHERE if brighter else NO_SIGNAL) for brighter in far]


def _positive_level(values: NDArray[np.float64]) -> float:
    """Level over which the dye, and not the tissue's own light, makes a block bright.

    Otsu's threshold, again of the upper part where the two parts do not stand apart: where few
    cells hold the dye, it parts tissue from glass first.
    """
    above = values
    while above.size >= 2 * BINS * IN_BIN and np.ptp(above) > 0:
        level = float(threshold_otsu(above))  # type: ignore[no-untyped-call]
        below, above = values[values <= level], above[above > level]
        middle = float(np.median(below))
        spread = 1.4826 * float(np.median(np.abs(below - middle)))
        if above.size and float(np.median(above)) - middle >= APART * spread:
            return level
    return float("inf")


def _ordered(key: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(C, BINS, n) the values of each level; the few darkest that fill no level are left out."""
    order = np.argsort(key, kind="stable")[key.size % BINS :]
    return np.asarray(values[:, order].reshape(len(values), BINS, -1))


def _means(key: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(_ordered(key, values).mean(axis=-1))


def _points(key: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(C, BINS) mean of the middle half of the values of each level."""
    ordered = np.sort(_ordered(key, values), axis=-1)
    cut = ordered.shape[-1] // 4
    return np.asarray(ordered[..., cut : ordered.shape[-1] - cut].mean(axis=-1))


def _lines(points: NDArray[np.float64], own: int, used: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(C,) slopes of the lines through the levels that are used; NaN with fewer than two."""
    out = np.full(len(points), np.nan)
    for i, (y, levels) in enumerate(zip(points, used, strict=True)):
        if levels.sum() >= 2:
            x = points[own][levels] - points[own][levels].mean()
            out[i] = float(x @ y[levels] / (x @ x))
    return out


def _common_sd(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Take the standard deviation of what both halves of blocks share; noise is not shared."""
    return float(np.sqrt(max(0.0, np.mean((one - one.mean()) * (other - other.mean())))))


@dataclass(frozen=True)
class Pooled:
    """A dye's share in a detector, from all its controls, with its 95 % interval."""

    value: float
    se: float
    lo: float
    hi: float
    n: int
    reason: str


def pool_slopes(slopes: Sequence[Slope]) -> Pooled:
    """Pool what the controls of one dye say of one detector.

    Parameters
    ----------
    slopes
        Of the controls, in a fixed order.

    Returns
    -------
    Pooled
        NaN with the first reason where no control has a value, ``brighter_elsewhere`` where any
        says so, and ``imprecise`` where the standard error is over `MAX_SE`. Otherwise the
        weighted mean.

    Notes
    -----
    Standard error by leaving out each part of each field in turn (delete-one jackknife; Efron &
    Tibshirani, An Introduction to the Bootstrap, 1993, 11.5), t quantile. From three controls on
    that between the controls is taken if it is greater.
    """
    nan = float("nan")
    known = [s for s in slopes if np.isfinite(s.value) and s.weight > 0]
    n = sum(s.n for s in slopes)
    if any(s.reason == ELSEWHERE for s in slopes):
        return Pooled(nan, nan, nan, nan, n, ELSEWHERE)
    if not known:
        reason = next((s.reason for s in slopes if s.reason), NO_SIGNAL)
        return Pooled(nan, nan, nan, nan, n, reason)
    weights = np.array([s.weight for s in known])
    values = np.array([s.value for s in known])
    share = weights / weights.sum()
    value = float(share @ values)
    changes = np.array([w * (b - s.value) for s, w in zip(known, share, strict=True)
                        for b in s.without])  # fmt: skip
    groups = changes.size
    if groups < 4:
        return Pooled(nan, nan, nan, nan, n, IMPRECISE)
    se = float(np.sqrt((groups - 1) / groups * np.sum((changes - changes.mean()) ** 2)))
    df = groups - 1
    if len(known) >= 3:
        m = len(known)
        between = float(np.sqrt(m / (m - 1) * np.sum((share * (values - value)) ** 2)))
        se, df = (between, m - 1) if between > se else (se, df)
    if se > MAX_SE:
        return Pooled(value, se, nan, nan, n, IMPRECISE)
    half = float(stats.t.ppf(0.975, df)) * se
    return Pooled(value, se, value - half, value + half, n, "")


def check_mixing(
    matrix: NDArray[np.float64], markers: Sequence[str], limit: float, *, given: bool = False
) -> float:
    """Refuse a matrix that cannot be inverted without blowing up the noise.

    Parameters
    ----------
    matrix
        (C, C), [detector, dye], 1 on the diagonal.
    markers
        Names for the message.
    limit
        Greatest condition number.
    given
        Whether a person gave the shares, and no control did; for the message.

    Returns
    -------
    float
        The condition number.

    Raises
    ------
    CalibrationError
        It is over the limit; names the two dyes that are most alike.
    """
    condition = float(np.linalg.cond(matrix)) if np.isfinite(matrix).all() else float("inf")
    if condition <= limit:
        return condition
    units = matrix / np.linalg.norm(matrix, axis=0)
    alike = np.abs(units.T @ units) - 2 * np.eye(len(markers))
    a, b = sorted(divmod(int(np.argmax(alike)), len(markers)))
    check = (
        "Correct the shares that were given (`shares`, in the settings or the calibration file); "
        "if they are"
        if given
        else "Check the `stain` of the single stain controls; if it is"
    )
    raise CalibrationError(
        f"bleed-through: the dyes of {markers[a]} and {markers[b]} give nearly the same light in "
        f"all detectors (condition number {condition:.3g}, at most {limit:g}): taking one off the "
        f"other would leave noise. {check} right, "
        "these dyes cannot be measured on one section with these filters"
    )


def unmix(
    pixels: NDArray[Any], matrix: NDArray[np.float64], offset: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Take the bleed-through off.

    Parameters
    ----------
    pixels
        (C, ...) grey levels.
    matrix
        (C, C) S[detector, dye].
    offset
        (C,) grey levels without any light; it stays in the result.

    Returns
    -------
    array
        float64, shape of `pixels`: offset + S^-1 (pixels - offset). Not cut at 0, so that means
        over pixels stay unbiased. NaN of a channel spreads only to those that it bleeds into.
    """
    inverse = np.linalg.inv(matrix)
    out = np.zeros(pixels.shape, np.float64)
    for i, row in enumerate(inverse):
        for j, factor in enumerate(row):
            if factor:
                out[i] += factor * (pixels[j].astype(np.float64) - offset[j])
        out[i] += offset[i]
    return out
