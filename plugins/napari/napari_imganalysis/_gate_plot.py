"""A histogram of cells with the gate as a line that is dragged."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QPainter, QPainterPath, QPalette, QPen, QPixmap
from qtpy.QtWidgets import QSizePolicy, QWidget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

LEFT, RIGHT, TOP, BOTTOM = 34, 8, 34, 32
BINS, GRAB = 70, 8
STEP, BIG_STEP = 0.01, 0.1
"""Shares of the gate by which an arrow key moves it, and with Shift."""

TONES: dict[str, tuple[str, str]] = {
    "control": ("#56b4e9", "#0072b2"),
    "reference": ("#e69f00", "#d55e00"),
    "mixture": ("#2fc79a", "#00795a"),
}
"""On a dark and on a light ground, told apart with any colour vision (Okabe and Ito, 2008)."""

DASHES = {"control": [1.5, 2.0], "reference": [6.0, 3.0], "mixture": [6.0, 2.5, 1.5, 2.5]}
RUNG_TONES = {"control_percentile": "control", "reference": "reference", "mixture": "mixture"}


@dataclass(frozen=True)
class Plot:
    """What the histogram shows.

    Parameters
    ----------
    samples, controls, reference
        Values of cells, ascending.
    rungs
        (rung of the ladder, value): thin lines.
    unit
        For the axis.
    """

    samples: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    controls: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    reference: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    rungs: tuple[tuple[str, float], ...] = ()
    unit: str = ""


class GatePlot(QWidget):
    """Histogram on a logarithmic axis; drag the line, or use the arrow keys.

    What does not change while dragging is drawn once.
    """

    grabbed = Signal()
    """The line is held."""
    dragged = Signal(float)
    """It is at this value now."""
    dropped = Signal()
    """It was let go."""
    stepped = Signal(float)
    """A key or a double click wants it at this value."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.plot = Plot()
        self.value: float | None = None
        self.band: tuple[float, float] = (math.nan, math.nan)
        self.low, self.high = 1.0, 10.0
        self._bars: list[tuple[str, NDArray[np.float64]]] = []
        self._top = 1.0
        self._still: QPixmap | None = None
        self._held = False
        self.setMinimumHeight(150)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setToolTip(
            "Drag the line, or double click where the gate shall be. Arrow keys move it by 1 %, "
            "with Shift by 10 %"
        )

    def sizeHint(self) -> QSize:  # Qt's name
        """Size that is wanted."""
        return QSize(360, 200)

    # What it shows

    def show_plot(self, plot: Plot, value: float | None, band: tuple[float, float]) -> None:
        """Show another gate."""
        self.plot = plot
        drawn = [v[v > 0] for v in (plot.samples, plot.controls, plot.reference)]
        positive = np.concatenate(drawn)
        said = [v for _, v in plot.rungs] + ([value] if value else [])
        if positive.size:
            low, high = float(np.quantile(positive, 0.002)), float(positive.max()) * 1.05
            self.low = min([low, *(0.8 * v for v in said)])
            self.high = max([high, *(1.3 * v for v in said)])
        else:
            self.low, self.high = (min(said) / 10, max(said) * 10) if said else (1.0, 100.0)
        if not self.high > self.low * 1.01:
            self.low, self.high = self.low / 2, self.high * 2
        edges = np.geomspace(self.low, self.high, BINS + 1)
        self._bars, self._top = [], 0.0
        for name, values in (("samples", plot.samples), ("control", plot.controls),
                             ("reference", plot.reference)):  # fmt: skip
            if values.size:
                counts = np.histogram(np.clip(values, self.low, self.high), edges)[0]
                share = 100 * counts / values.size
                self._bars.append((name, share))
                self._top = max(self._top, float(share.max()))
        self._top = 1.12 * (self._top or 1.0)
        self._still = None
        self.show_gate(value, band)

    def show_gate(self, value: float | None, band: tuple[float, float]) -> None:
        """Move the line."""
        self.value, self.band = value, band
        self.update()

    # Places

    @property
    def _box(self) -> QRectF:
        wide, high = self.width() - LEFT - RIGHT, self.height() - TOP - BOTTOM
        return QRectF(LEFT, TOP, max(wide, 1), max(high, 1))

    def x_of(self, value: float) -> float:
        """Place of a value, in pixels from the left."""
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return float(self._box.left() + share * self._box.width())

    def value_at(self, x: float) -> float:
        """Value at a place, within the picture."""
        share = min(max((x - self._box.left()) / self._box.width(), 0.0), 1.0)
        return float(self.low * (self.high / self.low) ** share)

    def _y_of(self, share: float) -> float:
        return float(self._box.bottom() - math.sqrt(share / self._top) * self._box.height())

    # Drawing

    def paintEvent(self, _event: Any) -> None:  # Qt's name
        """Draw the picture that stands still, and the gate on it."""
        ratio = self.devicePixelRatioF()
        if self._still is None or self._still.size() != self.size() * ratio:
            self._still = self._draw(ratio)
        painter = QPainter(self)
        painter.drawPixmap(0, 0, self._still)
        box = self._box
        if self.value is not None:
            first, last = self.band
            if last > first:
                ends = [min(max(self.x_of(v), box.left()), box.right()) for v in self.band]
                tint = QColor("#f0e442")
                tint.setAlpha(70 if self._dark else 110)
                painter.fillRect(QRectF(ends[0], box.top(), ends[1] - ends[0], box.height()), tint)
            x = self.x_of(self.value)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(QPen(self._ink, 2.4))
            painter.drawLine(QPointF(x, box.top()), QPointF(x, box.bottom()))
            painter.setBrush(self._ink)
            grip = QPainterPath()
            grip.moveTo(x, box.top() + 3)
            grip.lineTo(x - 6, box.top() - 7)
            grip.lineTo(x + 6, box.top() - 7)
            grip.closeSubpath()
            painter.drawPath(grip)
        if self.hasFocus():
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(self._tone("control"), 1, Qt.PenStyle.DotLine))
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))
        painter.end()

    @property
    def _ink(self) -> QColor:
        return self.palette().color(QPalette.ColorRole.WindowText)

    @property
    def _dark(self) -> bool:
        return bool(self._ink.lightnessF() > 0.5)

    def _tone(self, name: str) -> QColor:
        return QColor(TONES[name][0 if self._dark else 1])

    def _draw(self, ratio: float) -> QPixmap:
        picture = QPixmap(self.size() * ratio)
        picture.setDevicePixelRatio(ratio)
        picture.fill(Qt.GlobalColor.transparent)
        painter = QPainter(picture)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        font = self.font()
        font.setPointSizeF(max(7.5, font.pointSizeF() - 1.5))
        painter.setFont(font)
        for name, share in self._bars:
            self._draw_bars(painter, name, share)
        for rung, value in self.plot.rungs:
            name = RUNG_TONES.get(rung, "reference")
            pen = QPen(self._tone(name), 1.6)
            pen.setDashPattern(DASHES[name])
            painter.setPen(pen)
            x = self.x_of(value)
            painter.drawLine(QPointF(x, self._box.top()), QPointF(x, self._box.bottom()))
        self._draw_axes(painter)
        self._draw_key(painter)
        painter.end()
        return picture

    def _draw_bars(self, painter: QPainter, name: str, share: NDArray[np.float64]) -> None:
        box = self._box
        width = box.width() / BINS
        path = QPainterPath(QPointF(box.left(), box.bottom()))
        for k, height in enumerate(share.tolist()):
            y = self._y_of(height)
            path.lineTo(box.left() + k * width, y)
            path.lineTo(box.left() + (k + 1) * width, y)
        path.lineTo(box.right(), box.bottom())
        if name == "samples":
            painter.fillPath(path, self._grey)
        else:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(self._tone(name), 1.6))
            painter.drawPath(path)

    @property
    def _grey(self) -> QColor:
        return QColor("#7d8590" if self._dark else "#b9bec4")

    def _draw_axes(self, painter: QPainter) -> None:
        box = self._box
        painter.setPen(QPen(self._ink, 1))
        painter.drawLine(box.bottomLeft(), box.bottomRight())
        painter.drawLine(box.bottomLeft(), box.topLeft())
        metrics = painter.fontMetrics()
        last = -1e9
        for value in log_ticks(self.low, self.high):
            x, text = self.x_of(value), f"{value:g}"
            painter.drawLine(QPointF(x, box.bottom()), QPointF(x, box.bottom() + 4))
            half = metrics.horizontalAdvance(text) / 2
            if x - half > last + 6 and x + half < self.width():
                painter.drawText(QPointF(x - half, box.bottom() + 5 + metrics.ascent()), text)
                last = x + half
        for share in (0, 1, 5, 20, 60):
            if share <= self._top:
                y = self._y_of(share)
                painter.drawLine(QPointF(box.left() - 4, y), QPointF(box.left(), y))
                text = f"{share} %" if share else "0"
                wide = metrics.horizontalAdvance(text)
                painter.drawText(QPointF(box.left() - 6 - wide, y + metrics.ascent() / 2 - 1), text)
        if not self._bars:
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, "no cell with a value here")
        wide = metrics.horizontalAdvance(self.plot.unit)
        painter.drawText(QPointF(max(box.right() - wide, 2.0), self.height() - 3.0), self.plot.unit)

    def _draw_key(self, painter: QPainter) -> None:
        """Name the colours above the picture, in as many lines as they need."""
        metrics = painter.fontMetrics()
        sizes = {"samples": self.plot.samples, "control": self.plot.controls,
                 "reference": self.plot.reference}  # fmt: skip
        entries: list[tuple[str, str, bool]] = [
            (name, f"{name} ({sizes[name].size:,})", False) for name, _ in self._bars
        ]
        entries += [
            (RUNG_TONES.get(rung, "reference"), f"{RUNG_TONES.get(rung, rung)} {value:.3g}", True)
            for rung, value in self.plot.rungs
        ]
        x, y = 4.0, 1.0
        for name, text, dashed in entries:
            wide = 22 + metrics.horizontalAdvance(text) + 9
            if x + wide > self.width() and x > 4:
                x, y = 4.0, y + metrics.height()
            middle = y + metrics.height() / 2
            if name == "samples":
                painter.fillRect(QRectF(x, middle - 4, 14, 8), self._grey)
            else:
                pen = QPen(self._tone(name), 2)
                if dashed:
                    pen.setDashPattern(DASHES[name])
                painter.setPen(pen)
                painter.drawLine(QPointF(x, middle), QPointF(x + 16, middle))
            painter.setPen(self._ink)
            painter.drawText(QPointF(x + 20, y + metrics.ascent()), text)
            x += wide

    def changeEvent(self, event: Any) -> None:  # Qt's name
        """Draw anew in another theme."""
        self._still = None
        super().changeEvent(event)

    # The hand

    def _near(self, x: float) -> bool:
        return self.value is not None and abs(x - self.x_of(self.value)) <= GRAB

    def mousePressEvent(self, event: Any) -> None:  # Qt's name
        """Take the line, where it is near; where there is none, set it there."""
        x = event.position().x()
        if event.button() != Qt.MouseButton.LeftButton:
            return
        if self._near(x) or self.value is None:
            self._held = True
            self.grabbed.emit()
            if self.value is None:
                self.dragged.emit(self.value_at(x))

    def mouseMoveEvent(self, event: Any) -> None:  # Qt's name
        """Move the line with the mouse."""
        x = event.position().x()
        if self._held:
            self.dragged.emit(self.value_at(x))
        else:
            near = self._near(x)
            self.setCursor(Qt.CursorShape.SplitHCursor if near else Qt.CursorShape.ArrowCursor)

    def mouseReleaseEvent(self, event: Any) -> None:  # Qt's name
        """Let the line go."""
        if self._held and event.button() == Qt.MouseButton.LeftButton:
            self._held = False
            self.dropped.emit()

    def mouseDoubleClickEvent(self, event: Any) -> None:  # Qt's name
        """Put the line where it was clicked."""
        if event.button() == Qt.MouseButton.LeftButton:
            self.stepped.emit(self.value_at(event.position().x()))

    def keyPressEvent(self, event: Any) -> None:  # Qt's name
        """Move the line by the arrow keys."""
        sign = {Qt.Key.Key_Right: 1, Qt.Key.Key_Left: -1}.get(event.key(), 0)
        if not sign or self.value is None or self._held:
            super().keyPressEvent(event)
            return
        share = BIG_STEP if event.modifiers() & Qt.KeyboardModifier.ShiftModifier else STEP
        self.stepped.emit(self.value * (1 + share) ** sign)


def log_ticks(low: float, high: float) -> Sequence[float]:
    """Round numbers on a logarithmic axis: 1, 2, 5 of each decade."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    found = [float(f"{step}e{power}") for power in range(first, last + 1) for step in (1, 2, 5)]
    return [value for value in found if low <= value <= high]
