"""Tasks in processes: order, death of a process, bad numbers."""

from __future__ import annotations

import os
import time

import pytest

from imganalysis.engine import run_tasks
from imganalysis.errors import SettingsError


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
