"""The entry of the ``ftp`` command: stop signals and exit codes.

Imports nothing that takes time: a signal that comes before ``main`` has set its handlers ends Python with a traceback.
What comes earlier still, while Python itself starts, no program can catch.
"""

from __future__ import annotations

import io
import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

#: How writing fails, by its names in errno.
_OUTPUT_ERRORS = ("EBADF", "EIO", "ENOSPC", "EDQUOT", "EFBIG")


def main() -> None:
    """Run the command line: an expected error is one line on stderr and its exit code.

    Until a command sets handlers of its own, SIGINT and SIGTERM end it with one line and exit code 130 or 143.
    """
    _prepare_streams()
    with _StopSignals():
        _run()


def _prepare_streams() -> None:
    """A closed standard stream would give its number to a file, into which libraries then print; and a character that
    a terminal lacks must not end the program."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream: Any = getattr(sys, name)
        if stream is None:  # opened so that writing to a closed standard output is an error
            os.open(os.devnull, os.O_WRONLY if name == "stderr" else os.O_RDONLY)  # takes the lowest free number
            setattr(sys, name, open(number, "r" if name == "stdin" else "w", closefd=False))  # noqa: SIM115
        elif name == "stderr" and stream == sys.__stderr__:
            raw = io.BufferedWriter(_Messages(number, "w", closefd=False))
            sys.stderr = io.TextIOWrapper(raw, stream.encoding, "replace", line_buffering=True)
        elif name != "stdin" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


class _Messages(io.FileIO):
    """Standard error. What it does not take, as on a full disk, is lost: the work goes on, and the exit code says how
    it ended."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except BrokenPipeError:
            raise
        except OSError:
            return len(data)


def _run() -> None:
    from ftpcli.cli.app import WrongUsage, app, say_wrong_usage
    from ftpcli.errors import EXIT_BROKEN_PIPE, FtpError, unexpected

    given = "FTP_DEBUG" in os.environ
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except WrongUsage as error:
        sys.exit(say_wrong_usage(error))
    except (SystemExit, BrokenPipeError) as end:  # typer and rich end with 1 where nobody reads standard output
        if not isinstance(end, BrokenPipeError) and not isinstance(end.__context__, BrokenPipeError):
            raise
        _drop_output()
        sys.exit(EXIT_BROKEN_PIPE)
    except Exception as error:
        if os.environ.get("FTP_DEBUG"):
            raise
        from errno import errorcode

        # Files raise errors that name them, the network's have other numbers or none.
        if isinstance(error, OSError) and error.filename is None and errorcode.get(error.errno or 0) in _OUTPUT_ERRORS:
            _drop_output()
            error = FtpError(f"standard output: cannot be written ({error.strerror})")
        known = error if isinstance(error, FtpError) else unexpected(error)
        print(f"ftp: {known}", file=sys.stderr)
        sys.exit(known.exit_code)
    finally:
        if not given:  # --debug is this call's alone
            os.environ.pop("FTP_DEBUG", None)


def _drop_output() -> None:
    """What is still to be written to standard output at exit goes nowhere, without a complaint of Python's."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


class _StopSignals:
    """While it lasts, SIGINT and SIGTERM raise SystemExit, so that files under temporary names are removed.

    While modules are being imported, the exception waits for the line after the import: compiled modules that call
    Python as they load abort the process, or go on without the exception.
    A second signal ends the process at once. So does the first where Python drops the exception, as in a destructor.
    Signals that the process was started to ignore (``nohup``, a shell's ``&``) stay ignored.
    """

    def __enter__(self) -> None:
        self._caught = 0
        self._process = os.getpid()
        self._hook = sys.unraisablehook
        sys.unraisablehook = self._unraisable
        self._before = {
            number: signal.signal(number, self._stop)
            for number in (signal.SIGINT, signal.SIGTERM)
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)
        }

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        sys.unraisablehook = self._hook
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if self._caught else handler)
        if self._caught:
            sys.settrace(None)
            # Code that was interrupted may have turned SystemExit into an error of its own.
            raise SystemExit(128 + self._caught)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a forked helper process
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif self._caught:
            os._exit(128 + number)
        else:
            self._caught = number
            os.write(2, b"ftp: interrupted\n")
            importer = _importer(frame)
            if importer is None:
                raise SystemExit(128 + number)
            importer.f_trace = self._raise
            sys.settrace(lambda *_: None)  # a frame's own trace function is called only while there is a global one

    def _raise(self, *_: Any) -> None:
        sys.settrace(None)
        raise SystemExit(128 + self._caught)

    def _unraisable(self, dropped: Any) -> None:
        if self._caught and isinstance(dropped.exc_value, SystemExit):
            os._exit(128 + self._caught)
        self._hook(dropped)


def _importer(frame: FrameType | None) -> FrameType | None:
    """The frame whose import is running, the outermost where imports are nested; None if none runs."""
    importer = None
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib") and frame.f_back is not None:
            importer = frame.f_back
        frame = frame.f_back
    return importer
