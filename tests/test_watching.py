"""When what was read of files is not what is there any more: with made-up files, and with real ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from relay.watching import AGAIN, GONE, Look, Watch


class Files:
    """Files that are there only in words."""

    def __init__(self, **files: str) -> None:
        self.content: dict[str, str] = files
        self.times = dict.fromkeys(files, 1)
        self.reads = 0

    def write(self, name: str, content: str) -> None:
        self.content[name] = content
        self.times[name] = self.times.get(name, 0) + 1

    def look(self, path: str) -> Look | None:
        if path not in self.content:
            return None
        return Look(1, 1, len(self.content[path]), self.times[path])

    def read(self, path: str) -> bytes:
        self.reads += 1
        return self.content[path].encode()

    def watched(self) -> Watch:
        watch = Watch(self.look, self.read)
        assert watch.follow(self.content)
        return watch


def looks(watch: Watch, count: int) -> list[bool]:
    return [watch.changed() for _ in range(count)]


def test_what_does_not_change_is_not_read_again() -> None:
    files = Files(a="1", b="2")
    watch = files.watched()
    reads = files.reads
    assert not any(looks(watch, 10))
    assert files.reads == reads


def test_a_change_counts_at_the_second_look_and_once() -> None:
    files = Files(a="1", b="2")
    watch = files.watched()
    files.write("b", "3")
    assert looks(watch, 5) == [False, True, False, False, False]


def test_a_file_that_is_only_touched_has_not_changed() -> None:
    files = Files(a="1")
    watch = files.watched()
    files.write("a", "1")
    assert not any(looks(watch, 5))


def test_what_is_still_being_written_is_not_read() -> None:
    files = Files(cert="old", key="old")
    watch = files.watched()
    reads = files.reads
    for name, content in [("cert", "ne"), ("cert", "new"), ("key", "n"), ("key", "new")]:
        files.write(name, content)
        assert not watch.changed()
    assert files.reads == reads
    assert watch.changed()


def test_a_change_that_is_taken_back_in_time_is_none() -> None:
    files = Files(a="1")
    watch = files.watched()
    files.write("a", "2")
    assert not watch.changed()
    files.write("a", "1")
    assert not any(looks(watch, 5))


def test_a_file_that_is_gone_for_a_moment() -> None:
    files = Files(a="1")
    watch = files.watched()
    del files.content["a"]
    assert not any(looks(watch, GONE - 1))
    files.write("a", "2")
    assert looks(watch, 3) == [False, True, False]


def test_a_file_that_is_gone_and_comes_back() -> None:
    files = Files(a="1")
    watch = files.watched()
    del files.content["a"]
    assert looks(watch, GONE + 3) == [False] * (GONE - 1) + [True] + [False] * 3
    files.write("a", "1")
    assert looks(watch, 3) == [False, True, False]


def test_a_file_that_was_never_there_may_come() -> None:
    files = Files(a="1")
    watch = Watch(files.look, files.read)
    watch.follow(["a", "b"])
    files.write("b", "2")
    assert looks(watch, 3) == [False, True, False]


def test_what_was_read_meanwhile_is_no_change() -> None:
    """A HUP right after the edit: one reload, not two."""
    files = Files(a="1")
    watch = files.watched()
    files.write("a", "2")
    assert not watch.changed()
    watch.note()
    assert not any(looks(watch, 5))


def test_files_that_join_are_to_be_read_again_and_those_that_leave_do_not_matter() -> None:
    files = Files(a="1", b="2", c="3")
    watch = Watch(files.look, files.read)
    assert watch.follow(["a", "b"])
    assert not watch.follow(["b", "a"])
    assert watch.follow(["a", "c"])
    assert watch.files == ("a", "c")
    assert not watch.follow(["a"])
    files.write("c", "4")
    assert not any(looks(watch, 3))
    files.write("a", "5")
    assert looks(watch, 2) == [False, True]


def test_a_file_that_leaves_the_others_as_they_were() -> None:
    """What has changed since the last look is still found."""
    files = Files(a="1", b="2")
    watch = files.watched()
    files.write("a", "9")
    assert not watch.follow(["a"])
    assert looks(watch, 2) == [False, True]


def test_what_could_not_be_used_is_tried_again() -> None:
    files = Files(a="1")
    watch = files.watched()
    for _ in range(2):
        watch.failed()
        assert looks(watch, AGAIN - 1) == [False] * (AGAIN - 2) + [True]
    watch.note()
    assert not any(looks(watch, 2 * AGAIN))


def test_it_is_tried_again_at_once_when_it_changes() -> None:
    files = Files(a="1")
    watch = files.watched()
    watch.failed()
    files.write("a", "2")
    assert looks(watch, 2) == [False, True]


# --- real files -------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "relay.yaml"
    path.write_text("old")
    return path


def watched(path: Path) -> Watch:
    watch = Watch()
    watch.follow([str(path)])
    assert not any(looks(watch, 3))
    return watch


def test_an_edit(file: Path) -> None:
    watch = watched(file)
    file.write_text("new!")
    assert looks(watch, 3) == [False, True, False]


def test_an_edit_of_the_same_length_at_the_same_time(file: Path) -> None:
    """By a renaming editor on a file system of coarse times: another inode."""
    watch = watched(file)
    before = file.stat()
    new = file.with_name("new")
    new.write_text("wen")
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    new.rename(file)
    assert looks(watch, 3) == [False, True, False]


def test_links_are_followed(tmp_path: Path) -> None:
    """As the kubelet mounts a ConfigMap: relay.yaml -> ..data/relay.yaml, ..data -> a folder with a date."""
    for name in ("..one", "..two", "..same"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "relay.yaml").write_text("one" if name == "..same" else name[2:])
    (tmp_path / "..data").symlink_to("..one")
    (tmp_path / "relay.yaml").symlink_to("..data/relay.yaml")
    watch = watched(tmp_path / "relay.yaml")

    def swap(name: str) -> None:
        (tmp_path / "..data_tmp").symlink_to(name)
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")

    swap("..same")
    assert not any(looks(watch, 4))
    swap("..two")
    assert looks(watch, 3) == [False, True, False]


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    """Reading a pipe would not end."""
    os.mkfifo(tmp_path / "pipe")
    watch = Watch()
    watch.follow([str(tmp_path / "pipe"), str(tmp_path), "/no/such/file", "no\0name"])
    assert not any(looks(watch, 3))


def test_a_file_that_may_not_be_read_has_changed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = watched(file)
    file.write_text("new!")
    assert not watch.changed()
    monkeypatch.setattr("builtins.open", _refuse)
    assert watch.changed()


def _refuse(*_: object) -> None:
    raise PermissionError
