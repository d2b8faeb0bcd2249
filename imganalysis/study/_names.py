"""Names: natural order, names that are safe for files, one name per field."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imganalysis.stack import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from pathlib import Path

_FORBIDDEN = re.compile(r'[<>:"/\\|?*\s]+')
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_BYTES = re.compile("[\udc80-\udcff]")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")
MAX_BYTES = 160
"""Of a safe name: file systems allow 255 for a name, and suffixes are added."""


def natural_key(text: str) -> tuple[object, ...]:
    """Sort key by which ``f2`` comes before ``f10``; case counts last."""
    parts = re.split(r"([0-9]+)", text.casefold())
    return (tuple(int(p) if i % 2 else p for i, p in enumerate(parts)), text)


def safe_name(text: str) -> str:
    """Make a text usable as a file name on Windows, macOS and Linux.

    Letters of all scripts are kept; blanks, separators, control characters and what
    Windows forbids become ``_``; a name too long is cut and ends in a hash of the whole.
    """
    text = unicodedata.normalize("NFC", text)
    text = "".join(" " if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl") else c for c in text)
    text = _FORBIDDEN.sub("_", text.rstrip(". ").strip()).rstrip(". ")
    # A leading dot hides a file, and these others make a spreadsheet see a formula.
    text = re.sub(r"^[.=+\-@]+", "_", text) or "_"
    if _DEVICES.fullmatch(text):
        text = "_" + text
    encoded = text.encode("utf-8")
    if len(encoded) > MAX_BYTES:
        digest = hashlib.sha256(encoded).hexdigest()[:8]
        text = encoded[: MAX_BYTES - 9].decode("utf-8", errors="ignore").rstrip(". ") + "_" + digest
    return text


def clean_text(text: str) -> str:
    r"""Make a text one that every table can hold.

    Bytes of a file name that are no UTF-8 are shown as ``\xfc``, and control characters, which
    no spreadsheet takes, are left out.
    """
    # Such bytes reach Python as lone surrogates (PEP 383); other surrogates have no byte.
    text = _BYTES.sub(lambda found: f"\\x{ord(found[0]) - 0xDC00:02x}", text)
    return _CONTROL.sub("", text.encode("utf-8", "backslashreplace").decode("utf-8"))


def name_key(text: str) -> str:
    """Give what two names have in common that a file system takes for one."""
    return safe_name(text).casefold()


def image_suffix(name: str) -> str:
    """Find the suffix that makes a file name an image's, as written; empty if none does."""
    for suffix in IMAGE_SUFFIXES:
        if name.casefold().endswith(suffix) and len(name) > len(suffix):
            return name[-len(suffix) :]
    return ""


def is_image(path: Path) -> bool:
    """Whether a path is taken for an image: by its name, and OME-Zarr is a folder."""
    suffix = image_suffix(path.name).casefold()
    return bool(suffix) and path.is_dir() == suffix.endswith("zarr")


@dataclass(frozen=True)
class Parts:
    """What the name of a field is made of.

    Parameters
    ----------
    prefix
        The biopsy, or the role of a control.
    folders
        Names of the folders above the file, outermost first.
    stem
        Of the file's name.
    series
        Name of the series where the file has several, and of the tile.
    identity
        Different for every field, the same in every run.
    """

    prefix: str
    folders: tuple[str, ...]
    stem: str
    series: tuple[str, ...]
    identity: str

    def name(self, n_folders: int = 0, *, hashed: bool = False) -> str:
        """Name with so many of the folders, or with a hash of the identity."""
        middle = self.folders[len(self.folders) - n_folders :]
        words = [*middle, self.stem, *self.series]
        repeats = re.match(re.escape(name_key(self.prefix)) + r"(?![^\W_])", name_key(words[0]))
        if self.prefix and not repeats:
            words.insert(0, self.prefix)
        if hashed:
            words.append(hashlib.sha256(self.identity.encode()).hexdigest()[:8])
        return safe_name("_".join(safe_name(word) for word in words))


def field_names(parts: list[Parts]) -> list[str]:
    """Give each field a name of its own.

    Where files of one biopsy bear the same name, the folders above them enter; where that
    does not help, a hash of the path does. A name does not depend on the order of the fields.
    """
    names = [p.name() for p in parts]
    deepest = max((len(p.folders) for p in parts), default=0)
    for n_folders in (*range(1, deepest + 1), -1):
        counts = Counter(name.casefold() for name in names)
        twice = [i for i, name in enumerate(names) if counts[name.casefold()] > 1]
        for i in twice:
            p = parts[i]
            hashed = n_folders < 0
            names[i] = p.name(0 if hashed else min(n_folders, len(p.folders)), hashed=hashed)
    return names
