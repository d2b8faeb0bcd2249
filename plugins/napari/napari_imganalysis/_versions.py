"""What stands elsewhere in other versions of napari."""

from __future__ import annotations

from typing import Any


def camera_of(viewer: Any) -> Any:
    """Camera of a viewer; it moved with napari 0.9."""
    return getattr(viewer, "scene", viewer).camera


def scale_bar_of(viewer: Any) -> Any:
    """Scale bar of a viewer; it moved with napari 0.9."""
    overlays = getattr(getattr(viewer, "canvas", None), "overlays", None)
    return getattr(overlays, "scale_bar", None) or viewer.scale_bar


def set_scale_bar(viewer: Any) -> None:
    """Switch the scale bar on; its unit is that of the layers."""
    bar = scale_bar_of(viewer)
    bar.visible = True
    if "unit" in getattr(type(bar), "model_fields", {}):  # before napari 0.7
        bar.unit = "um"
