"""The log of a run: a line of JSON an event, and TensorBoard where asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ftpcli.errors import UsageError
from ftpcli.training.distributed import rank_and_world

Row = dict[str, Any]
Tell = Callable[[Row], None]


class Log:
    """Writes ``log.jsonl``, and calls ``tell`` with every row. Of several processes the first writes.

    Raises:
        UsageError: TensorBoard is asked for and not installed.
    """

    def __init__(self, folder: Path, tell: Tell, *, tensorboard: bool) -> None:
        self._folder, self._tell = folder, tell
        self._first = rank_and_world()[0] == 0
        self._board: Any = None
        if tensorboard and self._first:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise UsageError("--tensorboard: not installed; pip install 'ftp-pose[log]'") from error
            self._board = SummaryWriter(folder)

    def __call__(self, row: Row) -> None:
        if not self._first:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        with open(self._folder / "log.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        if self._board is not None and row["event"] in ("step", "validation"):
            for name in ("loss", "lr", "samples_per_second", "score"):
                if name in row:
                    self._board.add_scalar(name, row[name], row["step"])
        self._tell(row)
