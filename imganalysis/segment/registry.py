"""Methods that find nuclei: which there are, and one call for all of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis.errors import LabelsError, SettingsError
from imganalysis.mapped import LARGE, release
from imganalysis.methods import (
    BUILT_IN,
    CellposeMethod,
    Method,
    NetworkMethod,
    ScikitImageMethod,
    load_added,
)
from imganalysis.segment.labels import check_labels, relabel
from imganalysis.segment.limits import check_diameter, in_image
from imganalysis.words import plural

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imganalysis.segment.tiles import Sliced

_TILE = 2048  # px

Find = Callable[["NDArray[Any]", tuple[float, ...], Any, int], "NDArray[Any]"]
"""(image (Y, X) or (Z, Y, X), size of a pixel along each axis in um, settings, threads) to labels
of the image's shape, 0 = background. The labels do not depend on the threads."""


@dataclass(frozen=True)
class ModelFacts:
    """Which weights a method uses.

    Parameters
    ----------
    name
        Of the model.
    sha256
        Of its file.
    """

    name: str
    sha256: str


def no_model(settings: Any) -> ModelFacts | None:
    """Say that a method uses no weights."""
    return None


def plain_diameter(image: NDArray[Any], settings: Any) -> float:
    """Estimate the diameter of nuclei without a model; pixels."""
    from imganalysis.segment.diameter import estimate_diameter

    return estimate_diameter(image)


@dataclass(frozen=True)
class Segmenter:
    """A method that finds nuclei, as another package's entry point names it.

    Parameters
    ----------
    settings
        Class of its settings; ``method`` is the name of the entry point.
    find
        Finds nuclei in one image.
    model
        Says which weights these settings use, if any; raises an error of this package where they,
        or a library, are missing. Called once before a run.
    diameter
        Estimates the diameter of a typical nucleus in an image (Y, X) of unknown scale, pixels;
        NaN where there is nothing to go by.
    """

    settings: type[Method]
    find: Find
    model: Callable[[Any], ModelFacts | None] = no_model
    diameter: Callable[[Any, Any], float] = plain_diameter


def find_nuclei(
    image: Any,
    spacing_um: tuple[float, ...],
    settings: Method,
    threads: int = 1,
    *,
    out: Sliced | None = None,
    progress: Callable[[str, int, int], object] | None = None,
) -> NDArray[np.uint32]:
    """Find nuclei by the method that the settings name.

    Parameters
    ----------
    image
        (Y, X) or (Z, Y, X), picture of a nuclear stain, any scale of values; anything that gives
        a numpy array when it is sliced.
    spacing_um
        Size of a pixel along each axis of ``image``, um.
    settings
        Of the method; their class says which one.
    threads
        That may be used. The result does not depend on it.
    out
        Where the labels go, e.g. a memory-mapped file: uint32, of the shape of ``image``. A new
        array if not given.
    progress
        Called with (word, tile, tiles) for an image that is analysed in tiles.

    Returns
    -------
    labels
        uint32, shape of ``image``, 0 = background, 1, 2, ... in raster order of the first pixel;
        ``out``, if given.

    Raises
    ------
    SettingsError
        The settings are of no method that finds nuclei in images, or ask for the impossible: a
        diameter that `imganalysis.segment.limits.check_diameter` refuses.
    ModelError, MissingLibraryError
        Weights or a library that the method needs cannot be had.
    LabelsError
        The method of another package gave no label image.

    Notes
    -----
    The network looks at a plane through windows on one grid. In a stack a nucleus is followed
    through all planes, which takes about 64 bytes for each voxel at the network's scale: stacks
    that need more than 4 GiB are cut into tiles with all planes. Where the machine has less memory
    than `imganalysis.segment._volume_memory.memory_needed` says, the stack is refused
    (`ImageError`, reason ``memory``) before the work starts.

    Other methods see an image of more than `imganalysis.mapped.LARGE` pixels per plane in tiles,
    which overlap by four diameters of a nucleus.
    """
    if not hasattr(image, "shape"):
        image = np.asarray(image)
    if len(image.shape) not in (2, 3) or len(spacing_um) != len(image.shape):
        raise ValueError(
            f"nuclei are found in (Y, X) or (Z, Y, X) with one spacing per axis; got shape "
            f"{tuple(image.shape)} and {plural(len(spacing_um), 'spacing')}"
        )
    if not all(math.isfinite(size) and size > 0 for size in spacing_um):
        raise SettingsError(f"pixel size {tuple(spacing_um)} um: expected positive numbers")
    if isinstance(settings, Method):
        check_diameter(image.shape, spacing_um, settings.nucleus_diameter_um)
    if isinstance(settings, NetworkMethod):
        from imganalysis.segment._embedded import find_by_network

        return find_by_network(image, spacing_um, settings, threads, out=out, progress=progress)
    if out is None and math.prod(image.shape[-2:]) <= LARGE:
        return _find(np.asarray(image), spacing_um, settings, threads)
    from imganalysis.segment.tiles import segment_in_tiles, tile_overlap

    overlap = tile_overlap(settings.nucleus_diameter_um / min(spacing_um[-2:]))
    method = _find
    if isinstance(settings, CellposeMethod):
        # Dark and bright are those of the whole image, not of each tile.
        from imganalysis.segment._cellpose import levels_of, segment_with_cellpose

        method = partial(segment_with_cellpose, between=levels_of(image, settings.percentile))

    def find(box: tuple[int, int, int, int]) -> NDArray[np.uint32]:
        part = np.array(image[..., box[0] : box[1], box[2] : box[3]])
        release(image)
        return method(part, spacing_um, settings, threads)

    labels: NDArray[np.uint32] = segment_in_tiles(
        tuple(image.shape),
        find,
        overlap_px=overlap,
        tile_px=max(_TILE, overlap),
        out=out,
        progress=progress,
    )
    return labels


