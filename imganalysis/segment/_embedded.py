"""The method `network`: from its settings to a network file, and from lengths in um to pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis.errors import SettingsError
from imganalysis.segment._network import segment_with_network
from imganalysis.segment._volume_memory import check_memory
from imganalysis.segment.models import model_path
from imganalysis.segment.onnx import OnnxModel, load_onnx
from imganalysis.segment.volume import segment_volume

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from imganalysis.methods import NetworkMethod
    from imganalysis.segment.tiles import Sliced

_SPAN = 6.0  # logit at sensitivity 0 minus that at 1
_OBLONG = 1.25  # pixels longer than wide by more than this change what a network sees


def load_model(settings: NetworkMethod) -> OnnxModel:
    """Load the network of the settings; a process loads each file once.

    Raises
    ------
    SettingsError, ModelError, MissingLibraryError
        Unknown, damaged or foreign; onnxruntime is missing.
    """
    return load_onnx(model_path(settings.model), threads=1)


def find_by_network(
    image: Any,
    spacing_um: tuple[float, ...],
    settings: NetworkMethod,
    threads: int,
    *,
    out: Sliced | None = None,
    progress: Callable[[str, int, int], object] | None = None,
) -> NDArray[np.uint32]:
    """Find nuclei by a network; see `imganalysis.segment.registry.find_nuclei`."""
    model = load_model(settings)
    dy, dx = spacing_um[-2:]
    if max(dy, dx) > _OBLONG * min(dy, dx):
        raise SettingsError(
            f"pixels of {dy:g} x {dx:g} um: the network expects them about as long as wide; "
            "method scikit-image takes any"
        )
    pixel = float(np.sqrt(dy * dx))
    threshold = _SPAN * (0.5 - settings.sensitivity)
    diameter, smallest = settings.nucleus_diameter_um / pixel, settings.smallest_nucleus_um / pixel
    if len(image.shape) == 2:
        return segment_with_network(
            image,
            model,
            diameter,
            threshold=threshold,
            smallest_px=smallest,
            threads=threads,
            out=out,
            progress=progress,
        )
    check_memory(tuple(image.shape), model.diameter_px, diameter, spacing_um[0] / pixel)
    return segment_volume(
        image,
        model,
        diameter,
        spacing_um[0] / pixel,
        threshold=threshold,
        smallest_px=smallest,
        threads=threads,
        out=out,
        progress=progress,
    )
