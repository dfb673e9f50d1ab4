import contextlib
import io
import os
import stat
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth_scoring.fetch.archive import UnpackLimits, is_archive, unpack
from berth_scoring.fetch.errors import ArchiveDamagedError, ArchiveUnsafeError, FetchError

LIMITS = UnpackLimits()


def tar_of(path: Path, *members: tarfile.TarInfo, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:
        for member in members:
            content = b"x" * member.size
            tar.addfile(member, io.BytesIO(content) if member.isfile() else None)
    return path


def file_member(name: str, size: int = 3) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size
    return info


def special_member(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zip_link(name: str, target: str) -> tuple[zipfile.ZipInfo, str]:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info, target


def zip_of(path: Path, *members: tuple[zipfile.ZipInfo | str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members:
            packed.writestr(name, content)
    return path


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [(".tar", "w"), (".tar.gz", "w:gz"), (".tgz", "w:gz"), (".tar.bz2", "w:bz2"), (".tar.xz", "w:xz")],
)
def test_every_kind_of_tar_is_unpacked(tmp_path: Path, suffix: str, mode: str) -> None:
    folder = special_member("weights", tarfile.DIRTYPE)
    archive = tar_of(tmp_path / "a", folder, file_member("weights/w.bin", 5), file_member("m.txt"), mode=mode)
    unpack(archive, "model" + suffix, tmp_path / "out", LIMITS)
    assert files_below(tmp_path / "out") == {"weights/w.bin", "m.txt"}
    assert (tmp_path / "out/weights/w.bin").read_bytes() == b"xxxxx"


def test_a_zip_is_unpacked(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a", ("deep/er/m.txt", b"abc"), zip_link("latest", "deep/er/m.txt"))
    unpack(archive, "model.zip", tmp_path / "out", LIMITS)
    assert (tmp_path / "out/latest").read_bytes() == b"abc"


def test_links_within_the_archive_are_kept(tmp_path: Path) -> None:
    archive = tar_of(
        tmp_path / "a",
        special_member("current", tarfile.SYMTYPE, "v1"),
        file_member("v1/m.bin"),
        special_member("v2/m.bin", tarfile.LNKTYPE, "v1/m.bin"),
    )
    unpack(archive, "m.tar.gz", tmp_path / "out", LIMITS)
    assert (tmp_path / "out/current/m.bin").read_bytes() == (tmp_path / "out/v2/m.bin").read_bytes() == b"xxx"


ESCAPES = {
    "parent": [file_member("../evil")],
    "parent within a path": [file_member("a/../../evil")],
    "absolute": [file_member("/tmp/evil")],
    "symlink to an absolute path": [special_member("l", tarfile.SYMTYPE, "/etc")],
    "symlink to the parent": [special_member("l", tarfile.SYMTYPE, "..")],
    "file through a symlink": [special_member("l", tarfile.SYMTYPE, ".."), file_member("l/evil")],
    "folder through a symlink": [
        special_member("l", tarfile.SYMTYPE, "../.."),
        special_member("l/evil", tarfile.DIRTYPE),
    ],
    "symlinks that only escape together": [
        special_member("a", tarfile.SYMTYPE, "d/e/../.."),
        special_member("d", tarfile.SYMTYPE, "."),
    ],
    "hard link to the outside": [special_member("l", tarfile.LNKTYPE, "../secret")],
    "hard link to an absolute path": [special_member("l", tarfile.LNKTYPE, "/etc/passwd")],
    "hard link to a symlink": [
        special_member("l", tarfile.SYMTYPE, "/etc/passwd"),
        special_member("h", tarfile.LNKTYPE, "l"),
    ],
    "device": [special_member("null", tarfile.CHRTYPE)],
    "pipe": [special_member("fifo", tarfile.FIFOTYPE)],
    "the same name twice": [file_member("m"), file_member("m")],
    "a file used as a folder": [file_member("m"), file_member("m/n")],
}


@pytest.mark.parametrize("members", ESCAPES.values(), ids=ESCAPES.keys())
def test_a_hostile_tar_is_refused_by_the_name_of_its_member(
    tmp_path: Path, members: list[tarfile.TarInfo]
) -> None:
    (tmp_path / "secret").write_text("s")
    archive = tar_of(tmp_path / "a", file_member("fine"), *members)
    with pytest.raises(ArchiveUnsafeError, match="member '"):
        unpack(archive, "m.tar.gz", tmp_path / "deep/out", LIMITS)
    assert names_in(tmp_path) == {"secret", "a", "deep"}
    assert names_in(tmp_path / "deep") == {"out"}


@pytest.mark.parametrize(
    "member", [("../evil", b""), ("/evil", b""), zip_link("l", "../.."), zip_link("l", "/etc/passwd")]
)
def test_a_hostile_zip_is_refused(tmp_path: Path, member: tuple[zipfile.ZipInfo | str, str | bytes]) -> None:
    archive = zip_of(tmp_path / "a", member)
    with pytest.raises(ArchiveUnsafeError, match="out of the folder"):
        unpack(archive, "m.zip", tmp_path / "deep/out", LIMITS)
    assert names_in(tmp_path / "deep") == {"out"}


def small_zip(path: Path) -> Path:
    return zip_of(path, ("zeros", bytes(4 << 20)))


def small_tar(path: Path) -> Path:
    return tar_of(path, *(file_member(f"m{number}", 100_000) for number in range(40)))


@pytest.mark.parametrize(("make", "name"), [(small_zip, "b.zip"), (small_tar, "b.tar.gz")])
def test_a_bomb_is_stopped_before_it_fills_the_disk(
    tmp_path: Path, make: Callable[[Path], Path], name: str
) -> None:
    archive = make(tmp_path / "a")
    with pytest.raises(ArchiveUnsafeError, match="unfolds to more"):
        unpack(archive, name, tmp_path / "out", UnpackLimits(ratio=10, free_bytes=1 << 20))
    written = sum(path.stat().st_size for path in (tmp_path / "out").rglob("*"))
    assert written <= 10 * archive.stat().st_size + (1 << 20)


def commented(name: str, comment: str) -> tarfile.TarInfo:
    info = file_member(name)
    info.pax_headers = {"comment": comment}
    return info


def peak_of(action: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("member", "dialect"),
    [
        (file_member("n" * (64 << 20)), tarfile.GNU_FORMAT),
        (commented("m", "c" * (64 << 20)), tarfile.PAX_FORMAT),
    ],
    ids=["long name", "long comment"],
)
def test_a_header_of_any_length_is_not_read_into_memory(
    tmp_path: Path, member: tarfile.TarInfo, dialect: int
) -> None:
    archive = tmp_path / "a"
    with tarfile.open(archive, "w:gz", format=dialect) as tar:
        tar.addfile(member, io.BytesIO(b"xxx"))

    def refused() -> None:
        with pytest.raises(ArchiveUnsafeError, match="a header of more than 1048576 bytes"):
            unpack(archive, "m.tar.gz", tmp_path / "out", LIMITS)

    assert peak_of(refused) < 8 << 20


def test_the_headers_of_many_members_do_not_pile_up_in_memory(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "a", *(commented(str(number), "c" * 500_000) for number in range(40)))
    assert peak_of(lambda: unpack(archive, "m.tar.gz", tmp_path / "out", LIMITS)) < 8 << 20
    assert len(names_in(tmp_path / "out")) == 40


def test_a_chain_of_headers_without_a_member_is_damage(tmp_path: Path) -> None:
    header = special_member("h", tarfile.XHDTYPE).tobuf()
    (tmp_path / "a").write_bytes(header * 1500)
    with pytest.raises(ArchiveDamagedError):
        unpack(tmp_path / "a", "m.tar", tmp_path / "out", LIMITS)


def test_too_many_members_are_refused(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "a", *(file_member(str(number)) for number in range(11)))
    with pytest.raises(ArchiveUnsafeError, match="too many members"):
        unpack(archive, "m.tar.gz", tmp_path / "out", UnpackLimits(members=10))


@pytest.mark.parametrize("name", ["m.tar.gz", "m.tar.bz2", "m.tar.xz", "m.tar", "m.zip"])
def test_a_damaged_archive_is_told_as_such(tmp_path: Path, name: str) -> None:
    mode = {"m.tar.gz": "w:gz", "m.tar.bz2": "w:bz2", "m.tar.xz": "w:xz", "m.tar": "w"}
    archive = tmp_path / "a"
    if name in mode:
        tar_of(archive, file_member("m", 100_000), mode=mode[name])
    else:
        zip_of(archive, ("m", os.urandom(1000)))
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    with pytest.raises(ArchiveDamagedError):
        unpack(archive, name, tmp_path / "out", LIMITS)


@pytest.mark.parametrize(
    ("name", "mode"), [("m.tar.gz", "w:gz"), ("m.tar.bz2", "w:bz2"), ("m.tar.xz", "w:xz")]
)
def test_a_flipped_bit_is_damage(tmp_path: Path, name: str, mode: str) -> None:
    archive = tmp_path / "a"
    noise = os.urandom(100_000)
    with tarfile.open(archive, mode) as tar:
        tar.addfile(file_member("m", len(noise)), io.BytesIO(noise))
    content = bytearray(archive.read_bytes())
    content[50_000] ^= 1
    archive.write_bytes(content)
    with pytest.raises(ArchiveDamagedError):
        unpack(archive, name, tmp_path / "out", LIMITS)


def test_a_broken_header_in_the_middle_is_damage(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "a", file_member("one"), file_member("two"), mode="w")
    content = bytearray(archive.read_bytes())
    content[1024] ^= 1
    archive.write_bytes(content)
    with pytest.raises(ArchiveDamagedError):
        unpack(archive, "m.tar", tmp_path / "out", LIMITS)


def test_a_page_that_poses_as_an_archive_is_told_as_damaged(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("<html>please sign in</html>")
    with pytest.raises(ArchiveDamagedError):
        unpack(tmp_path / "a", "m.tar.gz", tmp_path / "out", LIMITS)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("m.zip", True),
        ("M.TAR.GZ", True),
        ("m.onnx", False),
        ("m.gz", False),
        ("tar", False),
        ("m.pt", False),
    ],
)
def test_archives_are_known_by_their_name(name: str, expected: bool) -> None:
    assert is_archive(name) is expected


@st.composite
def damaged_archives(draw: st.DrawFn) -> tuple[str, bytes]:
    """A name, and an archive of some kind in which bytes are wrong."""
    kinds = {"m.tar": "w", "m.tar.gz": "w:gz", "m.tar.bz2": "w:bz2", "m.tar.xz": "w:xz", "m.zip": ""}
    name, mode = draw(st.sampled_from(sorted(kinds.items())))
    buffer = io.BytesIO()
    if mode:
        with tarfile.open(fileobj=buffer, mode=mode) as tar:
            tar.addfile(commented("é", "c"), io.BytesIO(b"xxx"))
    else:
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr("é", b"xxx")
    content = bytearray(buffer.getvalue())
    places = st.integers(0, min(len(content), 2048) - 1)
    for place, value in draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=4)):
        content[place] = value
    return name, bytes(content)


@given(damaged_archives())
def test_a_damaged_archive_is_unpacked_or_refused(
    tmp_path_factory: pytest.TempPathFactory, damaged: tuple[str, bytes]
) -> None:
    name, content = damaged
    root = tmp_path_factory.mktemp("damaged")
    (root / "a").write_bytes(content)
    with contextlib.suppress(FetchError, OSError):  # whatever else would end without a reason
        unpack(root / "a", name, root / "out", LIMITS)


PARTS = st.sampled_from(["a", "b", "..", ".", "", "/"])
PATHS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)
KINDS = st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE])


@given(st.lists(st.tuples(PATHS, KINDS, PATHS), max_size=6))
def test_no_archive_ever_reaches_outside_its_folder(
    tmp_path_factory: pytest.TempPathFactory, entries: list[tuple[str, bytes, str]]
) -> None:
    root = tmp_path_factory.mktemp("jail")
    archive = tar_of(root / "archive", *(special_member(*entry) for entry in entries))
    out = root / "one/two/out"
    try:
        unpack(archive, "m.tar.gz", out, LIMITS)
    except ArchiveUnsafeError:
        pass
    else:
        assert all(Path(os.path.realpath(path)).is_relative_to(out) for path in out.rglob("*"))
    assert names_in(root / "one/two") == {"out"}
    assert names_in(root) == {"one", "archive"}
