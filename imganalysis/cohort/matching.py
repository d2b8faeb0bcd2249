"""Clicks of a reader to cells: one to one, none farther than a distance, as near as can be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

DISTANCE_UM = 2.0
"""Farthest that a click may lie from the centroid of its cell."""


def match_points(
    objects: NDArray[np.floating[Any]],
    cells: NDArray[np.integer[Any]],
    clicks: NDArray[np.floating[Any]],
    distance_um: float = DISTANCE_UM,
) -> NDArray[np.int64]:
    """Give each click the object that it means.

    Parameters
    ----------
    objects
        (objects, 2) y and x of centroids, um.
    cells
        (objects,) number of the cell of each; objects of one cell (fragments) share it, and only
        one click can mean that cell.
    clicks
        (clicks, 2) y and x, um.
    distance_um
        A click farther than this from every centroid means no cell.

    Returns
    -------
    (clicks,) int64
        Row of the object, -1 for none.

    Notes
    -----
    Of all ways to pair clicks with cells one to one, the one with most pairs, and among these
    the one with the least sum of distances (Kuhn, Nav Res Logist Q 1955;2:83), found apart in
    each group of cells and clicks that are near each other.
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    found = np.full(len(clicks), -1, np.int64)
    if not len(objects) or not len(clicks):
        return found
    near = cKDTree(clicks).query_ball_point(objects, distance_um, return_sorted=True)
    rows = np.repeat(np.arange(len(objects)), [len(one) for one in near])
    if not rows.size:
        return found
    columns = np.concatenate([np.asarray(one, np.int64) for one in near if one])
    far = np.hypot(*(objects[rows] - clicks[columns]).T)
    names, code = np.unique(cells, return_inverse=True)
    n = len(names)
    graph = coo_matrix(
        (np.ones(rows.size), (code[rows], n + columns)), shape=(n + len(clicks),) * 2
    )
    _, group = connected_components(graph, directed=False)
    of_edge = group[n + columns]
    order = np.argsort(of_edge, kind="stable")
    for edges in np.split(order, np.flatnonzero(np.diff(of_edge[order])) + 1):
        own, own_at = np.unique(code[rows[edges]], return_inverse=True)
        theirs, theirs_at = np.unique(columns[edges], return_inverse=True)
        # One pair more is always better than any sum of distances.
        never = (distance_um + 1.0) * (min(len(own), len(theirs)) + 1)
        cost = np.full((len(own), len(theirs)), never)
        which = np.full(cost.shape, -1, np.int64)
        for edge, i, j in zip(edges, own_at, theirs_at, strict=True):
            if far[edge] < cost[i, j]:  # the nearest fragment of the cell
                cost[i, j], which[i, j] = far[edge], rows[edge]
        i, j = linear_sum_assignment(cost)
        taken = which[i, j] >= 0
        found[theirs[j[taken]]] = which[i[taken], j[taken]]
    return found
