"""Which panel a file belongs to, and which of its channels shows which marker."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from imganalysis.errors import ChannelError, PanelError
from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from imganalysis.panel import Channel, Panel

_GENERIC = re.compile(r"(channel|chan|ch|c|image|img|plane|slice|page)?[\s:#_-]*[\d\s:#_-]*", re.I)


def plain(name: str) -> str:
    """Bring a channel's name to the form in which names are compared.

    Case, blanks, hyphens, dots and underscores do not count.
    """
    return re.sub(r"[\s.\-_\u2010-\u2015]", "", name).casefold()


def own_names(channel: Channel) -> set[str]:
    """Names that say which marker it is, as `plain` gives them."""
    return {plain(name) for name in (channel.marker, *channel.names)}


def match_channels(
    panel: Panel,
    channel_names: Sequence[str],
    n_channels: int | None = None,
    *,
    n_planes: int = 1,
) -> dict[str, int]:
    """Find the panel's channels in a file.

    Names go first: the marker's, then those in the panel's `names`, then the dye's. The panel's
    `index` is used only where the file's names say nothing (``Channel:0``, ``C1``, ``0``).

    Parameters
    ----------
    panel
        What is to be found; channels with the role ``ignore`` are not looked for.
    channel_names
        As in the file, in order.
    n_channels
        Channels in the file; by default as many as there are names.
    n_planes
        Planes in Z, for the message where planes are really channels.

    Returns
    -------
    dict
        Marker -> position of its channel, from 0, in the panel's order.

    Raises
    ------
    ChannelError
        A channel of the panel is not there, or two channels answer to its name.
    """
    total = len(channel_names) if n_channels is None else n_channels
    wanted = [c for c in panel.channels if c.role != "ignore"]
    found = {c.marker: _candidates(c, panel, channel_names) for c in wanted}
    for marker, places in found.items():
        if len(places) > 1:
            shown = ", ".join(f"{channel_names[p]!r} (channel {p})" for p in places)
            raise ChannelError(
                f"panel '{panel.name}': {len(places)} channels of the file answer to {marker}: "
                f"{shown}; name one of them alone in the panel's `names`"
            )
    has = _describe(channel_names, total, n_planes, len(wanted))
    if not any(found.values()) and all(_GENERIC.fullmatch(name) for name in channel_names):
        return _by_index(panel, wanted, total, has)
    missing = [c for c in wanted if not found[c.marker]]
    if missing:
        raise ChannelError(
            f"panel '{panel.name}': no channel for {_list(missing)}; {has}. If the channel is "
            "there under another name, add that to the panel's `names`"
        )
    positions = {marker: places[0] for marker, places in found.items()}
    for position in sorted(set(positions.values())):
        sharing = [m for m, p in positions.items() if p == position]
        if len(sharing) > 1:
            raise ChannelError(
                f"panel '{panel.name}': the file's channel {channel_names[position]!r} answers to "
                f"{' and to '.join(sharing)}; make the panel's `names` distinct"
            )
    return positions


def _candidates(channel: Channel, panel: Panel, names: Sequence[str]) -> list[int]:
    """Positions of the file's channels that answer to a channel of the panel."""
    plain_names = [plain(name) for name in names]
    own = own_names(channel)
    by_name = [i for i, name in enumerate(plain_names) if name in own]
    dye = plain(channel.fluorophore)
    shared = sum(plain(c.fluorophore) == dye for c in panel.channels) > 1
    if by_name or not dye or shared:
        return by_name
    return [i for i, name in enumerate(plain_names) if name == dye]


def _by_index(panel: Panel, wanted: list[Channel], total: int, has: str) -> dict[str, int]:
    unplaced = [c for c in wanted if c.index is None]
    outside = [c for c in wanted if c.index is not None and c.index >= total]
    if outside:
        raise ChannelError(f"panel '{panel.name}': no channel for {_list(outside)}; {has}")
    if unplaced:
        raise ChannelError(
            f"panel '{panel.name}': no channel for {_list(unplaced)}; {has}, which tell nothing: "
            "give each channel's `index` (from 0) in the panel"
        )
    return {c.marker: c.index for c in wanted if c.index is not None}


