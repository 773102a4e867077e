"""Errors that end a run with one clear line, and the documented exit codes."""

from collections.abc import Iterator
from contextlib import contextmanager
from unicodedata import category

EXIT_SOME_FAILED = 1
EXIT_USAGE = 2
#: Nobody reads standard output any more, as a shell shows it for SIGPIPE.
EXIT_BROKEN_PIPE = 141


def counted(count: int, one: str, many: str = "") -> str:
    """ "1 picture", "1,200 pictures": for messages. ``many`` is the plural where it is not ``one`` and an s."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


class FtpError(Exception):
    """Something the user can act on. The message names the file and the next step.

    Args:
        frame: what it is about, where who raises it does not know the file: whoever does names it (``naming``).
    """

    exit_code = EXIT_SOME_FAILED

    def __init__(self, message: str = "", frame: int | None = None) -> None:
        super().__init__(message if frame is None else f"frame {frame}: {message}")
        self.frame = frame


@contextmanager
def naming(path: object) -> Iterator[None]:
    """Errors in the block that name a frame alone get the file's name, too."""
    try:
        yield
    except FtpError as error:
        if error.frame is None:
            raise
        raise type(error)(f"{path}: {error}") from error


class UsageError(FtpError):
    """The command's options do not fit together, or name something that does not exist."""

    exit_code = EXIT_USAGE


class InputError(FtpError):
    """An input file is missing, damaged, or not what it claims to be."""


class OutputError(FtpError):
    """An output cannot be written, or exists already."""


class BusyError(OutputError):
    """Another run is writing this output."""


def one_line(error: BaseException) -> str:
    """What an exception of a library says first, for a message of ours: short, and without the pictographs of some."""
    text = "".join(character for character in str(error).strip().partition("\n")[0] if category(character) != "So")
    text = " ".join(text.split()) or type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."


def is_out_of_memory(error: BaseException) -> bool:
    """Also of torch's errors: CUDA's says so; the allocators of CPU and MPS raise a plain RuntimeError."""
    words = "can't allocate memory", "not enough memory", "out of memory"
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(w in str(error) for w in words))


def unexpected(error: Exception) -> FtpError:
    """What to say of an exception that nobody foresaw."""
    if is_out_of_memory(error):
        return FtpError("out of memory; close other programs, or choose smaller --batch or --detector-size")
    return FtpError(f"a fault of the program ({type(error).__name__}: {one_line(error)}); 'ftp --debug' shows where")
