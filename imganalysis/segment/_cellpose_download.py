"""Download of Cellpose's official weights, which is asked for and says its licence."""

from __future__ import annotations

import http.client
import os
import ssl
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

from imganalysis.errors import ModelError, OutputError
from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LICENCE = (
    "Cellpose's weights were trained on data that its authors licence for non-commercial use "
    "(CC-BY-NC): see https://github.com/MouseLand/cellpose before any other use."
)
"""What is said before a download."""
_TIMEOUT_S = 60
_PIECE = 1 << 20


def fetch(url: str, path: Path, say: Callable[[str], None], check: Callable[[Path], Any]) -> None:
    """Download weights; the file is there whole, and checked, or not at all.

    Parameters
    ----------
    url, path
        From where to where.
    say
        Takes what is to be said before the download begins: its size and its licence.
    check
        Raises an error where the file is none.

    Raises
    ------
    ModelError
        The server cannot be reached, breaks off, or sends something else than weights.
    OutputError
        The file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            for piece in _pieces(url, path, say):
                file.write(piece)
        check(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        temporary.unlink(missing_ok=True)


def _pieces(url: str, path: Path, say: Callable[[str], None]) -> Any:
    # Certificates are checked whatever Cellpose, which turns that off, did in this process.
    context = ssl.create_default_context()
    got = 0
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S, context=context) as answer:  # noqa: S310
            size = int(answer.headers.get("Content-Length") or -1)
            large = f"{size / 1e6:.0f} MB" if size >= 0 else "unknown size"
            say(f"Downloading {url} ({large}) to {path}. {LICENCE}")
            while piece := answer.read(_PIECE):
                got += len(piece)
                yield piece
    except (OSError, http.client.HTTPException, ValueError) as error:
        # An OSError of the file system arises in the caller's loop, not here.
        reason = getattr(error, "reason", error)
        if isinstance(error, urllib.error.HTTPError):
            reason = str(error)
            error.close()
        raise ModelError(
            f"{url}: cannot be downloaded ({reason}). Without a network, put this file at {path} "
            "from another computer, or use another method: scikit-image needs no weights."
        ) from None
    if 0 <= got < size:
        raise ModelError(f"{url}: broke off after {got} of {plural(size, 'byte')}; try again")
