"""What a run shows of its frames besides the poses file: the overlay video, and a window."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from ftpcli.errors import UsageError
from ftpcli.files.stages import Stage, stage

if TYPE_CHECKING:
    from ftpcli.annotation.chain import Annotated, Annotation
    from ftpcli.drawing.drawer import Drawer
    from ftpcli.drawing.overlay import Style
    from ftpcli.video import VideoWriter

_SCREEN = 1280, 720  # pixels that a window has room for nearly everywhere
_CLOSING_KEYS = (ord("q"), 27)  # q and Escape


class Drawn:
    """Draws chunks as they come, into a video, a window, or both.

    Args:
        thread: a single one, which draws a chunk while the next one is worked out; None: draw at once.
    """

    def __init__(
        self, drawer: Drawer, writer: VideoWriter | None, window: str | None, thread: Executor | None = None
    ) -> None:
        self._drawer, self._writer, self._window = drawer, writer, window
        self._thread, self._last = thread, Future[None]()
        self._last.set_result(None)
        self.begin: float | None = None  # seconds of the first frame
        self.closed = False  # by the user, who has seen enough

    def draw(self, chunk: list[Annotated]) -> None:
        """Also raises what drawing the chunk before raised."""
        if self._thread is None:
            self._draw(chunk)
            return
        self.finish()
        self._last = self._thread.submit(self._draw, chunk)

    def finish(self) -> None:
        """Wait until everything is drawn."""
        self._last.result()

    def _draw(self, chunk: list[Annotated]) -> None:
        with stage(Stage.DRAW):
            for one in chunk:
                image = self._drawer(one.frame.image, one.poses.poses, one.frame.seconds)
                if self.begin is None:
                    self.begin = one.frame.seconds
                if self._writer is not None:
                    self._writer.write(image, one.frame.pts)
                if self._window is not None and not self.closed:
                    self._show(image, self._window)

    def _show(self, image: object, window: str) -> None:
        import cv2
        import numpy as np

        picture = np.asarray(image)
        height, width = picture.shape[:2]
        scale = min(1.0, _SCREEN[0] / width, _SCREEN[1] / height)
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        cv2.imshow(window, picture[..., ::-1])
        key = cv2.waitKey(1)
        self.closed = key in _CLOSING_KEYS or cv2.getWindowProperty(window, cv2.WND_PROP_VISIBLE) < 1
        if self.closed:
            cv2.destroyWindow(window)


def check_display() -> None:
    """Raises UsageError where no window can be opened. Qt ends a process that has no display: another one tries."""
    code = "import cv2; cv2.namedWindow('ftp'); cv2.waitKey(1)"
    tried = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env={**os.environ, "QT_LOGGING_RULES": "*=false"}
    )
    if tried.returncode:
        raise UsageError("--show: there is no display to open a window on; leave it out, or write an --overlay")


@contextmanager
def drawn(
    annotation: Annotation, overlay: Path | None, style: Style | None, *, show: bool, overwrite: bool
) -> Iterator[Drawn | None]:
    """The overlay's writer and the window; the file appears once the run is over, and not at all if it fails.

    Another thread draws, unless there is a window, which belongs to this one.
    """
    if overlay is None and not show:
        yield None
        return
    from ftpcli.drawing.drawer import Drawer
    from ftpcli.drawing.overlay import Style
    from ftpcli.video import VideoWriter

    options, info = annotation.options, annotation.info
    drawer = Drawer(annotation.header.joints, style or Style())
    window = f"ftp: {Path(info.path).name}" if show else None
    if overlay is None:
        yield Drawn(drawer, None, window)
        return
    begin = None if options.start is None else Fraction(options.start)
    with (
        VideoWriter.like(overlay, info, overwrite=overwrite, audio_start=begin) as writer,
        ThreadPoolExecutor(1, "ftp-draw") as thread,  # left before the writer, which it may be writing to
    ):
        result = Drawn(drawer, writer, window, thread if window is None else None)
        yield result
        result.finish()
        end = options.end
        if options.duration is not None and result.begin is not None:
            end = result.begin + options.duration
        if end is not None:
            writer.end_audio_at(Fraction(end))
