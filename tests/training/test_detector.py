"""The person detector: weights files, foreign models, pictures to boxes, training data, training, evaluation."""

from __future__ import annotations

import io
import json
import os
import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from ftpcli.datasets.scenes import Mixture, Picture, Sample, _move, _place, load_pictures, make_sample
from ftpcli.errors import InputError, UsageError
from ftpcli.evaluation.on_scenes import evaluate, evaluate_detector
from ftpcli.people import load_detector
from ftpcli.people._ultralytics import MuSGD
from ftpcli.people.inference import find_people, letterbox, tidy
from ftpcli.people.loading import BUNDLED
from ftpcli.people.network import DetectorConfig, build_network, load_network, read_config, save_network
from ftpcli.training.detector.gradients import Float32MuSGD, MaskedLoss, collate, make_optimizer
from ftpcli.training.detector.pasting import _covered, paste
from ftpcli.training.detector.training import DetectorRecipe, _stop_signals, train_detector


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector with random weights in our format."""
    torch.manual_seed(3)
    config = DetectorConfig(image_size=64, provenance={"note": "random"})
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save_network(build_network(config), config, path)
    return path


@pytest.fixture
def photo() -> np.ndarray:
    """One of ultralytics' own pictures: a bus and four people, 810x1080."""
    from ultralytics.utils import ASSETS

    return cv2.cvtColor(cv2.imread(str(ASSETS / "bus.jpg")), cv2.COLOR_BGR2RGB)


# -- weights files


def test_weights_come_back_as_they_were(weights: Path) -> None:
    network, config = load_network(weights)
    assert config == DetectorConfig(image_size=64, provenance={"note": "random"})
    torch.manual_seed(3)
    first = build_network(config)
    for (name, before), after in zip(first.state_dict().items(), network.state_dict().values(), strict=True):
        assert torch.equal(before.half().float() if before.is_floating_point() else before, after), name
    assert weights.stat().st_size < 6e6


