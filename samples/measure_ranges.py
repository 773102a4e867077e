"""Lets a weights file with the movenet stem be computed in 8 bits, as those that 'ftp train' writes can be.

    python samples/measure_ranges.py old.safetensors new.safetensors --data coco=train.json --data clips=CLIPS

Takes crops of the people, evenly from all data, and writes the file anew with the ranges of its maps in the header. The
tensors stay as they are.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from ftpcli.errors import FtpError, UsageError
from ftpcli.files.output import check_target
from ftpcli.model.quantised import measure_ranges
from ftpcli.pose.weights import build_model, load_weights, save_weights, weights_path
from ftpcli.skeleton import Skeleton
from ftpcli.training.batches import plain_batches
from ftpcli.training.sources import DataSpec, open_data


def crops_of(data: list[str], size: tuple[int, int], joints: tuple[str, ...], count: int) -> list[torch.Tensor]:
    """Batches of (B, 3, H, W) crops."""
    skeleton, batches = Skeleton("model", joints), []
    for text in data:
        source = open_data(DataSpec.parse(text), skeleton, "train")
        indices = np.unique(np.linspace(0, len(source) - 1, max(1, count // len(data))).astype(int)).tolist()
        batches += [batch.windows(torch.device("cpu"))[:, 0] for batch, _ in plain_batches(source, indices, size, 1, 8)]
    return batches


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("weights")
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", action="append", required=True, help="as of 'ftp train', repeatable")
    parser.add_argument("--crops", type=int, default=256)
    args = parser.parse_args()
    try:
        path = weights_path(args.weights)
        check_target(args.out, overwrite=False, inputs=(path,))
        model = build_model(path)[0]
        if model.backbone.trunk is None:
            raise UsageError(f"{path}: only the movenet stem is computed in 8 bits")
        config, tensors, provenance = load_weights(path)
        ranges = measure_ranges(model.backbone.trunk, crops_of(args.data, config.image_size, config.joints, args.crops))
        save_weights(args.out, tensors, config, {**provenance, "ranges": ranges})
    except FtpError as failed:
        print(failed, file=sys.stderr)
        return failed.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
