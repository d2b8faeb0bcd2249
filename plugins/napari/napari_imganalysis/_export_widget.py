"""The Export widget: the table of biopsies as the batch wrote it, and a picture of the view."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import QBuffer, QByteArray, QIODevice, QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPen
from qtpy.QtWidgets import QFileDialog, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from imganalysis import tables as t
from imganalysis.errors import ImganalysisError, OutputError
from imganalysis.report.overlays import NOT_EVALUABLE
from napari_imganalysis._attach import ANALYSE, PLUGIN, session_of, told
from napari_imganalysis._editing import editor_of
from napari_imganalysis._export import (
    PADDING,
    SWATCH,
    channel_lines,
    differs,
    export_biopsies,
    legend_lines,
    not_in_it,
    origin_text,
)
from napari_imganalysis._versions import scale_bar_of

PAPER, INK = "#000000", "#f0f0f0"


class ExportWidget(QWidget):
    """Saves the table of biopsies, or a picture with legend and scale bar."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._session = session_of(napari_viewer)
        self._editor = editor_of(self._session)
        self.table = QPushButton("Save biopsies.csv...")
        self.table.setToolTip("One row per biopsy, byte for byte as the batch wrote it")
        self.table.clicked.connect(self._ask_table)
        self.which = QLabel("")
        self.which.setWordWrap(True)
        self.which.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.which.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.work_in = QPushButton("Work them in...")
        self.work_in.setToolTip("Run the study again with the corrections and gates, in Analyse")
        self.work_in.clicked.connect(self._work_in)
        self.picture = QPushButton("Save picture of the view...")
        self.picture.setToolTip("PNG of what is seen, with scale bar, stains and classes")
        self.picture.clicked.connect(self._ask_picture)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        for widget in (self.table, self.which, self.work_in, self.picture):
            layout.addWidget(widget)
        layout.addStretch(1)
        session = self._session
        session.opened_changed.connect(self._refresh)
        session.field_changed.connect(self._refresh)
        session.gates_changed.connect(self._refresh)
        self._editor.changed.connect(self._refresh)
        self._refresh()

    def _refresh(self, _changed: Any = None) -> None:
        opened = self._session.opened
        analysed = opened is not None and opened.folder is not None
        self.table.setEnabled(analysed)
        self.picture.setEnabled(bool(self._viewer.layers))
        text, missing = "Open a folder of results in the Study widget.", False
        if opened is not None and analysed:
            try:
                found = not_in_it(opened, self._editor)
                text, missing = origin_text(opened, found), bool(found)
            except ImganalysisError as error:  # the results may have gone since
                text = error.message
        self.which.setText(text)
        self.work_in.setVisible(missing)

    def showEvent(self, event: Any) -> None:  # Qt's name
        """Say anew what the table has: gates may have been saved since."""
        self._refresh()
        super().showEvent(event)

    def _work_in(self) -> None:
        """Ask the Analyse widget for a run that has what was changed."""
        opened = self._session.opened
        if opened is not None:
            self._viewer.window.add_plugin_dock_widget(PLUGIN, ANALYSE, tabify=True)
            self._session.run_wanted.emit(not_in_it(opened, self._editor).files)

    def _ask_table(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Save the table of biopsies", "biopsies.csv", "CSV (*.csv)"
        )
        if path:
            self.save_table(Path(path))

    def _ask_picture(self) -> None:
        field = self._session.field
        name = f"{field.name}.png" if field is not None else "view.png"
        path, _ = QFileDialog.getSaveFileName(self, "Save the picture", name, "PNG (*.png)")
        if path:
            self.save_picture(Path(path))

    def save_table(self, target: Path) -> None:
        """Save the table of biopsies."""
        opened = self._session.opened
        if opened is None or opened.folder is None:
            return
        with told(self._session):
            export_biopsies(opened.folder, target)
            text = origin_text(opened, not_in_it(opened, self._editor))
            self._session.tell("info", f"{target}: saved. {text}")
        self._refresh()

    def save_picture(self, target: Path) -> None:
        """Save what the view shows, with a legend at its right side."""
        with told(self._session):
            content = self.picture_bytes()
            t.write_atomic(target, lambda path: _write(path, content))
            self._session.tell("info", f"{target}: saved")

    def picture_bytes(self) -> bytes:
        """PNG of the view with its legend.

        Raises
        ------
        OutputError
            The picture cannot be made.
        """
        viewer, session = self._viewer, self._session
        scale_bar_of(viewer).visible = True
        pixels = np.ascontiguousarray(viewer.screenshot(canvas_only=True, flash=False)[..., :3])
        height, width = pixels.shape[:2]
        view = QImage(pixels.data, width, height, 3 * width, QImage.Format.Format_RGB888)
        field = session.field
        heads = [(field.name, "")] if field is not None else []
        classes = legend_lines(session)
        parts = [heads, channel_lines(viewer), classes]
        if classes and differs(session):
            parts.append([("Not as in the results:", ""), ("gates or cells were", ""),
                          ("changed by hand", "")])  # fmt: skip
        return _png(_with_legend(view, [part for part in parts if part], self.font()))


def _with_legend(view: QImage, parts: list[list[tuple[str, str]]], font: Any) -> QImage:
    from qtpy.QtGui import QFontMetrics

    metrics = QFontMetrics(font)
    line = metrics.height() + 4
    texts = [(text, colour) for part in parts for text, colour in part]
    wide = max((metrics.horizontalAdvance(text) for text, _ in texts), default=0)
    wide += SWATCH + 3 * PADDING if texts else 0
    needed = 2 * PADDING + line * len(texts) + PADDING * max(len(parts) - 1, 0)
    high = max(view.height(), needed)
    image = QImage(view.width() + wide, high, QImage.Format.Format_RGB888)
    image.fill(QColor(PAPER))
    painter = QPainter(image)
    painter.drawImage(0, 0, view)
    painter.setFont(font)
    y = float(PADDING)
    left = float(view.width() + PADDING)
    for part in parts:
        for text, colour in part:
            indent = 0.0
            if colour:
                _swatch(painter, QRectF(left, y + (line - SWATCH) / 2, SWATCH, SWATCH), colour,
                        dashed=text.startswith(NOT_EVALUABLE))  # fmt: skip
                indent = SWATCH + PADDING
            painter.setPen(QColor(INK))
            painter.drawText(QPointF(left + indent, y + 2 + metrics.ascent()), text)
            y += line
        y += PADDING
    painter.end()
    return image


def _swatch(painter: QPainter, box: QRectF, colour: str, *, dashed: bool) -> None:
    if dashed:
        pen = QPen(QColor(colour))
        pen.setDashPattern([2, 2])
        painter.setPen(pen)
        painter.drawRect(box)
    else:
        painter.fillRect(box, QColor(colour))


def _png(image: QImage) -> bytes:
    content = QByteArray()
    buffer = QBuffer(content)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    if not image.save(buffer, "PNG"):
        raise OutputError("the picture cannot be made into a PNG; is memory short?")
    return bytes(content.data())


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
