"""One session per viewer, found by every widget; messages, and errors that a user can mend."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from psygnal import EmitLoopError

from imganalysis.errors import ImganalysisError
from napari_imganalysis._session import Session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_imganalysis._view import FieldView

_SESSIONS: WeakKeyDictionary[Any, tuple[Session, Any]] = WeakKeyDictionary()

PLUGIN = "imganalysis"
STUDY, CELLS, ANALYSE = "Study", "Cells", "Analyse"
"""Names of the widgets in the manifest."""


def session_of(viewer: Any) -> Session:
    """Session of a viewer; the first call makes it, with its layers and messages."""
    return _of(viewer)[0]


def view_of(viewer: Any) -> FieldView:
    """Give what keeps the layers of the session's field in a viewer."""
    found: FieldView = _of(viewer)[1]
    return found


def _of(viewer: Any) -> tuple[Session, Any]:
    from napari_imganalysis._view import FieldView

    viewer = getattr(viewer, "__wrapped__", viewer)  # plugins get a proxy
    if viewer not in _SESSIONS:
        session = Session()
        session.message.connect(show_message)
        _bind_keys(viewer, session)
        _SESSIONS[viewer] = (session, FieldView(_weak(viewer), session))
    return _SESSIONS[viewer]


NEXT_KEY, PREVIOUS_KEY = "PageDown", "PageUp"


def _bind_keys(viewer: Any, session: Session) -> None:
    """Next and previous field from the picture; the Study widget has the same keys."""

    def go(step: int) -> None:
        with told(session):
            session.step(step)

    viewer.bind_key(NEXT_KEY, lambda _viewer: go(1), overwrite=True)
    viewer.bind_key(PREVIOUS_KEY, lambda _viewer: go(-1), overwrite=True)


def _weak(viewer: Any) -> Any:
    """Make a proxy, so that the session does not keep its viewer alive."""
    import weakref

    return weakref.proxy(viewer)


def show_message(kind: str, text: str) -> None:
    """Show a message as a notification of napari."""
    from napari.utils import notifications

    show = {
        "info": notifications.show_info,
        "warning": notifications.show_warning,
        "error": notifications.show_error,
    }
    show[kind](text)


@contextmanager
def told(session: Session) -> Iterator[None]:
    """Turn what a user can mend into a message; the viewer lives on.

    Other errors pass: napari shows them with their traceback, for a report.
    """
    try:
        yield
    except ImganalysisError as error:
        session.tell("error", error.message)
    except EmitLoopError as error:  # what a listener raised comes in this
        if not isinstance(error.__cause__, ImganalysisError):
            raise
        session.tell("error", error.__cause__.message)
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        session.tell("error", f"{name}{error.strerror or error}")
