"""Collects these tests only where Cellpose 4 is installed: see `make test-cellpose4`."""

from __future__ import annotations

from importlib import metadata, util

_found = util.find_spec("cellpose") is not None and metadata.version("cellpose") >= "4"
collect_ignore_glob = [] if _found else ["*"]
