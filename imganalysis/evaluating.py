"""How good a segmentation is on annotated images: find nuclei, compare, pool."""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis import __version__
from imganalysis import tables as t
from imganalysis.annotated import IMAGE, MASK, pairs_of, read_annotated
from imganalysis.errors import ImganalysisError, SettingsError
from imganalysis.prepare.checks import picture_flags
from imganalysis.segment import (
    find_nuclei,
    method_facts,
    model_facts,
    settings_text,
)
from imganalysis.segment.limits import LEAST_PX
from imganalysis.segment.scores import (
    THRESHOLDS,
    Counts,
    Overlap,
    count,
    overlap,
    size_tertiles,
)
from imganalysis.segment.spacing import spacing_of
from imganalysis.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from imganalysis.methods import Method
    from imganalysis.stack import PixelSize

    Finder = Callable[[NDArray[Any], tuple[float, ...], Any, int], NDArray[np.uint32]]

FLAGS, REASON, MESSAGE = "flags", "reason", "message"
DIAMETER, DIAMETER_FROM = "diameter_px", "diameter_from"
SETTINGS, VERSION = "settings", "version"

_WARM_PX = 64


@dataclass(frozen=True)
class Scale:
    """What is known of the images' scale; the default is to ask each image.

    Parameters
    ----------
    pixel_size
        Of all images, um; wins over what the files say.
    diameter_px
        Of a typical nucleus, pixels along X, in all images.
    estimate
        Estimate the diameter of an image that has neither; else such an image is refused.
    """

    pixel_size: PixelSize | None = None
    diameter_px: float | None = None
    estimate: bool = True


@dataclass(frozen=True)
class Evaluation:
    """Scores of a segmentation on annotated images.

    Parameters
    ----------
    table
        One row per image: its files, the diameter and where it is from (``pixel size``,
        ``given``, ``estimated``), scores; ``reason`` and ``message`` where it failed; method,
        weights, settings and version.
    pooled
        Sum of the counts of all images.
    sizes
        The same for the tertiles of the true objects' size in pixels.
    pixels, seconds
        Pixels of all images, and the time in which nuclei were found in them, reading and
        scoring apart.
    unpaired
        Images without a mask and masks without an image, by name.
    """

    table: pd.DataFrame
    pooled: Counts
    sizes: dict[str, Counts]
    pixels: int
    seconds: float
    unpaired: tuple[str, ...]

    @property
    def n_failed(self) -> int:
        """Images that could not be evaluated."""
        return int((self.table[REASON] != "").sum())

    def scores(self) -> dict[str, Any]:
        """Give all pooled scores as plain values for JSON."""
        return {
            **self.pooled.as_dict(),
            "mpx_per_s": self.pixels / 1e6 / self.seconds if self.seconds else None,
            "n_images": len(self.table) - self.n_failed,
            "n_failed": self.n_failed,
            "by_size": {name: counts.as_dict() for name, counts in self.sizes.items()},
        }


@dataclass(frozen=True)
class _Result:
    overlap: Overlap
    pixels: int
    seconds: float
    diameter_px: float
    diameter_from: str
    flags: str


def evaluate(
    images: Path,
    masks: Path,
    settings: Method,
    *,
    scale: Scale | None = None,
    limit: int | None = None,
    threads: int = 1,
    find: Finder = find_nuclei,
    progress: Callable[[str, int, int], None] | None = None,
) -> Evaluation:
    """Find nuclei in annotated images and compare them with the annotation.

    Parameters
    ----------
    images, masks
        As for `pairs_of`.
    settings
        Of the method.
    scale
        What is known of the images' scale.
    limit
        Only so many images, the first by name.
    threads
        That finding nuclei may use.
    find
        Finds nuclei: (image, spacing in um, settings, threads) to labels.
    progress
        Called with (step, done, total) after each image.

    Returns
    -------
    Evaluation
        An image that cannot be evaluated has its reason in the table and is in no score.

    Raises
    ------
    SettingsError
        Nothing to evaluate, or an impossible scale.

    Notes
    -----
    An image without a scale is taken to show nuclei of ``nucleus_diameter_um``: its pixels
    get the size at which its diameter in pixels is that long.
    """
    scale = scale or Scale()
    if scale.diameter_px is not None and not LEAST_PX <= scale.diameter_px < np.inf:
        raise SettingsError(
            f"a nucleus is {LEAST_PX:g} pixels or more across, got {scale.diameter_px}"
        )
    if limit is not None and limit < 1:
        raise SettingsError(f"the limit is a number of images, 1 or more; got {limit}")
    pairs, unpaired = pairs_of(Path(images), Path(masks))
    rows: list[dict[str, Any]] = []
    results: list[_Result] = []
    for number, (image, mask) in enumerate(pairs[:limit], start=1):
        row: dict[str, Any] = {IMAGE: image.name, MASK: mask.name}
        try:
            one = _one_image(image, mask, settings, scale, find, threads, warm=bool(results))
        except ImganalysisError as error:
            row |= {REASON: error.reason, MESSAGE: error.message}
        else:
            results.append(one)
            row |= _row(one)
        rows.append(row)
        if progress:
            progress("images", number, len(pairs[:limit]))
    how = {**method_facts(settings), SETTINGS: settings_text(settings), VERSION: __version__}
    overlaps = [one.overlap for one in results]
    return Evaluation(
        _table(rows, how),
        sum(map(count, overlaps), Counts()),
        {
            name: sum((count(one, sizes=limits) for one in overlaps), Counts())
            for name, limits in size_tertiles(overlaps).items()
        },
        sum(one.pixels for one in results),
        sum(one.seconds for one in results),
        unpaired,
    )


