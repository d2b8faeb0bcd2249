"""Which library reads, what is missing, and that readers are kept quiet."""

from __future__ import annotations

import builtins
import logging
import subprocess
import sys
import threading
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from imganalysis.errors import MissingLibraryError, SettingsError, UnreadableImageError
from imganalysis.io import list_series, read_stack
from imganalysis.io._aicsimageio import check_order
from imganalysis.io._backend import choose_backend, library
from imganalysis.io._quiet import quiet

if TYPE_CHECKING:
    from pathlib import Path


def _installed(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setattr(
        "imganalysis.io._backend.find_spec", lambda name: object() if name in names else None
    )


def test_bioio_comes_first_and_aicsimageio_stands_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IMGANALYSIS_READER", raising=False)
    _installed(monkeypatch, "bioio", "aicsimageio")
    assert choose_backend() == "bioio"
    assert choose_backend("aicsimageio") == "aicsimageio"
    monkeypatch.setenv("IMGANALYSIS_READER", "aicsimageio")
    assert choose_backend() == "aicsimageio"
    assert choose_backend("bioio") == "bioio"
    monkeypatch.delenv("IMGANALYSIS_READER")
    _installed(monkeypatch, "aicsimageio")
    assert choose_backend() == "aicsimageio"


def test_a_reader_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IMGANALYSIS_READER", raising=False)
    _installed(monkeypatch)
    with pytest.raises(MissingLibraryError, match="pip install imganalysis"):
        choose_backend()
    with pytest.raises(MissingLibraryError, match="bioio is not installed: pip install bioio"):
        choose_backend("bioio")
    with pytest.raises(SettingsError, match="backend: expected auto, bioio or aicsimageio"):
        choose_backend("bioformats")
    monkeypatch.setenv("IMGANALYSIS_READER", "bioformats")
    with pytest.raises(SettingsError, match="environment variable IMGANALYSIS_READER"):
        choose_backend()


def test_a_missing_format_names_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = builtins.__import__

    def without_liffile(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "liffile":
            raise ImportError("No module named 'liffile'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(
        "imganalysis.io._backend.import_module", lambda name: without_liffile(name, fromlist=["x"])
    )
    path = tmp_path / "a.lif"
    path.write_bytes(b"\x70\x00\x00\x00\x00\x00\x00\x00\x2a")
    line = r'Leica LIF needs liffile .*: pip install "imganalysis\[formats\]"'
    with pytest.raises(MissingLibraryError, match=line):
        list_series(path)


def test_a_library_that_is_there_is_given() -> None:
    assert library("tifffile", "tiff") is tifffile


@pytest.mark.parametrize("axes", ["MTZCYX", "TZCYX", "MZYX", "YX", "MCYX"])
def test_planes_in_the_order_of_readlif(tmp_path: Path, axes: str) -> None:
    check_order(tmp_path, axes)


@pytest.mark.parametrize("axes", ["TMZCYX", "ZTCYX", "TCZYX"])
def test_planes_in_another_order_are_refused(tmp_path: Path, axes: str) -> None:
    with pytest.raises(UnreadableImageError, match=f"mix up its planes.* order {axes}"):
        check_order(tmp_path, axes)


@pytest.mark.realdata
@pytest.mark.skipif(choose_backend() != "aicsimageio", reason="a fault of aicsimageio only")
def test_aicsimageio_does_not_mix_up_tiles_and_times(testdata: Path) -> None:
    with pytest.raises(UnreadableImageError, match="Read it with bioio"):
        read_stack(testdata / "formats/lif/PR2729_frameOrderCombinedScanTypes.lif", tile=0)


# Quiet


def _chatter() -> None:
    warnings.warn("reader's warning", stacklevel=1)
    print("reader's print")
    print("reader's error", file=sys.stderr)
    for name in ("tifffile", "bioio_tifffile.reader"):
        logging.getLogger(name).error("reader's record")


def test_readers_chatter_is_swallowed_and_all_is_as_before(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    before = (warnings.filters[:], warnings.showwarning, sys.stdout, sys.stderr)
    handle = logging.Logger.handle
    with quiet(), quiet():
        _chatter()
    assert capsys.readouterr() == ("", "")
    assert caplog.records == []
    assert (warnings.filters[:], warnings.showwarning, sys.stdout, sys.stderr) == before
    assert logging.Logger.handle is handle
    with pytest.warns(UserWarning, match="reader's warning"):
        _chatter()  # the same, not muted: it is heard
    assert capsys.readouterr() == ("reader's print\n", "reader's error\n")
    assert len(caplog.records) == 2


def test_quiet_ends_with_an_error() -> None:
    before = sys.stdout
    with pytest.raises(ValueError, match="from a reader"), quiet():
        raise ValueError("from a reader")
    assert sys.stdout is before


def test_other_threads_are_heard(capsys: pytest.CaptureFixture[str]) -> None:
    inside, spoken = threading.Event(), threading.Event()

    def read() -> None:
        with quiet():
            print("reader")
            inside.set()
            spoken.wait(10)

    thread = threading.Thread(target=read)
    thread.start()
    assert inside.wait(10)
    print("progress")
    logging.getLogger("imganalysis").error("heard")
    with quiet():  # ends while the other still reads
        print("muted")
    print("more progress")
    spoken.set()
    thread.join(10)
    assert capsys.readouterr().out == "progress\nmore progress\n"
    print("after")
    assert capsys.readouterr().out == "after\n"


def test_many_threads_read_and_the_streams_come_back(tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    data = np.random.default_rng(0).integers(0, 9, (6, 4, 20, 30), dtype=np.uint8)
    tifffile.imwrite(path, data, photometric="minisblack", metadata={"axes": "CZYX"})
    before = (sys.stdout, warnings.filters[:])
    lazy = read_stack(path).data
    for _ in range(5):
        np.testing.assert_array_equal(lazy.compute(scheduler="threads", num_workers=6), data)
    assert (sys.stdout, warnings.filters[:]) == before


@pytest.mark.realdata
def test_nothing_is_heard_of_the_first_file_of_a_process(testdata: Path) -> None:
    path = testdata / "formats/ome-tiff/4D-series.ome.tif"
    code = (
        "import logging, pathlib, sys; logging.basicConfig(level='DEBUG');"
        "from imganalysis.io import read_stack;"
        "print(read_stack(pathlib.Path(sys.argv[1])).numpy().shape)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("(1, 5, 167, 439)\n", "")
