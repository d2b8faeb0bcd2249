"""Pictures of the Gates and Export widgets; see `_screens`, whose options it takes."""

from __future__ import annotations

from typing import Any

import _screens


def _gates(viewer: Any, widgets: dict[str, Any]) -> None:
    gates = widgets["Gates"]
    titles = [gates.gate.itemText(i) for i in range(gates.gate.count())]
    gates.gate.setCurrentIndex(next(i for i, one in enumerate(titles) if "casp3" in one))
    gates.plot.stepped.emit(3.2)
    gates.reason.setText("Nuclear haze up to 3")


def _export(viewer: Any, widgets: dict[str, Any]) -> None:
    """Nothing is to be done: it shows what it is."""


_screens.SCENES.clear()
_screens.SCENES.update({"Gates": _gates, "Export": _export})

if __name__ == "__main__":
    _screens.main()
