"""How a stack of planes becomes the picture that is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from imganalysis.errors import PixelSizeError
from imganalysis.words import plural

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imganalysis.settings import Projection


@dataclass(frozen=True)
class ProjectionChoice:
    """What was chosen for one stack, and why.

    Parameters
    ----------
    kind
        ``plane``, ``mean``, or ``3d`` for a stack that is left as it is.
    z0, z1
        First plane that is used, and the one after the last.
    reason
        Why, in words.
    flags
        Fixed words for what to know about it.
    """

    kind: Literal["plane", "mean", "3d"]
    z0: int
    z1: int
    reason: str
    flags: tuple[str, ...] = ()

    def facts(self, n_planes: int) -> dict[str, Any]:
        """Say for ``fields.csv`` what was done to a stack of so many planes."""
        return {
            "n_planes": n_planes,
            "projection": self.kind,
            "projection_first_plane": self.z0,
            "projection_last_plane": self.z1 - 1,
            "projection_reason": self.reason,
        }


def project(
    nuclei: NDArray[Any], z_step_um: float | None, section_um: float, settings: Projection
) -> ProjectionChoice:
    """Choose how a stack is projected, from what it is.

    Parameters
    ----------
    nuclei
        (Z, Y, X) nuclear stain.
    z_step_um
        Distance between planes, um; None if unknown.
    section_um
        Thickness of the section, um.
    settings
        Method, and the thickness from which a stack is left in 3-D.

    Returns
    -------
    ProjectionChoice
        For a stack thinner than ``thick_um`` the mean over as many contiguous planes as make
        up the section, where the nuclear signal is greatest (the first such window of equal
        ones). Flags: ``short_stack`` if there are fewer planes than that, ``z_step_unknown``
        if all planes were taken because their distance is unknown.

    Raises
    ------
    PixelSizeError
        The stack is to be left in 3-D, but the distance between planes is unknown.
    ValueError
        ``nuclei`` has no three axes.

    Notes
    -----
    Never the maximum: it grows with the number of planes and with noise, so that stacks of 5
    and of 7 planes would not be comparable under one threshold.
    """
    if nuclei.ndim != 3:
        raise ValueError(
            f"a stack of planes has axes ZYX, got {plural(nuclei.ndim, 'axis', 'axes')}"
        )
    n = nuclei.shape[0]
    if n == 1:
        return ProjectionChoice("plane", 0, 1, "a single plane")
    if settings.method == "none":
        if z_step_um is None:
            raise PixelSizeError(
                f"to leave {plural(n, 'plane')} in 3-D the step between them must be known; give "
                "it with --pixel-size Z,Y,X, or let the planes be averaged (projection: mean)"
            )
        return ProjectionChoice("3d", 0, n, "left in 3-D as the settings say")
    if z_step_um is None:
        return ProjectionChoice(
            "mean",
            0,
            n,
            f"mean of all {plural(n, 'plane')}: the step between planes is unknown",
            ("z_step_unknown",),
        )
    thickness = n * z_step_um
    if settings.method == "auto" and thickness >= settings.thick_um:
        return ProjectionChoice(
            "3d",
            0,
            n,
            f"left in 3-D: {plural(n, 'plane')} of {z_step_um:g} um make {thickness:g} um, "
            f"not thinner than {settings.thick_um:g} um",
        )
    wanted = max(1, int(np.floor(section_um / z_step_um + 0.5)))
    if n < wanted:
        return ProjectionChoice(
            "mean",
            0,
            n,
            f"mean of all {plural(n, 'plane')} ({thickness:g} um), fewer than the section's "
            f"{section_um:g} um",
            ("short_stack",),
        )
    z0 = _brightest_window(nuclei, wanted)
    return ProjectionChoice(
        "mean",
        z0,
        z0 + wanted,
        f"mean of planes {z0 + 1} to {z0 + wanted} of {n}: the {section_um:g} um of the section "
        "with the most nuclear signal",
    )


def _brightest_window(nuclei: NDArray[Any], planes: int) -> int:
    """First plane of the contiguous window with the greatest sum."""
    signal = np.zeros(nuclei.shape[0])
    for z, plane in enumerate(nuclei):
        values = np.asarray(plane, np.float64)
        finite = np.isfinite(values)
        signal[z] = values[finite].mean() if finite.any() else 0.0
    sums = np.convolve(signal, np.ones(planes), mode="valid")
    # Windows that differ by rounding only are equal, and the first is taken.
    close = sums >= sums.max() - 1e-9 * max(abs(float(sums.max())), 1.0)
    return int(np.flatnonzero(close)[0])


def apply(data: Any, choice: ProjectionChoice) -> NDArray[np.float32]:
    """Project every channel as chosen.

    Parameters
    ----------
    data
        (C, Z, Y, X) numpy or dask, any real type.
    choice
        From `project`.

    Returns
    -------
    pixels
        float32 (C, Y, X), or (C, Z, Y, X) for ``3d``. A pixel that is NaN or infinite in any
        plane that was used is NaN.
    """
    channels = []
    for channel in data:
        planes = np.asarray(channel[choice.z0 : choice.z1])
        if np.issubdtype(planes.dtype, np.floating):
            with np.errstate(over="ignore"):  # what 32 bit cannot hold is infinite
                held = np.isfinite(planes.astype(np.float32, copy=False))
            planes = np.where(held, planes, np.nan)
        if choice.kind == "3d":
            channels.append(planes.astype(np.float32))
        else:
            channels.append(planes.mean(axis=0, dtype=np.float64).astype(np.float32))
    return np.stack(channels)


def any_plane(mask: NDArray[np.bool_], choice: ProjectionChoice) -> NDArray[np.bool_]:
    """Project a mask of pixels: true where it is in any plane that was used.

    Parameters
    ----------
    mask
        (C, Z, Y, X), e.g. clipped pixels: their mean over planes does not show them.
    choice
        From `project`.

    Returns
    -------
    mask
        bool (C, Y, X), or (C, Z, Y, X) for ``3d``.
    """
    used = np.asarray(mask[:, choice.z0 : choice.z1])
    return used if choice.kind == "3d" else np.asarray(used.any(axis=1))


def flattened(image: NDArray[Any]) -> NDArray[Any]:
    """(Y, X) as it is; the mean over the planes of a stack that was left in 3-D."""
    return image if image.ndim == 2 else np.asarray(image.mean(axis=0))
