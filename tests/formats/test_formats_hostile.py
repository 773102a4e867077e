"""Poses files that are damaged, wrong or malicious: one clear line each, in bounded time and memory."""

from __future__ import annotations

import copy
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ftpcli.errors import FtpError, InputError
from ftpcli.formats import SINKS, open_poses, write_poses
from ftpcli.skeleton import COCO17
from tests.support.formats_samples import READABLE, frames, header


def read(path: Path) -> int:
    with open_poses(path) as reader:
        return len(list(reader))


def refused(path: Path, words: str) -> None:
    with pytest.raises(InputError) as caught:
        read(path)
    message = str(caught.value)
    assert str(path) in message and words in message, message
    assert "\n" not in message and len(message) < 400


def document(tmp_path: Path, name: str, change: Callable[[dict[str, Any]], object], source: str = "a.mp4") -> Path:
    path = tmp_path / "a.json"
    write_poses(path, header(path=source), frames(6), name, overwrite=True)
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))
    return path


def lines(tmp_path: Path, number: int, change: Callable[[Any], Any]) -> Path:
    """A native file with one line changed: a value is written as JSON, bytes as they are."""
    path = tmp_path / "a.jsonl"
    write_poses(path, header(), frames(6), overwrite=True)
    content = path.read_bytes().splitlines(keepends=True)
    value = json.loads(content[number - 1])
    result = change(value)
    result = value if result is None else result
    content[number - 1] = result if isinstance(result, bytes) else json.dumps(result).encode() + b"\n"
    path.write_bytes(b"".join(content))
    return path


def setting(*keys: Any, to: Any) -> Callable[[Any], None]:
    """A change that sets value[keys[0]][keys[1]]... to something, or deletes it where ``to`` is ``...``."""

    def change(value: Any) -> None:
        for key in keys[:-1]:
            value = value[key]
        if to is ...:
            del value[keys[-1]]
        else:
            value[keys[-1]] = to

    return change


