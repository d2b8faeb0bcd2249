"""The hash of a file or a folder."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from imganalysis.errors import UnreadableImageError
from imganalysis.io import file_hash

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "ü a.bin"
    path.write_bytes(b"x" * 3_000_000)
    assert file_hash(path) == hashlib.sha256(b"x" * 3_000_000).hexdigest()


def test_a_folder_counts_names_and_contents(tmp_path: Path) -> None:
    def make(name: str, files: dict[str, bytes]) -> str:
        for file, content in files.items():
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return file_hash(tmp_path / name)

    first = make("one.zarr", {"0/c/0": b"a", "zarr.json": b"{}"})
    assert make("two.zarr", {"zarr.json": b"{}", "0/c/0": b"a"}) == first
    others = [
        make("three.zarr", {"0/c/1": b"a", "zarr.json": b"{}"}),
        make("four.zarr", {"0/c/0": b"b", "zarr.json": b"{}"}),
        make("five.zarr", {"0/c/0": b"{}", "zarr.json": b"a"}),
        make("six.zarr", {"0/c/0": b"a"}),
    ]
    assert len({first, *others}) == 5


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImageError, match="cannot be read"):
        file_hash(tmp_path / "gone")
