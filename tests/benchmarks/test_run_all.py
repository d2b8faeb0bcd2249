"""All benchmarks at once: those of the plugin are left out, and said so, where no screen is."""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def run_all(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("run_all")


@pytest.fixture
def written(
    run_all: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> tuple[Any, Path, list[str]]:
    """Nothing is measured; gives the file to write, and which benchmarks would have run."""
    ran: list[str] = []

    def run_one(path: Path, *, quick: bool) -> str:
        ran.append(path.stem)
        return f"## {path.stem}\n"

    monkeypatch.setattr(run_all, "run_one", run_one)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(sys, "argv", ["run_all.py", "--out", str(tmp_path / "R.md")])
    return run_all, tmp_path / "R.md", ran


def test_without_a_screen_the_plugin_is_skipped_with_the_reason(
    written: tuple[Any, Path, list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_all, path, ran = written
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert run_all.main() == 0
    plugin = [p.stem for p in run_all.benchmarks() if p.stem.startswith("plugin")]
    assert plugin and not set(plugin) & set(ran) and "gating" in ran
    text, said = path.read_text(encoding="utf-8"), capsys.readouterr().out
    for name in plugin:
        assert f"{name}: skipped, no screen" in said
        assert f"## {name}\n\nNot run: no screen: run it under xvfb-run" in text


def test_with_a_screen_all_are_run(
    written: tuple[Any, Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_all, path, ran = written
    monkeypatch.setenv("DISPLAY", ":99")
    assert run_all.main() == 0
    assert ran == [p.stem for p in run_all.benchmarks()]
    assert "Not run" not in path.read_text(encoding="utf-8")


def test_every_benchmark_takes_the_common_options_and_reports(run_all: Any) -> None:
    for path in run_all.benchmarks():
        calls = {
            node.func.id
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert {"options", "report"} <= calls, path.name