# --- any file -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file ends"),
        (b"\0" * 5000, "not a poses file"),
        (b"\xff\xfe\x00\x01", "UTF-8"),
        (b"hello", "not a poses file"),
        (b"frame;track;joint;x;y\n0;1;nose;2;3\n", "columns frame, track, joint, x, y and commas between them"),
        (b"[1, 2]", "list"),
        (b"{}", "not a poses file"),
        (b'{"images": []', "the file ends"),
        (b'{"images": [], "annotations": [], "categories": []} x', "follows the end"),
        (b'{"images": [], "images": []}', "twice"),
        (b'{"annolist": [], "images": []}', "both"),
        (b'{"annolist": 5}', "should be a list, not 5"),
        (b'{"images": [{]}', "not a whole JSON document"),
        (b'{"images": [3]}', "an object"),
        (b'{"images": [' + b"[" * 100_000, "nested too deeply"),
        (b'{"a": ' + b'{"a":' * 100_000, "nested too deeply"),
        (b'{"images": [{"id": NaN}]}', "NaN"),
        (b'{"images": [{"id": 1' + b"0" * 5000 + b"}]}", "integer"),
        (b'{"info": "\\ud800", "images', "ends in mid-entry, so its end is missing, at character 26"),
        (b"{3: 4}", "Expecting"),
        (b"{[]: 4}", "Expecting"),
    ],
)
def test_documents_that_are_none(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    if words != "Expecting":
        assert words in str(caught.value)


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    refused(tmp_path / "missing.jsonl", "no such file or folder")
    refused(tmp_path, "is a folder")
    refused(Path("/dev/null"), "not a plain file")
    refused(Path("/dev/zero"), "not a plain file")


def test_an_entry_as_long_as_the_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    for name, start in (("a.json", '{"images": ["'), ("a.jsonl", '{"format": "ftp-poses", "x": "')):
        path = tmp_path / name
        with path.open("wb") as stream:
            stream.write(start.encode())
            stream.seek(1 << 30)  # a gigabyte of zeros, on disk a hole
            stream.write(b'"]}\n')
        refused(path, "")


def test_bombs_stay_within_memory(tmp_path: Path) -> None:
    size = 20 << 20
    bombs = {
        "lists.json": b'{"images": [[' + b"[]," * (size // 3),
        "zeros.json": b'{"images": [], "annotations": [' + b'{"image_id":0,"keypoints":[' + b"0," * (size // 2),
        "lists.jsonl": b'{"format": "ftp-poses", "source": [' + b"[]," * (size // 3),
        "keys.json": b"{" + b",".join(b'"%d":0' % n for n in range(300_000)) + b"}",
    }
    for name, content in bombs.items():
        (tmp_path / name).write_bytes(content)
    code = (
        "import resource, sys\n"
        "from ftpcli.errors import InputError\n"
        "from ftpcli.formats import open_poses\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for path in sys.argv[1:]:\n"
        "    try: list(open_poses(path)); print('read', path)\n"
        "    except InputError as error: pass\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n"
    )
    paths = [str(tmp_path / name) for name in bombs]
    done = subprocess.run(
        [sys.executable, "-c", code, *paths],
        cwd=Path(__file__).resolve().parent.parent.parent,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert int(done.stdout) < 500, "MiB beyond the start"


# --- native -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (setting("format", to="other"), "not a header"),
        (setting("format_version", to=2), "version 2"),
        (setting("format_version", to=...), "'format_version' is missing"),
        (setting("joints", to=...), "'joints' is missing"),
        (setting("joints", to=[]), "joint names"),
        (setting("joints", 3, to="left_tail"), "'left_tail' is unknown"),
        (setting("joints", 3, to="nose"), "each once"),
        (setting("joints", to="nose"), "a list"),
        (setting("source", to=[]), "an object"),
        (setting("source", "width", to=100_000), "'width' is 100000"),
        (setting("source", "height", to=-1), "'height'"),
        (setting("source", "height", to="36x"), "'height'"),
        (setting("source", "frames", to=-1), "'frames'"),
        (setting("source", "time_base", to="1/0"), "'time_base'"),
        (setting("source", "average_rate", to=25), "'average_rate'"),
        (setting("records", to=10**9), "6 of its 1000000000 frames"),
        (setting("records", to=5), "6 of its 5 frames"),
        (setting("records", to="six"), "'records'"),
        (lambda head: [head], "not a header"),
        (lambda head: b"not json\n", "line 1"),
    ],
)
def test_native_headers(tmp_path: Path, change: Callable[[Any], Any], words: str) -> None:
    refused(lines(tmp_path, 1, change), words)


PERSON = ("people", 0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (setting("index", to=...), "'index' is missing"),
        (setting("index", to=2), "frame 2 stands twice"),
        (setting("index", to=1), "comes after frame 2"),
        (setting("index", to=-3), "'index'"),
        (setting("index", to=True), "'index'"),
        (setting("index", to=3.5), "'index'"),
        (setting("index", to=10**30), "'index'"),
        (setting("pts", to=None), "'pts'"),
        (setting("seconds", to="0.1"), "'seconds'"),
        (setting("seconds", to=10**400), "'seconds'"),
        (setting("people", to={}), "'people'"),
        (setting("people", to=[None]), "a person"),
        (setting("people", to=[{}] * 2001), "2,001 entries"),
        (setting(*PERSON, "track_id", to=None), "'track_id'"),
        (setting(*PERSON, "track_id", to=...), "'track_id'"),
        (setting(*PERSON, "bbox", to=[1, 2, 3]), "'bbox' has 3 numbers"),
        (setting(*PERSON, "bbox", to=[1, 2, -3, 4]), "negative"),
        (setting(*PERSON, "bbox", to=[1, 2, 3, "4"]), "'4'"),
        (setting(*PERSON, "bbox", to=[1, 2, 3, True]), "true"),
        (setting(*PERSON, "bbox", to=[1, 2, 3, 1e9]), "out of range"),
        (setting(*PERSON, "bbox", to=[1, 2, 3, 10**400]), "out of range"),
        (setting(*PERSON, "score", to=[]), "'score'"),
        (setting(*PERSON, "keypoints", to=[]), "0 keypoints, the header names 19"),
        (setting(*PERSON, "keypoints", 4, to=[1, 2]), "[x, y, confidence]"),
        (setting(*PERSON, "keypoints", 4, to=[1, 2, None]), "null"),
        (setting(*PERSON, "keypoints", 4, 0, to=1e300), "out of range"),
        (lambda r: r["people"].append(r["people"][0]), "have the track id"),
        (lambda r: json.dumps(r).replace('"score": ', '"score": NaN, "x": ').encode() + b"\n", "NaN"),
        (lambda r: b"[" * 100_000 + b"\n", "nested too deeply"),
        (lambda r: b'{"index": 1' + b"0" * 5000 + b"}\n", "integer"),
        (lambda r: b"\xff\xff\n", "UTF-8"),
        (lambda r: b"{}{}\n", "Extra data"),
        (lambda r: b"7\n", "a record"),
    ],
)
def test_native_records(tmp_path: Path, change: Callable[[Any], Any], words: str) -> None:
    path = lines(tmp_path, 5, change)
    refused(path, words)
    with pytest.raises(InputError, match="line 5"):
        read(path)


def test_native_files_that_end_too_early(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write_poses(path, header(), frames(6))
    data = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(data) if byte == 10]
    path.write_bytes(data[:-20])
    refused(path, "mid-line")
    path.write_bytes(data[: ends[3]])
    refused(path, "3 of its 6 frames")
    path.write_bytes(data[: ends[2]] + data[ends[3] :])
    refused(path, "5 of its 6 frames")
    path.write_bytes(data[:-1])
    assert read(path) == 6, "a last line without its end is whole"
    path.write_bytes(data.replace(b"\n", b"\r\n") + b"\n\n")
    assert read(path) == 6


# --- documents ----------------------------------------------------------------------------------------------------

IMAGE_LISTS = ["coco", "posetrack"]


@pytest.mark.parametrize("name", IMAGE_LISTS)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (setting("images", to=...), "not a poses file"),
        (setting("categories", to=...), "no category names its keypoints"),
        (setting("categories", to=[]), "no category"),
        (setting("categories", 0, "keypoints", 1, to="tail"), "'tail' is unknown"),
        (setting("categories", 0, "keypoints", to=list(COCO17.joints[:5])), "17 keypoints, the file names 5"),
        (lambda v: v["categories"].append({"id": 9, "name": "person", "keypoints": ["nose"]}), "should be called"),
        (setting("categories", 0, "id", to=7), "no person is left (6 annotations are left out: 6 of category 1)"),
        (setting("images", 1, "id", to=...), "'id' is missing"),
        (setting("images", 1, "id", to=[7]), "'id'"),
        (setting("images", 1, "file_name", to=7), "'file_name'"),
        (setting("images", 1, "width", to=100_000), "'width'"),
        (setting("images", 1, "frame_index", to=0), "frame 0 stands twice"),
        (setting("images", 1, "frame_index", to=-1), "'frame_index'"),
        (setting("images", 1, "seconds", to="x"), "'seconds'"),
        (lambda v: v["images"].append(v["images"][0]), "stands twice"),
        (lambda v: v["images"][1].update(video_id="x", vid_id="x"), "several videos"),
        (setting("images", to=[]), "no person is left (6 annotations are left out: 6 of images that are not listed)"),
        (setting("annotations", 1, "image_id", to=2**80), "'image_id'"),
        (setting("annotations", 1, "keypoints", to=[1, 2, 3, 4]), "multiple of three"),
        (setting("annotations", 1, "keypoints", to=[1, 2, 3]), "17 numbers, expected 1"),
        (
            lambda v: v["annotations"][1].update(keypoints=[1, 2, 3], keypoint_scores=[], scores=[]),
            "1 keypoints, the file names 17",
        ),
        (setting("annotations", 1, "keypoints", 0, to=None), "'keypoints' holds null where a number belongs"),
        (setting("annotations", 1, "keypoints", 0, to=float("nan")), "'keypoints' holds NaN, which is no number"),
        (setting("annotations", 1, "keypoints", to=[0] * 60_000), "60,000 entries"),
        (setting("annotations", 1, "keypoint_scores", to=[0.5]), "1 numbers, expected 17"),
        (setting("annotations", 1, "bbox", to=[1, 2]), "'bbox'"),
        (setting("annotations", 1, "score", to="x"), "'score'"),
        (setting("annotations", 1, "track_id", to=1.5), "'track_id'"),
        (lambda v: v["annotations"].append(dict(v["annotations"][0], id=10**6)), "have the track id"),
        (setting("annotations", to=None), "'annotations' should be a list, not null"),
        (setting("info", "source", to={"width": -1, "height": 2}), "'width'"),
    ],
)
def test_image_lists(tmp_path: Path, name: str, change: Callable[[Any], Any], words: str) -> None:
    refused(document(tmp_path, name, change), words)


