"""Parquet: the table of ``csv``, with types. ``parquet_wide`` is that of ``csv_wide``."""

from __future__ import annotations

import tempfile
from typing import Any

from ftpcli.files import parquet
from ftpcli.files.output import OutputStream
from ftpcli.formats.base import WriteOptions
from ftpcli.formats.csv import CsvSink, CsvWideSink
from ftpcli.formats.spool import copy_from
from ftpcli.records import Header


class ParquetSink(CsvSink):
    """Rows wait in a temporary CSV file, which is turned into Parquet."""

    suffix = ".parquet"
    library = "polars"

    def __init__(self, stream: Any, header: Header, options: WriteOptions) -> None:
        self._table = tempfile.NamedTemporaryFile(suffix=".csv")  # noqa: SIM115 (closed by release())
        self._out = stream
        super().__init__(OutputStream(self._table.file, tempfile.gettempdir()), header, options)

    def close(self, frames: int) -> None:
        self._table.flush()
        whole = ("frame", "track")
        copy_from(self._out, self.suffix, lambda path: parquet.from_csv(self._table.name, path, ("joint",), whole))

    def release(self) -> None:
        self._table.close()


class ParquetWideSink(ParquetSink, CsvWideSink):
    """The columns of ``csv_wide``."""

    lacks = ""
