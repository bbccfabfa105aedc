"""A write is whole or absent, whatever fails in the middle of it."""

import errno
import json
import math
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch

from topfive.errors import BadFile, Misused
from topfive.files import (
    alone_in,
    check_place,
    flush,
    mapped,
    read_json,
    write_bytes,
    write_json,
    write_tensors,
    write_text,
    write_whole,
)


def test_what_is_written_is_read_back_and_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "figures.json"
    document = {"name": "Große Hunde 犬", "error": 0.125, "none": None, "list": [1, 2]}
    assert write_json(path, document) == path
    assert json.loads(path.read_bytes()) == document
    assert "犬" in path.read_text(encoding="utf-8")  # readable by a person, not \\u escapes
    assert read_json(path) == document
    assert write_text(path, "é\n").read_bytes() == b"\xc3\xa9\n"
    assert write_bytes(path, b"\0\1").read_bytes() == b"\0\1"
    assert os.listdir(path.parent) == ["figures.json"]


def test_the_old_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    path = write_text(tmp_path / "x", "old")

    def write(aside: Path) -> None:
        aside.write_text("new")
        assert path.read_text() == "old"
        assert aside.parent == path.parent  # a rename across file systems would not be one step

    write_whole(path, write)
    assert path.read_text() == "new"


def test_it_is_flushed_to_the_disk_before_it_takes_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, steps, fsync, replace = tmp_path / "x", [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (steps.append("flush"), fsync(file)))
    monkeypatch.setattr(os, "replace", lambda *paths: (steps.append("rename"), replace(*paths)))
    write_text(path, "new")
    assert steps == ["flush", "rename"]


@pytest.mark.parametrize("before", [None, "the last good one"])
def test_a_full_disk_leaves_what_was_there(
    tmp_path: Path, before: str | None, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    path = tmp_path / "x.json"
    if before is not None:
        path.write_text(before)
    with (
        full_disk(1000),
        pytest.raises(BadFile, match=r"x\.json: could not be written \(File too large\); free some space"),
    ):
        write_bytes(path, bytes(100_000))
    assert os.listdir(tmp_path) == ([] if before is None else ["x.json"])
    assert before is None or path.read_text() == before


def test_a_flush_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = write_text(tmp_path / "x", "old")
    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(BadFile, match=r"x: could not be written \(No space left on device\); free some space"):
        write_text(path, "new")
    assert (path.read_text(), os.listdir(tmp_path)) == ("old", ["x"])


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_any_other_stop_passes_through_and_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    path = write_text(tmp_path / "x", "old")

    def write(aside: Path) -> None:
        aside.write_text("half of the n")
        raise error("stopped")

    with pytest.raises(error, match="stopped"):
        write_whole(path, write)
    assert (path.read_text(), os.listdir(tmp_path)) == ("old", ["x"])


@pytest.mark.parametrize("place", ["file/x.json", "file/deeper/x.json", "folder", "n" * 300])
def test_a_place_that_cannot_hold_a_file_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("a file, not a folder")
    (tmp_path / "folder").mkdir()
    with pytest.raises(BadFile, match=f"{place}: could not be written .*choose another place"):
        write_text(tmp_path / place, "content")
    with pytest.raises(BadFile, match=f"{place}: could not be written .*choose another place"):
        check_place(tmp_path / place)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


@pytest.mark.parametrize("place", ["x", "a/b/x", "folder/a/x", "file"])
def test_a_place_is_tried_and_left_as_it_was(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("kept")
    (tmp_path / "folder").mkdir()
    check_place(tmp_path / place)
    assert sorted(map(str, tmp_path.rglob("*"))) == [str(tmp_path / "file"), str(tmp_path / "folder")]
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize("depth", [1, 3])
def test_a_place_without_the_right_to_write_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, depth: int
) -> None:
    """The system is asked by a call that it denies; a folder's mode would not stop root."""

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "touch", denied)
    path = tmp_path.joinpath(*"abc"[:depth])
    with pytest.raises(BadFile, match=rf"{path}: could not be written \(Permission denied\); free some"):
        check_place(path)
    assert os.listdir(tmp_path) == []


def test_nan_is_refused_before_the_old_file_is_touched(tmp_path: Path) -> None:
    path = write_json(tmp_path / "x.json", {"error": 0.5})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"error": math.nan})
    assert read_json(path) == {"error": 0.5}


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"\xff\xfe", b'{"a": 1} {"b": 2}'])
def test_broken_json_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(BadFile, match=r"x\.json: is not valid JSON \(.+\); delete it or restore it"):
        read_json(tmp_path / "x.json")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"x\.json: could not be read \(No such file or directory\)"):
        read_json(tmp_path / "x.json")
    with pytest.raises(BadFile, match=r"could not be read \(Is a directory\)"):
        read_json(tmp_path)


def test_files_have_the_rights_that_the_umask_gives(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    for path in (write_text(tmp_path / "a.txt", "a"), write_tensors(tmp_path / "b.safetensors", {}, {})):
        assert path.stat().st_mode == plain.stat().st_mode


def test_a_second_one_is_kept_out_of_a_folder_until_the_first_has_ended(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "run"
    said = rf"run: another process is at work here \(pid {os.getpid()}\); wait for it or choose another --out"
    with alone_in(folder), pytest.raises(Misused, match=said), alone_in(folder):
        pytest.fail("two at once")
    with pytest.raises(Misused, match="ended by an error"), alone_in(folder):
        raise Misused("ended by an error")
    with alone_in(folder):
        assert (folder / ".lock").read_text() == str(os.getpid())


def test_a_place_that_cannot_be_locked_is_left_to_the_first_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with alone_in(tmp_path / "file" / "run"):
        pass
    assert (tmp_path / "file").read_text() == ""


def test_a_mapped_file_that_the_disk_has_no_room_for_gives_back_what_it_got(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ext4 does: what there was room for stays with the file."""

    def half(file: int, start: int, size: int) -> None:
        os.ftruncate(file, size // 2)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    kept = mapped(tmp_path / "kept.bytes", (3, 5), torch.uint8)
    kept.fill_(7)
    flush(tmp_path / "kept.bytes")
    assert torch.equal(mapped(tmp_path / "kept.bytes", (3, 5), torch.uint8), torch.full((3, 5), 7, dtype=torch.uint8))
    monkeypatch.setattr(os, "posix_fallocate", half)
    for name, size in (("kept.bytes", 15), ("new.bytes", 0)):
        with pytest.raises(BadFile, match="No space left on device"):
            mapped(tmp_path / name, (1000, 1000), torch.uint8)
        assert (tmp_path / name).stat().st_size == size


def test_a_folder_in_which_nothing_was_done_is_not_left_behind(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), alone_in(tmp_path / "runs" / "new"):
        raise ZeroDivisionError
    assert not (tmp_path / "runs").exists()
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ZeroDivisionError), alone_in(tmp_path):
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    with alone_in(tmp_path / "runs" / "new"):
        (tmp_path / "runs" / "new" / "figures.json").touch()
    assert (tmp_path / "runs" / "new" / "figures.json").exists()
