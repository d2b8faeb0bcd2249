"""The networks that come with the package: where their files are."""

from __future__ import annotations

from pathlib import Path

from imganalysis.errors import SettingsError

MODELS = Path(__file__).parents[1] / "models"
"""Folder with NAME.onnx, which runs, NAME.pt, to train further, and NAME.md, its card."""

RUNS, TRAINS = ".onnx", ".pt"


def model_path(model: str, suffix: str = RUNS) -> Path:
    """Find the file of a network by its built-in name, or as a path.

    Parameters
    ----------
    model
        A name, or a path that ends with the suffix.
    suffix
        `RUNS` or `TRAINS`.

    Raises
    ------
    SettingsError
        Neither.
    """
    if model.lower().endswith(suffix):
        return Path(model)
    known = sorted(path.stem for path in MODELS.glob(f"*{suffix}"))
    if model not in known:
        raise SettingsError(
            f"unknown network {model!r}; expected {', '.join(known) or 'none is built in'}, or "
            f"the path of a file {suffix}; imganalysis train writes such files"
        )
    return MODELS / f"{model}{suffix}"
