"""Bring one artifact, a model or the code, from its URI to its folder."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from berth_scoring.fetch.archive import UnpackLimits, is_archive, unpack
from berth_scoring.fetch.credentials import authorization
from berth_scoring.fetch.digest import digest, is_hidden
from berth_scoring.fetch.errors import DigestMismatchError, FetchError
from berth_scoring.fetch.https import Downloader
from berth_scoring.fetch.storage import STORAGE_SCHEMES, Storage
from berth_scoring.fetch.uri import file_name, path_of, scheme_of, shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """What is wanted: the content of `uri` in the folder `target`."""

    uri: str
    target: Path
    source: Path | None = None
    sha256: str | None = None
    credentials_dir: Path | None = None


@dataclass(frozen=True, slots=True)
class _Content:
    """A file or folder at hand, and the way to put it elsewhere."""

    path: Path
    name: str
    sha256: str
    put: Callable[[Path, Path], object]


class Fetcher:
    """Fetches artifacts into one volume, each prepared in `workspace` on it and renamed when it is whole."""

    def __init__(
        self, downloader: Downloader, storage: Storage, workspace: Path, limits: UnpackLimits
    ) -> None:
        self._downloader = downloader
        self._storage = storage
        self._workspace = workspace
        self._limits = limits

    def fetch(self, artifact: Artifact) -> str:
        """Fill `artifact.target`, unless an earlier run did, and return the content's sha256 in hex."""
        receipt = self._workspace / f"{_fingerprint(artifact)}.sha256"
        if receipt.exists() and artifact.target.exists():
            return receipt.read_text()
        try:
            sha256 = self._fetch(artifact)
            receipt.write_text(sha256)
        except OSError as error:
            raise FetchError(f"{shown(artifact.uri)}: {error.strerror or error}") from error
        return sha256

    def _fetch(self, artifact: Artifact) -> str:
        with _empty(self._workspace / "scratch") as scratch:
            content = self._content(artifact, scratch / "download")
            if artifact.sha256 not in {None, content.sha256}:
                raise DigestMismatchError(
                    f"{shown(artifact.uri)} has sha256 {content.sha256}, but {artifact.sha256} is pinned"
                )
            ready = scratch / "ready"
            self._place(content, ready)
            _replace(artifact.target, ready)
        return content.sha256

    def _content(self, artifact: Artifact, download: Path) -> _Content:
        match scheme_of(artifact.uri):
            case "https":
                return self._downloaded(artifact, download)
            case "configmap":
                return _at_hand(_key_of(_volume(artifact), artifact.uri), artifact.uri, _copy)
            case "pvc":
                return _at_hand(_volume(artifact), artifact.uri, _link)
            case "file":
                return _at_hand(Path(path_of(artifact.uri)), artifact.uri, _link)
            case scheme if scheme in STORAGE_SCHEMES:
                return self._from_storage(artifact, download)
        raise FetchError(f"{shown(artifact.uri)}: this scheme cannot be fetched yet")

    def _downloaded(self, artifact: Artifact, download: Path) -> _Content:
        name = file_name(artifact.uri)
        if name is None:
            raise FetchError(f"{shown(artifact.uri)} does not end in the name of a file")
        secret = authorization(artifact.credentials_dir) if artifact.credentials_dir else None
        sha256 = self._downloader.download(artifact.uri, download, secret)
        return _Content(download, name, sha256, Path.rename)

    def _from_storage(self, artifact: Artifact, download: Path) -> _Content:
        name = file_name(artifact.uri) or "model"
        self._storage.download(artifact.uri, download, artifact.credentials_dir)
        return _Content(download, name, digest(download), Path.rename)

    def _place(self, content: _Content, target: Path) -> None:
        if content.path.is_dir():
            content.put(content.path, target)
        elif is_archive(content.name):
            unpack(content.path, content.name, target, self._limits)
        else:
            target.mkdir()
            content.put(content.path, target / content.name)


def _volume(artifact: Artifact) -> Path:
    if artifact.source is None:
        raise FetchError(f"{shown(artifact.uri)}: no volume is mounted for it")
    return artifact.source


def _key_of(config_map: Path, uri: str) -> Path:
    key = file_name(uri)
    return config_map / key if key and config_map.is_dir() else config_map


def _at_hand(path: Path, uri: str, put: Callable[[Path, Path], object]) -> _Content:
    if not path.exists():
        raise FetchError(f"{shown(uri)}: there is nothing at that path")
    return _Content(path, file_name(uri) or path.name, digest(path), put)


def _link(source: Path, target: Path) -> None:
    target.symlink_to(source)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=lambda _, names: list(filter(is_hidden, names)))
    else:
        shutil.copyfile(source, target)


@contextmanager
def _empty(folder: Path) -> Iterator[Path]:
    """Lend a folder; what a killed run left in it is removed before."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    yield folder
    shutil.rmtree(folder)


def _replace(target: Path, ready: Path) -> None:
    if target.is_symlink():
        target.unlink()
    elif target.exists():
        shutil.rmtree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    ready.rename(target)


def _fingerprint(artifact: Artifact) -> str:
    wanted = "\n".join((artifact.uri, artifact.sha256 or "", str(artifact.target)))
    return hashlib.sha256(wanted.encode()).hexdigest()
