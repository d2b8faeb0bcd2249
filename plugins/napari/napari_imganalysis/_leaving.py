"""A widget that lets go of the viewer when its dock is closed: napari keeps such a widget alive."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QWidget


class Leaving(QWidget):
    """Calls `leave` and is deleted once it was in a dock and is in none any more."""

    _docked = False

    def changeEvent(self, event: Any) -> None:
        """Notice that the dock took the widget, or gave it up."""
        if event.type() == QEvent.Type.ParentChange:
            if self.parent() is not None:
                self._docked = True
            elif self._docked:
                self._docked = False
                self.leave()
                self.deleteLater()
        super().changeEvent(event)

    def leave(self) -> None:
        """Let go of what outlives the widget."""
