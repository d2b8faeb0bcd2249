"""Cells called again under other gates, with all else held: region, contexts, fragments.

A cell's state is a number in base 3, as in `imganalysis.classify.phenotypes.LookupTable`; another
gate changes one digit of some cells, so that no table of words is made and none is read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from imganalysis.classify.calls import (
    UNKNOWN_CODE,
    batches_of,
    call_between,
    call_codes,
    combine,
    measure_values,
)
from imganalysis.classify.gates import select_gate
from imganalysis.classify.phenotypes import lookup_table, state_codes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from imganalysis.classify.gates import Gate
    from imganalysis.classify.phenotypes import LookupTable
    from imganalysis.panel import Channel, Panel

    Numbers = NDArray[np.float64]
    Gates = tuple[tuple["Gate | None", ...], ...]


@dataclass(frozen=True)
class MarkerValues:
    """What decides on the calls of one marker.

    Parameters
    ----------
    place
        What one step of its digit adds to a state; 0 where no phenotype asks for the marker.
    values
        Per measure (N,) statistic.
    alone
        The same without the light of brighter neighbours; None where that is not minded.
    gates
        Per measure and batch: the gate, None where there is none.
    digits
        (N,) the calls as they are: 0 negative, 1 positive, 2 unknown.
    """

    place: int
    values: tuple[Numbers, ...]
    alone: tuple[Numbers, ...] | None
    gates: Gates
    digits: NDArray[np.uint8]


@dataclass(frozen=True)
class Recall:
    """The cells of one panel, ready to be called again.

    Parameters
    ----------
    panel
        Whose they are.
    table
        What each state means.
    found
        (3^n,) class of each state, as a position in ``panel.classes``; their number where it is
        unresolved.
    states
        (N,) of the cells as they are.
    follows
        (N,) 1 where the class follows from the calls; 0 where something else gave it, so that
        the gates change nothing. Such cells have states beyond those of the phenotype table.
    batch
        (N,) which of the batches of `MarkerValues.gates` each cell is of.
    keys
        (batch, acquisition) of each.
    gates, band
        With which the calls were made.
    markers
        By name.
    """

    panel: Panel
    table: LookupTable
    found: NDArray[np.int16]
    states: NDArray[np.int64]
    follows: NDArray[np.int64]
    batch: NDArray[np.intp]
    keys: list[tuple[str, str]]
    gates: Sequence[Gate]
    band: float
    markers: dict[str, MarkerValues]

    @property
    def n_batches(self) -> int:
        """Batches by acquisitions."""
        return len(self.keys)

    def regated(self, gates: Sequence[Gate]) -> Recall:
        """Call the cells by other gates; only markers whose gates are others are called again.

        Raises
        ------
        GatesError
            Two gates fit equally well.
        """
        markers, digits = {}, {}
        for name, own in self.markers.items():
            markers[name] = own
            used = _gates_of(self.panel.channel(name), self.panel, self.keys, gates)
            if used != own.gates:
                markers[name] = replace(own, gates=used)
                digits[name] = replace(self, markers=markers).digits(name)
                markers[name] = replace(markers[name], digits=digits[name])
        states = self.moved(digits)
        return replace(self, states=states, gates=gates, markers=markers)

    def only(self, rows: NDArray[np.intp]) -> Recall:
        """Take some of the cells, which are soon called again where there are few."""
        markers = {
            name: replace(
                own,
                values=tuple(values[rows] for values in own.values),
                alone=own.alone and tuple(values[rows] for values in own.alone),
                digits=own.digits[rows],
            )
            for name, own in self.markers.items()
        }
        return replace(
            self, states=self.states[rows], follows=self.follows[rows], batch=self.batch[rows],
            markers=markers,
        )  # fmt: skip

    def digits(self, marker: str, factors: float | Sequence[Numbers] = 1.0) -> NDArray[np.uint8]:
        """Call a marker with its gates multiplied.

        Parameters
        ----------
        marker
            Which.
        factors
            One for all its gates, or per measure an array with one for each batch.

        Returns
        -------
        array
            (N,) uint8: 0 negative, 1 positive, 2 unknown.
        """
        own = self.markers[marker]
        with_, without = [], []
        for k, gates in enumerate(own.gates):
            times = np.atleast_1d(factors if isinstance(factors, float) else factors[k])
            ends = np.reshape([_limits(gate, self.band) for gate in gates], (-1, 2))
            ends = ends * times[:, None] if len(gates) else ends
            low, high = ends[0] if len(gates) == 1 else ends[self.batch].T
            with_.append(call_between(own.values[k], low, high))
            if own.alone is not None:
                without.append(call_between(own.alone[k], low, high))
        calls = combine(with_) if len(with_) > 1 else with_[0]
        if without:  # as `imganalysis.guarding.guarded_calls`: the lower of the two
            calls = combine([calls, combine(without)], "all")
        return np.minimum(calls, UNKNOWN_CODE)

    def moved(self, digits: Mapping[str, NDArray[np.uint8]]) -> NDArray[np.int64]:
        """States of the cells with some digits replaced."""
        states = self.states
        for marker, new in digits.items():
            own = self.markers[marker]
            if own.place:
                change = new.astype(np.int64) - own.digits
                states = states + own.place * change * self.follows
        return states

    def set_to(self, marker: str, digit: int) -> NDArray[np.int64]:
        """States of all cells if a marker's digit were this one."""
        own = self.markers[marker]
        change = digit - own.digits.astype(np.int64)
        return self.states + own.place * change * self.follows


