"""What the user names becomes sources."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from ftpcli.errors import InputError, UsageError
from ftpcli.files.inputs import (
    Source,
    can_reread,
    first_bytes,
    natural_key,
    numbered_images,
    parse_ids,
    parse_rate,
    parse_time,
    resolve_inputs,
    unique_stems,
)
from ftpcli.video import ImageFolderReader, open_source
from tests.support.odd_videos import picture, read_mark


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def found(*inputs) -> list[str]:
    sources, errors = resolve_inputs(inputs)
    assert errors == []
    return [source.path for source in sources]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_files_folders_and_patterns(here):
    touch(here, "b.mp4", "a.mov", "clip10.avi", "clip9.avi", "notes.txt", ".hidden.mp4", "thumb.jpg")
    touch(here, "seq/img10.png", "seq/img9.png", "seq/Thumbs.db", "noext", "sub/deep.mp4")
    assert found("b.mp4", "noext", "-") == ["b.mp4", "noext", "-"]
    assert found(".") == ["./a.mov", "./b.mp4", "./clip9.avi", "./clip10.avi"]
    assert found("clip*.avi") == ["clip9.avi", "clip10.avi"]
    assert found("**/*.mp4") == ["b.mp4", "sub/deep.mp4"]
    assert found(here / "b.mp4") == [str(here / "b.mp4")]
    sources, errors = resolve_inputs(["seq", "s*"])
    assert sources == [Source("seq", "images"), Source("sub/deep.mp4", "video")] and errors == []


def test_addresses(here):
    touch(here, "a b.mp4")
    local = (here / "a b.mp4").as_uri()
    assert found(local) == [local]
    for name in ("http://x/y.mp4", "RTSP://camera/1", "https://x/y", "udp://@239.0.0.1:1234", "tcp://127.0.0.1:1"):
        assert resolve_inputs([name], allow_network=True) == ([Source(name, "video")], [])
        sources, (error,) = resolve_inputs([name, local])
        assert [source.path for source in sources] == [local]
        assert isinstance(error, UsageError) and str(error).startswith(f"{name}: is a network address")
        assert "--allow-network" in str(error)
    assert [str(error) for error in resolve_inputs(["file:///none.mp4"])[1]] == [
        "file:///none.mp4: no such file or folder"
    ]


def test_a_dash_is_standard_input_whatever_its_folder_holds(here):
    touch(here, "-")
    assert found("-") == ["-"] and found("./-", "-") == ["./-", "-"]
    assert not can_reread("-") and can_reread("./-") and can_reread(".") and not can_reread("rtsp://camera")


def test_named_twice_counts_once(here):
    touch(here, "b.mp4", "a.mp4")
    (here / "link.mp4").symlink_to("a.mp4")
    assert found("b.mp4", "*.mp4", str(here / "a.mp4"), "./b.mp4", "link.mp4") == ["b.mp4", "a.mp4"]


def test_names_that_look_like_patterns(here):
    touch(here, "take[1].mp4", "-x.mp4", "what?.mp4")
    assert found("take[1].mp4", "what?.mp4", "-x.mp4") == ["take[1].mp4", "what?.mp4", "-x.mp4"]


def test_errors_leave_the_others_standing(here):
    touch(here, "good.mp4", "empty/readme.txt", "nest/seq1/1.jpg", "nest/seq2/1.jpg")
    (here / "void").mkdir()
    sources, errors = resolve_inputs(["missing.mp4", "void", "good.mp4", "empty", "*.mkv", "nest", ""])
    assert [source.path for source in sources] == ["good.mp4"]
    messages = [str(error) for error in errors]
    assert messages[0] == "missing.mp4: no such file or folder"
    assert messages[1] == "void: no videos or images in this folder"
    assert messages[2] == "empty: no videos or images in this folder"
    assert messages[3] == "*.mkv: no file matches this pattern"
    assert messages[4] == "nest: no videos or images in this folder; name its subfolders (seq1, seq2) instead"
    assert all(isinstance(error, InputError) and "\n" not in str(error) for error in errors)
    assert found("nest/*") == ["nest/seq1", "nest/seq2"]


def test_output_names():
    sources = [
        Source("a/run.mp4", "video"),
        Source("b/run.mp4", "video"),
        Source("b/run.mov", "video"),
        Source("b/walk.mp4", "video"),
        Source("frames/", "images"),
        Source("-", "video"),
        Source("http://host/live/cam.m3u8", "video"),
        Source("c/.mp4", "video"),
    ]
    assert unique_stems(sources) == ["run.mp4", "run.mp4-2", "run.mov", "walk", "frames", "stdin", "cam", ".mp4"]


def test_natural_order():
    names = ["img10.png", "img2.png", "IMG1.png", "img02.png", "a", "10", "9", "img2a.png", "²"]
    assert sorted(names, key=natural_key) == [
        "9",
        "10",
        "a",
        "IMG1.png",
        "img02.png",
        "img2.png",
        "img2a.png",
        "img10.png",
        "²",
    ]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("75", 75), ("75.5", 75.5), (".5", 0.5), ("90s", 90), ("1:15", 75), ("00:01:15.5", 75.5), ("100:00:00", 360000)],
)
def test_parse_time(text, seconds):
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "abc", "-5", "1:75", "1:60:00", "nan", "1e3", "1:2:3:4", "5m", "1:.", "inf"])
def test_parse_time_refuses(text):
    with pytest.raises(UsageError, match="is not a time"):
        parse_time(text)


def test_parse_rate_and_ids():
    assert parse_rate("30000/1001") == Fraction(30000, 1001)
    assert parse_rate("29.97") == Fraction(2997, 100)
    for text in ("0", "-5", "x", "1/0", "1e9", "nan", "inf", ""):
        with pytest.raises(UsageError, match="is not a frame rate"):
            parse_rate(text)
    assert parse_ids("3, 7,3") == {3, 7}
    for text in ("", "3,", "a", "3-7", "9" * 30):
        with pytest.raises(UsageError, match="is not a list of ids"):
            parse_ids(text)


# --- folders of images ------------------------------------------------------------------------------------------


@pytest.fixture
def images(tmp_path) -> Path:
    """Frames 0 to 11 as 1.png to 12.png."""
    folder = tmp_path / "walk"
    folder.mkdir()
    for number in range(12):
        cv2.imwrite(str(folder / f"{number + 1}.png"), picture(number))
    touch(folder, "notes.txt", ".DS_Store", "._1.png")
    return folder


def test_image_folder(images):
    with open_source(images, fps=Fraction(30000, 1001)) as reader:
        assert isinstance(reader, ImageFolderReader)
        frames = list(reader)
    assert [read_mark(frame.image) for frame in frames] == list(range(12))
    assert [(frame.index, frame.pts) for frame in frames] == [(index, index) for index in range(12)]
    assert frames[7].seconds == float(7 * Fraction(1001, 30000))
    assert reader.info.time_base == Fraction(1001, 30000)
    assert (reader.info.width, reader.info.height, reader.info.frames) == (96, 64, 12)
    assert reader.warnings == [] and reader.decoded == 12
    assert reader.frame_name(9) == "10.png"


def test_image_folder_without_a_rate(images):
    with open_source(images) as reader:
        assert next(iter(reader)).seconds == 0
        assert reader.info.average_rate == 25
    assert "25 frames per second are assumed" in reader.warnings[0]


def test_image_folder_selection_and_rotation(images):
    with open_source(images, fps=Fraction(10), start=0.3, end=0.9, every=2, rotate=90) as reader:
        frames = list(reader)
    assert [frame.index for frame in frames] == [3, 5, 7]
    assert (reader.info.width, reader.info.height) == (64, 96)
    assert read_mark(np.rot90(frames[1].image, -1)) == 5


def test_image_folder_with_faults(images):
    (images / "4.png").write_bytes(b"not a picture")
    (images / "6.png").unlink()
    cv2.imwrite(str(images / "9.png"), picture(8, 192, 128))
    with open_source(images, fps=Fraction(10)) as reader:
        frames = list(reader)
    assert [read_mark(frame.image) for frame in frames] == [0, 1, 2, 4, 6, 7, 8, 9, 10, 11]
    assert [frame.index for frame in frames] == list(range(10))
    # The unreadable one leaves its time empty.
    assert [frame.pts for frame in frames] == [0, 1, 2, *range(4, 11)]
    assert {frame.image.shape for frame in frames} == {(64, 96, 3)}
    assert reader.bad_packets == 1
    assert reader.frame_name(3) == "5.png"
    text = " | ".join(reader.warnings)
    assert "1 image numbers between 1 and 12 are missing" in text
    assert "1 damaged image left out, first 4.png" in text
    assert "1 image of another size" in text


def test_image_folder_kinds(tmp_path):
    """Grey, alpha, sixteen bits, JPEG, a pattern for a name: all become RGB."""
    image = picture(5)
    cv2.imwrite(str(tmp_path / "1.png"), image[:, :, 0])
    cv2.imwrite(str(tmp_path / "2.png"), np.dstack([image, np.full(image.shape[:2], 40, np.uint8)]))
    cv2.imwrite(str(tmp_path / "3.png"), image.astype(np.uint16) * 257)
    cv2.imwrite(str(tmp_path / "4.jpg"), image)
    cv2.imwrite(str(tmp_path / "5.bmp"), image)
    cv2.imwrite(str(tmp_path / "6.webp"), image)
    cv2.imwrite(str(tmp_path / "7.tiff"), image)
    cv2.imwrite(str(tmp_path / "8-%03d.png"), image)
    with open_source(tmp_path, fps=Fraction(1)) as reader:
        frames = list(reader)
    assert [read_mark(frame.image) for frame in frames] == [5] * 8
    assert all(np.abs(frame.image.astype(int) - image).mean() < 4 for frame in frames)
    red = np.zeros((8, 8, 3), np.uint8)
    red[:, :, 2] = 255
    folder = tmp_path / "red"
    folder.mkdir()
    cv2.imwrite(str(folder / "1.png"), red)
    with open_source(folder, fps=Fraction(1)) as reader:
        assert next(iter(reader)).image[4, 4].tolist() == [255, 0, 0]


def test_image_folder_refuses(tmp_path):
    with pytest.raises(InputError, match="no images in this folder"), ImageFolderReader(tmp_path):
        pass
    touch(tmp_path, "1.png", "2.png")
    with pytest.raises(InputError, match="none of its 2 images can be decoded"), ImageFolderReader(tmp_path):
        pass
    with pytest.raises(InputError, match="cannot be read"):
        numbered_images(tmp_path / "nowhere")
    with pytest.raises(UsageError):
        ImageFolderReader(tmp_path, Fraction(0))


def test_the_beginning_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of standard input nothing, also where a file is named like it."""
    monkeypatch.chdir(tmp_path)
    for name in ("-", "clip.mp4"):
        Path(name).write_bytes(b"begins")
    assert (first_bytes("clip.mp4"), first_bytes("clip.mp4", 3), first_bytes("-")) == (b"begins", b"beg", b"")
    assert first_bytes("missing") == first_bytes(tmp_path) == b""
