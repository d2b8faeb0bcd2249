"""Tasks in processes: order, death of a process, bad numbers."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from imganalysis.engine import run_tasks
from imganalysis.errors import SettingsError, StoppedError

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = """
import os
from imganalysis.engine import run_tasks

def dies(number):
    os._exit(9)

def call():
    print("results", run_tasks({function}, [1, -2, 3], workers={workers}, lost=str))

{start}
    call()
"""


def started(folder: Path, **parts: object) -> subprocess.CompletedProcess[str]:
    """Run a script as a user writes it."""
    path = folder / "script.py"
    path.write_text(SCRIPT.format(**parts))
    return subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, check=False, timeout=120
    )


def slow_first(number: int) -> int:
    time.sleep(0.3 if number == 0 else 0.0)
    return number * number


def dies_on_two(number: int) -> int:
    if number == 2:
        os._exit(9)
    return number


def minus(number: int) -> int:
    return -number


@pytest.mark.parametrize("workers", [1, 2])
def test_results_keep_the_order_of_items(workers: int) -> None:
    seen: list[tuple[int, int]] = []
    results = run_tasks(
        slow_first,
        range(5),
        workers=workers,
        lost=minus,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert results == [0, 1, 4, 9, 16]
    assert seen == [(n, 5) for n in range(1, 6)]


def test_a_process_that_dies_costs_its_own_item_only() -> None:
    assert run_tasks(dies_on_two, range(5), workers=2, lost=minus) == [0, 1, -2, 3, 4]


def test_no_workers() -> None:
    with pytest.raises(SettingsError, match="workers must be 1 or more, got 0"):
        run_tasks(minus, [1], workers=0, lost=minus)


def test_a_script_without_the_guard_is_told_of_it(tmp_path: Path) -> None:
    done = started(tmp_path, function="abs", workers=2, start="if True:")
    assert done.returncode == 1 and "results" not in done.stdout
    # Not always the last line: Python's own tracker of resources may add to it as it ends.
    said = [line for line in done.stderr.splitlines() if "SettingsError: processes end" in line]
    assert said and "before they do anything" in said[0]
    assert 'if __name__ == "__main__":' in said[0]


def test_a_script_with_the_guard_or_one_worker_runs(tmp_path: Path) -> None:
    guard = 'if __name__ == "__main__":'
    for start, workers in ((guard, 2), ("if True:", 1)):
        done = started(tmp_path, function="abs", workers=workers, start=start)
        assert done.stdout.strip() == "results [1, 2, 3]", done.stderr


def test_where_every_item_kills_its_process_each_is_lost(tmp_path: Path) -> None:
    guard = 'if __name__ == "__main__":'
    done = started(tmp_path, function="dies", workers=2, start=guard)
    assert done.stdout.strip() == "results ['1', '-2', '3']", done.stderr


def nested(number: int) -> str:
    try:
        return str(run_tasks(minus, [number, 2], workers=2, lost=minus))
    except SettingsError as error:
        return f"refused: {error}"


def test_processes_start_no_processes() -> None:
    assert multiprocessing.parent_process() is None
    results = run_tasks(nested, [1, 2], workers=2, lost=str)
    assert all(text.startswith("refused: processes cannot be started") for text in results)


def one_is_long(number: int) -> int:
    time.sleep(20.0 if number == 1 else 0.0)
    return number


@pytest.mark.parametrize("workers", [1, 2])
def test_a_task_is_stopped_midway_and_its_process_ended(workers: int) -> None:
    before, done = set(multiprocessing.active_children()), []
    started = time.monotonic()
    with pytest.raises(StoppedError, match="nothing was written"):
        run_tasks(
            one_is_long,
            range(4),
            workers=workers,
            lost=minus,
            progress=lambda n, _: done.append(n),
            stop=lambda: bool(done),
        )
    assert time.monotonic() - started < 15, "it does not wait for the long one"
    assert set(multiprocessing.active_children()) <= before


def test_without_a_wish_to_stop_the_results_are_the_same() -> None:
    results = run_tasks(slow_first, range(5), workers=1, lost=minus, stop=lambda: False)
    assert results == [0, 1, 4, 9, 16]
    assert run_tasks(minus, [], lost=minus, stop=lambda: False) == []
    with pytest.raises(StoppedError):
        run_tasks(minus, [], lost=minus, stop=lambda: True)
