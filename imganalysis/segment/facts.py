"""What results say of the method that found their nuclei."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from imganalysis.segment.registry import model_facts

if TYPE_CHECKING:
    from imganalysis.methods import Method

SEGMENTATION, MODEL, MODEL_SHA256 = "segmentation", "model", "model_sha256"


def method_facts(method: Method) -> dict[str, str]:
    """Say which method, and which weights; the weights are empty where it uses none."""
    model = model_facts(method)
    return {
        SEGMENTATION: method.method,
        MODEL: model.name if model else "",
        MODEL_SHA256: model.sha256 if model else "",
    }


def settings_text(method: Method) -> str:
    """All settings of a method as one line of JSON, the same for the same settings."""
    return json.dumps(method.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