def test_weights_files_that_are_none(weights: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    whole = weights.read_bytes()
    cases: dict[str, bytes] = {"cut": whole[: len(whole) // 2], "empty": b"", "text": b"hello, this is no weights file"}
    for name, content in cases.items():
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(content)
        with pytest.raises(InputError, match=name):
            load_detector(path)
    foreign = tmp_path / "pose.safetensors"
    save_file({"a": torch.zeros(2)}, foreign, {"format": "something-else"})
    with pytest.raises(InputError, match="weights of another model"):
        load_detector(foreign)
    with pytest.raises(InputError, match="no such detector file"):
        load_detector(tmp_path / "absent.safetensors")
    mixed = tmp_path / "mixed.safetensors"
    config = DetectorConfig(architecture="yolov8n")
    save_network(torch.nn.Linear(2, 2), config, mixed)
    with pytest.raises(InputError, match="do not fit yolov8n"):
        load_detector(mixed)
    with pytest.raises(UsageError, match="no detection architecture"):
        build_network(DetectorConfig(architecture="yolo99z"))


# -- models of others


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("suffix", [".pt", ".torchscript", ".engine", "_saved_model"])
def test_a_pickle_is_not_opened_unasked(tmp_path: Path, suffix: str) -> None:
    sign, path = tmp_path / "sign", tmp_path / f"model{suffix}"
    with open(path, "wb") as file:
        torch.save({"model": Bomb(sign)}, file)
    with pytest.raises(UsageError, match="--trust"):
        load_detector(path)
    assert not sign.exists()
    pickle.loads(pickle.dumps(Bomb(sign)))  # the bomb itself works
    assert sign.exists()


def test_a_fetched_model_is_opened_without_running_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FTP_HOME", str(tmp_path))
    sign, path = tmp_path / "sign", tmp_path / "detectors" / "yolo26n.pt"
    path.parent.mkdir()
    torch.save({"model": Bomb(sign)}, path)
    with pytest.raises(InputError, match=r"yolo26n\.pt"):
        load_detector("yolo26n.pt")
    assert not sign.exists() and "fetching" not in capsys.readouterr().err  # it was there already


def test_only_a_model_name_uses_the_network_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import ftpcli.people._ultralytics as inside

    asked: list[str] = []

    def refuse(path: Path, **options: Any) -> None:
        asked.append(Path(path).name)
        raise ConnectionError("no network")

    monkeypatch.setenv("FTP_HOME", str(tmp_path))
    monkeypatch.setattr(inside, "attempt_download_asset", refuse)
    for name in ("missing.pt", "models/yolo26n.pt", "person-finder", "http://example.org/yolo26n.pt"):
        with pytest.raises(InputError, match="no such detector file"):
            load_detector(name)
    assert not asked and capsys.readouterr().err == ""
    with pytest.raises(InputError, match="cannot be fetched"):
        load_detector("yolo26n")
    assert asked == ["yolo26n.pt"] and "fetching yolo26n.pt" in capsys.readouterr().err


def test_a_trusted_ultralytics_model_runs(tmp_path: Path, photo: np.ndarray) -> None:
    from ultralytics import YOLO

    path = tmp_path / "own.pt"
    torch.manual_seed(0)
    model = YOLO("yolo26n.yaml", verbose=False)
    model.model.names = {0: "cat", 1: "Person"} | {i: f"thing{i}" for i in range(2, 80)}
    head = model.model.model[-1]
    for branch in (*head.cv3, *head.one2one_cv3):
        branch[-1].bias.data[1] = 0.0  # so that random weights find something
    model.save(path)
    detector = load_detector(path, trust=True, image_size=64)
    rows = detector.detect(photo)
    assert detector.person == 1 and len(rows) > 0  # type: ignore[attr-defined]
    assert rows.dtype == np.float32 and rows[:, [0, 2]].max() <= 810 and rows[:, [1, 3]].max() <= 1080
    assert (np.diff(rows[:, 4]) <= 0).all() and rows[:, 4].min() >= 0.05
    assert set(detector.describe()) == {"name", "sha256", "image_size"}
    damaged = tmp_path / "damaged.pt"
    damaged.write_bytes(path.read_bytes()[:10000])
    with pytest.raises(InputError, match="ultralytics cannot open it"):
        load_detector(damaged, trust=True)


def test_files_that_are_no_detectors(tmp_path: Path) -> None:
    for name in ("notes.md", "model.pth", "model.bin"):
        (tmp_path / name).write_text("text")
        for trust in (False, True):
            with pytest.raises(InputError, match=f"{name}: not a detector"):
                load_detector(tmp_path / name, trust=trust)
    with pytest.raises(InputError, match="not a detector"):
        load_detector(tmp_path)
    (tmp_path / "a.onnx").write_text("no graph")
    with pytest.raises(InputError, match=r"a\.onnx: ultralytics cannot open it"):
        load_detector(tmp_path / "a.onnx")


def test_bad_options(weights: Path) -> None:
    with pytest.raises(UsageError, match="fp16"):
        load_detector(weights, precision="fp16")
    with pytest.raises(UsageError, match="size 7"):
        load_detector(weights, image_size=7)


# -- pictures to boxes


class Painted(torch.nn.Module):
    """A network that "finds" the bright rectangle of each picture, in ultralytics' output form (B, 4 + nc, N)."""

    def forward(self, stack: torch.Tensor) -> torch.Tensor:
        rows = []
        for image in stack:
            y, x = torch.nonzero(image.mean(0) > 0.9, as_tuple=True)
            x0, x1, y0, y1 = x.min(), x.max() + 1, y.min(), y.max() + 1
            box = torch.stack([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0])
            near = box + torch.tensor([2.0, 0, 0, 0])
            score = torch.tensor([[0.9], [0.7], [0.01]])
            rows.append(torch.cat([torch.stack([box, near, box]), score], 1).T)
        return torch.stack(rows)


@pytest.mark.parametrize("shape", [(240, 320), (1920, 1080), (33, 47), (64, 64), (100, 1000)])
def test_boxes_are_in_the_pixels_of_the_picture(shape: tuple[int, int]) -> None:
    height, width = shape
    image = np.zeros((height, width, 3), np.uint8)
    x0, y0, x1, y1 = int(0.25 * width), int(0.5 * height), int(0.75 * width), int(0.9 * height)
    image[y0:y1, x0:x1] = 255
    (rows,) = find_people(Painted(), [image], size=128)
    assert rows.shape == (1, 5) and rows[0, 4] == pytest.approx(0.9)  # the overlapping and the faint one are gone
    assert rows[0, :4] == pytest.approx([x0, y0, x1, y1], abs=1.1 * max(1.0, max(shape) / 128))


@pytest.mark.parametrize(("overlap", "boxes"), [(0.45, 1), (0.99, 2)])
def test_the_weights_file_says_how_much_two_boxes_may_overlap(tmp_path: Path, overlap: float, boxes: int) -> None:
    config = DetectorConfig(image_size=64, overlap=overlap)
    save_network(build_network(config), config, tmp_path / "d.safetensors")
    detector = load_detector(tmp_path / "d.safetensors")
    detector.network = Painted()  # type: ignore[attr-defined]
    image = np.zeros((64, 64, 3), np.uint8)
    image[10:40, 20:50] = 255
    assert len(detector.detect(image)) == boxes


def test_letterbox_keeps_proportions_and_pads_to_the_stride() -> None:
    padded, scale, (left, top) = letterbox(np.full((200, 100, 3), 9, np.uint8), 64)
    assert padded.shape == (64, 32, 3) and (left, top) == (0, 0) and scale == (0.32, 0.32)
    padded, _, (left, top) = letterbox(np.full((100, 300, 3), 9, np.uint8), 96)
    assert padded.shape == (32, 96, 3) and (left, top) == (0, 0)
    padded, _, (left, top) = letterbox(np.full((90, 100, 3), 9, np.uint8), 96)
    assert padded.shape == (96, 96, 3) and top == 5 and (padded[:5] == 114).all()


def test_tidy_orders_and_drops() -> None:
    rows = np.array(
        [[0, 0, 9, 9, 0.5], [5, 5, 4, 9, 0.9], [np.nan, 0, 1, 1, 0.9], [-5, -5, 20, 20, 0.8], [0, 0, 8, 9, 0.5]]
    )
    assert tidy(rows, 10, 10)[:, :4].tolist() == [[0, 0, 10, 10], [0, 0, 8, 9], [0, 0, 9, 9]]


def test_a_batch_gives_what_single_pictures_give(weights: Path, photo: np.ndarray) -> None:
    network, _ = load_network(weights)
    for branch in network.model[-1].cv3:  # type: ignore[union-attr]
        branch[-1].bias.data[:] = 0.0
    pictures = [photo, photo[:500], photo[:, ::-1].copy()]
    together = find_people(network, pictures, size=96)
    assert all(len(rows) for rows in together)
    for image, rows in zip(pictures, together, strict=True):
        assert find_people(network, [image], size=96)[0] == pytest.approx(rows, abs=1e-2)


def test_the_bundled_detector_finds_the_people_at_the_bus(photo: np.ndarray) -> None:
    if not BUNDLED.is_file():
        pytest.skip("no bundled detector in this checkout yet")
    detector = load_detector()
    rows = detector.detect(photo)
    strong = rows[rows[:, 4] >= detector.score]
    # the fourth, of whom there is a strip at the picture's edge, may be missing
    people = np.array([[49, 399, 245, 903], [223, 405, 345, 860], [669, 392, 810, 877]], float)
    for x0, y0, x1, y1 in people:
        w = np.minimum(strong[:, 2], x1) - np.maximum(strong[:, 0], x0)
        h = np.minimum(strong[:, 3], y1) - np.maximum(strong[:, 1], y0)
        shared = np.clip(w, 0, None) * np.clip(h, 0, None)
        union = (x1 - x0) * (y1 - y0) + (strong[:, 2] - strong[:, 0]) * (strong[:, 3] - strong[:, 1]) - shared
        assert (shared / union).max() > 0.5
    assert len(strong) <= 6
    assert BUNDLED.stat().st_size < 16e6 and detector.describe()["name"] == "bundled"
    assert np.array_equal(load_detector().detect(photo), rows)


# -- training data


def coco_file(folder: Path, count: int = 6, label: str | None = None) -> Path:
    """Pictures with one bright upright rectangle each as the person, every second with an ignore region too."""
    rng = np.random.default_rng(1)
    images, annotations = [], []
    for i in range(count):
        image = rng.integers(0, 90, (60, 80, 3), np.uint8)
        x, y = int(rng.integers(5, 40)), int(rng.integers(5, 20))
        image[y : y + 30, x : x + 15] = (40, 250, 60)
        cv2.imwrite(str(folder / f"{i}.png"), image)
        record = {"id": i, "file_name": f"{i}.png", "width": 80, "height": 60, "source": "ab"[i % 2]}
        images.append(record | ({"label": label} if label else {}))
        annotations.append({"image_id": i, "bbox": [x, y, 15, 30], "iscrowd": 0})
        if i % 2:
            annotations.append({"image_id": i, "bbox": [60, 0, 20, 20], "iscrowd": 1})
    annotations = [a | {"id": n + 1, "category_id": 1, "area": 1.0} for n, a in enumerate(annotations)]
    path = folder / "coco.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [{"id": 1}]}))
    return path


def test_reading_coco(tmp_path: Path) -> None:
    pictures, cutouts = load_pictures(coco_file(tmp_path), 40)
    assert not cutouts  # no outlines there
    assert [len(p.people) for p in pictures] == [1] * 6 and [len(p.ignore) for p in pictures] == [0, 1] * 3
    assert pictures[0].image.shape == (30, 40, 3)
    x0, y0, x1, y1 = pictures[0].people[0].astype(int)
    assert pictures[0].image[(y0 + y1) // 2, (x0 + x1) // 2, 1] > 200
    (tmp_path / "3.png").unlink()
    with pytest.raises(InputError, match=r"3\.png: missing"):
        load_pictures(tmp_path / "coco.json", 40)
    with pytest.raises(InputError, match="not a COCO file"):
        load_pictures(Path(write_json(tmp_path / "x.json", [1])), 40)
    with pytest.raises(InputError, match="cannot be read"):
        load_pictures(tmp_path / "none.json", 40)


def write_json(path: Path, content: Any) -> str:
    path.write_text(json.dumps(content))
    return str(path)


@pytest.mark.parametrize("seed", range(30))
def test_boxes_move_with_their_people(seed: int) -> None:
    image = np.zeros((120, 160, 3), np.uint8)
    image[30:100, 50:90] = 255
    picture = Picture(image, np.array([[50, 30, 90, 100]], np.float32), np.zeros((0, 4), np.float32))
    tile, boxes, _ = _place(picture, 200, 150, (0.6, 1.8), np.random.default_rng(seed))
    white = np.argwhere((tile > 200).all(-1))
    if not len(boxes):
        assert len(white) < 0.35 * (tile.shape[0] * tile.shape[1])
        return
    (y0, x0), (y1, x1) = white.min(0), white.max(0) + 1
    found, want = boxes[0], np.array([x0, y0, x1, y1])
    assert np.abs(found - want).max() <= 0.08 * max(want[2] - want[0], want[3] - want[1]) + 3


def test_a_person_hardly_left_in_the_tile_is_dropped() -> None:
    plain = np.array([[1.0, 0, 0], [0, 1, 0]])
    boxes = np.array([[-90, 0, 10, 50], [-50, 0, 50, 50], [10, 10, 20, 20]], np.float32)
    assert _move(boxes, plain, 100, 100, 0.2).tolist() == [[0, 0, 50, 50], [10, 10, 20, 20]]


def test_samples_depend_on_the_generator_alone(tmp_path: Path) -> None:
    mixture = Mixture({"a": (coco_file(tmp_path), 2.0)})
    assert len(mixture) == 12
    one, two, three = (make_sample(mixture, 96, np.random.default_rng(s), 0.5) for s in (4, 4, 5))
    assert np.array_equal(one.image, two.image) and np.array_equal(one.people, two.people)
    assert not np.array_equal(one.image, three.image)
    with pytest.raises(InputError, match="no training pictures"):
        Mixture({"a": (tmp_path / "coco.json", 0.0)})


def test_a_pasted_person_has_a_box_and_hides_others(tmp_path: Path) -> None:
    mixture = Mixture({"a": (coco_file(tmp_path), 1.0)})
    under = np.array([[30, 30, 60, 90]], np.float32)
    counts = set()
    for seed in range(20):
        sample = Sample(np.zeros((128, 128, 3), np.uint8), under, np.zeros((0, 4), np.float32))
        pasted = paste(sample, mixture, np.random.default_rng(seed))
        for x0, y0, x1, y1 in pasted.people[[not np.array_equal(b, under[0]) for b in pasted.people]].astype(int):
            assert pasted.image[y0:y1, x0:x1].any() and 0 <= x0 < x1 <= 128 and 0 <= y0 < y1 <= 128
        assert not sample.image.any()  # the sample itself stays as it was
        counts.add(len(pasted.people) + len(pasted.ignore))
    assert counts >= {1, 2}  # every picture here has people: pieces without any are not to be found
    over = np.zeros((128, 128), np.float32)
    over[:, :45] = 1
    assert _covered(under, over) == pytest.approx([0.5])


def test_outlined_people_are_pasted_along_the_outline(tmp_path: Path) -> None:
    path = coco_file(tmp_path)
    content = json.loads(path.read_text())
    for annotation in content["annotations"]:  # the upper right triangle of each person's rectangle
        x, y, w, h = annotation["bbox"]
        annotation["segmentation"] = [[x, y, x + w, y, x + w, y + h]]
    path.write_text(json.dumps(content))
    (tmp_path / "plain").mkdir()
    plain = coco_file(tmp_path / "plain")
    mixture = Mixture({"a": (plain, 1.0), "outlines": (path, 0.0)})
    assert mixture.counts == {"a": 6, "outlines": 6} and len(mixture.pictures) == len(mixture) == 6
    assert len(mixture.cutouts) == 6 and not Mixture({"a": (plain, 1.0)}).cutouts
    cutout = mixture.cutouts[0]
    assert cutout.image.shape == (*cutout.alpha.shape, 3) and 0.45 < cutout.alpha.mean() < 0.62
    assert cutout.alpha[2, -2] == 1 and cutout.alpha[-2, 2] == 0

    # two polygons of one person that overlap: all of both belongs to them
    content["annotations"][0]["segmentation"] = [[5, 5, 30, 5, 30, 30, 5, 30], [20, 20, 45, 20, 45, 45, 20, 45]]
    path.write_text(json.dumps(content))
    both = load_pictures(path, 80)[1][0].alpha
    assert both[2, 2] == both[20, 20] == both[-3, -3] == 1 and both[2, -3] == 0
    for wrong in ([[1, 2, 3, 4, 5, 6, 7]], [1, 2, 3, 4, 5, 6], [["a"] * 6]):
        content["annotations"][0]["segmentation"] = wrong
        path.write_text(json.dumps(content))
        with pytest.raises(InputError, match="segmentation of annotation 1"):
            load_pictures(path, 80)

    under = np.array([[30, 30, 60, 90]], np.float32)
    shares = []
    for seed in range(30):
        sample = Sample(np.full((128, 128, 3), 7, np.uint8), under, np.zeros((0, 4), np.float32))
        pasted = paste(sample, mixture, np.random.default_rng(seed))
        new = [b for b in pasted.people.astype(int) if b.tolist() != under[0].astype(int).tolist()]
        if len(new) == 1 and len(pasted.people) + len(pasted.ignore) == 2:
            x0, y0, x1, y1 = new[0]
            shares.append((pasted.image[y0:y1, x0:x1] != 7).any(-1).mean())
    assert len(shares) > 5 and np.median(shares) < 0.85  # a rounded rectangle fills nearly all of its box


def test_nobody_is_pasted_where_nobody_is(tmp_path: Path) -> None:
    sample = Sample(np.zeros((64, 64, 3), np.uint8), np.zeros((0, 4), np.float32), np.zeros((0, 4), np.float32))
    assert paste(sample, Mixture({"a": (coco_file(tmp_path), 1.0)}), np.random.default_rng(0)) is sample


def test_ignored_anchors_teach_nothing() -> None:
    loss = MaskedLoss()
    scores, target = torch.zeros(1, 3, 1), torch.tensor([[[0.0], [0.0], [0.8]]])
    loss.ignore = torch.tensor([[[True], [False], [True]]])
    value = loss(scores, target)
    assert value[0, 0, 0] == 0 and value[0, 1, 0] > 0 and value[0, 2, 0] > 0  # a person there is learned all the same


def test_anchors_of_ignore_regions(tmp_path: Path) -> None:
    sample = make_sample(Mixture({"a": (coco_file(tmp_path), 1.0)}), 64, np.random.default_rng(0), 0.0)
    marked = type(sample)(sample.image, sample.people, np.array([[0, 0, 32, 64]], np.float32))
    batch = collate([sample, marked])
    assert batch["ignore"].shape == (2, 64 + 16 + 4, 1)
    grid = batch["ignore"][1, :64, 0].reshape(8, 8)
    assert grid[:, :4].all() and not grid[:, 4:].any()  # rows are y, columns x


# -- training and evaluation


SMALL: dict[str, Any] = {"image_size": 64, "first_size": 64, "batch": 4, "epochs": 2.5, "warmup": 0.1, "seed": 5}


def test_a_resumed_training_is_the_uninterrupted_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ftpcli.training.detector.training as training

    data = {"a": (coco_file(tmp_path), 1.0)}
    whole = train_detector(data, None, tmp_path / "whole", **SMALL)
    assert whole == {"step": 4, "steps": 4, "interrupted": False}

    one_step = training._Training.one_step

    def stop_at_two(self: Any, batch: Any) -> dict[str, float]:
        items = one_step(self, batch)
        if self.step == 2:
            os.kill(os.getpid(), training.signal.SIGTERM)
        return items

    monkeypatch.setattr(training._Training, "one_step", stop_at_two)
    first = train_detector(data, None, tmp_path / "parts", **SMALL)
    assert first == {"step": 2, "steps": 4, "interrupted": True}
    monkeypatch.setattr(training._Training, "one_step", one_step)
    with pytest.raises(UsageError, match="holds a training already"):
        train_detector(data, None, tmp_path / "parts", **SMALL)
    with pytest.raises(UsageError, match="optimizer musgd, not adamw"):
        train_detector(data, None, tmp_path / "parts", resume=True, optimizer="adamw", **SMALL)
    assert train_detector(data, None, tmp_path / "parts", resume=True, workers=2, **SMALL)["step"] == 4
    networks = [load_network(tmp_path / name / "detector.safetensors")[0].state_dict() for name in ("whole", "parts")]
    assert all(torch.equal(a, b) for a, b in zip(networks[0].values(), networks[1].values(), strict=True))
    config = load_network(tmp_path / "whole" / "detector.safetensors")[1]
    assert config.provenance["data"] == {"a": {"pictures": 6, "weight": 1.0}} and config.provenance["steps"] == 4
    lines = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 4 and all(np.isfinite(v) for v in lines[-1]["loss"].values())


def test_training_starts_from_weights(weights: Path, tmp_path: Path) -> None:
    data = {"a": (coco_file(tmp_path), 1.0)}
    still = SMALL | {"steps": 1, "lr": 0.0}
    report = train_detector(data, None, tmp_path / "out", weights=weights, **still)
    assert report == {"step": 1, "steps": 1, "interrupted": False}
    before, (after, config) = load_network(weights)[0].state_dict(), load_network(tmp_path / "out/detector.safetensors")
    learned = [name for name, _ in after.named_parameters()]
    assert all(torch.allclose(before[n], after.state_dict()[n], atol=1e-4) for n in learned)
    assert config.provenance["start"]["provenance"] == {"note": "random"}
    assert train_detector(data, None, tmp_path / "out", resume=True, **still | {"steps": 2})["step"] == 2
    assert read_config(tmp_path / "out/detector.safetensors").provenance["start"] == config.provenance["start"]
    with pytest.raises(InputError, match=r"random\.safetensors: its end2end is False, this training's True"):
        train_detector(data, None, tmp_path / "other", weights=weights, end2end=True, **still)
    with pytest.raises(InputError, match="no such detector file"):
        train_detector(data, None, tmp_path / "none", weights=tmp_path / "none.safetensors", **still)


def test_the_command_trains_a_detector_from_the_bundled_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ftpcli.cli import main

    words = ["ftp", "train", "--task", "detector", "--data", f"a={coco_file(tmp_path)}:2", "--weights", "default"]
    words += ["--steps", "1", "--batch", "2", "--lr", "1e-9", "--image-size", "64", "--device", "cpu", "--out"]
    for more, code in ((["--size", "64x64"], 2), (["--size", "64"], 0)):
        monkeypatch.setattr("sys.argv", [*words, str(tmp_path / f"out{code}"), *more])
        with pytest.raises(SystemExit) as ended:
            main()
        assert (ended.value.code or 0) == code
    network, config = load_network(tmp_path / "out0" / "detector.safetensors")
    first = load_network(BUNDLED)[0].state_dict()
    assert all(torch.allclose(first[n], p, atol=1e-3) for n, p in network.named_parameters())
    assert config.image_size == 64 and config.provenance["data"] == {"a": {"pictures": 6, "weight": 2.0}}


def test_the_loss_falls(tmp_path: Path) -> None:
    import ftpcli.training.detector.training as training

    recipe = DetectorRecipe(**(SMALL | {"epochs": 20.0, "muon": 2.0, "mosaic": 0.0}))
    run = training._Training({"a": (coco_file(tmp_path), 1.0)}, None, tmp_path, recipe, torch.device("cpu"), {})
    losses = [sum(run.one_step(batch).values()) for batch in run.batches()][:24]
    assert np.mean(losses[-4:]) < 0.9 * np.mean(losses[:4])


def test_musgd_in_float32_is_ultralytics_but_for_the_rounding() -> None:
    moved = []
    for kind in (MuSGD, Float32MuSGD):
        torch.manual_seed(5)
        network = torch.nn.Sequential(torch.nn.Conv2d(4, 8, 3), torch.nn.Conv2d(8, 6, 1), torch.nn.Linear(6, 24))
        before = [p.detach().clone() for p in network.parameters()]
        groups = [
            {"params": [p for p in network.parameters() if (p.ndim > 1) == muon], "use_muon": muon, "momentum": 0.9}
            for muon in (True, False)
        ]
        optimizer = kind(groups, lr=0.02, nesterov=True, weight_decay=0.1, muon=1.0, sgd=1.0)
        for _ in range(3):
            for p in network.parameters():
                p.grad = torch.randn_like(p) / 10
            optimizer.step()
        moved.append([p.detach() - was for p, was in zip(network.parameters(), before, strict=True)])
    for theirs, ours in zip(*moved, strict=True):
        assert (theirs - ours).norm() < 0.03 * theirs.norm()
    assert not torch.equal(moved[0][0], moved[1][0])


@pytest.mark.parametrize("emulated", [False, True])
def test_musgd_is_taken_in_float32_where_bf16_would_be_emulated(
    monkeypatch: pytest.MonkeyPatch, emulated: bool
) -> None:
    monkeypatch.setattr("ftpcli.training.muon.choose_precision", lambda *_: "fp32" if emulated else "bf16")
    optimizer = make_optimizer(torch.nn.Linear(2, 2), "musgd", lr=1e-3, momentum=0.9, weight_decay=0.0, muon=1.0)
    assert isinstance(optimizer, Float32MuSGD) == emulated


@pytest.mark.slow
def test_training_learns_and_measures(tmp_path: Path) -> None:
    data = {"a": (coco_file(tmp_path, 12, "gt"), 1.0)}
    options = SMALL | {"epochs": 60.0, "optimizer": "adamw", "lr": 2e-3, "ema": 0.9}
    report = train_detector(data, tmp_path / "coco.json", tmp_path / "out", **options)
    assert report["ap50"] > 0.5 and report["boxes"] == 12 and set(report["sources"]) == {"a", "b"}
    again = evaluate_detector(tmp_path / "out" / "detector.safetensors", tmp_path / "coco.json")
    assert again["ap50"] == pytest.approx(report["ap50"], abs=0.05)
    assert again["detector"]["architecture"] == "yolo26n"


def test_a_detector_file_is_evaluated(weights: Path, tmp_path: Path) -> None:
    report = evaluate_detector(weights, coco_file(tmp_path, 4, "gt"))
    assert report["boxes"] == 4 and report["ap50"] <= 0.5 and report["detector"]["image_size"] == 64


def test_end_to_end_heads_train_too(tmp_path: Path) -> None:
    data = {"a": (coco_file(tmp_path), 1.0)}
    train_detector(data, None, tmp_path / "out", **(SMALL | {"end2end": True, "epochs": 1.0}))
    network, config = load_network(tmp_path / "out" / "detector.safetensors")
    assert config.end2end and find_people(network, [np.zeros((60, 80, 3), np.uint8)], size=64, floor=1e-9)[0].ndim == 2


def test_bad_training_options(tmp_path: Path) -> None:
    data = {"a": (coco_file(tmp_path), 1.0)}
    with pytest.raises(UsageError, match="no such training option"):
        train_detector(data, None, tmp_path / "o", epoch=3)
    with pytest.raises(UsageError, match="unknown optimizer 'lion'"):
        train_detector(data, None, tmp_path / "o", recipe=DetectorRecipe(optimizer="lion"))


def test_stop_signals_are_given_back() -> None:
    import signal

    before = signal.getsignal(signal.SIGINT)
    with _stop_signals() as got:
        os.kill(os.getpid(), signal.SIGINT)
    assert got == [signal.SIGINT] and signal.getsignal(signal.SIGINT) is before


def test_evaluation_counts_as_coco_does(tmp_path: Path) -> None:
    path = coco_file(tmp_path, 6, "gt")
    truth = json.loads(path.read_text())
    of = {i["id"]: [a["bbox"] for a in truth["annotations"] if a["image_id"] == i["id"]] for i in truth["images"]}
    order = iter(sorted(of))

    def detect(images: list[np.ndarray]) -> list[np.ndarray]:
        rows = []
        for _ in images:
            index = next(order)
            x, y, w, h = of[index][0]
            found = [[x, y, x + w, y + h, 0.9]]
            if index % 2:
                found.append([60, 0, 80, 20, 0.95])  # on the ignore region: neither right nor wrong
            else:
                found.append([0, 0, 4, 4, 0.3])  # a false alarm below all true ones
            rows.append(np.array(found, np.float32))
        return rows

    report = evaluate(detect, path)
    assert report["ap50"] == pytest.approx(1.0) and report["ap75"] == pytest.approx(1.0)
    assert report["at_score"] == {"score": 0.25, "precision": pytest.approx(6 / 9), "recall": 1.0}
    assert report["boxes"] == 6 and report["empty_false"] is None

    truth["images"][0]["label"] = "teacher"
    path.write_text(json.dumps(truth))
    order = iter(sorted(of)[1:])
    assert evaluate(detect, path)["boxes"] == 5
    assert evaluate(lambda images: [np.zeros((0, 5), np.float32)] * len(images), path)["ap50"] == 0.0


def test_ultralytics_stays_silent_and_private() -> None:
    """Importing it must not print, look up anything, or touch the user's settings."""
    import subprocess
    import sys

    code = "import ftpcli.people._ultralytics as u; print(u.SETTINGS['sync'], u.os.environ['YOLO_CONFIG_DIR'])"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("YOLO")}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    answer, folder = run.stdout.split()
    assert answer == "False" and run.stderr == "" and not Path(folder).exists()  # removed when the process ended


def test_log_lines_are_json(weights: Path) -> None:
    header = io.BytesIO(weights.read_bytes()).read(8)
    size = int.from_bytes(header, "little")
    description = json.loads(weights.read_bytes()[8 : 8 + size])["__metadata__"]
    assert json.loads(description["config"])["architecture"] == "yolo26n"


def test_several_pictures_are_as_one_after_the_other(photo: np.ndarray) -> None:
    """Side by side in threads, or in one batch, as on a GPU; of one size or of several."""
    from ftpcli.device import Threads

    detector = load_detector()
    same = [np.ascontiguousarray(photo[:, x : x + 700]) for x in (0, 40, 100)]
    for images in (same, [*same, np.ascontiguousarray(photo[:600])]):
        single = [detector.detect(image) for image in images]
        assert all(len(rows) > 1 for rows in single)
        for most, count in ((None, 1), (1, 1), (1, 3)):
            detector._threads = Threads(most, count)  # type: ignore[attr-defined]
            for rows, expected in zip(detector.detect_batch(images), single, strict=True):
                np.testing.assert_allclose(rows, expected, atol=0.05)
