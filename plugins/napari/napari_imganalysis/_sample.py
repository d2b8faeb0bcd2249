"""The sample study under File > Open Sample: the one that `imganalysis demo` analyses."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from napari_imganalysis._reader import _viewer, read_layers

if TYPE_CHECKING:
    from napari_imganalysis._layers import LayerData


def cache_folder() -> Path:
    """Where the sample study is made where the source is not at hand."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "imganalysis"


def sample_root() -> Path:
    """Folder of the sample study; simulated once where the source is not at hand."""
    from imganalysis.opening import sample_study

    folder = cache_folder()
    return sample_study(None, folder / "sample")


def open_sample() -> list[LayerData]:
    """Open the sample study: listed in the Study widget where there is a viewer.

    Returns
    -------
    list of (array, keywords, "image")
        Channels of its first field.
    """
    from napari_imganalysis._attach import PLUGIN, STUDY, session_of, told
    from napari_imganalysis._results import open_unanalysed

    root, viewer = sample_root(), _viewer()
    opened = open_unanalysed(root)
    if viewer is not None:
        viewer.window.add_plugin_dock_widget(PLUGIN, STUDY)
        session = session_of(viewer)
        with told(session):
            session.set_opened(opened)
    return read_layers(str(opened.image_path(opened.names[0])))