def _find(
    image: NDArray[Any], spacing_um: tuple[float, ...], settings: Method, threads: int
) -> NDArray[np.uint32]:
    found = _segmenter(settings).find(image, spacing_um, settings, threads)
    if settings.method in BUILT_IN:
        return np.asarray(found, np.uint32)
    try:
        return relabel(check_labels(found, image.shape))
    except LabelsError as error:
        raise LabelsError(f"method {settings.method!r}: {error.message}") from None


def model_facts(settings: Method) -> ModelFacts | None:
    """Say which weights a method uses; None where it uses none.

    Raises
    ------
    SettingsError, ModelError, MissingLibraryError
        As `find_nuclei` would raise for any image.
    """
    return _segmenter(settings).model(settings)


def nucleus_diameter(image: NDArray[Any], settings: Method) -> float:
    """Estimate the diameter of a typical nucleus in an image of unknown scale.

    Parameters
    ----------
    image
        (Y, X), picture of a nuclear stain.
    settings
        Of the method; one with a network asks the network.

    Returns
    -------
    float
        Pixels; NaN where the image is flat or shows nothing like a nucleus, and where what is seen
        is larger than the image, as a slope of brightness is.
    """
    image = np.asarray(image)
    found = float(_segmenter(settings).diameter(image, settings))
    return found if in_image(found, image.shape) else math.nan


def _segmenter(settings: Method) -> Segmenter:
    kind = settings.method
    if kind in _BUILT_IN:
        return _BUILT_IN[kind]
    if kind in BUILT_IN:
        raise SettingsError(f"method {kind!r} names label images: give the nuclei themselves")
    try:
        loaded = load_added(kind)
    except ValueError as error:
        raise SettingsError(str(error)) from None
    if not isinstance(loaded, Segmenter):
        raise SettingsError(
            f"method {kind!r}: its entry point names {type(loaded).__name__}, expected an "
            "imganalysis.segment.registry.Segmenter"
        )
    return loaded


# Each imports what it needs when it is called: torch and onnxruntime take seconds.


def _scikit_image(
    image: NDArray[Any], spacing_um: tuple[float, ...], settings: ScikitImageMethod, threads: int
) -> NDArray[np.uint32]:
    from imganalysis.segment._skimage import segment_nuclei

    return segment_nuclei(image, spacing_um, settings)


def _network(
    image: NDArray[Any], spacing_um: tuple[float, ...], settings: NetworkMethod, threads: int
) -> NDArray[np.uint32]:
    from imganalysis.segment._embedded import find_by_network

    return find_by_network(image, spacing_um, settings, threads)


def _network_model(settings: NetworkMethod) -> ModelFacts:
    from imganalysis.segment._embedded import load_model

    model = load_model(settings)
    return ModelFacts(model.name, model.sha256)


def _network_diameter(image: NDArray[Any], settings: NetworkMethod) -> float:
    from imganalysis.segment._embedded import load_model
    from imganalysis.segment.scale import diameter_by_network

    return diameter_by_network(image, load_model(settings))


def _cellpose(
    image: NDArray[Any], spacing_um: tuple[float, ...], settings: CellposeMethod, threads: int
) -> NDArray[np.uint32]:
    from imganalysis.segment._cellpose import segment_with_cellpose

    return segment_with_cellpose(image, spacing_um, settings, threads)


def _cellpose_model(settings: CellposeMethod) -> ModelFacts:
    from imganalysis.segment._cellpose import cellpose_model

    return cellpose_model(settings)


_BUILT_IN = {
    "network": Segmenter(NetworkMethod, _network, _network_model, _network_diameter),
    "scikit-image": Segmenter(ScikitImageMethod, _scikit_image),
    "cellpose": Segmenter(CellposeMethod, _cellpose, _cellpose_model),
}
