"""Lists of inputs, and their shares."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from ftpcli.errors import InputError, UsageError
from ftpcli.files.inputs import unique_stems
from ftpcli.files.worklist import Row, Shard, read_worklist, resolve_rows


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_one_path_a_line(tmp_path: Path, end: str, start: str) -> None:
    names = ["a.mp4", "folder/with space, and comma.mp4", "#1.mp4", "é.mp4"]
    (tmp_path / "list.txt").write_bytes((start + end.join([*names, "", ""])).encode())
    assert [row.path for row in read_worklist(str(tmp_path / "list.txt"))] == names


def test_names_that_are_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "list").write_bytes(b"caf\xe9.mp4\n")
    assert [row.path for row in read_worklist(str(tmp_path / "list"))] == ["caf\udce9.mp4"]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a\nb\n")))
    assert read_worklist("-") == [Row("a"), Row("b")]


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_table(tmp_path: Path, delimiter: str) -> None:
    with open(tmp_path / "list.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(["path", "end", "start", "boxes"])
        writer.writerows([["a,b;c.mp4", "1:20", "7.5", ""], ["b.mp4", "", "", "m.txt"]])
    assert read_worklist(str(tmp_path / "list.csv")) == [Row("a,b;c.mp4", 7.5, 80.0), Row("b.mp4", boxes="m.txt")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "first line has to name the columns"),
        ("path\n", "names no input"),
        ("video,start\na,1\n", "first line has to name the columns"),
        ("path,path\na,b\n", "first line has to name the columns"),
        ("path,start\na.mp4,soon\n", "line 2: soon: is not a time"),
        ("path,start\n\na.mp4,1,2\n", "line 3: has 3 cells, the header 2"),
        ("path,start\n,2\n", "line 2: has no path"),
        ('path\n"a', "line 2: is not CSV"),
    ],
)  # fmt: skip
def test_a_table_that_is_none(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(UsageError, match=says):
        read_worklist(str(tmp_path / "list.csv"))


def test_a_list_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_worklist(str(tmp_path / "none.txt"))


def test_rows_become_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.mp4", "b.mp4", "boxes.txt"):
        Path(name).touch()
    rows = [
        Row("a.mp4"), Row("./a.mp4"), Row("a.mp4", 0.0, 3600.125), Row("a.mp4", 10.0), Row("gone.mp4"),
        Row("b.mp4", boxes="none.txt"), Row("b.mp4", end=5.0, boxes="boxes.txt"), Row("gone too.mp4"),
    ]  # fmt: skip
    sources, failed = resolve_rows(rows)
    assert [source.name for source in sources] == ["a.mp4", "a.mp4 0-3600.125", "a.mp4 10-end", "b.mp4 0-5"]
    assert unique_stems(sources) == ["a", "a_0-3600.125", "a_10-end", "b_0-5"]
    assert sources[-1].own == {"end": 5.0, "boxes": "boxes.txt"}
    assert {name: str(error) for name, error in failed.items()} == {
        "gone.mp4": "gone.mp4: no such file or folder",
        "b.mp4": "none.txt: no such file or folder",
        "gone too.mp4": "gone too.mp4: no such file or folder",
    }
    with pytest.raises(UsageError, match=r"a.mp4: is in the list twice, with other boxes"):
        resolve_rows([Row("a.mp4"), Row("a.mp4", boxes="boxes.txt")])


def test_shards_share_out_all_and_hold_still() -> None:
    names = [f"videos/clip{number}.mp4" for number in range(4000)]
    shards = [Shard(index, 16) for index in range(1, 17)]
    shares = [{name for name in names if shard.has(name)} for shard in shards]
    assert sorted(name for share in shares for name in share) == sorted(names)  # each once
    assert all(180 < len(share) < 320 for share in shares)
    assert Shard(1, 16).has("./videos//clip1.mp4") == Shard(1, 16).has("videos/clip1.mp4")
    # On any machine, in any version: a change here sends videos to other shards.
    assert [next(i for i in range(1, 17) if Shard(i, 16).has(name)) for name in names[:6]] == [2, 16, 11, 11, 2, 7]


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "1/0", "-1/4", "a/b", "1/4/2", "", "１/4"])
def test_shard_out_of_range(text: str) -> None:
    with pytest.raises(UsageError, match=r"--shard .*: give I/N with I from 1 to N"):
        Shard.parse(text)
    assert Shard.parse("4/4") == Shard(4, 4)
