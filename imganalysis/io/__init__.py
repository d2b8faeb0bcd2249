"""Image files to stacks; stacks, labels and masks to files. Nothing else opens an image."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imganalysis.io._grey import is_png, read_grey
    from imganalysis.io._hash import file_hash
    from imganalysis.io._labels import read_labels
    from imganalysis.io._listing import describe, list_series
    from imganalysis.io._mapped import plane_in_file
    from imganalysis.io._reading import read_stack
    from imganalysis.io._writing import write_labels, write_mask, write_stack

_WHERE = {
    "describe": "_listing",
    "file_hash": "_hash",
    "is_png": "_grey",
    "list_series": "_listing",
    "plane_in_file": "_mapped",
    "read_grey": "_grey",
    "read_labels": "_labels",
    "read_stack": "_reading",
    "write_labels": "_writing",
    "write_mask": "_writing",
    "write_stack": "_writing",
}

__all__ = [
    "describe",
    "file_hash",
    "is_png",
    "list_series",
    "plane_in_file",
    "read_grey",
    "read_labels",
    "read_stack",
    "write_labels",
    "write_mask",
    "write_stack",
]


def __getattr__(name: str) -> Any:
    """Import on first use: dask and the readers are heavy."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
