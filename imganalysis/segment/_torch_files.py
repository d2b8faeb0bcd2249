"""Files of `torch.save`: read without running code, damage and foreign files named."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from typing import TYPE_CHECKING, Any

from imganalysis.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # first bytes before torch wrote archives
_CODE = "Loading it could run foreign code."


def read_torch(path: Path, shown: str, what: str) -> Any:
    """Read a file of `torch.save`, never code in it; messages call it ``shown``.

    Raises
    ------
    ModelError
        Damaged, foreign, or with code in it; ``what`` says what was expected.
    """
    import torch

    try:
        archive = _check(path, shown, what)
    except OSError as error:
        raise ModelError(f"{shown}: cannot be read ({error.strerror or error})") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is refused anyway
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        damaged = "" if archive else ", or is damaged"
        raise ModelError(
            f"{shown}: refused: it holds more than tensors and plain values{damaged}. {_CODE}"
        ) from None
    except Exception:
        # torch raises RuntimeError, EOFError, KeyError, ... for what is damaged: all are the file.
        raise ModelError(f"{shown}: no {what}, or damaged") from None


def _check(path: Path, shown: str, what: str) -> bool:
    """Refuse what torch did not write and what was changed since; say whether it is an archive.

    torch itself does not look at the checksums in its archives.
    """
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            first = file.read(len(_MAGIC))
        if first == _MAGIC:
            return False
        if first[:1] == _MAGIC[:1]:
            raise ModelError(
                f"{shown}: refused: expected {what}, found a pickle that torch did not write. "
                f"{_CODE}"
            )
        raise ModelError(f"{shown}: no {what}: not a file of torch, or damaged (cut short)")
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.rpartition("/")[2] for name in archive.namelist()}
            changed = archive.testzip()
    except Exception as error:  # zipfile raises many kinds for what is damaged
        raise ModelError(f"{shown}: damaged ({error}); copy it again") from None
    if changed is not None:
        raise ModelError(
            f"{shown}: damaged: {changed} in it does not fit its checksum; copy it again"
        )
    if "data.pkl" not in names:
        raise ModelError(f"{shown}: no {what}: an archive that torch did not write")
    if "constants.pkl" in names:
        raise ModelError(f"{shown}: refused: it holds a program (TorchScript), not {what}")
    return True