POINT = ("annolist", 2, "annorect", 0, "annopoints", 0, "point", 3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (setting("annolist", 1, "image", to=...), "'image' is missing"),
        (setting("annolist", 1, "image", to=[]), "'image'"),
        (setting("annolist", 1, "image", to=[{"name": 7}]), "'name'"),
        (setting("annolist", 1, to=7), "a frame"),
        (setting("annolist", 1, "annorect", to="x"), "'annorect'"),
        (setting("annolist", 1, "annorect", to=[7]), "a person"),
        (setting("annolist", 1, "frame_index", to=0), "frame 0 stands twice"),
        (setting("annolist", 2, "annorect", 0, "annopoints", to=[7]), "'annopoints'"),
        (setting("annolist", 2, "annorect", 0, "track_id", to=["x"]), "'track_id'"),
        (setting("annolist", 2, "annorect", 0, "score", to=[[]]), "'score'"),
        (setting("annolist", 2, "annorect", 0, "bbox", to=[1]), "'bbox'"),
        (setting(*POINT, to=7), "a point"),
        (setting(*POINT, "id", to=["nose"]), "'id'"),
        (setting(*POINT, "x", to=["1"]), "'x'"),
        (setting(*POINT, "x", to=[1e300]), "'x'"),
        (setting(*POINT, "y", to=...), "'y' is missing"),
        (setting(*POINT, "score", to=[[1, 2]]), "'score'"),
        (lambda v: v["annolist"][2]["annorect"].append(v["annolist"][2]["annorect"][0]), "have the track id"),
    ],
)
def test_annolists(tmp_path: Path, change: Callable[[Any], Any], words: str) -> None:
    refused(document(tmp_path, "posetrack17", change), words)


