"""Counts dying tumour cells and the lymphocytes around them in confocal stacks of biopsies."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imganalysis.errors import ImganalysisError
    from imganalysis.first_half import Measured, measure_stack
    from imganalysis.io import list_series, read_labels, read_stack, write_labels, write_stack
    from imganalysis.opening import open_study
    from imganalysis.panel import Panel, load_panel
    from imganalysis.pipeline import analyse_field, analyse_study, run_study
    from imganalysis.records import Task
    from imganalysis.settings import Settings
    from imganalysis.stack import PixelSize, Series, Stack

__version__ = "0.1.0"

_HOMES = {
    "ImganalysisError": "errors",
    "Measured": "first_half",
    "Panel": "panel",
    "PixelSize": "stack",
    "Series": "stack",
    "Settings": "settings",
    "Stack": "stack",
    "Task": "records",
    "analyse_field": "pipeline",
    "analyse_study": "pipeline",
    "list_series": "io",
    "load_panel": "panel",
    "measure_stack": "first_half",
    "open_study": "opening",
    "read_labels": "io",
    "read_stack": "io",
    "run_study": "pipeline",
    "write_labels": "io",
    "write_stack": "io",
}

__all__ = [
    "ImganalysisError",
    "Measured",
    "Panel",
    "PixelSize",
    "Series",
    "Settings",
    "Stack",
    "Task",
    "analyse_field",
    "analyse_study",
    "list_series",
    "load_panel",
    "measure_stack",
    "open_study",
    "read_labels",
    "read_stack",
    "run_study",
    "write_labels",
    "write_stack",
]


def __getattr__(name: str) -> Any:
    # Numerical libraries are loaded when they are needed, not at import.
    if name in _HOMES:
        return getattr(import_module(f"imganalysis.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
