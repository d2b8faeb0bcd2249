"""Counts dying tumour cells and the lymphocytes around them in confocal stacks of biopsies."""

from __future__ import annotations

__version__ = "0.1.0"