# --- fuzz ---------------------------------------------------------------------------------------------------------

HOSTILE: list[Any] = [
    None,
    True,
    -1,
    0,
    1e308,
    -1e-320,
    2**63,
    10**300,
    "",
    "x" * 1000,
    "../../etc/passwd",
    "\udcff",
    "nose",
    [],
    [[]],
    {},
    [[[[[[1]]]]]],
    [0] * 1000,
    {"id": 1},
]
TOKENS = [
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"9" * 5000,
    b"[" * 3000,
    b"{}",
    b",",
    b'"',
    b"\\",
    b"\xff",
    b"\0",
    b"\n",
    b"null",
]


def places(value: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        found.append((value, key))
        places(value[key], found)
    return found


def mutated_value(value: Any, generator: random.Random) -> Any:
    """A copy with one to three entries replaced, removed or doubled."""
    value = json.loads(json.dumps(value))
    for _ in range(generator.randint(1, 3)):
        holder, key = generator.choice(places(value, []) or [([value], 0)])
        action = generator.randrange(4)
        if action == 0:
            del holder[key]
        elif action == 1 and isinstance(holder, list):
            holder.insert(key, copy.deepcopy(holder[key]))
        elif action == 2:
            _, other = None, generator.choice(places(value, []) or [([value], 0)])
            holder[key] = json.loads(json.dumps(other[0][other[1]]))
        else:
            holder[key] = copy.deepcopy(generator.choice(HOSTILE))
    return value


def mutated_bytes(data: bytes, generator: random.Random) -> bytes:
    result = bytearray(data)
    for _ in range(generator.randint(1, 4)):
        at = generator.randrange(len(result) + 1)
        action = generator.randrange(5)
        if action == 0:
            del result[at:]
        elif action == 1:
            result[at : at + 1] = bytes([generator.randrange(256)])
        elif action == 2:
            result[at:at] = generator.choice(TOKENS)
        elif action == 3:
            del result[at : at + generator.randint(1, 200)]
        else:
            start = generator.randrange(len(result) + 1)
            result[at:at] = result[start : start + generator.randint(1, 300)]
    return bytes(result)


@pytest.mark.parametrize("name", READABLE)
def test_300_mutated_files(tmp_path: Path, name: str) -> None:
    generator = random.Random(f"poses {name}")
    original = tmp_path / ("seed" + SINKS[name].suffix)
    write_poses(original, header(path="000342_mpii_test"), frames(6), name)
    data = original.read_bytes()
    values = [json.loads(line) for line in data.splitlines()] if name == "jsonl" else json.loads(data)
    outcomes = {"read": 0, "refused": 0}
    path = tmp_path / ("fuzz" + SINKS[name].suffix)
    for number in range(300):
        if number % 2:
            content = mutated_bytes(data, generator)
        else:
            changed = mutated_value(values, generator)
            if name == "jsonl":
                content = b"".join(json.dumps(line).encode() + b"\n" for line in changed)
            else:
                content = json.dumps(changed).encode()
        path.write_bytes(content)
        try:
            with open_poses(path) as reader:
                found = list(reader)
            outcomes["read"] += 1
        except FtpError as error:
            outcomes["refused"] += 1
            assert "\n" not in str(error) and str(path) in str(error)
            continue
        # What was read can be written again and means the same.
        again = tmp_path / "again.jsonl"
        write_poses(again, reader.header, found, overwrite=True)
        assert read(again) == len(found)
    assert outcomes["refused"] > 60 and outcomes["read"] > 10, outcomes
