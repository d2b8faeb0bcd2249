"""A wider network that begins with what a narrower one has learned."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from imganalysis.segment.network import Architecture, Network

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHARE = (0.3, 0.7)
"""Of a doubled map's outgoing weights, what one of the two takes: were it a half, both would go on
to learn the same."""


def may_widen(found: Architecture, asked: Architecture) -> bool:
    """Whether a network can begin with the weights of another: as many scales, none narrower."""
    return (
        found.channels == asked.channels
        and len(found.width) == len(asked.width)
        and all(old <= new <= 2 * old for old, new in zip(found.width, asked.width, strict=True))
    )


def widened(network: Network, asked: Architecture, seed: int) -> Network:
    """Add feature maps to a trained network, so that it answers as before.

    Some maps of each scale are doubled, and what reads a doubled map takes a part of its weight
    from each of the two (Net2WiderNet: Chen et al., ICLR 2016, arXiv:1511.05641).

    Parameters
    ----------
    network
        The narrower one; not changed.
    asked
        The wider one, for which `may_widen` holds.
    seed
        Of the parts.

    Returns
    -------
    Network
        Its answers differ from those of ``network`` by the style's length only, which depends on
        which maps of the coarsest scale are doubled, unless all are or none.
    """
    old, new = network.architecture, asked
    if not may_widen(old, new):
        raise ValueError(f"{old} cannot be widened to {new}")
    random = torch.Generator().manual_seed(seed)
    maps = [torch.arange(n) % o for o, n in zip(old.width, new.width, strict=True)]
    # The style has length 1 whatever its number of maps: each entry shrinks as it gets more.
    longer = math.sqrt(new.width[-1] / old.width[-1])
    out = Network(new)
    before = network.state_dict()
    state = {}
    for name in out.state_dict():
        value = before[name]
        if value.ndim == 0:
            state[name] = value.clone()
            continue
        reads, writes = _ends(name, maps)
        if value.ndim == 1:
            which = reads if _is_norm(name, before) else writes
            state[name] = value.clone() if which is None else value[which]
            continue
        if writes is not None:
            value = value[writes]
        if reads is not None:
            value = _shared(value, reads, random)
        state[name] = value * longer if ".full." in name else value
    out.load_state_dict(state)
    return out


def _ends(name: str, maps: list[torch.Tensor]) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Which old map each new one repeats, at the inputs and the outputs of a layer."""
    last = len(maps) - 1
    if name.startswith("output"):
        return maps[0], None
    block, rest = name.split(".", 3)[2:]
    level = int(block.rsplit("_", 1)[1])
    down = name.startswith("downsample")
    if ".full." in name:
        return maps[last], maps[level]
    if not rest.startswith(("proj", "conv.conv_0")):
        return maps[level], maps[level]
    if down:
        return (maps[level - 1] if level else None), maps[level]
    return maps[min(level + 1, last)], maps[level]


def _is_norm(name: str, state: Mapping[str, torch.Tensor]) -> bool:
    """Whether a vector belongs to a normalisation, which acts on what a layer reads."""
    return f"{name.rsplit('.', 1)[0]}.running_mean" in state


def _shared(value: torch.Tensor, reads: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Part the weights of each input among the maps that repeat it; their sum stays."""
    n_old = value.shape[1]
    doubled = reads[n_old:]
    low, high = _SHARE
    share = low + (high - low) * torch.rand(
        (value.shape[0], len(doubled)), generator=random, dtype=value.dtype
    )
    share = share.reshape(*share.shape, *[1] * (value.ndim - 2))
    out = value[:, reads].clone()
    out[:, doubled] *= 1 - share
    out[:, n_old:] *= share
    return out
