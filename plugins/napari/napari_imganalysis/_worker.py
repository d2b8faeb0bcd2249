"""A run in a thread of its own, with progress, and an end whenever it is wanted."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from napari.qt.threading import WorkerBase, WorkerBaseSignals
from qtpy.QtCore import Signal

from imganalysis.engine import check_stop
from napari_imganalysis._job import run_job

if TYPE_CHECKING:
    from imganalysis.records import StudyResult
    from napari_imganalysis._job import Job

PATIENCE_S = 20.0
"""How long the end of a thread is waited for."""


class _Signals(WorkerBaseSignals):
    progressed = Signal(str, int, int)


class RunWorker(WorkerBase):
    """Runs a job; what went wrong is kept, not raised.

    The heavy work is in processes, which `quit` ends; the thread only waits for them, and then
    sets gates and writes tables.
    """

    def __init__(self, job: Job) -> None:
        super().__init__(SignalsClass=_Signals)
        self.job = job
        self.result: StudyResult | None = None
        self.error: BaseException | None = None
        self._over = threading.Event()

    def work(self) -> None:
        """Run; called in the thread."""
        try:
            check_stop(self._wanted)  # it may have been ended before it began
            self.result = run_job(self.job, progress=self._say, stop=self._wanted)
        except Exception as error:  # told to the user in the window's thread
            self.error = error
        finally:
            self._over.set()

    def _wanted(self) -> bool:
        return bool(self.abort_requested)

    def _say(self, step: str, done: int, total: int) -> None:
        if not self.abort_requested:  # nobody may be left to hear it
            self.progressed.emit(step, done, total)

    def end(self) -> None:
        """Ask to stop, and wait until the processes are gone and nothing half done is left."""
        self.quit()
        if self.is_running:
            self._over.wait(PATIENCE_S)


def ender(worker: RunWorker) -> Any:
    """Give a function that ends a worker, for when nobody is left who could."""

    def end(*_: Any) -> None:
        worker.end()

    return end
