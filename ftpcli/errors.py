"""Errors that end a run with one clear line, and the documented exit codes."""

EXIT_SOME_FAILED = 1
EXIT_USAGE = 2


def counted(count: int, one: str, many: str = "") -> str:
    """ "1 picture", "1,200 pictures": for messages. ``many`` is the plural where it is not ``one`` and an s."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


class FtpError(Exception):
    """Something the user can act on. The message names the file and the next step."""

    exit_code = EXIT_SOME_FAILED


class UsageError(FtpError):
    """The command's options do not fit together, or name something that does not exist."""

    exit_code = EXIT_USAGE


class InputError(FtpError):
    """An input file is missing, damaged, or not what it claims to be."""


class OutputError(FtpError):
    """An output cannot be written, or exists already."""
