"""file_hash: the content of an image as a key."""

from __future__ import annotations

import hashlib
from pathlib import Path

from imganalysis.errors import UnreadableImageError


def file_hash(path: Path) -> str:
    """SHA-256 of a file, or of an OME-Zarr folder.

    Parameters
    ----------
    path
        A file; or a folder, of which the names and contents of all files count, in the order of
        their names.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    UnreadableImageError
        There is nothing there, or it cannot be read.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _folder(path)
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UnreadableImageError(f"{path}: cannot be read ({error.strerror}).") from error


def _folder(path: Path) -> str:
    total = hashlib.sha256()
    files = sorted((p.relative_to(path).as_posix(), p) for p in path.rglob("*") if p.is_file())
    for name, file in files:
        with file.open("rb") as opened:
            content = hashlib.file_digest(opened, "sha256").hexdigest()
        # Both parts have a fixed end, so no two folders give the same text.
        total.update(f"{content} {name}\0".encode("utf-8", "surrogateescape"))
    return total.hexdigest()
