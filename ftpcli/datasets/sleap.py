"""Reads SLEAP's labels (.slp) and analysis files (.h5) through sleap-io. Memory grows with the file."""

from __future__ import annotations

import re

import numpy as np

from ftpcli.datasets.store import PoseStore
from ftpcli.errors import InputError
from ftpcli.files import checked_json as checks
from ftpcli.records import Header, SourceInfo

SIGNATURE = b"\x89HDF\r\n"


def read_labels(path: str, store: PoseStore) -> Header:
    """Put the instances of a file into a store.

    What a person has set counts, with score and confidence 1; predictions count as far as nobody has corrected them.
    Boxes lie around the joints. A track is called by its number, as in our own files, or gets one.

    Raises:
        InputError: not such a file, of several videos or skeletons, or sleap-io is missing.
    """
    try:
        import h5py
        import sleap_io as sio
    except ImportError:
        line = "SLEAP files need sleap_io; install it with: pip install 'ftp-pose[formats]'"
        raise InputError(f"{path}: {line}") from None
    try:
        with h5py.File(path) as file:
            analysis, labelled = "track_occupancy" in file, "metadata" in file
        if not (analysis or labelled):
            raise InputError(f"{path}: is neither SLEAP labels nor a SLEAP analysis file; of DeepLabCut give the CSV")
        labels = sio.load_analysis_h5(path) if analysis else sio.load_slp(path, open_videos=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: cannot be read as a SLEAP file ({error})") from error
    if len(labels.skeletons) != 1 or len(labels.videos) > 1:
        what = f"{len(labels.skeletons)} skeletons and {len(labels.videos)} videos"
        raise InputError(f"{path}: holds {what}; give a file of one skeleton and one video")
    joints = checks.joint_names(list(labels.skeletons[0].node_names), path)
    for frame in sorted(labels, key=lambda one: one.frame_idx):
        index = int(frame.frame_idx)
        store.add_frame(index, "", index)
        for one in [*frame.user_instances, *frame.unused_predictions]:
            predicted = isinstance(one, sio.PredictedInstance)
            table = one.numpy(scores=True) if predicted else np.column_stack([one.numpy(), np.ones(len(joints))])
            table[np.isnan(table).any(axis=1) | ~(np.abs(table) <= checks.MAX_COORDINATE).all(axis=1)] = 0.0
            track = store.track(str(one.track.name)) if one.track is not None and (table[:, 2] > 0).any() else None
            store.add_person(index, track, 0, float(one.score) if predicted else 1.0, None, table, path)
    store.notices.append("has no boxes of people: boxes are drawn around the joints")
    video = labels.videos[0] if labels.videos else None
    name = video.filename if video and isinstance(video.filename, str) else ""
    shape = video.backend_metadata.get("shape") if video else None
    width, height = (int(shape[2]), int(shape[1])) if shape and all(shape[1:3]) else (None, None)
    return Header(joints, SourceInfo(path=re.split(r"[/\\]", name)[-1] or None, width=width, height=height))
