"""What a user can choose by name, listed once: for the command line's help, for checks and for Python callers.

Trackers and smoothing filters are listed beside their code, in `people.tracking` and `pose.smoothing`.
"""

from __future__ import annotations

from enum import StrEnum


class Format(StrEnum):
    """Forms of a poses file."""

    JSONL = "jsonl"  # our JSON Lines: every joint, all digits that matter
    COCO = "coco"
    COCO_RESULTS = "coco_results"  # the plain list that pycocotools' loadRes takes
    POSETRACK = "posetrack"  # of 2018 and 2021
    POSETRACK17 = "posetrack17"
    CSV = "csv"  # one row a frame, person and joint
    CSV_WIDE = "csv_wide"  # one row a frame and person
    PARQUET = "parquet"  # the same tables with types
    PARQUET_WIDE = "parquet_wide"
    MOT = "mot"  # boxes and ids only
    OPENPOSE = "openpose"  # a folder with a file a frame, BODY_25
    OPENPOSE18 = "openpose18"  # the same with the 18 joints of OpenPose's COCO model
    TRC = "trc"  # markers over time, pixels
    YOLO = "yolo"  # a folder for training YOLO-pose
    DEEPLABCUT = "deeplabcut"  # CSV of a multi-animal project
    SLEAP = "sleap"
    SLEAP_ANALYSIS = "sleap_analysis"  # h5
    DEEPLABCUT_H5 = "deeplabcut_h5"
    NWB = "nwb"
    LABELSTUDIO = "labelstudio"
    CVAT = "cvat"  # zip


class Picture(StrEnum):
    """Files that frames are written to."""

    JPG = "jpg"
    PNG = "png"


class Joints(StrEnum):
    """Joints of a COCO file: COCO's 17, or every joint of the model."""

    DEFAULT = "default"
    ALL = "all"


class Precision(StrEnum):
    """Number formats of the models; auto is bf16 where the hardware has it, int8 in ONNX Runtime."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    INT8 = "int8"  # of the pose model's stem, in ONNX Runtime


class Engine(StrEnum):
    """What computes the networks; auto is ONNX Runtime on a CPU where it is installed."""

    AUTO = "auto"
    TORCH = "torch"
    ONNX = "onnx"


class Codec(StrEnum):
    """Codecs of written videos."""

    H264 = "h264"
    HEVC = "hevc"


class Speed(StrEnum):
    """Presets of x264 and x265: the slower, the smaller the file."""

    ULTRAFAST = "ultrafast"
    SUPERFAST = "superfast"
    VERYFAST = "veryfast"
    FASTER = "faster"
    FAST = "fast"
    MEDIUM = "medium"
    SLOW = "slow"
    SLOWER = "slower"
    VERYSLOW = "veryslow"


class DataKind(StrEnum):
    """Kinds of training data."""

    COCO = "coco"
    CLIPS = "clips"
    POSETRACK17 = "posetrack17"
    POSETRACK18 = "posetrack18"
    POSETRACK21 = "posetrack21"
    POSES = "poses"


class Metric(StrEnum):
    """What prediction files are scored by."""

    POSETRACK = "posetrack"
    POSETRACK21 = "posetrack21"
    COCO = "coco"


#: Pose models of others on the Hugging Face hub, by the name that ``--weights`` takes. All give COCO's 17 joints.
HUB_MODELS = {
    name: f"usyd-community/{name}"
    for name in (
        "vitpose-plus-small",
        "vitpose-base-simple",
        "vitpose-base",
        "vitpose-base-coco-aic-mpii",
        "vitpose-plus-base",
        "vitpose-plus-large",
        "vitpose-plus-huge",
    )
}


class Dataset(StrEnum):
    """Data sets that a model can be evaluated on."""

    POSETRACK17 = "posetrack17"
    POSETRACK18 = "posetrack18"
    POSETRACK21 = "posetrack21"
    COCO = "coco"
    CLIPS = "clips"
    DETECTOR = "detector"
