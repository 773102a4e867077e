"""Copies a source's sound into an output, packet by packet and without decoding it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from typing import cast

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer

from ftpcli.errors import FtpError
from ftpcli.video.clock import Clock
from ftpcli.video.opening import fraction, is_pipe, longest_gap, open_container

_MAX_FAILED_READS = 100


class AudioCopy:
    """One audio stream (FFmpeg's best) on its way from a source file to an output.

    The source is opened a second time and read alongside the pictures, so memory stays bounded. Packets keep
    their bytes and times. Where their times do not increase they are moved by ticks, since containers refuse that.

    Attributes:
        warnings: one line each.
        stream: the output's stream, None where there is nothing to copy or the container cannot hold it.
    """

    def __init__(
        self, path: str | os.PathLike[str], start: Fraction | None = None, *, allow_network: bool = False
    ) -> None:
        """``start``: seconds on the source's clock; packets that end before it are left out."""
        self.warnings: list[str] = []
        self.stream: AudioStream | None = None
        self._start = start
        self._source: InputContainer | None = None
        self._template: AudioStream | None = None
        self._packets: Iterator[av.Packet] = iter(())
        self._next: av.Packet | None = None
        self._last_dts: int | None = None
        if is_pipe(os.fspath(path)):
            self.warnings.append("sound cannot be copied from a pipe; the result is silent")
            return
        try:
            self._source = open_container(path, allow_network=allow_network)
        except FtpError as error:
            self.warnings.append(f"sound cannot be read again ({error}); the result is silent")
            return
        self._template = cast(AudioStream | None, self._source.streams.best("audio"))

    @property
    def sample_rate(self) -> int:
        """Samples per second, 1 where unknown."""
        return (self._template.rate if self._template is not None else 0) or 1

    def attach(self, output: OutputContainer) -> None:
        """Add the audio stream to an output whose header is not yet written."""
        if self._source is None or self._template is None:
            return
        try:
            self.stream = output.add_stream_from_template(self._template)
        except (av.error.FFmpegError, ValueError) as error:
            name = self._template.name or "unknown"
            self.warnings.append(f"{output.format.name} cannot hold its {name} sound ({error}); the result is silent")
            return
        self._packets = self._timed()
        self._next = next(self._packets, None)

    def give_up(self, reason: str) -> None:
        """Go on without sound."""
        begun = self._last_dts is not None
        self.warnings.append(f"its sound cannot be copied ({reason}); the {'rest' if begun else 'result'} is silent")
        self.stream = None
        self._next = None

    def until(self, seconds: Fraction | None, shift: Fraction) -> Iterator[av.Packet]:
        """Packets up to a time (all that are left for None), ready to be muxed, ``shift`` seconds later."""
        while self._next is not None:
            packet = self._next
            time_base = fraction(packet.time_base) or Fraction(1)
            assert packet.dts is not None
            if seconds is not None and packet.dts * time_base > seconds:
                return
            self._next = next(self._packets, None)
            ticks = round(shift / time_base)
            dts = packet.dts + ticks
            if self._last_dts is not None and dts <= self._last_dts:
                dts = self._last_dts + 1
            self._last_dts = dts
            packet.dts = packet.pts = dts
            packet.stream = self.stream
            yield packet

    def _timed(self) -> Iterator[av.Packet]:
        """Packets from the start on, with times that rise where recordings were joined, as those of the pictures do."""
        assert self._source is not None and self._template is not None
        time_base = fraction(self._template.time_base) or Fraction(1)
        for packet, pts in Clock(time_base, None, 0, longest_gap(self._source)).times(self._read()):
            packet.dts = pts
            if self._start is None or (pts + (packet.duration or 0)) * time_base > self._start:
                yield packet

    def _read(self) -> Iterator[av.Packet]:
        """All packets (audio is stored in order of presentation: pts and dts agree)."""
        assert self._source is not None and self._template is not None
        failures = 0
        while True:
            try:
                for packet in self._source.demux(self._template):
                    if packet.size:
                        failures = 0
                        packet.pts = packet.dts if packet.pts is None else packet.pts
                        yield packet
                return
            except (av.error.FFmpegError, ValueError, MemoryError) as error:
                failures += 1
                if failures >= _MAX_FAILED_READS or isinstance(error, OSError):
                    self.warnings.append("its sound could be read only in part")
                    return

    def close(self) -> None:
        """Close the source. Harmless to repeat."""
        self._packets = iter(())
        self._next = None
        if self._source is not None:
            self._source.close()
            self._source = None
