"""Files of Cellpose's networks: found by name or path, read without running code."""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imganalysis.errors import MissingLibraryError, ModelError, SettingsError
from imganalysis.segment._cellpose_download import LICENCE, fetch
from imganalysis.segment._torch_files import read_torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from imganalysis.methods import CellposeMethod

DEFAULT_MODEL = {3: "nuclei", 4: "cpsam"}
"""Model where none is named, by the version of Cellpose."""

_URL = {
    3: "https://www.cellpose.org/models/",
    4: "https://huggingface.co/mouseland/cellpose-sam/resolve/main/",
}
_OTHER_BUILD = ("transformer", "cpdino")  # names with these are other networks, not supported
_OLDEST = (3, 1, 1)
_INSTALL = (
    "install one of them:\n"
    "    pip install 'imganalysis[cellpose]'     Cellpose 3, Python 3.11 or 3.12\n"
    "    pip install 'imganalysis[cellpose4]'    Cellpose 4, for a GPU\n"
    "Method scikit-image needs neither."
)


@dataclass(frozen=True)
class Version:
    """The installed Cellpose.

    Parameters
    ----------
    text
        As its package says it.
    major
        3 or 4.
    """

    text: str
    major: int


def installed_version() -> Version:
    """Say which Cellpose is installed, without importing it.

    Raises
    ------
    MissingLibraryError
        None, or one that is not known here.
    """
    try:
        text = metadata.version("cellpose")
    except metadata.PackageNotFoundError:
        raise MissingLibraryError(
            f"method cellpose needs Cellpose 3 or 4, which is not installed; {_INSTALL}"
        ) from None
    numbers = tuple(int(part) for part in text.split(".")[:3] if part.isdecimal())
    if not _OLDEST <= numbers < (5,):
        raise MissingLibraryError(
            f"method cellpose needs Cellpose 3 (3.1.1 or newer) or 4, found {text}; {_INSTALL}"
        )
    return Version(text, numbers[0])


def model_names() -> list[str]:
    """Built-in names of the installed Cellpose that can be used here."""
    from cellpose import models

    names = dict.fromkeys(models.MODEL_NAMES)
    return [name for name in names if not any(part in name for part in _OTHER_BUILD)]


def model_folder() -> Path:
    """Folder where Cellpose keeps its own weights."""
    named = os.environ.get("CELLPOSE_LOCAL_MODELS_PATH")
    return Path(named) if named else Path.home() / ".cellpose" / "models"


def find_model(
    settings: CellposeMethod, version: Version, say: Callable[[str], None] | None = None
) -> tuple[str, Path]:
    """Find the file of a network.

    Parameters
    ----------
    settings
        ``model`` is a built-in name, which goes first, or a path.
    version
        As `installed_version` gives it.
    say
        Takes what is to be said of a download; standard error by default.

    Returns
    -------
    name
        The built-in name, or the name of the file.
    path
        Of a file that is there.

    Raises
    ------
    SettingsError
        Neither a built-in name nor a path.
    ModelError
        The file is not there, and was not to be, or could not be, downloaded.
    """
    model = settings.model or DEFAULT_MODEL[version.major]
    names = model_names()
    if model in names:
        return model, _official(model, version, settings.download, say or _to_stderr)
    path = Path(model).expanduser()
    if path.is_file():
        return path.name, path
    if path.name != model or path.suffix:
        raise ModelError(f"{path}: no such file; expected weights of Cellpose {version.major}")
    raise SettingsError(
        f"unknown model {model!r}: Cellpose {version.text}, which is installed, has "
        f"{', '.join(names)}; or give the path of a file"
    )


def _official(name: str, version: Version, download: bool, say: Callable[[str], None]) -> Path:
    file = f"{name}torch_0" if name in ("nuclei", "cyto", "cyto2") else name
    path = model_folder() / file
    if path.is_file():
        return path
    url = _URL[version.major] + file
    if not download:
        raise ModelError(
            f"{path}: the weights of model {name!r} of Cellpose {version.major} are not there. "
            f"Give --download (download: true) to fetch them once, or put the file of {url} "
            f"there yourself. {LICENCE}"
        )
    fetch(url, path, say, lambda file: read_state(file, shown=f"{url} (downloaded)"))
    return path


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file; a process reads an unchanged file once.

    Raises
    ------
    ModelError
        It cannot be read.
    """
    try:
        return _sha256(path, stamp(path))
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error})") from None


def stamp(path: Path) -> tuple[int, int, int]:
    """Say what changes when a file is written anew."""
    facts = path.stat()
    return facts.st_mtime_ns, facts.st_size, facts.st_ino


@lru_cache(maxsize=16)
def _sha256(path: Path, _: tuple[int, int, int]) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_state(path: Path, shown: str | None = None) -> dict[str, Any]:
    """Read the weights in a file, never code.

    Parameters
    ----------
    path
        The file.
    shown
        How messages call it; the path by default.

    Returns
    -------
    Name of each weight to its tensor.

    Raises
    ------
    ModelError
        Damaged, foreign, with code in it, or a network of this package.
    """
    import torch

    name = shown or str(path)
    content = read_torch(path, name, "weights of Cellpose")
    if isinstance(content, dict) and str(content.get("format", "")).startswith("imganalysis"):
        raise ModelError(
            f"{name}: a network that imganalysis train made. Its input is not Cellpose's: use "
            "method network with the .onnx file that stands beside it"
        )
    state = content if isinstance(content, dict) else {}
    state = {str(key).removeprefix("module."): value for key, value in state.items()}
    if not state or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ModelError(f"{name}: expected the weights of a network of Cellpose, found others")
    return state
