"""A run that is stopped leaves everything as it was."""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING

import pytest

from imganalysis.errors import StoppedError
from imganalysis.opening import open_study
from imganalysis.pipeline import run_study
from imganalysis.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

QUICK = Settings.model_validate({"segmentation": {"method": "scikit-image"}})


@pytest.mark.parametrize("step", ["", "Fields"])
def test_a_stopped_run_leaves_nothing(small_study: Path, tmp_path: Path, step: str) -> None:
    study, out = open_study(small_study), tmp_path / "out"
    seen: list[str] = []
    with pytest.raises(StoppedError):
        run_study(
            study,
            out,
            QUICK,
            workers=2,
            progress=lambda name, _done, _total: seen.append(name),
            stop=lambda: not step or step in seen,
        )
    assert not out.exists()
    assert not multiprocessing.active_children()
    assert not step or seen[-1] == step


def test_earlier_results_stay_where_a_run_over_them_is_stopped(
    small_study: Path, tmp_path: Path
) -> None:
    study, out = open_study(small_study), tmp_path / "out"
    plain = QUICK.model_copy(update={"output": QUICK.output.model_copy(
        update={"overlays": False, "quality": False})})  # fmt: skip
    run_study(study, out, plain, workers=1)
    before = {p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    seen: list[str] = []
    with pytest.raises(StoppedError):
        run_study(study, out, plain, workers=1, overwrite=True,
                  progress=lambda name, _done, _total: seen.append(name),
                  stop=lambda: "Fields" in seen)  # fmt: skip
    assert {p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()} == before