def recall_cells(
    cells: pd.DataFrame,
    panel: Panel,
    gates: Sequence[Gate],
    band: float,
    alone: Mapping[str, Numbers] | None = None,
    given: tuple[NDArray[np.bool_], NDArray[np.bool_]] | None = None,
) -> Recall:
    """Make cells ready to be called again.

    Parameters
    ----------
    cells
        One row per cell of this panel, with measures, calls and contexts.
    panel
        Its phenotype table.
    gates, band
        With which the calls were made, as `imganalysis.classify.calls.call_cells` takes them.
    alone
        Column of a measure -> (N,) its value without the light of brighter neighbours, where
        calls are guarded against it.
    given
        (N,) cells whose class a model or a person gave, which stays whatever the gates are; and
        (N, classes) what each cell may be.

    Raises
    ------
    TableError
        A column is missing, or calls hold a word that is no call.
    GatesError
        Two gates fit equally well.
    """
    table = lookup_table(panel)
    n = len(panel.classes)
    states = state_codes(cells, table.rules)
    follows = np.ones(len(states), np.int64)
    if given is not None:
        rows, possible = given
        ways, which = np.unique(possible[rows], axis=0, return_inverse=True)
        states[rows], follows[rows] = len(table.classes) + which.reshape(-1), 0
        table = replace(table, classes=np.concatenate([table.classes, ways]))
    one = table.classes.sum(axis=1) == 1
    found = np.where(one, table.classes.argmax(axis=1) if n else 0, n).astype(np.int16)
    names = (*table.rules.markers, *table.rules.contexts)
    places = {name: 3 ** (len(names) - 1 - i) for i, name in enumerate(names)}
    keys, batch = batches_of(cells)
    markers = {}
    for channel in panel.gated:
        values = [measure_values(cells, channel.marker, m) for m in channel.measures]
        other = None
        if alone and any(column in alone for column in channel.columns):
            pairs = zip(channel.columns, values, strict=True)
            other = tuple(alone.get(column, value) for column, value in pairs)
        used = _gates_of(channel, panel, keys, gates)
        digits = np.minimum(call_codes(cells, channel.marker), UNKNOWN_CODE)
        place = places.get(channel.marker, 0)
        markers[channel.marker] = MarkerValues(place, tuple(values), other, used, digits)
    return Recall(panel, table, found, states, follows, batch, keys, gates, band, markers)


def _limits(gate: Gate | None, band: float) -> tuple[float, float]:
    return (np.nan, np.nan) if gate is None else gate.limits(band)


def _gates_of(
    channel: Channel, panel: Panel, keys: Sequence[tuple[str, str]], gates: Sequence[Gate]
) -> Gates:
    return tuple(
        tuple(
            select_gate(
                gates, channel.marker, column,
                panel=panel.name, batch=batch, acquisition=acquisition,
            )
            for batch, acquisition in keys
        )
        for column in channel.columns
    )  # fmt: skip