def _list(channels: list[Channel]) -> str:
    return ", ".join(c.marker + (f" ({c.fluorophore})" if c.fluorophore else "") for c in channels)


def _describe(names: Sequence[str], total: int, n_planes: int, n_wanted: int) -> str:
    """Say what the file has, and what may help where its planes are really channels."""
    shown = ", ".join(repr(name) for name in names) or "without names"
    text = f"the file has {plural(total, 'channel')}: {shown}"
    if total < n_wanted <= n_planes:
        text += (
            f" and {plural(n_planes, 'plane')} in Z; if the planes are channels, "
            "put `axes: CYX` into the panel or give --axes CYX"
        )
    return text


def choose_panel(
    panels: Iterable[Panel],
    file_name: str,
    series_name: str = "",
    channels: Sequence[str] = (),
) -> Panel:
    """Find the panel that a series belongs to.

    A panel with `match` is taken where its patterns hold: one of `files`, one of `series`, and
    all of `channels`. Where none such fits, a panel without `match` is taken if all its channels
    are in the file by name, and of several the one that accounts for most channels. A panel that
    is alone and without `match` fits everything.

    Parameters
    ----------
    panels
        Those of the study.
    file_name
        Name of the file, or its path; patterns are tried on both.
    series_name
        Name of the series in the file.
    channels
        Channel names in the file.

    Raises
    ------
    PanelError
        No panel fits, or several do.
    """
    candidates = list(panels)
    undemanding = [p for p in candidates if not _demands(p)]
    if len(candidates) == 1 and undemanding:
        return candidates[0]
    fitting = [p for p in candidates if _demands(p) and _fits(p, file_name, series_name, channels)]
    if not fitting:
        by_name = {p.name: _n_by_name(p, channels) for p in undemanding}
        most = max(by_name.values(), default=0)
        fitting = [p for p in undemanding if most and by_name[p.name] == most]
    if len(fitting) == 1:
        return fitting[0]
    where = f"{file_name}" + (f", series {series_name!r}" if series_name else "")
    names = ", ".join(repr(c) for c in channels) or "without names"
    if fitting:
        raise PanelError(
            f"{where}: several panels fit ({', '.join(p.name for p in fitting)}); give the panel, "
            "or make their `match` distinct"
        )
    raise PanelError(
        f"{where}: none of the panels {', '.join(p.name for p in candidates) or '(none given)'} "
        f"fits its channels ({names}); give the panel, or a panel file whose `match` or "
        "channel `names` fit"
    )


def _demands(panel: Panel) -> bool:
    return bool(panel.match.files or panel.match.series or panel.match.channels)


def _fits(panel: Panel, file_name: str, series_name: str, channels: Sequence[str]) -> bool:
    match = panel.match
    path = file_name.replace("\\", "/")
    files = not match.files or any(
        _glob(text, pattern) for pattern in match.files for text in (path, path.rsplit("/")[-1])
    )
    series = not match.series or any(_glob(series_name, pattern) for pattern in match.series)
    return (
        files
        and series
        and all(any(_glob(name, pattern) for name in channels) for pattern in match.channels)
    )


def _glob(text: str, pattern: str) -> bool:
    return fnmatchcase(text.casefold(), pattern.casefold())


def _n_by_name(panel: Panel, channels: Sequence[str]) -> int:
    """How many channels the panel finds by name; 0 if any is missing."""
    wanted = [c for c in panel.channels if c.role != "ignore"]
    found = [_candidates(c, panel, channels) for c in wanted]
    positions = [places[0] for places in found if len(places) == 1]
    complete = len(positions) == len(wanted) == len(set(positions))
    return len(wanted) if complete else 0
