"""``ftp eval`` as typed: options, exit codes, what stands on stdout and stderr, the report file."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from ftpcli import cli
from tests.evaluation.test_model import clip_set, coco_set, load_sample
from tests.support.eval_support import person, save, video18


def ftp(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Run the command; returns exit code, stdout and stderr."""
    monkeypatch.setattr(sys, "argv", ["ftp", "eval", *map(str, words)])
    code = 0
    try:
        cli.main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    return code, *capsys.readouterr()


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    people = [[person(5 * t, scores=0.9 - t / 9), person(300, 0, 1, scores=0.2 + t / 50)] for t in range(4)]
    save(tmp_path / "gt", video18(people))
    save(tmp_path / "pred", video18([*people[:3], people[3][:1]]))
    return tmp_path / "gt", tmp_path / "pred"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model with random weights, three frames."""
    from ftpcli.model.config import ModelConfig
    from ftpcli.model.ftp_pose import FTPPose
    from ftpcli.pose.weights import save_weights

    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    config = ModelConfig(shared_blocks=1)
    save_weights(path, FTPPose(config).state_dict(), config, {"recipe": {}})
    return path


def test_files_against_files(monkeypatch, capsys, tmp_path, files) -> None:  # type: ignore[no-untyped-def]
    report = tmp_path / "report.json"
    code, out, err = ftp(
        monkeypatch,
        capsys,
        "--annotations",
        files[0],
        "--predictions",
        files[1],
        "--metric",
        "posetrack",
        "--report",
        report,
    )
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == ["boxes", "Head", "Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle", "Mean"]
    assert lines[1].split()[:2] == ["AP", "boxes=not"] and lines[2].startswith("MOTA")
    data = json.loads(report.read_text())
    assert data["metric"] == "posetrack" and data["frames_evaluated"] == 4
    assert data["AP"]["groups"]["Mean"] == pytest.approx(87.5)
    assert "joint scores from 0.2:" in out and data["lowest_score"] == 0.2
    assert data["MOT"]["MOTA"]["mean"] == 100 and data["boxes"]["source"] == "not stated"
    # The same input gives the same file, and an existing file stays.
    again = tmp_path / "again.json"
    words = ("--annotations", files[0], "--predictions", files[1], "--metric", "posetrack", "--report")
    assert ftp(monkeypatch, capsys, *words, again)[0] == 0
    assert again.read_bytes() == report.read_bytes()
    code, _, err = ftp(monkeypatch, capsys, *words, again)
    assert code == 1 and "exists already; give --overwrite" in err
    assert ftp(monkeypatch, capsys, *words, again, "--overwrite")[0] == 0


def test_posetrack21_and_warnings(monkeypatch, capsys, files) -> None:  # type: ignore[no-untyped-def]
    path = files[1] / "000001_mpii_test.json"
    data = json.loads(path.read_text())
    data["annotations"][0]["image_id"] = 5
    path.write_text(json.dumps(data))
    words = ("--annotations", files[0], "--predictions", files[1], "--metric", "posetrack21")
    code, out, err = ftp(monkeypatch, capsys, *words)
    assert code == 0 and "HOTA" in out and "FA-HOTA" in out
    assert err.startswith("ftp: warning: ") and "belong to no listed image" in err and len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "give --annotations, --predictions and --metric, or --data and --dataset"),
        (["--annotations", "a"], "give --annotations, --predictions"),
        (["--annotations", "a", "--predictions", "b"], "--metric is needed"),
        (["--annotations", "a", "--predictions", "b", "--data", "c", "--dataset", "coco"], "not both"),
        (["--data", "c", "--dataset", "clips", "--images", "d"], "--images d: only for --dataset coco and detector"),
        (["--data", "c", "--dataset", "coco", "--metric", "posetrack"], "does not go with --dataset coco"),
        (["--data", "c", "--dataset", "clips", "--results", "r.json"], "--results r.json: only for --dataset coco"),
        (["--data", "c", "--dataset", "coco", "--boxes", "mine"], "--boxes mine: unknown"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(monkeypatch, capsys, words, text) -> None:  # type: ignore[no-untyped-def]
    code, out, err = ftp(monkeypatch, capsys, *words)
    assert code == 2 and text in err and len(err.splitlines()) == 1 and out == ""


@pytest.mark.parametrize("words", [["--metric", "pckh"], ["--dataset", "mpii"]])
def test_unknown_choices_are_answered_with_the_list(monkeypatch, capsys, words) -> None:  # type: ignore[no-untyped-def]
    code, _, err = ftp(monkeypatch, capsys, *words)
    assert code == 2 and f"'{words[1]}' is not one of" in err and "'posetrack21'" in err


def test_wrong_files_are_one_line_and_code_1(monkeypatch, capsys, tmp_path, files) -> None:  # type: ignore[no-untyped-def]
    (files[1] / "000001_mpii_test.json").write_text("{")
    words = (
        "--annotations",
        files[0],
        "--predictions",
        files[1],
        "--metric",
        "posetrack",
        "--report",
        tmp_path / "r.json",
    )
    code, out, err = ftp(monkeypatch, capsys, *words)
    assert code == 1 and "not a whole JSON document" in err and len(err.splitlines()) == 1 and out == ""
    assert not (tmp_path / "r.json").exists()
    code, _, err = ftp(
        monkeypatch, capsys, "--data", tmp_path, "--dataset", "coco", "--weights", tmp_path / "no.safetensors"
    )
    assert code == 1 and "no such file or folder" in err and len(err.splitlines()) == 1


def test_a_model_on_posetrack(monkeypatch, capsys, tmp_path, weights) -> None:  # type: ignore[no-untyped-def]
    root, report = tmp_path / "set", tmp_path / "report.json"
    load_sample().make(root, "18", 12)
    words = ("--data", root, "--dataset", "posetrack18", "--weights", weights, "--device", "cpu")
    boxes = f"detected:{root / 'val_boxes.json'}"
    code, out, err = ftp(monkeypatch, capsys, *words, "--boxes", boxes, "--report", report)
    assert code == 0, err
    assert "boxes=detected:val_boxes.json" in out.splitlines()[1] and "12 boxes are left out" in err
    data = json.loads(report.read_text())
    assert data["boxes"]["min_score"] == 0.2 and data["model"]["name"] == "random.safetensors"
    assert (data["window"], data["neighbours"], data["flip_test"], data["device"]) == (3, "true", False, "cpu")
    assert sorted(path.name for path in (tmp_path / "report_predictions").iterdir()) == [
        "000021_mpii_test.json", "000022_mpiinew_test.json", "000023_bonn_test.json",
    ]  # fmt: skip
    # The prediction files alone give the same figures.
    words = ("--annotations", root / "annotations/val", "--predictions", tmp_path / "report_predictions")
    code, _, _ = ftp(monkeypatch, capsys, *words, "--metric", "posetrack", "--report", tmp_path / "again.json")
    assert code == 0 and json.loads((tmp_path / "again.json").read_text())["AP"] == data["AP"]


def test_a_model_on_pictures_and_clips(monkeypatch, capsys, tmp_path, weights) -> None:  # type: ignore[no-untyped-def]
    for folder, dataset in (("pictures", "coco"), ("clips", "clips")):
        (tmp_path / folder).mkdir()
        root = coco_set(tmp_path / folder)[0] if dataset == "coco" else clip_set(tmp_path / folder)
        report = tmp_path / f"{dataset}.json"
        words = ("--data", root, "--dataset", dataset, "--weights", weights, "--device", "cpu", "--quiet")
        code, out, err = ftp(monkeypatch, capsys, *words, "--report", report)
        assert (code, err) == (0, ""), err
        data = json.loads(report.read_text())
        assert set(data["pck"]) == {"0.1", "0.2", "0.5"} and 0 <= data["pck"]["0.2"]["mean"] <= 1
        assert data["boxes"]["source"] == "gt" and "boxes=gt" in out
        assert ("jitter" in data) == (dataset == "clips") and ("stats" in data) == (dataset == "coco")
    assert data["jitter"] > 0


def test_results_for_pycocotools(monkeypatch, capsys, tmp_path, weights) -> None:  # type: ignore[no-untyped-def]
    """The array that loadRes takes, scored by pycocotools itself, is what the report says."""
    root, _ = coco_set(tmp_path)
    data = json.loads((root / "val.json").read_text())
    data["categories"][0]["keypoints"] = data["categories"][0]["keypoints"][:17]  # pycocotools knows no others
    for annotation in data["annotations"]:
        annotation |= {"keypoints": annotation["keypoints"][: 3 * 17], "keypoint_source": "g" * 17}
    (tmp_path / "coco17.json").write_text(json.dumps(data))
    words = [
        "--data",
        tmp_path / "coco17.json",
        "--dataset",
        "coco",
        "--weights",
        weights,
        "--device",
        "cpu",
        "--quiet",
    ]
    words += ["--report", tmp_path / "report.json", "--results", tmp_path / "results.json"]
    assert ftp(monkeypatch, capsys, *words)[0] == 0
    coco, cocoeval = pytest.importorskip("pycocotools.coco"), pytest.importorskip("pycocotools.cocoeval")
    truth = coco.COCO(str(tmp_path / "coco17.json"))
    scored = cocoeval.COCOeval(truth, truth.loadRes(str(tmp_path / "results.json")), "keypoints")
    scored.evaluate()
    scored.accumulate()
    scored.summarize()
    assert scored.stats[0] == pytest.approx(json.loads((tmp_path / "report.json").read_text())["stats"]["AP"])
    code, _, error = ftp(monkeypatch, capsys, *words[:-4], "--results", tmp_path / "results.json")
    assert code == 1 and "results.json" in error and len(error.splitlines()) == 1


def test_help_and_import_cost_nothing_heavy() -> None:
    import subprocess

    code = "import ftpcli.cli.evaluate, sys; print([m for m in ('torch', 'numpy', 'cv2', 'av') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_detector_goes_to_its_own_evaluation(monkeypatch, capsys, tmp_path) -> None:  # type: ignore[no-untyped-def]
    import ftpcli.evaluation.on_scenes

    asked = []

    def evaluate(weights: object, val: Path, *, device: str, folder: Path | None) -> dict[str, object]:
        asked.append((weights, val, device, folder))
        return {
            "detector": {"name": "x"},
            "pictures": 3,
            "boxes": 4,
            "ap50": 0.5,
            "ap75": 0.25,
            "ap": 0.3,
            "recall50": 0.6,
            "warnings": [],
        }

    monkeypatch.setattr(ftpcli.evaluation.on_scenes, "evaluate_detector", evaluate)
    (tmp_path / "val.json").write_text("{}")
    words = ("--data", tmp_path, "--dataset", "detector", "--device", "cpu", "--report", tmp_path / "report.json")
    code, out, err = ftp(monkeypatch, capsys, *words)
    assert (code, err) == (0, "") and "ap50 0.500" in out
    assert asked == [(None, tmp_path / "val.json", "cpu", None)]
    assert json.loads((tmp_path / "report.json").read_text())["ap50"] == 0.5
    assert ftp(monkeypatch, capsys, *words, "--overwrite", "--weights", "d.safetensors")[0] == 0
    assert asked[1][0] == "d.safetensors"