def _one_image(
    image_path: Path,
    mask_path: Path,
    settings: Method,
    scale: Scale,
    find: Finder,
    threads: int,
    *,
    warm: bool,
) -> _Result:
    image, truth, size = read_annotated(image_path, mask_path, pixel_size=scale.pixel_size)
    if not warm:
        # Loads what the method needs (a model, compiled code), so that it is not timed.
        stripes = np.indices((2, _WARM_PX, _WARM_PX)[-image.ndim :]).sum(axis=0) % 20
        find(stripes, (settings.nucleus_diameter_um / 20,) * image.ndim, settings, threads)
    start = time.perf_counter()
    spacing, diameter, origin = spacing_of(
        image,
        size,
        settings,
        image_path,
        diameter_px=scale.diameter_px,
        estimate=scale.estimate,
    )
    if np.isfinite(diameter):
        found = find(image, spacing, settings, threads)
    else:
        found = np.zeros(image.shape, np.uint32)
    seconds = time.perf_counter() - start
    return _Result(
        overlap(truth, found),
        image.size,
        seconds,
        diameter,
        origin,
        ";".join(picture_flags(image, Settings())),
    )


def write_scores(path: Path, result: Evaluation, settings: Method) -> None:
    """Write pooled scores as JSON, with the settings and version that they hold for.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    model = model_facts(settings)
    content = {
        **result.scores(),
        SETTINGS: settings.model_dump(mode="json"),
        "model": None if model is None else dataclasses.asdict(model),
        VERSION: __version__,
        "images": result.table[IMAGE].tolist(),
        "unpaired": list(result.unpaired),
    }
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    t.write_atomic(path, lambda temporary: _write_text(temporary, text))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _row(one: _Result) -> dict[str, Any]:
    counts = count(one.overlap)
    scores = counts.as_dict()
    return {
        DIAMETER: one.diameter_px if np.isfinite(one.diameter_px) else None,
        DIAMETER_FROM: one.diameter_from,
        **{key: value for key, value in scores.items() if not isinstance(value, dict)},
        **{f"{key}_{iou}": v for key in ("ap", "f1") for iou, v in scores[key].items()},
        FLAGS: one.flags,
    }


def _table(rows: Sequence[dict[str, Any]], how: dict[str, str]) -> pd.DataFrame:
    import pandas as pd

    plain = [key for key, value in Counts().as_dict().items() if not isinstance(value, dict)]
    scores = [f"{key}_{threshold:g}" for key in ("ap", "f1") for threshold in THRESHOLDS]
    columns = [IMAGE, MASK, DIAMETER, DIAMETER_FROM, *plain, *scores, FLAGS, REASON, MESSAGE, *how]
    table = pd.DataFrame([row | how for row in rows], columns=columns)
    for name in (DIAMETER, *plain, *scores):
        kind = pd.Int64Dtype() if name in ("n_true", "n_found") else pd.Float64Dtype()
        table[name] = table[name].astype(kind)
    texts = [DIAMETER_FROM, FLAGS, REASON, MESSAGE]
    return table.astype(dict.fromkeys(texts, object)).fillna(dict.fromkeys(texts, ""))
