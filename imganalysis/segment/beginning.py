"""What a training begins with: weights of an earlier one, or its own checkpoint.

Both are looked at before any image is read or simulated, which may take an hour.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from imganalysis.errors import ModelError, SettingsError
from imganalysis.segment.network import Architecture, Network, build, load_plain, load_weights
from imganalysis.segment.training_settings import TrainingSettings
from imganalysis.segment.widening import may_widen
from imganalysis.settings import explain, fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CHECKPOINT, CHECKPOINT_FORMAT = "checkpoint.pt", "imganalysis training 1"
_DIAMETER = "diameter_px"


def settings_for(
    settings: TrainingSettings, out: Path, *, start: Path | None = None, resume: bool = False
) -> tuple[TrainingSettings, tuple[str, ...]]:
    """Complete the settings of a training by what it begins with, and check that they fit.

    Parameters
    ----------
    settings
        Of the recipe.
    out
        Folder of the training.
    start
        Weights to begin with.
    resume
        Go on from the checkpoint in ``out``.

    Returns
    -------
    settings
        Width, channels and diameter that the recipe does not say are those of the weights or the
        checkpoint.
    warnings
        What is likely not meant.

    Raises
    ------
    ModelError
        The weights or the checkpoint are not there, damaged, or of another network.
    SettingsError
        The recipe does not go with the width that was taken.
    """
    if resume:
        content = read_checkpoint(out / CHECKPOINT)
        build(content, out / CHECKPOINT)
        found = content.get("network")
        completed = _completed(settings, found if isinstance(found, dict) else {}, out)
        check_mark(content, "settings", fingerprint(completed), out / CHECKPOINT)
        return completed, ()
    if start is None:
        return settings, ()
    network, about = load_weights(start)
    facts: dict[str, Any] = network.architecture.model_dump(mode="json")
    if isinstance(about.get(_DIAMETER), int | float):
        facts[_DIAMETER] = about[_DIAMETER]
    completed = _completed(settings, facts, start)
    check_architecture(network, completed, start)
    learnt, asked = facts.get(_DIAMETER), completed.network.diameter_px
    if learnt is None or learnt == asked:
        return completed, ()
    warning = (
        f"{start} learned from nuclei {learnt:g} px across, the recipe says {_DIAMETER} {asked:g}: "
        f"the network has to learn another scale; leave {_DIAMETER} out to keep that of the weights"
    )
    return completed, (warning,)


def _completed(
    settings: TrainingSettings, found: Mapping[str, Any], path: Path
) -> TrainingSettings:
    said = settings.network.model_fields_set
    taken = {name: value for name, value in found.items() if name not in said}
    whole = settings.model_dump()
    whole["network"] |= taken
    try:
        return TrainingSettings.model_validate(whole)
    except ValidationError as error:
        raise SettingsError(f"the recipe with the network of {path}: {explain(error)}") from None


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of a training.

    Raises
    ------
    ModelError
        Not there, damaged, foreign, or with code in it.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such file: there is no training to go on with; begin anew")
    return load_plain(path, CHECKPOINT_FORMAT)


def check_mark(content: Mapping[str, Any], name: str, mark: str, path: Path) -> None:
    """Refuse a checkpoint that was made with other settings or data."""
    if content.get("marks", {}).get(name) != mark:
        raise ModelError(
            f"{path}: was made with other {name}; go on with the same recipe and images, or start "
            "anew in another folder"
        )


def check_architecture(network: Network, settings: TrainingSettings, path: Path) -> None:
    """Refuse weights that the network the settings ask for cannot begin with."""
    asked = architecture_of(settings)
    if not may_widen(network.architecture, asked):
        raise ModelError(
            f"{path}: has {network.architecture}, but the recipe asks for {asked}; write the "
            "same into the recipe, or up to twice the width, or leave width and channels out"
        )


def architecture_of(settings: TrainingSettings) -> Architecture:
    """Say what the settings ask for."""
    return Architecture(channels=settings.network.channels, width=settings.network.width)


def origin_of(start: Path, about: Mapping[str, Any]) -> dict[str, Any]:
    """Say where weights come from: plain values, kept in all that is trained from them.

    Returns
    -------
    dict
        ``name`` and ``sha256`` of the weights, ``data``: credit of each of their sources, and
        ``start``: the same of what they themselves began with, None if nothing.
    """
    data = about.get("data")
    return {
        "name": str(about.get("name") or start.stem),
        "sha256": hashlib.sha256(start.read_bytes()).hexdigest(),
        "licence": str(about.get("licence", "")),
        "data": dict(data) if isinstance(data, dict) else {},
        "start": about.get("start"),
    }


def with_origin(about: Mapping[str, Any], origin: Mapping[str, Any] | None) -> dict[str, Any]:
    """Add to what is known of weights what they began with, and carry on its credits."""
    if origin is None:
        return dict(about)
    carried = {f"{origin['name']}/{name}": credit for name, credit in origin["data"].items()}
    start = {key: value for key, value in origin.items() if key != "data"}
    return {**about, "data": {**carried, **about.get("data", {})}, "start": start}
