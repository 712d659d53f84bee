"""Strength of the augmentation."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Config(BaseModel):
    """Strength of each change; p_* are probabilities per sample."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    p_translate: float = Field(default=1.0, ge=0, le=1)
    translate: float = 0.08  # uniform +-, of the crop's side (10 % of a box cropped at scale 1.25)
    p_scale: float = Field(default=1.0, ge=0, le=1)
    scale: float = Field(default=0.15, ge=0, lt=1)  # uniform in log scale, +-
    p_rotate: float = Field(default=0.7, ge=0, le=1)
    rotate: float = 30.0  # degrees, uniform +-
    p_flip: float = Field(default=0.5, ge=0, le=1)
    p_occlude: float = Field(default=0.5, ge=0, le=1)
    occlude: float = 0.4  # largest side of the rectangle, of the crop's side
    p_blur: float = Field(default=0.3, ge=0, le=1)
    blur: float = 2.0  # largest Gaussian radius, px
    p_grey: float = Field(default=0.2, ge=0, le=1)
    brightness: float = 0.2  # uniform +-, of 255
    contrast: float = 0.3  # uniform +-, in log
    saturation: float = 0.3  # uniform +-, in log
    noise: float = 6.0  # largest standard deviation, grey levels
    operations: int = Field(default=0, ge=0)  # RandAugment: colour operations per sample
    magnitude: float = Field(default=1.0, ge=0, le=1)  # largest strength of such an operation, of its range
    p_cutout: float = Field(default=0.0, ge=0, le=1)
    cutout: float = 0.5  # largest side of the grey square, of the crop's side
    shear: float = Field(default=0.0, ge=0)  # uniform +-, px to the right per px down
    corners: float = Field(default=0.0, ge=0, lt=0.5)  # each edge of the box, uniform +-, of the crop's side


STLD = Config(
    p_translate=0.5, translate=30 / 256, p_scale=0.0, scale=0.0, p_rotate=0.5, brightness=0.0, contrast=0.0,
    saturation=0.0, noise=0.0,
)  # fmt: skip
