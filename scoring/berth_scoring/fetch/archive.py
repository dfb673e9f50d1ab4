"""Unpack an archive that may be hostile.

Files and folders are written first, links made last, so that nothing is ever written through a link of the
archive's own; then every link must end inside the folder.
"""

import bz2
import gzip
import io
import lzma
import math
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Self, cast

from berth_scoring.fetch.errors import ArchiveDamagedError, ArchiveUnsafeError

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
ZIP_SUFFIX = ".zip"
_COMPRESSIONS: Mapping[bytes, Callable[[Path], io.BufferedIOBase]] = {
    b"\x1f\x8b": gzip.GzipFile,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ": lzma.LZMAFile,
}
"""By what a compressed file begins with, whatever its name says."""
_CHUNK_BYTES = 1 << 20
_HEADER_BYTES = 1 << 20
"""What may stand before a member's content: its name, its attributes, the map of its holes."""
_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    gzip.BadGzipFile,
    NotImplementedError,
    # What tarfile and zipfile let through from names, numbers and chains of headers that are none.
    ValueError,
    IndexError,
    OverflowError,
    RecursionError,
)
_COLLISIONS = (FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
_ENCRYPTED = 0x1
_LONGEST_PATH_BYTES = 4096


@dataclass(frozen=True, slots=True)
class UnpackLimits:
    """How much an archive may unfold to; more is taken for a bomb."""

    members: int = 100_000
    total_bytes: int = 64 << 30
    ratio: int = 200
    """Unpacked bytes per packed byte; weights seldom pass 20."""
    free_bytes: int = 100 << 20
    """What an archive of any size may unfold to."""

    def budget(self, packed_bytes: int) -> int:
        """Return how many bytes an archive of this size may unfold to."""
        return min(self.total_bytes, self.free_bytes + self.ratio * packed_bytes)


class _Kind(Enum):
    FILE = auto()
    FOLDER = auto()
    SYMLINK = auto()
    HARDLINK = auto()
    OTHER = auto()


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    kind: _Kind
    open: Callable[[], AbstractContextManager[IO[bytes]]]
    target: str = ""


def is_archive(name: str) -> bool:
    """Tell by its name whether a file is an archive that is to be unpacked."""
    return name.lower().endswith((*TAR_SUFFIXES, ZIP_SUFFIX))


def unpack(archive: Path, name: str, folder: Path, limits: UnpackLimits) -> None:
    """Unpack `archive`, whose format `name` tells, into the new `folder`, or raise FetchError."""
    members = _zip_members(archive) if name.lower().endswith(ZIP_SUFFIX) else _tar_members(archive)
    folder.mkdir(parents=True)
    try:
        _Unpacking(folder, limits.members, limits.budget(archive.stat().st_size)).run(members)
    except _DAMAGE as error:
        raise ArchiveDamagedError(f"the archive cannot be read: {error}") from error


class _Unpacking:
    """One archive on its way into one folder."""

    def __init__(self, folder: Path, members: int, budget: int) -> None:
        self._folder = folder
        self._members_left = members
        self._bytes_left = budget
        self._symlinks: dict[Path, str] = {}

    def run(self, members: Iterator[_Member]) -> None:
        for member in members:
            self._members_left -= 1
            if self._members_left < 0:
                raise ArchiveUnsafeError("the archive has too many members")
            self._place(member)
        self._link()

    def _place(self, member: _Member) -> None:
        path = self._inside(member.name, member)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            match member.kind:
                case _Kind.FOLDER:
                    path.mkdir(exist_ok=True)
                case _Kind.FILE:
                    self._write(path, member)
                case _Kind.HARDLINK:
                    path.hardlink_to(self._inside(member.target, member))
                case _Kind.SYMLINK:
                    self._symlinks[path] = member.target[:_LONGEST_PATH_BYTES]  # already too long
                case _Kind.OTHER:
                    raise ArchiveUnsafeError(
                        f"member {member.name!r} is neither a file nor a folder nor a link"
                    )
        except _COLLISIONS as error:
            raise ArchiveUnsafeError(
                f"member {member.name!r} collides with another one or links to none"
            ) from error

    def _inside(self, name: str, member: _Member) -> Path:
        pure = PurePosixPath(name)
        if pure.is_absolute() or ".." in pure.parts or "\0" in name:
            raise ArchiveUnsafeError(f"member {member.name!r} leads out of the folder")
        return self._folder / pure

    def _write(self, path: Path, member: _Member) -> None:
        with member.open() as source, path.open("xb") as sink:
            while chunk := source.read(_CHUNK_BYTES):
                self._bytes_left -= len(chunk)
                if self._bytes_left < 0:
                    raise ArchiveUnsafeError(
                        f"member {member.name!r} unfolds to more than an archive of this size may"
                    )
                sink.write(chunk)

    def _link(self) -> None:
        for path, target in self._symlinks.items():
            try:
                path.symlink_to(target)
            except (*_COLLISIONS, ValueError) as error:
                raise ArchiveUnsafeError(f"member {self._name(path)!r} collides with another one") from error
        root = os.path.realpath(self._folder)
        for path in self._symlinks:
            if not Path(os.path.realpath(path)).is_relative_to(root):
                raise ArchiveUnsafeError(f"member {self._name(path)!r} links out of the folder")

    def _name(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()


class _Metered:
    """A stream of which no more may be read than is left: tarfile holds headers of any length in memory."""

    def __init__(self, stream: io.BufferedIOBase) -> None:
        self._stream = stream
        self.left: float = _HEADER_BYTES

    def read(self, size: int) -> bytes:
        try:
            chunk = self._stream.read(size)
        except OSError as error:  # bz2 and gzip tell of damage like this
            raise tarfile.ReadError(str(error)) from error
        self.left -= len(chunk)
        if self.left < 0:
            raise ArchiveUnsafeError(f"the archive has a header of more than {_HEADER_BYTES} bytes")
        return chunk


class _StrictInfo(tarfile.TarInfo):
    """A header that is damage where it cannot be read: tarfile takes one in the middle for the end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if any(buf):
                raise tarfile.ReadError(str(error)) from error
            raise


def _tar_members(archive: Path) -> Iterator[_Member]:
    with _decompressed(archive) as stream:
        metered = _Metered(stream)
        with tarfile.open(fileobj=cast("IO[bytes]", metered), mode="r|", tarinfo=_StrictInfo) as tar:
            for info in tar:
                metered.left = math.inf  # the content counts against the budget, as it is written
                yield _Member(info.name, _tar_kind(info), partial(_tar_file, tar, info), info.linkname)
                metered.left = _HEADER_BYTES
                # Of many members the headers alone would fill the memory.
                tar.members.clear()  # type: ignore[attr-defined] # typeshed leaves it out
                tar.pax_headers = {}
        # What the archive is padded with; a compressed one has its checksum behind it.
        while metered.read(_CHUNK_BYTES):
            pass


def _decompressed(archive: Path) -> io.BufferedIOBase:
    with archive.open("rb") as file:
        head = file.read(8)
    for magic, decompress in _COMPRESSIONS.items():
        if head.startswith(magic):
            return decompress(archive)
    return archive.open("rb")


def _tar_kind(info: tarfile.TarInfo) -> _Kind:
    if info.isdir():
        return _Kind.FOLDER
    if info.issym():
        return _Kind.SYMLINK
    if info.islnk():
        return _Kind.HARDLINK
    return _Kind.FILE if info.isfile() else _Kind.OTHER


def _tar_file(tar: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    file = tar.extractfile(info)
    if file is None:
        raise ArchiveUnsafeError(f"member {info.name!r} is not a file")
    return file


def _zip_members(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as packed:
        for info in packed.infolist():
            if info.flag_bits & _ENCRYPTED:
                raise ArchiveDamagedError(f"member {info.filename!r} is encrypted")
            kind = _zip_kind(info)
            target = _zip_link_target(packed, info) if kind is _Kind.SYMLINK else ""
            yield _Member(info.filename, kind, partial(packed.open, info), target)


def _zip_kind(info: zipfile.ZipInfo) -> _Kind:
    if info.is_dir():
        return _Kind.FOLDER
    mode = stat.S_IFMT(info.external_attr >> 16)
    return {0: _Kind.FILE, stat.S_IFREG: _Kind.FILE, stat.S_IFLNK: _Kind.SYMLINK}.get(mode, _Kind.OTHER)


def _zip_link_target(packed: zipfile.ZipFile, info: zipfile.ZipInfo) -> str:
    with packed.open(info) as file:
        return os.fsdecode(file.read(_LONGEST_PATH_BYTES))
