"""Numbers of objects and their places in a table: a table by number may be as long as 2**32."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def compact(labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Put places in a short table where the numbers of objects stand.

    Parameters
    ----------
    labels
        Whole numbers from 0, 0 = background, any axes.

    Returns
    -------
    numbers
        Ascending, 0 first; all that occur are among them. Not much longer than the image.
    places
        Shape of `labels`, which they are where these are small: the place of each in `numbers`.
    """
    largest = int(labels.max(initial=0))
    if largest <= labels.size + 1024:
        return np.arange(largest + 1), labels
    numbers, places = np.unique(np.append(labels, 0), return_inverse=True)
    return numbers, places[:-1].reshape(labels.shape)


def at_numbers(
    numbers: NDArray[Any], values: NDArray[np.floating[Any]], labels: ArrayLike
) -> NDArray[np.float64]:
    """Values of some objects by their numbers, from a table by place; NaN for one not there."""
    wanted = np.asarray(labels, np.int64)
    place = np.minimum(np.searchsorted(numbers, wanted), len(numbers) - 1)
    return np.where(numbers[place] == wanted, values[place], np.nan)
