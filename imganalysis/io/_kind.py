"""Which format a file has, by its content; its name only says what was expected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imganalysis.errors import UnreadableImageError

if TYPE_CHECKING:
    from pathlib import Path

_MAGIC = (
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"II+\x00", "tiff"),
    (b"MM\x00+", "tiff"),
    (b"ZISRAWFILE", "czi"),
    (b"\xda\xce\xbe\x0a", "nd2"),
    (b"\x00\x00\x00\x0cjP  ", "nd2"),  # before 2009: frames as JPEG 2000
)
_ZARR_FILES = ("zarr.json", ".zattrs", ".zgroup")
_PICTURES = (
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
)
_EXPECTED = "expected a TIFF, OME-TIFF, LIF, CZI, ND2 or OME-Zarr image"


def kind_of(path: Path) -> str:
    """Format of an image: ``tiff``, ``lif``, ``czi``, ``nd2`` or ``zarr``.

    Raises
    ------
    UnreadableImageError
        There is no such file, it is empty, or it is none of these.
    """
    if not path.exists():
        raise UnreadableImageError(f"{path}: no such file. Check the path.")
    if path.is_dir():
        if any((path / name).is_file() for name in _ZARR_FILES):
            return "zarr"
        raise UnreadableImageError(
            f"{path}: is a folder; {_EXPECTED}. (An OME-Zarr folder holds zarr.json or .zattrs.)"
        )
    if not path.is_file():
        raise UnreadableImageError(f"{path}: is no regular file; {_EXPECTED}.")
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise UnreadableImageError(
            f"{path}: cannot be opened ({error.strerror}). Check its permissions."
        ) from error
    if not head:
        raise UnreadableImageError(f"{path}: is empty (0 bytes); copy it again from its source.")
    if head[:4] == b"\x70\x00\x00\x00" and head[8:9] == b"\x2a":
        return "lif"
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    found = next((what for magic, what in _PICTURES if head.startswith(magic)), "no image")
    raise UnreadableImageError(
        f"{path}: {_EXPECTED}, found {found} (it starts with {head[:8]!r}). "
        f"Export the image again from the microscope's software."
    )
