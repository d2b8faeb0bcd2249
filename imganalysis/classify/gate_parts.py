"""What a gate carries beside its value: sources, history, what each rung of the ladder said."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from imganalysis.settings_base import Fraction, Model, NotNegative, Positive
from imganalysis.settings_gating import Rung  # noqa: TC001 - read by pydantic

Finite = Annotated[float, Field(allow_inf_nan=False)]


class Source(Model):
    """A field that a gate rests on, and the hash of what was read."""

    field: str
    hash: str = ""


class FormerGate(Model):
    """What a gate was before somebody changed it."""

    value: Positive | None = None
    method: str = ""
    user: str = ""
    time: str = ""
    version: str = ""
    note: str = ""


class FalsePositives(Model):
    """Positive share of each control field, under a gate that these cells did not set.

    ``blank_limit`` is the limit of blank: mean + 1.645 SD (EP17), or ``upper``, the bound of the
    rate by the cells of all fields, where that is higher. `n_positive` of `n_called` cells were
    positive; of results of an older version neither is known.
    """

    mean: Fraction
    sd: NotNegative
    blank_limit: NotNegative
    n_fields: Annotated[int, Field(ge=2)]
    n_positive: int = Field(0, ge=0)
    n_called: int = Field(0, ge=0)
    upper: Fraction = 0.0

    @property
    def detection_limit(self) -> float:
        """Limit of detection: as far above the limit of blank as that is above the mean.

        That is another 1.645 SD (EP17), where the limit of blank is that far above it.
        """
        return self.blank_limit + (self.blank_limit - self.mean)


class Mixture(Model):
    """Two normal distributions of the natural logarithm of the values; the second is positive.

    ``weight`` is the share of the positive one among the values above 0, of which `n` were
    there and `n_fitted` were fitted. On the scale of the measure `value` is where the posterior
    is 0.5, and `low` and `high` are where calls change.
    """

    weight: Annotated[float, Field(gt=0, lt=1)]
    means: tuple[Finite, Finite]
    sds: tuple[Positive, Positive]
    value: Positive
    low: Positive
    high: Positive
    bic_gain: Finite
    ashman_d: Finite
    n: int = Field(ge=1)
    n_fitted: int = Field(ge=1)

    @model_validator(mode="after")
    def _ordered(self) -> Mixture:
        if self.means[0] >= self.means[1] or not self.low <= self.value <= self.high:
            raise ValueError("the first of a mixture's two populations is the darker one")
        return self


class SoftCurve(Model):
    """Probability of being positive by value, from a control and the samples of its scope.

    A step function: `probabilities[i]` from `values[i]` on, 0 under the first.

    Parameters
    ----------
    values
        Ascending.
    probabilities
        Ascending.
    null_share
        Estimated share of negative cells in the samples.
    n
        Cells of the samples that it rests on.
    """

    values: tuple[Finite, ...]
    probabilities: tuple[Fraction, ...]
    null_share: Fraction
    n: int = Field(ge=1)

    @model_validator(mode="after")
    def _ascending(self) -> SoftCurve:
        if len(self.values) != len(self.probabilities):
            raise ValueError("as many probabilities as values are needed")
        for numbers in (self.values, self.probabilities):
            if list(numbers) != sorted(numbers):
                raise ValueError("values and probabilities ascend")
        return self


class Quantiles(Model):
    """Some quantiles of the cells that a gate was set on."""

    percentiles: tuple[Annotated[float, Field(ge=0, le=100)], ...]
    values: tuple[Finite, ...]


class Verdict(Model):
    """What one rung of the ladder says, whether or not it set the gate.

    A rung with a `reason` sets no gate; that word is one of `imganalysis.tables.GATE_REASONS`,
    and `note` says what was found. It has a `value` all the same where that is only too far from
    another rung's.
    """

    rung: Rung
    value: Positive | None = None
    se: NotNegative | None = None
    n: int = Field(0, ge=0)
    reason: str = ""
    note: str = ""
    bic_gain: Finite | None = None
    ashman_d: Finite | None = None
    weight: Fraction | None = None

    @property
    def holds(self) -> bool:
        """Whether it may set a gate."""
        return self.value is not None and not self.reason


Method = Literal["control_percentile", "reference", "mixture", "file", "manual", "none"]
"""Where a gate's value is from."""
