"""What users of comparable tools complain about, and the test that shows that ours does not have it.

The list is checked: every test named here must exist. What ours does have is said in words instead.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent

#: Complaint -> tests ("file::test"), or in words what remains true of ours.
PAINS: dict[str, list[str] | str] = {
    "1 wrong times on variable frame rate": [
        "test_annotate::test_odd_video",
        "test_video::test_pts_are_the_packets_own",
        "test_annotate::test_every_format_holds_every_frame",
    ],
    "2 a frame rate that the writer cannot hold": ["test_video::test_time_bases_survive"],
    "3 no automatic rotation": ["test_annotate::test_odd_video", "test_video::test_exif_orientation"],
    "4 output rotated although the input looked right": [
        "test_render::test_odd_video",
        "test_annotate::test_overlay_has_the_source_s_frames_times_and_sound",
    ],
    "5 the sound is gone": ["test_video::test_sound_is_copied", "test_render::test_whole_of_the_sound_is_copied"],
    "6 results that no browser plays, or of another length": [
        "test_video::test_written_file",
        "test_video::test_odd_sizes_are_filled_up",
    ],
    "7 memory grows until the process dies": [
        "test_video::test_memory_stays_flat",
        "test_windows::test_memory_holds_a_window_and_no_more",
        "test_smoothing::test_memory_depends_on_the_people_in_sight",
    ],
    "8 a stopped job starts from zero": [
        "test_interrupted::test_kill_at_three_moments",
        "test_interrupted::test_signals_stop_cleanly",
    ],
    "9 frames missing or off by one after seeking": [
        "test_video::test_start_end_every_keep_indices_and_times",
        "test_annotate::test_start_end_every_select_by_time",
    ],
    "10 a crash on the first frame without people": [
        "test_people::test_no_people_is_no_error",
        "test_annotate::test_one_frame_and_nobody",
    ],
    "11 frames without people vanish from the file": [
        "test_annotate::test_people_are_those_of_the_boxes",
        "test_annotate::test_coco_loads_in_pycocotools",
    ],
    "12 ids change after a short occlusion, or stand on two people": "Ids come from ByteTrack or BoT-SORT: they "
    "survive a second out of sight, not a longer one, and can be exchanged when people cross. No id stands twice "
    "in a frame (test_formats_hostile::test_native_records).",
    "13 tracking resets for ever once somebody leaves": [
        "test_people::test_an_id_survives_about_a_second_whatever_the_frame_rate",
        "test_people::test_ids_stay_with_the_people_and_begin_at_one",
    ],
    "14 ids are always -1": ["test_people::test_ids_stay_with_the_people_and_begin_at_one"],
    "15 unclear which joint is which": ["test_annotate::test_coco_loads_in_pycocotools"],
    "16 points as (y, x)": ["test_render::test_figures_sit_where_the_poses_say"],
    "17 neck against head_bottom, ears, how COCO becomes PoseTrack": [
        "test_annotate::test_every_format_holds_every_frame"
    ],
    "18 an AP of 0 because image ids were renumbered": ["evaluation/test_files::", "test_posetrack_index::"],
    "19 an evaluator that crashes where a limb is absent": ["evaluation/test_metrics::"],
    "20 no video script, no licence, unclear weights": ["test_annotate::test_what_is_printed"],
    "21 compiled extensions and a maze of versions": "Dependencies are ordinary wheels (torch, torchvision, PyAV, "
    "OpenCV, lap); on a platform for which one of them has no wheel, installing fails there as well.",
    "22 believed to be on the GPU, ran on the CPU": [
        "test_annotate::test_what_is_printed",
        "cli/test_cli::test_bad_input",
    ],
    "23 checkpoints stop loading when torch changes": [
        "test_weights::test_round_trip_in_half_precision",
        "test_loading::test_a_pickle_is_not_opened_unasked",
    ],
    "24 installs packages and reports usage unasked": [
        "test_offline::test_no_command_reaches_for_the_network",
        "test_loading::test_ultralytics_stays_silent_and_private",
    ],
    "25 all keypoints of a video in one COCO file": ["test_annotate::test_coco_loads_in_pycocotools"],
    "26 jitter": ["test_smoothing::test_a_resting_joint_calms_down_and_a_moving_one_is_followed"],
    "27 data sets that are gone": ["test_posetrack_index::"],
    "28 AGPL uncertainty": "The licence is AGPL-3.0-or-later, because ultralytics is; the README says so.",
    "29 one crop at a time": ["test_estimator::test_people_of_several_frames_share_a_batch"],
    "30 last frames lost by threaded decoding, containers left open": [
        "test_video::test_drains_the_decoder",
        "test_annotate::test_truncated_files_keep_what_decodes_and_say_so",
    ],
}


def _file(name: str) -> Path:
    """The one test module of this name, wherever below the tests it lies."""
    (found,) = FOLDER.rglob(f"{name}.py")
    return found


def test_all_thirty() -> None:
    assert [int(pain.split()[0]) for pain in PAINS] == list(range(1, 31))


@pytest.mark.parametrize("pain", [pain for pain, answer in PAINS.items() if isinstance(answer, list)])
def test_the_named_tests_exist(pain: str) -> None:
    for name in PAINS[pain]:
        file, _, test = name.partition("::")
        tree = ast.parse(_file(file).read_text())
        tests = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert test in tests if test else any(found.startswith("test_") for found in tests), name
