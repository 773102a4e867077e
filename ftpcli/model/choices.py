"""The choices that a model's configuration offers, by the names that options and weights files use."""

from __future__ import annotations

from enum import StrEnum


class Preset(StrEnum):
    """Named configurations; ``base`` is the paper's size, the last two have ViTPose's backbones and head."""

    TINY = "tiny"
    SMALL = "small"
    BASE = "base"
    VITPOSE_SMALL = "vitpose-small"
    VITPOSE_BASE = "vitpose-base"


class Branches(StrEnum):
    """``both`` is the paper's model, ``low`` its baseline, ``none`` the backbone and the head alone."""

    NONE = "none"
    LOW = "low"
    BOTH = "both"


#: A temperature of pruning that follows each sample's own distances.
ADAPTIVE = "adaptive"


class Selector(StrEnum):
    """How pruning picks tokens: by density peaks; the others are controls for ablation."""

    DPC = "dpc"
    GRID = "grid"
    RANDOM = "random"


class Stem(StrEnum):
    """What turns a picture into tokens."""

    PATCH = "patch"
    MOVENET = "movenet"


class Head(StrEnum):
    """What turns tokens into heatmaps."""

    DENSE = "dense"
    DECONVOLUTION = "deconvolution"
    SIMPLE = "simple"


class Codec(StrEnum):
    """Where a crop's and a heatmap's cells lie, and how peaks are refined."""

    CENTRED = "centred"
    UDP = "udp"


class Heatmap(StrEnum):
    """What the values of a heatmap are."""

    GAUSSIAN = "gaussian"
    SOFTMAX = "softmax"
