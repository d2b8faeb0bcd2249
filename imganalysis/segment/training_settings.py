"""What a training can be told. Each default stands here and nowhere else."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from imganalysis.settings_base import Fraction, Model, NotNegative, Positive

Range = tuple[NotNegative, NotNegative]
Width = Annotated[int, Field(ge=1, le=1024)]


class NetworkSettings(Model):
    """The network that is trained."""

    width: tuple[Width, ...] = Field(
        (16, 32, 64, 128), min_length=2, max_length=6, title="Feature maps at each scale"
    )
    channels: Literal[1, 2] = Field(2, description="2: the image once more on a logarithmic scale")
    diameter_px: float = Field(
        17.0, ge=6, le=200, title="Diameter", description="px; nuclei are brought to this size"
    )


class Augmentation(Model):
    """How the same image is made to look like another one. Shares are chances per crop."""

    scale: tuple[Positive, Positive] = Field((0.7, 1.4), description="of the target diameter")
    outside: Fraction = Field(0.25, description="share of crops that reach over the image's edge")
    gain: tuple[Positive, Positive] = (0.5, 1.6)
    gamma: tuple[Positive, Positive] = (0.6, 1.6)
    offset: tuple[float, float] = (-0.08, 0.15)
    nuclei: Fraction = Field(0.35, description="share of crops whose nuclei differ in brightness")
    nuclei_log_sd: NotNegative = 0.5
    blur: Fraction = 0.35
    blur_px: Range = (0.3, 1.5)
    haze: Fraction = Field(0.25, description="share of crops with light from other planes")
    haze_level: Range = (0.1, 0.7)
    gradient: Fraction = 0.35
    gradient_level: Range = (0.05, 0.5)
    noise: Fraction = 0.6
    photons: tuple[Positive, Positive] = Field((8.0, 300.0), description="of a bright nucleus")
    gaussian: Range = Field((0.0, 0.06), description="SD, of a bright nucleus's level")

    @model_validator(mode="after")
    def _ordered(self) -> Augmentation:
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, tuple) and value[0] > value[1]:
                raise ValueError(f"{name}: the range goes from {value[0]} down to {value[1]}")
        return self


class TrainingSettings(Model):
    """Steps, batches and learning."""

    network: NetworkSettings = NetworkSettings()
    augmentation: Augmentation = Augmentation()
    steps: int = Field(20_000, ge=1)
    batch: int = Field(8, ge=1, le=256)
    crop_px: tuple[int, ...] = Field(
        (112, 144), min_length=1, description="sides of the square crops, one drawn per batch"
    )
    learning_rate: Positive = 2e-3
    warmup_steps: int = Field(300, ge=0)
    final_rate: Fraction = Field(0.01, description="of the learning rate, at the last step")
    weight_decay: NotNegative = 0.01
    clip_norm: Positive = Field(1.0, description="longest gradient")
    average: float = Field(0.999, ge=0, lt=1, description="decay of the mean of weights")
    flow_weight: Positive = Field(0.5, description="of the flows' loss against the outline's")
    small_weight: NotNegative = Field(
        0.0,
        description="power of how much more a pixel counts in what shows less of a nucleus than "
        "diameter_px, by the areas, at most twice; 0: all pixels count the same",
    )
    gap_weight: float = Field(
        1.0, ge=1, description="how much more pixels count that are within 2 px of two nuclei"
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="bfloat16 is faster where the processor has it"
    )
    seed: int = Field(2003, ge=0)

    @model_validator(mode="after")
    def _crops_fit(self) -> TrainingSettings:
        multiple = 2 ** (len(self.network.width) - 1)
        wrong = [side for side in self.crop_px if side % multiple or not 32 <= side <= 1024]
        if wrong:
            raise ValueError(
                f"crop_px: {wrong[0]} is no multiple of {multiple} between 32 and 1024"
            )
        return self
