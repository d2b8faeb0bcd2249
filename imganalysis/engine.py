"""Where tasks run: here, or in processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, TypeVar

from imganalysis.errors import SettingsError, StoppedError

if TYPE_CHECKING:
    from collections.abc import Sequence

Item = TypeVar("Item")
Result = TypeVar("Result")

GUARD = (
    "each one runs the script that was started again. Put what the script does under "
    'if __name__ == "__main__": or give workers=1 (--workers 1)'
)
"""What to do where a script starts itself again."""

Stop = Callable[[], bool]
"""Asked now and then whether to stop."""

ASKED_EVERY = 0.1  # seconds


def default_workers() -> int:
    """Processors that this process may use."""
    try:
        return max(1, len(os.sched_getaffinity(0)))
    except AttributeError:  # macOS and Windows
        return max(1, os.cpu_count() or 1)


def threads_each(workers: int | None, tasks: int) -> int:
    """Threads that each of several processes may use, so that all processors have work."""
    processes = max(1, min(workers or default_workers(), tasks))
    return max(1, default_workers() // processes)


def run_tasks(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int | None = None,
    lost: Callable[[Item], Result],
    progress: Callable[[int, int], None] | None = None,
    stop: Stop | None = None,
) -> list[Result]:
    """Run a function on each item, in any order, and give the results in the items' order.

    The processes start afresh and import the script that was started: one that calls this, by
    whatever way, does so under ``if __name__ == "__main__":``, or with one worker.

    Parameters
    ----------
    function
        A module-level function that raises nothing it can help: its result says what failed.
    items
        What to run it on.
    workers
        Processes; 1 runs everything in this one. All processors by default.
    lost
        Gives the result of an item whose process died (memory, a crash in a library).
    progress
        Called with (done, total) after each item.
    stop
        Asked whether to stop. With it every item runs in a process, one worker or not, so that
        it can be stopped midway.

    Returns
    -------
    list
        One result per item, in order, whatever the number of workers.

    Raises
    ------
    SettingsError
        Fewer than one worker; or several, and processes cannot be started, as from a script
        without the guard.
    StoppedError
        `stop` said so; the processes were ended.
    """
    check_stop(stop)
    workers = default_workers() if workers is None else workers
    if workers < 1:
        raise SettingsError(f"workers must be 1 or more, got {workers}")
    total = len(items)
    if stop is None and (workers == 1 or total <= 1):
        results = []
        for number, item in enumerate(items, start=1):
            results.append(function(item))
            if progress:
                progress(number, total)
        return results
    if multiprocessing.parent_process() is not None:
        raise SettingsError(f"processes cannot be started from one of them: {GUARD}")
    if not items:
        return []
    found: dict[int, Result] = {}
    _pool(function, items, list(range(total)), min(workers, total), found, progress, stop)
    if not found and not _can_start():
        raise SettingsError(f"processes end before they do anything: {GUARD}")
    # A dead process takes its neighbours' tasks along. Each one left runs again, alone.
    for index in range(total):
        if index not in found:
            _pool(function, items, [index], 1, found, None, stop)
            found.setdefault(index, lost(items[index]))
            if progress:
                progress(len(found), total)
    return [found[index] for index in range(total)]


def check_stop(stop: Stop | None) -> None:
    """Stop here if that is wanted.

    Raises
    ------
    StoppedError
        `stop` says so.
    """
    if stop is not None and stop():
        raise StoppedError("stopped; nothing was written")


def _can_start() -> bool:
    """Whether a process can be started that does nothing."""
    found: dict[int, None] = {}
    _pool(_nothing, [None], [0], 1, found, None)
    return bool(found)


def _nothing(item: None) -> None:
    return item


def _pool(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    indices: list[int],
    workers: int,
    found: dict[int, Result],
    progress: Callable[[int, int], None] | None,
    stop: Stop | None = None,
) -> None:
    # Forking a process that runs threads of numerical libraries can hang: start fresh ones.
    # Only the parent heeds Ctrl-C, and ends the others.
    foreign = multiprocessing.active_children()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        workers,
        mp_context=context,
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),
    ) as pool:
        futures = {pool.submit(function, items[index]): index for index in indices}
        try:
            left = set(futures)
            while left:
                check_stop(stop)
                done, left = wait(left, ASKED_EVERY if stop else None, FIRST_COMPLETED)
                for future in done:
                    found[futures[future]] = future.result()
                    if progress:
                        progress(len(found), len(items))
        except BrokenProcessPool:
            return
        except BaseException:
            for child in multiprocessing.active_children():
                if child not in foreign:
                    child.terminate()
            # Only when they have ended can what they wrote be taken away.
            pool.shutdown(wait=True, cancel_futures=True)
            raise
