"""How often clusters are found where there are none, and where there are; and at what cost.

The peer is the same statistic written down plainly: for every permutation the distances of all
pairs of the class, and the common area of the mask and itself shifted, counted anew.
"""

from __future__ import annotations

import time

import numpy as np
from _common import best_seconds, options, report

from imganalysis.quantify.clustering import Pattern, clustering
from imganalysis.quantify.frame import guard_mask
from imganalysis.quantify.nearest import Distances, survival
from imganalysis.quantify.window import border_distance, field_space

SIDE = 222  # um, of the frame of a field of 238 um
WHOLE = np.ones((SIDE, SIDE), bool)
L_SHAPE = WHOLE.copy()
L_SHAPE[SIDE // 2 :, SIDE // 2 :] = False
WINDOWS = (WHOLE, L_SHAPE, WHOLE)
LIKE, CLASS = 150, 20  # cells of a field: among which, and of the class


def kept(points: np.ndarray, window: np.ndarray) -> np.ndarray:
    points = points[((points >= 0) & (points < window.shape)).all(axis=1)]
    squares = points.astype(int)
    return points[window[squares[:, 0], squares[:, 1]]]


def clustered(
    rng: np.random.Generator, window: np.ndarray, n: int, mean: float, sigma: float
) -> np.ndarray:
    """Thomas process of n cells."""
    points = np.zeros((0, 2))
    while len(points) < n:
        parent = kept(rng.uniform(0, SIDE, (1, 2)), window)
        if len(parent):
            near = parent + rng.normal(0, sigma, (rng.poisson(mean), 2))
            points = np.concatenate([points, kept(near, window)])
    return points[:n]


def field(rng: np.random.Generator, window: np.ndarray, *, alike: bool) -> Pattern:
    """Lymphocytes in clusters of their own; the class labelled at random, or a Thomas process."""
    if alike:
        points = clustered(rng, window, LIKE, 30, 25)
        chosen = np.isin(np.arange(LIKE), rng.choice(LIKE, CLASS, replace=False))
    else:
        own = clustered(rng, window, CLASS, 4.5, 12)
        points = np.concatenate([own, clustered(rng, window, LIKE - CLASS, 30, 25)])
        chosen = np.arange(LIKE) < CLASS
    return Pattern(points, chosen, window, (1.0, 1.0), float(SIDE))


def rejections(seed: int, simulations: int, permutations: int, *, alike: bool) -> float:
    rng = np.random.default_rng(seed)
    hits = 0
    for _ in range(simulations):
        fields = [field(rng, window, alike=alike) for window in WINDOWS]
        found = clustering(fields, max_radius_um=60, permutations=permutations, min_cells=30)
        hits += found is not None and found.p <= 0.05
    return hits / simulations


def plain_k(pattern: Pattern, chosen: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """K as it is defined, the common area counted in whole squares of 1 um."""
    points, window = pattern.points[chosen], pattern.window
    n, sums = len(points), np.zeros(len(radii))
    for i in range(n):
        for j in range(i + 1, n):
            d = points[j] - points[i]
            apart = np.hypot(*d)
            if apart > radii[-1]:
                continue
            y, x = np.rint(d).astype(int)
            shifted = window[:, ::-1] if y * x < 0 else window
            y, x = abs(y), abs(x)
            common = (shifted[y:, x:] & shifted[: SIDE - y, : SIDE - x]).sum()
            sums += 2.0 * (apart <= radii) / common
    return window.sum() ** 2 / (n * (n - 1)) * sums


def plain(pattern: Pattern, permutations: int) -> None:
    rng = np.random.default_rng(0)
    radii = np.arange(2, 56, 2.0)
    for _ in range(permutations + 1):
        plain_k(pattern, rng.choice(LIKE, CLASS, replace=False), radii)


def median_error(per_mm2: float, fields: int) -> float:
    """Relative error of the median nearest neighbour distance under complete randomness."""
    rng = np.random.default_rng(int(per_mm2))
    parts, number = [], []
    for i in range(fields):
        points, others = (
            rng.uniform(0, SIDE, (rng.poisson(d * SIDE**2 / 1e6), 2)) for d in (1000, per_mm2)
        )
        apart = np.linalg.norm(points[:, None] - others[None], axis=2) if len(others) else None
        near = np.full(len(points), np.inf) if apart is None else apart.min(axis=1)
        parts.append((near, border_distance(points, (0, SIDE, 0, SIDE))))
        number.append(np.full(len(points), i))
    near, border = (np.concatenate(part) for part in zip(*parts, strict=True))
    found = survival(
        Distances.of(near, border, np.concatenate(number)), 20.0, confidence=0.95, deff_default=5.0
    )[0]
    return found.value / (1000 * np.sqrt(np.log(2) / (np.pi * per_mm2))) - 1


def main() -> None:
    """Simulate, time, and report."""
    chosen = options(__doc__)
    simulations, permutations = (40, 199) if chosen.quick else (200, 999)
    start = time.perf_counter()
    null = rejections(21, simulations, permutations, alike=True)
    power = rejections(22, simulations, permutations, alike=False)
    each = (time.perf_counter() - start) / (2 * simulations)
    rng = np.random.default_rng(1)
    one = field(rng, L_SHAPE, alike=True)
    few = 29 if chosen.quick else 99
    how = {"max_radius_um": 55.0, "min_cells": 2}
    ours = best_seconds(lambda: clustering([one], permutations=few, **how), repeats=3)
    theirs = best_seconds(lambda: plain(one, few), repeats=1)
    mask = np.ones((1024, 1024), bool)
    frame = guard_mask(mask.shape, (0.232, 0.232), 8.0)
    keep = best_seconds(lambda: field_space(mask & frame, frame, (0.232, 0.232), {}), repeats=3)
    fields = 100 if chosen.quick else 400
    rows = [
        ["random labels called clustered at 5 % (2 to 9 %)", null],
        ["Thomas clusters of 60 cells found (over 0.8)", power],
        [f"seconds per biopsy of three fields, {permutations} permutations", each],
        [f"seconds, one field, {few} permutations", ours],
        [f"seconds, the same written plainly, {few} permutations", theirs],
        ["ratio", theirs / ours],
        ["seconds per field of 1024 x 1024 pixels in the first half", keep],
        ["error of the median distance, 200 per mm2", median_error(200, fields)],
        ["error of the median distance, 50 per mm2", median_error(50, fields)],
    ]
    report(
        "Space",
        ["what", "value"],
        rows,
        notes=f"{simulations} simulated biopsies of three fields of {SIDE} um, one of them "
        f"L-shaped, {LIKE} lymphocytes in clusters of their own each, {CLASS} of the class; "
        "Thomas clusters of 4.5 cells on average, SD 12 um.",
        target=chosen.json,
    )


if __name__ == "__main__":
    main()
