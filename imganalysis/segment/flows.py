"""Labels to flows, and flows back to labels, in two dimensions.

The representation is that of Cellpose (Stringer et al., Nat Methods 2021;18:100): heat spreads
from the centre of each nucleus to its edge, and the gradient of the heat, with length 1, leads
every pixel of the nucleus back to its centre.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

FLOW_SCALE = 5.0
"""The network gives flows times this, so that they weigh as much as the probability."""

_SINK = 2  # pixels that must end in one place for it to belong to a sink
_REACH = 4  # a sink is not wider than this to either side of its peak


def labels_to_flows(labels: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
    """Lead every pixel of a nucleus to its centre.

    Parameters
    ----------
    labels
        (Y, X), 0 = background.

    Returns
    -------
    flows : (2, Y, X) float32
        Along Y and X, of length 1 in nuclei and 0 outside. The centre is the pixel of the
        nucleus nearest to its centroid.
    """
    numbers, dense = np.unique(labels, return_inverse=True)
    dense = dense.reshape(labels.shape).astype(np.int32)
    if numbers[0] != 0:  # no background at all
        dense += 1
    flows = np.zeros((2, *labels.shape), np.float32)
    _diffuse(dense, int(dense.max()) if dense.size else 0, flows)
    return flows


@njit(cache=True, nogil=True)
def _boxes(labels: Any, n: int) -> Any:
    """First row, last row, first column, last column, sums of rows and columns, size."""
    boxes = np.zeros((n + 1, 7), np.int64)
    boxes[:, 0] = labels.shape[0]
    boxes[:, 2] = labels.shape[1]
    boxes[:, 1] = -1
    boxes[:, 3] = -1
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            k = labels[y, x]
            if k > 0:
                boxes[k, 0] = min(boxes[k, 0], y)
                boxes[k, 1] = max(boxes[k, 1], y)
                boxes[k, 2] = min(boxes[k, 2], x)
                boxes[k, 3] = max(boxes[k, 3], x)
                boxes[k, 4] += y
                boxes[k, 5] += x
                boxes[k, 6] += 1
    return boxes


@njit(cache=True, nogil=True)
def _diffuse(labels: Any, n: int, flows: Any) -> None:
    boxes = _boxes(labels, n)
    for k in range(1, n + 1):
        size = boxes[k, 6]
        if size == 0:
            continue
        y0, x0 = boxes[k, 0] - 1, boxes[k, 2] - 1  # a rim of one pixel stays cold
        height, width = boxes[k, 1] - y0 + 2, boxes[k, 3] - x0 + 2
        mid_y, mid_x = boxes[k, 4] / size, boxes[k, 5] / size
        rows = np.empty(size, np.int64)
        columns = np.empty(size, np.int64)
        at, best, centre = 0, np.inf, 0
        for y in range(1, height - 1):
            for x in range(1, width - 1):
                if labels[y + y0, x + x0] == k:
                    rows[at] = y
                    columns[at] = x
                    away = (y + y0 - mid_y) ** 2 + (x + x0 - mid_x) ** 2
                    if away < best:
                        best, centre = away, at
                    at += 1
        heat = np.zeros((height, width))
        new = np.empty(size)
        for _ in range(2 * (height + width)):
            heat[rows[centre], columns[centre]] += 1.0
            for i in range(size):
                y, x = rows[i], columns[i]
                new[i] = (
                    heat[y - 1, x - 1] + heat[y - 1, x] + heat[y - 1, x + 1]
                    + heat[y, x - 1] + heat[y, x] + heat[y, x + 1]
                    + heat[y + 1, x - 1] + heat[y + 1, x] + heat[y + 1, x + 1]
                ) / 9.0  # fmt: skip
            for i in range(size):
                heat[rows[i], columns[i]] = new[i]
        for i in range(size):
            # The logarithm, because heat falls off exponentially.
            heat[rows[i], columns[i]] = np.log1p(heat[rows[i], columns[i]])
        for i in range(size):
            y, x = rows[i], columns[i]
            dy = heat[y + 1, x] - heat[y - 1, x]
            dx = heat[y, x + 1] - heat[y, x - 1]
            length = np.sqrt(dy * dy + dx * dx)
            if length > 1e-20:
                flows[0, y + y0, x + x0] = dy / length
                flows[1, y + y0, x + x0] = dx / length


def flows_to_labels(
    flows: NDArray[np.float32],
    logit: NDArray[np.float32],
    *,
    threshold: float = 0.0,
    steps: int = 100,
    max_error: float = 0.4,
    min_size: int = 12,
) -> NDArray[np.int32]:
    """Follow the flows; pixels that end in one place are one nucleus.

    Parameters
    ----------
    flows
        (2, Y, X) float32, as `labels_to_flows` gives them (not times `FLOW_SCALE`).
    logit
        (Y, X) float32, of being in a nucleus.
    threshold
        Pixels with a higher logit are in a nucleus.
    steps
        Of one pixel at most; several times the radius of a nucleus.
    max_error
        A nucleus whose own flows, from its outline, differ more from ``flows`` is dropped: mean
        square of the difference. 0 keeps all.
    min_size
        Pixels; smaller objects are dropped.

    Returns
    -------
    labels : (Y, X) int32
        0 = background, then 1, 2, ... in order of the sinks' weight; equal ones from the top.
        Each nucleus is in one piece and without holes.
    """
    from imganalysis.segment.labels import relabel

    inside = np.asarray(logit > threshold)
    found = np.zeros(logit.shape, np.int32)
    if not inside.any():
        return found
    field = np.ascontiguousarray(np.where(inside, flows, 0), np.float32)
    rows, columns = np.nonzero(inside)
    end_y, end_x = _follow(field, rows, columns, steps)
    counts = np.zeros(logit.shape, np.int32)
    np.add.at(counts, (end_y, end_x), 1)
    sinks = _sinks(counts, max(_SINK + 1, min_size // 3))
    found[rows, columns] = sinks[end_y, end_x]
    whole = tidy(found, min_size)
    if max_error > 0 and whole.any():
        whole = _without_errors(whole, flows, max_error)
    return relabel(whole).astype(np.int32)


@njit(cache=True, nogil=True)
def _follow(flows: Any, rows: Any, columns: Any, steps: int) -> Any:
    """Euler steps with bilinear sampling; positions are rounded at the end.

    A position is a pixel and what lies beyond it, so that a part of an image gives, to the last
    bit, what the whole gives there.
    """
    height, width = flows.shape[1], flows.shape[2]
    end_y = np.empty(rows.size, np.int64)
    end_x = np.empty(rows.size, np.int64)
    zero, one, half = np.float32(0.0), np.float32(1.0), np.float32(0.5)
    for i in range(rows.size):
        top, left = rows[i], columns[i]
        fy, fx = zero, zero
        for _ in range(steps):
            below = min(top + 1, height - 1)
            right = min(left + 1, width - 1)
            a, b = (one - fy) * (one - fx), (one - fy) * fx
            c, d = fy * (one - fx), fy * fx
            dy = (
                a * flows[0, top, left] + b * flows[0, top, right]
                + c * flows[0, below, left] + d * flows[0, below, right]
            )  # fmt: skip
            dx = (
                a * flows[1, top, left] + b * flows[1, top, right]
                + c * flows[1, below, left] + d * flows[1, below, right]
            )  # fmt: skip
            if dy * dy + dx * dx < np.float32(1e-6):
                break
            fy += dy
            fx += dx
            down, over = np.floor(fy), np.floor(fx)
            fy -= down
            fx -= over
            top += int(down)
            left += int(over)
            if top < 0 or top >= height - 1:
                top, fy = (0, zero) if top < 0 else (height - 1, zero)
            if left < 0 or left >= width - 1:
                left, fx = (0, zero) if left < 0 else (width - 1, zero)
        end_y[i] = min(top + int(fy >= half), height - 1)
        end_x[i] = min(left + int(fx >= half), width - 1)
    return end_y, end_x


def _sinks(counts: NDArray[np.int32], least: int) -> NDArray[np.int32]:
    """Give the places where pixels end their numbers, the heaviest first.

    A sink grows from its peak over neighbouring places where pixels end, as far as `_REACH`;
    peaks that an earlier sink has taken are part of it.
    """
    padded = np.pad(counts, 1)
    height, width = counts.shape
    around = np.zeros(counts.shape, np.int32)
    for dy in range(3):
        for dx in range(3):
            around += padded[dy : dy + height, dx : dx + width]
    # The weight of a sink is spread over a few pixels: it is judged with its neighbours.
    peaks = np.flatnonzero((counts >= _SINK) & (around >= least))
    weight = around.ravel()[peaks].astype(np.int64)
    order = peaks[np.lexsort((peaks, -counts.ravel()[peaks].astype(np.int64), -weight))]
    owner = np.zeros(counts.shape, np.int32)
    _grow(counts, order, owner)
    return owner


@njit(cache=True, nogil=True)
def _grow(counts: Any, order: Any, owner: Any) -> None:
    height, width = counts.shape
    queue_y = np.empty((2 * _REACH + 1) ** 2, np.int64)
    queue_x = np.empty((2 * _REACH + 1) ** 2, np.int64)
    number = 0
    for k in range(order.size):
        peak_y, peak_x = order[k] // width, order[k] % width
        if owner[peak_y, peak_x]:
            continue
        number += 1
        owner[peak_y, peak_x] = number
        queue_y[0], queue_x[0] = peak_y, peak_x
        head, tail = 0, 1
        while head < tail:
            y, x = queue_y[head], queue_x[head]
            head += 1
            for ny in range(
                max(y - 1, 0, peak_y - _REACH), min(y + 2, height, peak_y + _REACH + 1)
            ):
                for nx in range(
                    max(x - 1, 0, peak_x - _REACH), min(x + 2, width, peak_x + _REACH + 1)
                ):
                    # The rim of a sink may hold single pixels; it does not grow beyond them.
                    if counts[ny, nx] > 0 and owner[ny, nx] == 0:
                        owner[ny, nx] = number
                        if counts[ny, nx] >= _SINK:
                            queue_y[tail], queue_x[tail] = ny, nx
                            tail += 1


def tidy(labels: NDArray[np.int32], min_size: int) -> NDArray[np.int32]:
    """Keep each object's largest piece, fill its holes, and drop what is too small."""
    from scipy import ndimage as ndi

    clean = np.zeros_like(labels)
    for number, box in enumerate(ndi.find_objects(labels), 1):
        if box is None:
            continue
        one = labels[box] == number
        pieces, n = ndi.label(one)
        if n > 1:
            sizes = np.bincount(pieces.ravel())
            sizes[0] = 0
            one = pieces == int(np.argmax(sizes))
        one = ndi.binary_fill_holes(one)
        if np.count_nonzero(one) >= min_size:
            part = clean[box]
            part[one & (part == 0)] = number
    return clean


def flow_errors(labels: NDArray[np.int32], flows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Say how badly the shape of each object explains the flows that made it.

    Parameters
    ----------
    labels
        (Y, X), 0 = background.
    flows
        (2, Y, X), as `labels_to_flows` gives them.

    Returns
    -------
    (1 + largest label,) float64
        Mean square of the difference between ``flows`` and the flows of the object's own outline;
        0 for the background and for labels that are not there.
    """
    square = np.square(labels_to_flows(labels) - flows).sum(axis=0)
    n = int(labels.max(initial=0)) + 1
    size = np.bincount(labels.ravel(), minlength=n)
    error = np.bincount(labels.ravel(), weights=square.ravel(), minlength=n)
    error[0] = 0
    return np.asarray(error / np.maximum(size, 1))


def _without_errors(
    labels: NDArray[np.int32], flows: NDArray[np.float32], max_error: float
) -> NDArray[np.int32]:
    """Drop objects whose shape does not explain the flows that made them."""
    bad = flow_errors(labels, flows) > max_error
    return np.where(bad[labels], 0, labels).astype(np.int32)
