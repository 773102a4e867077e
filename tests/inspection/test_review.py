"""``ftp review``: the page shows the right skeleton on the right frame; tried in a browser, where there is one."""

from __future__ import annotations

import base64
import json
import re
import time
import zlib
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from ftpcli.drawing.rendering import render
from ftpcli.errors import InputError
from ftpcli.formats import open_poses, write_poses
from ftpcli.inspection import review as module
from ftpcli.inspection.moments import Moments
from ftpcli.inspection.review import review
from ftpcli.records import FramePoses, Pose
from ftpcli.skeleton import ANGLES, PERSON19
from tests.drawing.test_overlay import person
from tests.drawing.test_render import poses_of
from tests.support.browser import Browser
from tests.support.formats_samples import header
from tests.support.odd_videos import FRAME, encode, picture, read_mark

#: At a variable rate, not from 0, with B-frames.
UNEVEN = [FRAME * n for n in (2, 3, 5, 6, 7, 11, 12, 13, 20, 21, 22, 23, 40, 41, 43, 44)]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as found:
        yield found


def opened(browser: Browser, page: Path) -> list[str]:
    """Addresses that the page asked for, once it shows its first frame."""
    browser.said.clear()
    browser.asked.clear()
    browser.open(page)
    browser.wait("window.review && review.ready && review.drawn > 0 && !video.seeking", 60)
    return [address for address in browser.asked if not address.startswith("blob:")]


def mark(browser: Browser) -> int | None:
    """The number that the frame on the page shows."""
    width, height, pixels = browser.run(
        "[picture.width, picture.height, [...pen.getImageData(0, 0, picture.width, picture.height).data]]"
    )
    return read_mark(np.array(pixels, np.uint8).reshape(height, width, 4)[..., :3], drawn_on=True)


def steps_to(browser: Browser, frame: int) -> None:
    browser.wait(f"review.frame === {frame} && !video.seeking")
    browser.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


