"""Keys of the corrections in the picture, which leave those of napari's own layers alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_imganalysis._view import NUCLEI, OUTLINES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

UNDO_KEY, REDO_KEY = "Control-Z", "Control-Shift-Z"
CLASS_KEY = "Alt-{}"
DELETE_KEY = "Alt-D"


class Keys:
    """Binds keys while a widget is there, and gives back what was bound before.

    napari's labels have Control-Z and Control-Shift-Z for painting. Our own label layers are not
    painted on, so that there the keys are ours; in a label layer of the user they stay napari's.

    Parameters
    ----------
    viewer
        A napari viewer.
    actions
        Key -> what it does.
    """

    def __init__(self, viewer: Any, actions: Mapping[str, Callable[[], None]]) -> None:
        self._viewer, self._actions = viewer, dict(actions)
        self._old = {key: viewer.keymap.get(_known(viewer, key)) for key in actions}
        for key, act in self._actions.items():
            viewer.bind_key(key, _pressed(act), overwrite=True)

    def on_layers(self) -> None:
        """Bind undo and redo on our label layers, which are made anew for some fields."""
        for layer in self._viewer.layers:
            if layer.name in (NUCLEI, OUTLINES):
                for key in (UNDO_KEY, REDO_KEY):
                    layer.bind_key(key, _pressed(self._actions[key]), overwrite=True)

    def release(self) -> None:
        """Give the keys back."""
        for key, old in self._old.items():
            self._viewer.bind_key(key, old, overwrite=True)
        for layer in self._viewer.layers:
            if layer.name in (NUCLEI, OUTLINES):
                for key in (UNDO_KEY, REDO_KEY):
                    layer.bind_key(key, None, overwrite=True)


def _pressed(act: Callable[[], None]) -> Callable[[Any], None]:
    return lambda _where: act()


def _known(viewer: Any, key: str) -> Any:
    """Find the key as napari keeps it."""
    from napari.utils.key_bindings import coerce_keybinding

    return coerce_keybinding(key)
