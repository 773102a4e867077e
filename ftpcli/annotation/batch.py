"""What a worker is given to do: one source of many, with its own times and boxes, and noted in the status file of its
outputs' folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

from ftpcli.annotation import outputs
from ftpcli.annotation.annotator import Annotator
from ftpcli.annotation.fingerprint import fingerprint
from ftpcli.annotation.outputs import Progress, Summary, Target
from ftpcli.errors import InputError, OutputError
from ftpcli.files.content import content_of
from ftpcli.files.inputs import Source
from ftpcli.files.output import name_beside
from ftpcli.files.status import StatusFile
from ftpcli.formats import part_path

Tell = Callable[[Progress], None]
Stop = Callable[[], bool]


class Job(Protocol):
    """A piece of work that any process with the models can do.

    Attributes:
        source: that it belongs to.
        out: the file that it makes; None is standard output.
        shared: others do the work, and their progress is shown.
    """

    shared: ClassVar[bool]

    @property
    def source(self) -> Source: ...
    @property
    def out(self) -> Path | None: ...

    def run(self, annotator: Annotator, status: StatusFile | None, tell: Tell, stop: Stop) -> Summary | None:
        """Do it. Raises FtpError; what was stored stays."""
        ...

    def again(self, begun: bool) -> Self:
        """The same for another process, once the first was lost: what that had stored is not computed again.

        Args:
            begun: whether it had stored something.
        """
        ...


@dataclass(frozen=True, slots=True)
class Video:
    """Annotate one source."""

    shared: ClassVar[bool] = False
    source: Source
    target: Target

    @property
    def out(self) -> Path | None:
        return self.target.out

    def run(self, annotator: Annotator, status: StatusFile | None, tell: Tell, stop: Stop) -> Summary:
        if self.source.own:
            annotator = annotator.with_options(**self.source.own)
        done = annotate_noted(annotator, self.source, self.target, status, tell=tell, stop=stop)
        remove_split(self.out)
        return done

    def again(self, begun: bool) -> Self:
        # Where nothing is stored yet, what --overwrite replaces may be another run's.
        return replace(self, target=replace(self.target, resume=begun or not self.target.overwrite))


def split_folder(out: Path) -> Path:
    """``OUT.split``: what the workers of a run with ``--split`` have stored."""
    return name_beside(out, "", ".split")


def remove_split(out: Path | None) -> None:
    """Remove what was stored for an output that needs it no more, unless a run is at it or was interrupted."""
    if out is not None and not part_path(out).exists():
        folder = split_folder(out)
        with contextlib.suppress(OSError):
            for path in folder.glob("*-*.jsonl"):
                path.unlink()
            folder.rmdir()


#: Options first: another version may tell inputs by something else.
_OTHER = {"options": "with other options, models or another version", "input": "from another video"}


def annotate_noted(
    annotator: Annotator,
    source: Source,
    target: Target,
    status: StatusFile | None,
    *,
    tell: Tell = lambda progress: None,
    stop: Stop = lambda: False,
) -> Summary:
    """As ``annotate_file``, and ``status``, if there is one, gets a line once the output is whole.

    With ``target.resume``, an output that the status file knows is compared with what was noted: input, options and
    the output's own content. It need not be in a form that is read.

    Raises:
        OutputError: the output is of another input or other options, or is not as it was left.
        FtpError: see ``annotate_file``.
    """
    if status is None:
        return outputs.annotate_file(annotator, source.path, target, tell=tell, stop=stop)
    assert target.out is not None
    noted = {key: _digest(value) for key, value in _keys(annotator, source.path, target).items()}
    entry = status.done(target.out) if target.resume and not target.overwrite and target.out.exists() else None
    if entry is not None and (target.overlay is None or target.overlay.exists()):
        for key, how in _OTHER.items():
            if entry.get(key) != noted[key]:
                raise OutputError(
                    f"{target.out}: was made {how}; give --overwrite to replace it, or name another folder"
                )
        if entry.get("sha256") != _content(target.out):
            raise OutputError(
                f"{target.out}: is not as it was left (damaged or edited); move it away to have it made again"
            )
        return _summary(entry, source, target)
    done = outputs.annotate_file(annotator, source.path, target, tell=tell, stop=stop)
    status.append(
        "done",
        source=source.name,
        out=target.out.name,
        frames=done.frames,
        people=done.people,
        tracks=done.tracks,
        seconds=round(done.elapsed, 3),
        already=done.already,
        sha256=_content(target.out),
        **noted,
    )
    return done


def _keys(annotator: Annotator, source: str, target: Target) -> dict[str, Any]:
    keys = fingerprint(annotator, source, content_of(source))
    return {"input": keys.pop("input"), "options": [keys, target.format, target.joints]}


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]


def _content(out: Path) -> str:
    """A hash of a file, or of a folder's files and their names."""
    digest = hashlib.sha256()
    try:
        for path in sorted(out.rglob("*")) if out.is_dir() else [out]:
            if path.is_file():
                digest.update(os.fsencode(path.relative_to(out.parent)) + b"\0")
                with open(path, "rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
    except OSError as error:
        raise InputError(f"{out}: cannot be read ({error.strerror})") from error
    return digest.hexdigest()


def _summary(entry: dict[str, Any], source: Source, target: Target) -> Summary:
    frames, people, tracks = (int(entry.get(key) or 0) for key in ("frames", "people", "tracks"))
    return Summary(
        source=source.path,
        out=str(target.out),
        overlay=str(target.overlay) if target.overlay else None,
        frames=frames,
        people=people,
        tracks=tracks,
        bad_packets=0,
        warnings=(),
        seconds=0.0,
        elapsed=0.0,
        replayed=frames,
        already=True,
    )