@pytest.mark.slow  # headless Chromium now and then does not paint the picture that was sought
@pytest.mark.parametrize("embed", [True, False])
def test_every_frame_has_its_own_skeleton(embed: bool, browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    name = "<img src=x onerror=review.hurt=1>&'\" #1.mp4"
    video = encode(tmp_path / "clips" / name, UNEVEN, options={"bf": "2"}, audio="aac")
    poses = poses_of(video, tmp_path / "</script><b>.jsonl".replace("/", "_"))
    (tmp_path / "pages").mkdir()
    page = tmp_path / "pages" / "page.html"
    done = review(poses, page, video, embed=embed)
    assert (done.frames, done.people, done.embedded) == (len(UNEVEN), 1, embed)
    asked = opened(browser, page)
    assert asked == [page.as_uri()] + ([] if embed else [asked[-1]]) and not browser.said
    assert browser.run("review.hurt") is None and name in browser.run("document.title")
    seen = [mark(browser)]
    for frame in range(1, len(UNEVEN)):
        browser.press("ArrowRight")
        steps_to(browser, frame)
        seen.append(mark(browser))
    assert seen == list(range(len(UNEVEN)))
    browser.press("ArrowLeft")
    steps_to(browser, len(UNEVEN) - 2)
    browser.press("ArrowLeft", shift=True)  # a second
    back = min(range(len(UNEVEN)), key=lambda n: abs(UNEVEN[n] - (UNEVEN[-2] - 25 * FRAME)))
    steps_to(browser, back)
    assert mark(browser) == back
    browser.run("seek(0)")
    steps_to(browser, 0)
    browser.press(" ")
    browser.wait("!review.playing && review.frame > 10", 60)  # played to its end
    assert browser.run("review.drawn") > len(UNEVEN) + 2 and mark(browser) == browser.run("review.frame")


@pytest.mark.parametrize("name", ["late.mp4", "late.mkv", "late.webm"])
@pytest.mark.parametrize("begin", [None, 10.2])
def test_a_video_whose_clock_does_not_begin_at_0(
    name: str, begin: float | None, browser: Browser, tmp_path: Path
) -> None:
    kind = {"codec": "libvpx-vp9", "time_base": Fraction(1, 1000)} if name.endswith("webm") else {}
    pts = [10_000 + 40 * n for n in range(12)] if kind else [128_000 + FRAME * n for n in range(12)]
    video = encode(tmp_path / name, pts, **kind)
    poses = poses_of(video, tmp_path / "a.jsonl", **({} if begin is None else {"start": begin}))
    with open_poses(poses) as reader:
        first = next(iter(reader)).index
    review(poses, tmp_path / "a.html", video)
    opened(browser, tmp_path / "a.html")
    for frame in range(12 - first):
        steps_to(browser, frame)
        until = time.monotonic() + 120
        while mark(browser) != first + frame:
            assert time.monotonic() < until, (mark(browser), first + frame)
        browser.press("ArrowRight")
    assert browser.run("document.getElementById('problem').textContent") == ""
    from_start = "(offset = null, present(0), present(0.32), [offset, times[review.frame]])"  # as some browsers count
    assert browser.run(from_start) == [10, pytest.approx(10.32)]


def test_a_seek_beyond_the_length_that_the_browser_knows_so_far(browser: Browser, tmp_path: Path) -> None:
    """Chromium learns the length of some files while it reads them, and cuts seeks to what it knows."""
    poses = poses_of(video := encode(tmp_path / "a.mp4"), tmp_path / "a.jsonl")
    review(poses, tmp_path / "a.html", video)
    opened(browser, tmp_path / "a.html")
    # As if the length had been 0.1 s: the seek is cut, then the browser tells a new length.
    browser.run("seek(10), length = 0.1, video.currentTime = 0.1")
    browser.run("video.dispatchEvent(new Event('durationchange'))")
    steps_to(browser, 10)
    assert mark(browser) == 10


@pytest.mark.parametrize("end", ["mkv", "mp4"])
def test_sound_that_begins_later_than_the_pictures(end: str, browser: Browser, tmp_path: Path) -> None:
    """Chromium cannot go to the frames before the sound in Matroska: the page says so and shows true frames."""
    video = encode(tmp_path / f"a.{end}", count=30, audio="aac", audio_start=0.6)
    poses = poses_of(video, tmp_path / "a.jsonl")
    review(poses, tmp_path / "a.html", video)
    opened(browser, tmp_path / "a.html")
    for frame in (3, 25, 4):
        browser.run(f"seek({frame})")
        browser.wait("!sought && !video.seeking")
        browser.wait("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")
        assert mark(browser) == browser.run("review.frame") == (frame if end == "mp4" or frame == 25 else 14)
    said = browser.run("document.getElementById('problem').textContent")
    assert said == "" if end == "mp4" else "goes to 0.5" in said and "ftp render" in said


def test_a_video_of_odd_size(browser: Browser, tmp_path: Path) -> None:
    video = encode(tmp_path / "a.mp4", size=(101, 67), pix_fmt="yuv444p")
    poses = poses_of(video, tmp_path / "a.jsonl")
    review(poses, tmp_path / "a.html", video)
    opened(browser, tmp_path / "a.html")
    browser.run("seek(7)")
    steps_to(browser, 7)
    assert browser.run("[picture.width, picture.height]") == [101, 67] and mark(browser) == 7


def test_the_skeleton_is_drawn_where_it_stands(browser: Browser, tmp_path: Path) -> None:
    video = encode(tmp_path / "a.mp4", size=(96, 64))
    poses = poses_of(video, tmp_path / "a.jsonl", tracks=(3, 70_000))
    review(poses, tmp_path / "a.html", video)
    opened(browser, tmp_path / "a.html")
    browser.press("ArrowRight")
    steps_to(browser, 1)
    with open_poses(poses) as reader:
        frame = list(reader)[1]
    page = browser.run("[0, 1].map(n => [tracks[trackOf(first[1] + n)].id, [3,4,5,6].map(p => at(first[1] + n, p))])")
    assert [one[0] for one in page] == [3, 70_000]
    for one, pose in zip(page, frame.poses, strict=True):
        assert one[1] == pytest.approx(pose.box.tolist(), abs=0.04)
    wrist = frame.poses[0].keypoints[PERSON19.joints.index("left_wrist")].round().astype(int).tolist()
    red, _, blue = browser.run(f"[...pen.getImageData({wrist[0]}, {wrist[1]}, 1, 1).data].slice(0, 3)")
    assert red - blue > 40  # over grey


def test_a_folder_of_pictures_and_no_video(browser: Browser, tmp_path: Path) -> None:
    folder = tmp_path / "my pictures"
    folder.mkdir()
    for number in range(5):
        cv2.imwrite(str(folder / f"{number}#.png"), picture(number))
    poses = poses_of(folder, tmp_path / "p.jsonl", fps=Fraction(25))
    review(poses, tmp_path / "p.html", folder)
    opened(browser, tmp_path / "p.html")
    for number in (1, 2, 3):
        browser.press("ArrowRight")
        browser.wait(f"review.drawn > {number}")
        assert mark(browser) == number
    review(poses, tmp_path / "black.html")
    opened(browser, tmp_path / "black.html")
    browser.press(" ")
    browser.wait("!review.playing && review.frame === 4")
    assert not browser.said


def test_a_video_that_the_browser_cannot_play(browser: Browser, tmp_path: Path) -> None:
    video = encode(tmp_path / "a.mp4")
    poses = poses_of(video, tmp_path / "a.jsonl")
    review(poses, tmp_path / "a.html", video, embed=False)
    video.unlink()
    opened(browser, tmp_path / "a.html")
    browser.wait("document.getElementById('problem').textContent.includes('cannot play')")
    browser.press("ArrowRight")
    browser.wait("review.frame === 1")


def made(folder: Path, seconds: float, people: int, rate: int = 25) -> Path:
    """Poses of people who walk about."""
    rng = np.random.default_rng(0)

    def frames() -> Iterator[FramePoses]:
        for n in range(round(seconds * rate)):
            shift = 300 + 200 * np.sin(n / 40)
            poses = []
            for track in range(people):
                pose = person((shift + 200 * track, 100, shift + 200 * track + 150, 700), track)
                poses.append(
                    replace(pose, keypoints=pose.keypoints + rng.normal(0, 2, (19, 2)), confidence=rng.random(19))
                )
            yield FramePoses(n, n * 512, n / rate, tuple(poses))

    out = folder / "long.jsonl"
    write_poses(out, header(width=1920, height=1080, time_base=Fraction(1, 512 * rate), frames=None), frames())
    return out


def test_moments_tracks_and_plots(browser: Browser, tmp_path: Path) -> None:
    poses = made(tmp_path, 4, 2)
    with open_poses(poses) as reader:
        frames = list(reader)
    calm = [replace(f, poses=tuple(replace(p, confidence=np.full(19, 0.9)) for p in f.poses)) for f in frames]
    points = calm[50].poses[1].keypoints.copy()
    points[9] += 200
    calm[50] = replace(calm[50], poses=(calm[50].poses[0], replace(calm[50].poses[1], keypoints=points)))
    calm[70:75] = [replace(frame, poses=frame.poses[:1]) for frame in calm[70:75]]
    write_poses(poses, header(width=1920, height=1080), calm, overwrite=True)
    found = Moments(PERSON19.joints)
    for frame in calm:
        found.add(frame)
    assert [(m.frame, m.track, m.what) for m in found.found()] == [
        (50, 1, "leap of left_wrist"),
        (75, 1, "back after 5 frames"),
    ]
    review(poses, tmp_path / "m.html", suggested=[10])
    opened(browser, tmp_path / "m.html")
    seen = []
    for _ in range(3):
        browser.press("ArrowDown")
        seen.append(browser.run("[review.frame, tracks[person].id, document.querySelector('.now').textContent]"))
    assert [one[:2] for one in seen] == [[10, 0], [50, 1], [75, 1]] and "leap of left_wrist" in seen[1][2]
    browser.press("ArrowUp")
    assert browser.run("review.frame") == 50
    browser.run("document.getElementById('angle').value = 0; layout()")
    columns = browser.run(
        "['timeline', 'speeds', 'angles'].map(id => { const c = $(id), d = c.getContext('2d')"
        ".getImageData(0, 0, c.width, c.height).data; let n = 0;"
        " for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n })"
    )
    assert min(columns) > 500
    browser.press("+")
    assert browser.run("view[1] - view[0]") == pytest.approx(2, abs=0.1)
    browser.press("[")
    assert browser.run("tracks[person].id") == 0


def test_what_the_page_holds(tmp_path: Path) -> None:
    """Joints to a sixteenth of a pixel, confidences to a 255th, angles to a tenth of a degree."""
    poses = made(tmp_path, 0.4, 2)
    review(poses, tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text()
    about = json.loads(re.search(r'id="about">(.*?)</script>', text)[1])
    assert about["joints"] == list(PERSON19.joints) and about["angles"] == list(ANGLES) and about["tracks"] == [0, 1]
    assert about["stride"] % 2 == 0 and about["frames"] == 10
    assert "://" not in text.split("<script>")[0] and "SCRIPT-HASH" not in text


def test_a_picture_that_cannot_be_decoded_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "clip").mkdir()
    for number in range(4):
        cv2.imwrite(str(tmp_path / "clip" / f"{number}.png"), picture(number))
    (tmp_path / "clip" / "1.png").write_bytes(b"nonsense")
    poses = poses_of(tmp_path / "clip", tmp_path / "p.jsonl", fps=Fraction(25))
    review(poses, tmp_path / "p.html", tmp_path / "clip")
    about = json.loads(re.search(r'id="about">(.*?)</script>', (tmp_path / "p.html").read_text())[1])
    assert about["pictures"] == ["clip/0.png", "clip/2.png", "clip/3.png"]


@pytest.mark.parametrize(("width", "scale"), [(640, 16), (12_000, 1), (40_000, 0.4)])
def test_joints_of_wide_pictures_fit_into_the_page(width: int, scale: float, tmp_path: Path) -> None:
    pose = Pose(1, np.array([0.0, 0, width, 50]), 1.0, np.full((2, 2), width / 2), np.ones(2))
    write_poses(tmp_path / "a.jsonl", header(("nose", "left_wrist"), width=width), [FramePoses(0, 0, 0.0, (pose,))])
    review(tmp_path / "a.jsonl", tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text()
    about = json.loads(re.search(r'id="about">(.*?)</script>', text)[1])
    rows = zlib.decompress(base64.b64decode(re.search(r'id="rows">(.*?)</script>', text)[1]), wbits=31)
    assert about["scale"] == scale and np.frombuffer(rows[14:22], "<i2").tolist() == [width / 2 * scale] * 4


@pytest.mark.parametrize("why", ["size", "longer", "shorter", "times"])
def test_poses_of_another_video(why: str, tmp_path: Path) -> None:
    poses = poses_of(encode(tmp_path / "a.mp4", count=40), tmp_path / "a.jsonl")
    other = {
        "size": {"size": (128, 64)},
        "longer": {"count": 60},
        "shorter": {"count": 20},
        "times": {"pts": [FRAME * n + 100 * (n % 3) for n in range(40)]},
    }[why]
    video = encode(tmp_path / "b.mp4", **{"count": 40, **other})
    with pytest.raises(InputError, match="of another video"):
        review(poses, tmp_path / "r.html", video)
    assert not list(tmp_path.glob("*r.html*"))


def test_the_command(command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = encode(tmp_path / "a.mp4")
    poses, page = poses_of(video, tmp_path / "a.jsonl"), tmp_path / "page.html"
    assert command("review", poses, video).code == 2
    assert command("review", poses, "--embed", "--out", page).code == 2
    assert command("review", tmp_path / "no.json", "--out", page).code == 1 and not page.exists()
    ran = command("review", poses, video, "--out", page)
    assert ran.code == 0 and "with the video in it" in ran.err
    before = page.read_bytes()
    ran = command("review", poses, video, "--out", page)
    assert ran.code == 1 and "--overwrite" in ran.err and page.read_bytes() == before
    monkeypatch.setattr(module, "EMBEDDED", 10)
    ran = command("review", poses, video, "--out", page, "--overwrite")
    assert ran.code == 0 and "plays a.mp4" in ran.err and len(page.read_bytes()) < len(before)


def test_what_no_browser_plays_is_reviewed_as_it_is_rendered(odd_video, tmp_path: Path) -> None:
    """Times are what counts: MP4 has another time base than AVI and Matroska."""
    for name in ("mpeg4_avi_with_b_frames", "repeated_times", "no_times", "clock_restarts"):
        video = odd_video(name).path
        poses, drawn = poses_of(video, tmp_path / f"{name}.jsonl"), tmp_path / f"{name}.mp4"
        if name != "mpeg4_avi_with_b_frames":
            with pytest.raises(InputError, match="ftp render"):
                review(poses, tmp_path / "r.html", video)
        count = render(video, poses, drawn, preset="ultrafast").frames
        assert review(poses, tmp_path / f"{name}.html", drawn).frames == count


@pytest.mark.slow
def test_half_an_hour_of_five_people(browser: Browser, tmp_path: Path) -> None:
    poses = made(tmp_path, 1800, 5)
    review(poses, tmp_path / "long.html")
    size = (tmp_path / "long.html").stat().st_size
    began = time.monotonic()
    opened(browser, tmp_path / "long.html")
    took = time.monotonic() - began
    heap = browser.run("performance.memory.usedJSHeapSize")
    print(f"{size / 1e6:.1f} MB, shown after {took:.1f} s, heap {heap / 1e6:.0f} MB")
    assert size < 50e6
    browser.run("seek(30000)")
    assert browser.run("review.frame") == 30000
