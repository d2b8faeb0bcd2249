"""How the rungs of the ladder of gates are found, and what a mixture has to show."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from imganalysis.settings_base import Fraction, Model, NotNegative, Positive

Rung = Literal["control_percentile", "reference", "mixture"]
"""What may set a gate without a person, in the order in which it is tried."""

LADDER: tuple[Rung, ...] = ("control_percentile", "reference", "mixture")

Share = Annotated[float, Field(gt=0, lt=1)]


class Guards(Model):
    """What a mixture of two populations has to show before it may set a gate."""

    min_cells: int = Field(
        200, ge=20, title="Mixture: cells", description="samples with fewer are not fitted"
    )
    min_bic_gain: NotNegative = Field(
        10.0, title="Mixture: BIC", description="two populations over one: more than this"
    )
    min_ashman_d: NotNegative = Field(
        2.0, title="Mixture: Ashman's D", description="distance of the two: more than this"
    )
    weight: tuple[Share, Share] = Field(
        (0.02, 0.98), title="Mixture: weight", description="of the positive one, between these"
    )
    posterior: tuple[Share, Share] = Field(
        (0.2, 0.8),
        title="Mixture: posterior",
        description="negative up to the first, positive from the second, indeterminate between",
    )
    max_fitted: int = Field(
        5000,
        ge=500,
        title="Mixture: values",
        description="of more cells as many evenly spaced quantiles are fitted",
    )

    @field_validator("weight", "posterior")
    @classmethod
    def _ordered(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] >= value[1]:
            raise ValueError(f"the smaller goes first; got {value[0]:g} and {value[1]:g}")
        return value

    @field_validator("posterior")
    @classmethod
    def _around_half(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not value[0] <= 0.5 <= value[1]:
            raise ValueError("the gate, where the posterior is 0.5, must lie between the two")
        return value


class Ladder(Model):
    """Which rungs may set a gate, and when two of them disagree."""

    rungs: tuple[Rung, ...] = Field(
        LADDER,
        title="Rungs",
        description="tried in this order; what is left out sets no gate, but is reported",
    )
    max_ratio: float = Field(
        1.6,
        gt=1,
        title="Agreement",
        description="a mixture farther from the control's or reference's gate than this factor "
        "sets none; rungs farther apart than this are reported",
    )
    min_reference_cells: int = Field(
        200, ge=20, title="Reference cells", description="a reference with fewer sets no gate"
    )
    reference_mads: Positive = Field(
        3.0, title="Reference", description="median + this many scaled MADs of the reference cells"
    )
    null_above: Fraction = Field(
        0.95,
        title="Null range",
        description="cells under this quantile of the control count as negative where the share "
        "of positives is told for the soft probability",
    )
    guards: Guards = Guards()

    @field_validator("rungs")
    @classmethod
    def _once(cls, value: tuple[Rung, ...]) -> tuple[Rung, ...]:
        if len(set(value)) < len(value):
            raise ValueError("a rung stands twice")
        return value
