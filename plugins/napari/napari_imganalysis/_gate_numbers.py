"""Fractions before and now, as a list of two levels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QHeaderView, QTreeWidget, QTreeWidgetItem

from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_imganalysis._gates_model import Number

    Groups = Sequence[tuple[str, Sequence[Number]]]

COLUMNS = ("", "Run, %", "Now, %")
IN_VIEW = ", in view"
"""Ends the title of the group whose rows are fractions of one biopsy; else they are biopsies."""


class NumbersTree(QTreeWidget):
    """Fractions of the biopsy in view, and the endpoint of all; bold where a gate changed it."""

    def __init__(self) -> None:
        super().__init__()
        self.setColumnCount(len(COLUMNS))
        self.setHeaderLabels(COLUMNS)
        self.headerItem().setToolTip(1, "As in biopsies.csv, with the gates of the run")
        self.headerItem().setToolTip(2, "With the gates as they are now")
        self.setIndentation(6)
        self.setRootIsDecorated(False)
        self.setMinimumHeight(110)
        mode = QHeaderView.ResizeMode
        for column, how in enumerate((mode.ResizeToContents, mode.Stretch, mode.Stretch)):
            self.header().setSectionResizeMode(column, how)

    def fill(self, groups: Groups) -> None:
        """Show other biopsies."""
        self.clear()
        for title, rows in groups:
            top = QTreeWidgetItem([title])
            self.addTopLevelItem(top)
            top.setFirstColumnSpanned(True)
            for row in rows:
                name = row.fraction if title.endswith(IN_VIEW) else row.biopsy
                top.addChild(QTreeWidgetItem([name, row.before, row.now]))
        self.expandAll()

    def follow(self, groups: Groups) -> None:
        """Show other numbers of the same biopsies."""
        for i, (_, rows) in enumerate(groups):
            top = self.topLevelItem(i)
            for k, row in enumerate(rows):
                item = top.child(k)
                item.setText(2, row.now)
                font = item.font(2)
                font.setBold(row.changed)
                item.setFont(2, font)
                for column, text, n in ((1, row.before, row.n_before), (2, row.now, row.n_now)):
                    told = f"{row.fraction} of {row.biopsy}: {text}"
                    item.setToolTip(column, f"{told} of {plural(int(n), 'cell')}" if n else told)
