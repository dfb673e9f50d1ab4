from pathlib import Path

import pytest

from berth_scoring.auth import KeyRing
from berth_scoring.messages import Refusal


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def write(folder: Path, primary: str, secondary: str) -> Path:
    folder.mkdir()
    (folder / "primaryKey").write_text(primary)
    (folder / "secondaryKey").write_text(secondary)
    return folder


def admits(keys: KeyRing, authorization: bytes | None) -> bool:
    try:
        keys.admit(authorization)
    except Refusal:
        return False
    return True


def test_both_keys_are_admitted(tmp_path: Path) -> None:
    keys = KeyRing(write(tmp_path / "keys", "first", "second\n"))
    assert admits(keys, b"Bearer first")
    assert admits(keys, b"bearer second")


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        b"",
        b"Bearer",
        b"Bearer ",
        b"first",
        b"Basic first",
        b"Bearer firs",
        b"Bearer first1",
        b"Bearer \xff",
    ],
)
def test_all_else_is_refused(tmp_path: Path, authorization: bytes | None) -> None:
    assert not admits(KeyRing(write(tmp_path / "keys", "first", "second")), authorization)


def test_an_empty_file_is_no_key(tmp_path: Path) -> None:
    keys = KeyRing(write(tmp_path / "keys", "first", ""))
    assert len(keys) == 1
    assert not admits(keys, b"Bearer ")


def test_a_refusal_says_what_to_send(tmp_path: Path) -> None:
    keys = KeyRing(write(tmp_path / "keys", "first", "second"))
    with pytest.raises(Refusal, match="Authorization: Bearer") as caught:
        keys.admit(None)
    assert caught.value.status == 401
    assert caught.value.headers == [(b"www-authenticate", b"Bearer")]


def test_a_rotated_key_is_read_within_a_second_though_a_symlink_was_swapped(tmp_path: Path) -> None:
    link, clock = tmp_path / "keys", Clock()
    link.symlink_to(write(tmp_path / "old", "first", "second"))
    keys = KeyRing(link, clock)
    (tmp_path / "next").symlink_to(write(tmp_path / "new", "third", "second"))
    (tmp_path / "next").replace(link)
    clock.now = 0.9
    assert admits(keys, b"Bearer first")
    clock.now = 1.0
    assert not admits(keys, b"Bearer first")
    assert admits(keys, b"Bearer third")
    assert admits(keys, b"Bearer second")


def test_keys_that_vanish_admit_no_one(tmp_path: Path) -> None:
    clock = Clock()
    keys = KeyRing(write(tmp_path / "keys", "first", "second"), clock)
    (tmp_path / "keys" / "primaryKey").unlink()
    (tmp_path / "keys" / "secondaryKey").unlink()
    clock.now = 2.0
    assert not admits(keys, b"Bearer first")
