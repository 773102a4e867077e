"""DeepLabCut's HDF5 file, which is a pandas table. Memory grows with the file.

HDF5 notes when a table was made, so that two files of the same poses differ in their bytes.
"""

from __future__ import annotations

import numpy as np

from ftpcli.formats.base import rounded
from ftpcli.formats.deeplabcut import TITLES, DeepLabCutSink
from ftpcli.formats.spool import copy_from


class DeepLabCutH5Sink(DeepLabCutSink):
    """The table of ``deeplabcut`` under the key ``df_with_missing``."""

    suffix = ".h5"
    library = "tables"

    def close(self, frames: int) -> None:
        import pandas as pd

        columns = [("ftp", *column) for column in self.columns()]
        rows = list(self.rows())
        values = np.array([row for _, row in rows])
        values.reshape(len(rows), -1, 3)[..., :2] = rounded(values.reshape(len(rows), -1, 3)[..., :2])
        names = pd.MultiIndex.from_tuples(columns, names=["scorer", *TITLES])
        table = pd.DataFrame(values, index=[index for index, _ in rows], columns=names)
        copy_from(self.stream, self.suffix, lambda path: table.to_hdf(path, key="df_with_missing", mode="w"))
