"""Checks an accelerator against the CPU, and times it: for a machine with a GPU.

    python -m samples.check_device --device cuda

Makes a clip of ten people at 1080p, compares detections and joints with those of the CPU in fp32, and prints what
``ftp bench`` says of the clip and of Table II at several batches. Fails where joints differ by more than rounding does.
How busy the GPU is meanwhile, ``nvidia-smi dmon -s u`` shows in another terminal.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ftpcli.annotation.annotator import Annotator
from ftpcli.annotation.options import Options
from ftpcli.annotation.outputs import Target, annotate_file
from ftpcli.cli.bench import command as bench
from ftpcli.datasets.poses import open_poses
from ftpcli.errors import FtpError
from ftpcli.model.choices import Preset
from ftpcli.records import FramePoses
from ftpcli.video import open_source
from samples.make_sample import make_sample

#: Pixels between joints: the most that the median may be, and from where on a joint counts as another; of those, two
#: peaks are about as high, there may be this share.
_MEDIAN, _FAR, _SHARE = 0.05, 1.0, 0.02


def poses_of(out: Path, clip: Path, options: Options, **how: Any) -> list[FramePoses]:
    """What a run leaves in ``out``."""
    annotate_file(Annotator(options, engine="torch", **how), str(clip), Target(out))
    with open_poses(out) as poses:
        return list(poses)


def compare_joints(found: list[FramePoses], expected: list[FramePoses]) -> bool:
    """Print how far apart the joints of the same people are, and whether that is rounding."""
    pairs = [(p, q) for a, b in zip(found, expected, strict=True) for p, q in zip(a.poses, b.poses, strict=True)]
    apart = np.concatenate([np.linalg.norm(p.keypoints - q.keypoints, axis=1) for p, q in pairs])
    far, sure = apart > _FAR, np.concatenate([q.confidence for _, q in pairs])
    print(
        f"{len(apart)} joints of {len(pairs)} poses: {np.median(apart):.4f} px apart in the median, "
        f"{np.quantile(apart, 0.99):.3f} at 99 %; {far.sum()} by more than {_FAR:g} px"
        + (f", of them the surest has {sure[far].max():.2f} on the CPU" if far.any() else "")
    )
    return bool(np.median(apart) <= _MEDIAN and far.mean() <= _SHARE)


def compare_detections(clip: Path, device: str, count: int = 8) -> None:
    """Print how far apart the boxes of the same people are in the first frames."""
    with open_source(clip) as source:
        images = [frame.image for frame, _ in zip(source, range(count), strict=False)]
    reference, other = (Annotator(engine="torch", device=on, precision="fp32").detector for on in ("cpu", device))
    assert reference is not None and other is not None
    apart, missing = [], 0
    for expected, found in zip(reference.detect_batch(images), other.detect_batch(images), strict=True):
        for box in expected[expected[:, 4] >= reference.score]:
            nearest = np.abs(found[:, :4] - box[:4]).max(axis=1).min(initial=np.inf)
            missing += nearest > 0.1 * (box[3] - box[1])
            apart.append(nearest)
    print(f"{len(apart)} boxes: {np.median(apart):.3f} px apart in the median, {missing} missing")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or mps")
    parser.add_argument("--people", type=int, default=10)
    parser.add_argument("--width", type=int, default=1920)
    parser.add_argument("--height", type=int, default=1080)
    parser.add_argument("--seconds", type=float, default=8.0, help="of the clip that is timed")
    parser.add_argument("--compared", type=float, default=1.0, help="seconds of it that are compared")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--presets", type=Preset, nargs="*", default=[Preset.TINY, Preset.BASE], help="of Table II")
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 8, 64], help="of Table II")
    o = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="ftp-check-") as name:
            folder = Path(name)
            clip, boxes = folder / "clip.mp4", folder / "cpu.jsonl"
            make_sample(clip, seconds=o.seconds, width=o.width, height=o.height, people=o.people)
            expected = poses_of(boxes, clip, Options(end=o.compared), device="cpu", precision="fp32")
            compare_detections(clip, o.device)
            options = Options(end=o.compared, boxes=str(boxes))
            print("fp32: ", end="")
            same = compare_joints(
                poses_of(folder / "fp32.jsonl", clip, options, device=o.device, precision="fp32"), expected
            )
            print("its own precision: ", end="")
            compare_joints(poses_of(folder / "own.jsonl", clip, options, device=o.device), expected)
            bench(str(clip), device=o.device, rounds=o.rounds)
        for preset in o.presets:
            for batch in o.batches:
                print(f"batch {batch}:")
                bench(table2=preset, device=o.device, batch=batch, rounds=o.rounds)
    except FtpError as error:
        print(f"check_device: {error}", file=sys.stderr)
        return error.exit_code
    if not same:
        print(f"check_device: joints on {o.device} differ by more than rounding does", file=sys.stderr)
    return int(not same)


if __name__ == "__main__":
    sys.exit(main())
