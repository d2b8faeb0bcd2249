"""The log: lines that only grow, survive a crash, and are never changed unseen."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from imganalysis import __version__
from imganalysis.corrections import (
    CLASS,
    DELETE,
    REDO,
    REVIEW,
    UNDO,
    Edit,
    Log,
    active_edits,
    append,
    log_path,
    read_log,
    review_of,
    seal,
    stacks,
)  # fmt: skip
from imganalysis.corrections import _lock as lock
from imganalysis.errors import CorrectionsError, OutputError

if TYPE_CHECKING:
    from pathlib import Path


def cell(label: int, x: float, y: float, **more: Any) -> dict[str, Any]:
    return {"label": label, "x": x, "y": y, **more}


ONE, TWO, NINE = cell(1, 5, 5), cell(2, 10, 5), cell(9, 32.5, 22.5)


def edit(kind: str, what: dict[str, Any], **more: Any) -> Edit:
    """A sealed edit by anna in field F."""
    base = Edit(kind, "F", what, user="anna", time="2026-01-01T00:00:00+00:00",
                input="abc", version=__version__)  # fmt: skip
    return seal(dataclasses.replace(base, **more))


FIRST = edit(DELETE, {"cell": ONE})
SECOND = edit(DELETE, {"cell": TWO}, user="Bjørn 'x' = \n")
THIRD = edit(CLASS, {"cell": NINE}, after={"class": "T"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "study" / "corrections.jsonl"


def test_lines_come_back_as_they_were_written(path: Path) -> None:
    log = append(append(read_log(path), [FIRST]), [SECOND, THIRD])
    assert read_log(path) == log == Log(path, (FIRST, SECOND, THIRD), path.stat().st_size)
    lines = path.read_bytes().splitlines()
    assert len(lines) == 3
    assert list(json.loads(lines[1])) == [
        "id", "time", "user", "field", "input", "kind", "what", "before", "after", "why", "version",
    ]  # fmt: skip


def test_what_was_written_is_never_touched_again(path: Path) -> None:
    log, seen = read_log(path), b""
    for one in (FIRST, SECOND, THIRD):
        log = append(log, [one])
        data = path.read_bytes()
        assert data.startswith(seen) and len(data) > len(seen)
        seen = data


def test_a_line_is_on_the_disk_before_append_returns(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    real_write, real_sync = os.write, os.fsync
    monkeypatch.setattr(os, "write", lambda h, d: (calls.append("write"), real_write(h, d))[1])
    monkeypatch.setattr(os, "fsync", lambda h: (calls.append("fsync"), real_sync(h))[1])
    append(read_log(path), [FIRST])
    assert calls[-2:] == ["write", "fsync"]


@pytest.mark.parametrize("cut", [1, 20, 150])
def test_a_half_written_last_line_is_said_set_aside_and_written_over(path: Path, cut: int) -> None:
    append(read_log(path), [FIRST, SECOND])
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    path.write_bytes(whole[: first + cut])
    log = read_log(path)
    assert log.edits == (FIRST,)
    assert f"{path}: line 2 was cut short" in log.torn
    assert path.read_bytes() == whole[: first + cut], "reading changes nothing"
    assert append(log, [THIRD]).edits == (FIRST, THIRD)
    assert read_log(path).torn == ""
    aside = path.with_name("corrections.jsonl.torn")
    assert aside.read_bytes() == whole[first : first + cut] + b"\n"


def test_a_line_that_lacks_only_its_end_is_kept_aside_too(path: Path) -> None:
    append(read_log(path), [FIRST])
    path.write_bytes(path.read_bytes()[:-1])
    assert read_log(path).edits == ()
    assert read_log(path).torn


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda line: b"{nonsense", "not a line of corrections"),
        (lambda line: b"\xff\xfe", "not a line of corrections"),
        (lambda line: b"[" * 100_000, "not a line of corrections"),
        (lambda line: b"[]", "expected the keys"),
        (lambda line: b"", "not a line of corrections"),
        (lambda line: line.replace(b'"anna"', b'"bert"'), "was changed after it was written"),
        (lambda line: line.replace(b'"x": 10', b'"x": 11'), "was changed after it was written"),
        (lambda line: line.replace(b"nucleus_deleted", b"nucleus_painted"), "unknown kind"),
        (lambda line: line.replace(b'"anna"', b"7"), "user: expected str"),
    ],
)
def test_a_malformed_line_is_an_error_with_its_number(
    path: Path, change: object, said: str
) -> None:
    append(read_log(path), [FIRST, edit(DELETE, {"cell": TWO}), THIRD])
    lines = path.read_bytes().split(b"\n")
    lines[1] = change(lines[1])  # type: ignore[operator]
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(CorrectionsError, match=r"corrections\.jsonl: line 2: ") as error:
        read_log(path)
    assert said in str(error.value)


def test_a_line_twice_and_a_later_version_are_errors(path: Path) -> None:
    append(read_log(path), [FIRST])
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(CorrectionsError, match="line 2: stands in the log twice"):
        read_log(path)
    path.unlink()
    append(read_log(path), [edit(DELETE, {"cell": ONE}, version="99.0.0")])
    with pytest.raises(CorrectionsError, match=r"written by imganalysis 99\.0\.0, later"):
        read_log(path)


def test_two_writers_of_different_fields_both_get_their_lines(path: Path) -> None:
    mine = theirs = read_log(path)
    mine = append(mine, [FIRST])
    other = edit(DELETE, {"cell": TWO}, field="G", user="bert")
    theirs = append(theirs, [other])
    assert theirs.edits == (FIRST, other) == read_log(path).edits
    assert append(mine, [THIRD]).edits == (FIRST, other, THIRD)


def test_two_writers_of_one_field_are_told_and_nothing_is_written(path: Path) -> None:
    mine = theirs = read_log(path)
    append(mine, [FIRST])
    before = path.read_bytes()
    with pytest.raises(CorrectionsError, match=r"anna changed F at .* while it was open") as error:
        append(theirs, [edit(DELETE, {"cell": TWO}, user="bert")])
    assert error.value.reason == "conflict"
    assert path.read_bytes() == before


def test_a_log_whose_lines_are_gone_is_not_written_to(path: Path) -> None:
    log = append(read_log(path), [FIRST, THIRD])
    path.write_bytes(path.read_bytes().split(b"\n")[0] + b"\n")
    with pytest.raises(CorrectionsError, match="only ever grows"):
        append(log, [edit(DELETE, {"cell": TWO})])


@pytest.mark.skipif(sys.platform == "win32", reason="locks of Windows hold the whole file")
def test_who_holds_the_log_is_waited_for_and_then_said(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = append(read_log(path), [FIRST])
    monkeypatch.setattr(lock, "PATIENCE_S", 0.05)
    handle = os.open(path, os.O_RDWR)
    try:
        with (
            lock.locked(handle, path),
            pytest.raises(CorrectionsError, match="another program holds it") as error,
        ):
            append(log, [THIRD])
    finally:
        os.close(handle)
    assert error.value.reason == "locked"
    assert append(log, [THIRD]).edits == (FIRST, THIRD)


def test_a_full_disk_leaves_the_log_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = append(read_log(path), [FIRST])
    before = path.read_bytes()
    real = os.write

    def full(handle: int, data: bytes) -> int:
        if len(data) < 50:
            raise OSError(28, "No space left on device")
        return real(handle, bytes(data[:40]))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OutputError, match="is not kept; name a log in a folder"):
        append(log, [THIRD])
    monkeypatch.undo()
    assert path.read_bytes() == before


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="is not kept"):
        append(Log(tmp_path / "file" / "corrections.jsonl"), [FIRST])


def test_undo_and_redo_are_lines() -> None:
    undo = edit(UNDO, {"edit": FIRST.id})
    redo = edit(REDO, {"edit": FIRST.id}, time="2026-01-02")
    assert active_edits([FIRST, THIRD]) == (FIRST, THIRD)
    assert active_edits([FIRST, THIRD, undo]) == (THIRD,)
    assert stacks([FIRST, THIRD, undo]) == ([THIRD], [FIRST])
    assert active_edits([FIRST, THIRD, undo, redo]) == (FIRST, THIRD)
    assert active_edits([FIRST, edit(DELETE, {"cell": ONE}, field="G")], "G")[0].field == "G"


def test_a_new_edit_ends_the_redo_of_its_user_and_field_only() -> None:
    undo = edit(UNDO, {"edit": FIRST.id})
    assert stacks([FIRST, undo, THIRD])[1] == []
    other = edit(DELETE, {"cell": TWO}, field="G")
    assert stacks([FIRST, undo, other])[1] == [FIRST]
    assert stacks([FIRST, undo, SECOND])[1] == [FIRST]
    assert stacks([FIRST, SECOND], user="anna")[0] == [FIRST]


@pytest.mark.parametrize("wrong", [edit(UNDO, {"edit": "f" * 16}), edit(REDO, {"edit": FIRST.id})])
def test_an_undo_of_what_is_not_there_is_an_error(wrong: Edit) -> None:
    with pytest.raises(CorrectionsError, match="no edit of F that could be"):
        active_edits([FIRST, wrong])


def test_the_last_review_holds() -> None:
    one = edit(REVIEW, {}, after={"state": "to_look_at", "note": "blur"})
    two = edit(REVIEW, {}, after={"state": "reviewed", "note": ""})
    assert review_of([one, two], "F") == two
    assert review_of([one, two, edit(UNDO, {"edit": two.id})], "F") == one
    assert review_of([one], "G") is None


def test_an_id_is_of_all_that_the_edit_says() -> None:
    assert seal(FIRST) == FIRST
    assert edit(DELETE, {"cell": ONE}, why="debris").id != FIRST.id


def test_a_folder_stands_for_the_log_in_it(tmp_path: Path) -> None:
    assert log_path(tmp_path) == tmp_path / "corrections.jsonl"
    assert log_path(tmp_path / "mine.jsonl") == tmp_path / "mine.jsonl"
