"""Rows of ``space.csv`` on regions: areas, densities, and the tumour against its margin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis import tables as t
from imganalysis.quantify.regions import MARGIN, REGIONS, STROMA, TUMOUR
from imganalysis.quantify.statistics import cluster_density, two_sided

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imganalysis.quantify._space_group import Group, Named


def region_rows(group: Group) -> list[dict[str, Any]]:
    known = [(f, a) for f, a in zip(group.fields, group.areas, strict=True) if a is not None]
    why = "thick_stack" if group.thick else ""
    if not why and not known:
        why = "ungated" if group.panel.region is not None else "no_tumour_region"
    size = np.array([[area[name] for name in REGIONS] for _, area in known]).reshape(-1, 3)
    rows = []
    for i, region in enumerate(REGIONS):
        row = group.row("area_mm2", region=region, reason=why, n_fields=len(known), n=len(known))
        rows.append(row if why else row | {"value": float(size[:, i].sum())})
    if not why:
        stroma = float(size[:, -1].sum())
        unsure = sum(area["unsure"] for _, area in known)
        rows.append(
            group.row(
                "stroma_unsure_share",
                region=STROMA,
                n_fields=len(known),
                **({"value": unsure / stroma} if stroma > 0 else {"reason": "no_area"}),
            )
        )
    for who in group.counted():
        because = why or group.why_not(who.classes)
        counts = np.array(
            [
                [(f.of(who.classes)[t.REGION] == region).sum() for region in REGIONS]
                for f, _ in known
            ]
        ).reshape(-1, 3)
        for i, region in enumerate(REGIONS):
            rows.append(_density(group, who, region, counts[:, i], size[:, i], because))
        rows.append(_ratio(group, who, counts, size, because))
    return rows


def _density(
    group: Group,
    who: Named,
    region: str,
    counts: NDArray[np.int64],
    areas: NDArray[np.float64],
    why: str,
) -> dict[str, Any]:
    row = group.row("density_per_mm2", who.name, region=region)
    if why or not areas.sum() > 0:
        return row | {"reason": why or "no_area"}
    e = cluster_density(
        np.where(areas > 0, counts, 0),
        areas,
        confidence=group.summary.confidence,
        deff_default=group.summary.deff_default,
    )
    n_fields = int((areas > 0).sum())
    return row | {"value": e.value, "lo": e.lo, "hi": e.hi, "n": int(counts.sum()),
                  "n_fields": n_fields}  # fmt: skip


def _ratio(
    group: Group,
    who: Named,
    counts: NDArray[np.int64],
    areas: NDArray[np.float64],
    why: str,
) -> dict[str, Any]:
    """Density in the tumour over that in the margin.

    The variance of its logarithm is that between fields of the linearised ratio (as of the
    densities), and at least that of two Poisson counts.
    """
    row = group.row("density_ratio", who.name, region=f"{TUMOUR}/{MARGIN}")
    both = [REGIONS.index(TUMOUR), REGIONS.index(MARGIN)]
    x, a = counts[:, both].astype(float), areas[:, both]
    if why or not (a.sum(axis=0) > 0).all():
        return row | {"reason": why or "no_area"}
    n, area = x.sum(axis=0), a.sum(axis=0)
    row |= {"n": int(n.sum()), "n_fields": int((a.sum(axis=1) > 0).sum())}
    if n[1] == 0:
        return row | {"reason": "no_cells"}
    value = float(n[0] / area[0] / (n[1] / area[1]))
    if n[0] == 0:
        return row | {"value": value}
    parts = (x - a * n / area) / n
    m = row["n_fields"]
    poisson = float((1 / n).sum())
    confidence = group.summary.confidence
    if m > 1:
        between = m / (m - 1) * float(((parts[:, 0] - parts[:, 1]) ** 2).sum())
        half = two_sided(confidence, m - 1) * max(between, poisson) ** 0.5
    else:
        half = two_sided(confidence) * (group.summary.deff_default * poisson) ** 0.5
    return row | {"value": value, "lo": value * np.exp(-half), "hi": value * np.exp(half)}
