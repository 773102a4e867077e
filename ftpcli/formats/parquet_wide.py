"""Parquet with one row a frame and person."""

from __future__ import annotations

from ftpcli.formats.csv_wide import CsvWideSink
from ftpcli.formats.parquet import ParquetSink


class ParquetWideSink(ParquetSink, CsvWideSink):
    """The columns of ``csv_wide``."""

    lacks = ""


SINK = ParquetWideSink
