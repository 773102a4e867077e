"""The loop: resuming bit by bit, refusals, failures."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from ftpcli.errors import FtpError, InputError, UsageError
from ftpcli.training.loop import DivergedError
from ftpcli.training.pose_trainer import Run, train
from ftpcli.training.recipe import Recipe
from ftpcli.training.sources import CocoKeypoints
from tests.support.training_runs import CONFIG, quick, state_of


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_three_steps_a_stop_and_three_steps_are_six_steps(
    people: CocoKeypoints, tmp_path: Path, optimiser: str
) -> None:
    def run(folder: str, **changes: object) -> Run:
        options = {"save_minutes": 1e9, **changes}
        config = CONFIG.replace(stem="movenet" if optimiser == "adamw" else "patch")
        chosen = dataclasses.replace(
            quick(optimiser=optimiser, drop_path=0.5), steps=6
        )  # so that torch's random numbers matter, too
        return Run(config, chosen, tmp_path / folder, [(people, 1.0)], [people], **options)

    whole = train(run("whole", validate_every=3))
    assert whole["finished"] and whole["step"] == 6
    stopped = train(run("halves", stop_at=3, validate_every=3))
    assert not stopped["finished"] and stopped["step"] == 3
    again = train(run("halves", resume=True, validate_every=3))
    assert again["finished"]
    a, b = state_of(tmp_path / "whole"), state_of(tmp_path / "halves")
    for part in ("model", "average"):
        other = {name: (value - b[part][name]).abs().max() for name, value in a[part].items()}
        assert not {name: float(most) for name, most in other.items() if most}, part
    assert a["best"] == b["best"]
    assert (tmp_path / "whole/last.safetensors").read_bytes() == (tmp_path / "halves/last.safetensors").read_bytes()
    rows = [json.loads(line) for line in (tmp_path / "whole/log.jsonl").read_text().splitlines()]
    step = next(row for row in rows if row["event"] == "step")
    assert step["samples_per_second"] > 0 and step["loader_samples_per_second"] > 0


def test_resuming_with_other_options_is_refused(people: CocoKeypoints, tmp_path: Path) -> None:
    run = Run(CONFIG, quick(), tmp_path, [(people, 1.0)], stop_at=1)
    train(run)
    with pytest.raises(UsageError, match="another recipe"):
        train(dataclasses.replace(run, recipe=quick(lr=1.0), resume=True))
    with pytest.raises(UsageError, match="another config"):
        train(dataclasses.replace(run, config=CONFIG.replace(low_ratio=3), resume=True))
    (tmp_path / "checkpoint.pt").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="not a whole checkpoint"):
        train(dataclasses.replace(run, resume=True))
    with pytest.raises(InputError, match="no checkpoint"):
        train(dataclasses.replace(run, out=tmp_path / "other", resume=True))


def test_a_diverging_run_stops_and_keeps_the_last_checkpoint(
    people: CocoKeypoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(CONFIG, quick(), tmp_path, [(people, 1.0)], stop_at=2)
    train(run)
    kept = (tmp_path / "checkpoint.pt").read_bytes()
    monkeypatch.setattr("ftpcli.training.pose_trainer.heatmap_loss", lambda maps, *_, **__: maps.sum() * float("nan"))
    with pytest.raises(DivergedError, match="checkpoint of step 2"):
        train(dataclasses.replace(run, resume=True, stop_at=0))
    assert (tmp_path / "checkpoint.pt").read_bytes() == kept


def test_a_full_disk_keeps_the_previous_checkpoint(
    people: CocoKeypoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(CONFIG, quick(), tmp_path, [(people, 1.0)], stop_at=1)
    train(run)
    kept = (tmp_path / "checkpoint.pt").read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ftpcli.training.checkpoint.torch.save", full)
    with pytest.raises(FtpError, match="previous one is kept"):
        train(dataclasses.replace(run, resume=True, stop_at=2))
    assert (tmp_path / "checkpoint.pt").read_bytes() == kept


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("epochs", (0, -1, float("nan"))),
        ("lr", (-1e-3, float("inf"))),
        ("batch", (0,)),
        ("accumulate", (0,)),
        ("ema", (1.0, -0.1)),
        ("final", (1.5,)),
        ("drop_path", (1.0,)),
        ("token_cache", (-1.0,)),
        ("sigma", (0,)),
    ],
)
def test_every_number_of_a_recipe_is_checked(name: str, values: tuple[float, ...]) -> None:
    for value in values:
        with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} .*: must be "):
            Recipe(**{name: value})
