"""The part file: nothing that was stored is lost, whatever stops the run."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ftpcli.errors import FtpError, InputError, OutputError
from ftpcli.formats import PartWriter, open_poses, part_path, write_poses
from ftpcli.records import FramePoses
from tests.support.formats_samples import assert_same, flat, frames, header

FINGERPRINT = {"input": {"size": 123, "sha256": "ff"}, "options": {"batch": 8, "range": (0, None)}, "version": "0.1.0"}


def detections(index: int) -> dict[str, object]:
    return {"detections": np.random.default_rng(index).uniform(0, 500, (2, 5)).astype(np.float32)}


def finish(part: PartWriter, out: Path, format: str | None = None, **options: Any) -> int:
    """As a run does once its source is over."""
    head = options.pop("header", part.header)
    count = write_poses(out, head, (record.frame for record in part.stored()), format, **options)
    part.discard()
    return count


def fill(path: Path, items: list[FramePoses]) -> PartWriter:
    part = PartWriter(path, header(), FINGERPRINT)
    for item in items:
        part.append(item, detections(item.index))
    return part


def test_records_come_back_exactly(tmp_path: Path) -> None:
    items = frames(20)
    path = part_path(tmp_path / "a.json")
    assert path == tmp_path / "a.json.part.jsonl"
    fill(path, items).close()
    with PartWriter(path, header(), FINGERPRINT, resume=True) as part:
        assert (part.records, part.last_index, part.header) == (20, 19, header())
        for record, item in zip(part.stored(), items, strict=True):
            assert flat(record.frame) == flat(item), "all digits"
            found = np.array(record.private["detections"], dtype=np.float64)
            assert (found == detections(item.index)["detections"]).all()


def test_appending_while_reading_and_after_reopening(tmp_path: Path) -> None:
    items = frames(20)
    path = tmp_path / "part"
    with fill(path, items[:5]) as part:
        seen = []
        for record, item in zip(part.stored(), items[5:10], strict=True):
            seen.append(record.frame.index)
            part.append(item)
        assert seen == [0, 1, 2, 3, 4] and part.records == 10
    with PartWriter(path, header(), FINGERPRINT, resume=True) as part:
        part.extend((item, {}) for item in items[10:])
        assert_same((r.frame for r in part.stored()), items)


@pytest.mark.parametrize(
    ("out", "options"), [("a.jsonl", {}), ("a.json", {"joints": "all"}), ("b.json", {"format": "posetrack"})]
)
def test_the_final_file_is_that_of_an_unbroken_run_and_has_no_private_data(
    tmp_path: Path, out: str, options: dict
) -> None:
    items = frames(20)
    write_poses(tmp_path / f"direct_{out}", header(frames=20, path="a.mp4"), items, **options)
    part = fill(part_path(tmp_path / out), items[:7])
    part.close()
    with PartWriter(part.path, header(), FINGERPRINT, resume=True) as part:
        for item in items[7:]:
            part.append(item, detections(item.index))
        final = header(frames=20, path="a.mp4")
        assert finish(part, tmp_path / out, header=final, **options) == 20
    assert (tmp_path / out).read_bytes() == (tmp_path / f"direct_{out}").read_bytes()
    assert "detections" not in (tmp_path / out).read_text()
    assert not part.path.exists() and {p.name for p in tmp_path.iterdir()} == {out, f"direct_{out}"}


def test_a_file_cut_at_any_byte_gives_back_its_whole_lines(tmp_path: Path) -> None:
    items = frames(6)
    path = tmp_path / "part"
    fill(path, items).close()
    data = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(data) if byte == 10]
    chosen = sorted({*range(0, len(data), 97), *ends, *(end - 1 for end in ends), len(data)})
    for cut in chosen:
        path.write_bytes(data[:cut])
        whole = max(sum(end <= cut for end in ends) - 1, 0)
        with PartWriter(path, header(), FINGERPRINT, resume=True) as part:
            assert part.records == whole
            for item in items[whole:]:
                part.append(item, detections(item.index))
        assert path.read_bytes() == data


def test_everything_behind_a_damaged_line_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "part"
    fill(path, frames(6)).close()
    lines = path.read_bytes().splitlines(keepends=True)
    for damage in (b"\0" * len(lines[3]), lines[3][:-9] + b"\n", lines[2], b'{"index":2}\n', b"[" * 5000 + b"\n"):
        path.write_bytes(b"".join([*lines[:3], damage, *lines[4:]]))
        with PartWriter(path, header(), FINGERPRINT, resume=True) as part:
            assert part.records == 2 and part.last_index == 1
        assert path.read_bytes() == b"".join(lines[:3])


def test_truncate_to(tmp_path: Path) -> None:
    items = frames(8)
    with fill(tmp_path / "part", items) as part:
        part.truncate_to(8)
        assert part.records == 8
        part.truncate_to(5)
        assert (part.records, part.last_index) == (5, 4)
        part.append(items[5])
        assert_same((r.frame for r in part.stored()), items[:6])
        part.truncate_to(0)
        assert (part.records, part.last_index, list(part.stored())) == (0, -1, [])
        part.append(items[0])
        with pytest.raises(ValueError):
            part.truncate_to(2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": "0.2.0"}, ['version was "0.1.0", is now "0.2.0"']),
        ({"input": {"size": 124, "sha256": "ff"}}, ["input.size was 123, is now 124"]),
        ({"options": {"batch": 8, "range": (0, 5)}}, ["options.range was [0, null], is now [0, 5]"]),
        ({"options": {"range": (0, None)}}, ["options.batch was 8, is now absent"]),
        ({"more": {"a": 1}}, ["more.a was absent, is now 1"]),
    ],
)
def test_a_part_of_another_run_is_refused_and_kept(tmp_path: Path, change: dict, words: list[str]) -> None:
    path = tmp_path / "part"
    fill(path, frames(3)).close()
    before = path.read_bytes()
    with pytest.raises(InputError) as caught:
        PartWriter(path, header(), FINGERPRINT | change, resume=True)
    assert all(word in str(caught.value) for word in [*words, "part", "--overwrite"])
    assert path.read_bytes() == before
    PartWriter(path, header(), FINGERPRINT, resume=True).close()


def test_foreign_and_newer_parts_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "part"
    for text in (
        "hello\n",
        "{}\n",
        '{"format":"ftp-poses","format_version":1}\n',
        '{"format":"ftp-poses-part","format_version":2}\n',
    ):
        path.write_text(text)
        with pytest.raises(InputError):
            PartWriter(path, header(), FINGERPRINT, resume=True)
        assert path.read_text() == text


def test_a_part_is_not_dropped_by_an_ordinary_run(tmp_path: Path) -> None:
    path = tmp_path / "part"
    fill(path, frames(3)).close()
    with pytest.raises(OutputError, match="--resume"):
        PartWriter(path, header(), FINGERPRINT)
    with PartWriter(path, header(), FINGERPRINT, overwrite=True) as part:
        assert part.records == 0
    with PartWriter(path, header(), FINGERPRINT, resume=True) as part:
        assert part.records == 0


def test_resume_without_a_part_starts_one(tmp_path: Path) -> None:
    with PartWriter(tmp_path / "part", header(), FINGERPRINT, resume=True) as part:
        part.append(frames(1)[0])
        assert part.records == 1


def test_open_poses_says_what_a_part_is(tmp_path: Path) -> None:
    fill(tmp_path / "a.jsonl.part.jsonl", frames(3)).close()
    with pytest.raises(InputError, match="--resume"):
        open_poses(tmp_path / "a.jsonl.part.jsonl")


# --- locks --------------------------------------------------------------------------------------------------------


def test_the_second_run_on_an_output_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "part"
    with fill(path, frames(3)) as part:
        for options in ({}, {"resume": True}, {"overwrite": True}):
            with pytest.raises(OutputError, match="another run"):
                PartWriter(path, header(), FINGERPRINT, **options)
        code = (
            "import sys; from ftpcli.formats import PartWriter; from ftpcli.records import Header\n"
            "PartWriter(sys.argv[1], Header(('nose',)), {}, resume=True)"
        )
        other = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
        assert "another run" in other.stderr
        assert part.records == 3 and len(list(part.stored())) == 3
    PartWriter(path, header(), FINGERPRINT, resume=True).close()


def test_the_lock_goes_with_a_killed_process_and_its_lines_stay(tmp_path: Path) -> None:
    path = tmp_path / "part"
    code = (
        "import sys\n"
        "from ftpcli.formats import PartWriter\n"
        "from tests.support.formats_samples import frames, header\n"
        "part = PartWriter(sys.argv[1], header(), {})\n"
        "items = frames(1000)\n"
        "print('ready', flush=True)\n"
        "for item in items:\n"
        "    part.append(item, {'n': item.index})\n"
        "    if item.index == 600: sys.stdin.read()\n"
    )
    root = Path(__file__).resolve().parent.parent.parent
    generator = random.Random(1)
    items = frames(1000)
    seen = []
    for _ in range(4):
        path.unlink(missing_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-c", code, path], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout and process.stdin
        assert process.stdout.readline() == "ready\n"
        some = generator.randrange(1, 40_000)  # bytes
        while path.stat().st_size < some and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        process.stdin.close()
        with PartWriter(path, header(), {}, resume=True) as part:
            seen.append(part.records)
            for record, item in zip(part.stored(), items, strict=False):
                assert flat(record.frame) == flat(item) and record.private == {"n": item.index}
    assert any(0 < n < 1000 for n in seen)


# --- disks --------------------------------------------------------------------------------------------------------


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_keeps_whole_lines_and_the_run_can_go_on(tmp_path: Path) -> None:
    items = frames(40)
    path = tmp_path / "part"
    part = PartWriter(path, header(), FINGERPRINT)
    with file_size_limit(20_000), pytest.raises(OutputError, match=r"part: .*size"):
        for item in items:
            part.append(item)
    kept = part.records
    assert 0 < kept < 40
    assert path.read_bytes().endswith(b"\n") and path.read_bytes().count(b"\n") == kept + 1
    part.append(items[kept])
    part.close()
    with PartWriter(path, header(), FINGERPRINT, resume=True) as part:
        part.extend((item, {}) for item in items[kept + 1 :])
        assert_same((r.frame for r in part.stored()), items)


@pytest.mark.parametrize("name", ["jsonl", "coco", "posetrack", "posetrack17"])
@pytest.mark.filterwarnings("error")
def test_no_room_for_the_final_file_keeps_the_part_and_leaves_no_scraps(tmp_path: Path, name: str) -> None:
    items = frames(400)
    part = fill(tmp_path / "a.part", items)
    # Below, at and above the size of the write buffer.
    for size in (5_000, 300_000):
        with file_size_limit(size), pytest.raises(OutputError, match=r"a\.json: .*size"):
            finish(part, tmp_path / "a.json", name)
        assert [p.name for p in tmp_path.iterdir()] == ["a.part"]
    finish(part, tmp_path / "a.json", name)
    with open_poses(tmp_path / "a.json") as reader:
        assert len(list(reader)) == 400


def test_a_removed_folder_is_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    items = frames(4)
    part = fill(folder / "part", items[:2])
    (folder / "part").unlink()
    folder.rmdir()
    with pytest.raises(OutputError, match="removed"):
        part.append(items[2])
    with pytest.raises(FtpError):
        finish(part, folder / "a.json")
    part.close()
    with pytest.raises(OutputError, match="folder does not exist"):
        PartWriter(folder / "part", header(), {})
    with pytest.raises(OutputError, match="folder does not exist"):
        write_poses(folder / "a.json", header(), items)


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "dir.jsonl").mkdir()
    for path, words in (
        (tmp_path / "file" / "a.jsonl", "is a file"),
        (tmp_path / "dir.jsonl", "is a folder"),
        (tmp_path / ("x" * 300 + ".jsonl"), "too long"),
        (Path("/dev/null"), "not a plain file"),
    ):
        with pytest.raises(OutputError, match=words):
            write_poses(path, header(), frames(2), "jsonl", overwrite=True)
        with pytest.raises(OutputError, match=words):
            PartWriter(path, header(), {})
    assert not Path("/dev/null").is_file()


def test_a_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    try:
        if os.access(tmp_path, os.W_OK):
            pytest.skip("nothing is forbidden to this user (root)")
        for attempt in (
            lambda: write_poses(tmp_path / "a.jsonl", header(), []),
            lambda: PartWriter(tmp_path / "p", header(), {}),
        ):
            with pytest.raises(OutputError, match="not permitted"):
                attempt()
    finally:
        tmp_path.chmod(0o755)


def test_frames_out_of_order_and_values_that_are_not_json(tmp_path: Path) -> None:
    items = frames(4)
    with fill(tmp_path / "part", items[:3]) as part:
        before = part.path.read_bytes()
        for attempt in ((items[1], {}), (items[2], {}), (items[3], {"a": float("nan")}), (items[3], {"a": object()})):
            with pytest.raises(OutputError):
                part.append(*attempt)
            assert part.path.read_bytes() == before
        part.append(items[3])


def test_hostile_parts_end_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "part"
    fill(path, frames(4)).close()
    data = path.read_bytes()
    head = json.loads(data.splitlines()[0])
    deep: dict = {}
    for _ in range(800):
        deep = {"a": deep}
    hostile = [
        json.dumps(head | {"fingerprint": deep}).encode() + b"\n",
        json.dumps(head | {"joints": []}).encode() + b"\n",
        json.dumps(head | {"source": {"path": "../../etc/passwd"}}).encode() + b"\n",
        b"\xff" * 100 + b"\n",
    ]
    generator = random.Random(0)
    for _ in range(150):
        mutated = bytearray(data)
        for _ in range(generator.randint(1, 8)):
            mutated[generator.randrange(len(mutated))] = generator.randrange(256)
        hostile.append(bytes(mutated[: generator.randint(1, len(mutated))]))
    refused = 0
    for content in hostile:
        path.write_bytes(content)
        try:
            with PartWriter(path, header(), FINGERPRINT, resume=True) as part:
                list(part.stored())
        except FtpError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused >= 4
