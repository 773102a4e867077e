"""Parquet from CSV and back, with polars. Both are streamed."""

from __future__ import annotations

from pathlib import Path

from ftpcli.errors import InputError, one_line


def from_csv(table: str | Path, out: str | Path, text: tuple[str, ...], whole: tuple[str, ...]) -> None:
    """Write a CSV table with a header as Parquet.

    Args:
        text, whole: names of the columns of text and of whole numbers; all others hold floats.
    """
    import polars as pl

    with open(table, encoding="utf-8") as file:
        names = file.readline().strip().split(",")
    types = {name: pl.String if name in text else pl.Int64 if name in whole else pl.Float64 for name in names}
    pl.scan_csv(table, schema=types).sink_parquet(out, maintain_order=True)


def to_csv(path: str | Path, out: str | Path) -> None:
    """Write a Parquet file as CSV.

    Raises:
        InputError: it is damaged or no flat table, or polars is missing.
    """
    try:
        import polars as pl
    except ImportError:
        raise InputError(f"{path}: Parquet needs polars; install it with: pip install 'ftp-pose[formats]'") from None
    try:
        pl.scan_parquet(path, glob=False).sink_csv(out)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{path}: the Parquet file cannot be read ({one_line(error)})") from error
