"""Bring one artifact, a model or the code, from its URI to its folder."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from berth_scoring.fetch.archive import UnpackLimits, is_archive, unpack
from berth_scoring.fetch.cache import Cache
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
    """Fetches artifacts into one volume, each prepared in `workspace` on it and renamed when it is whole.

    With a cache, what comes from afar stays there, and the volume holds a link to it.
    """

    def __init__(
        self,
        downloader: Downloader,
        storage: Storage,
        workspace: Path,
        limits: UnpackLimits,
        cache: Cache | None = None,
    ) -> None:
        self._downloader = downloader
        self._storage = storage
        self._workspace = workspace
        self._limits = limits
        self._cache = cache

    def fetch(self, artifact: Artifact) -> str:
        """Fill `artifact.target`, unless an earlier run did, and return the content's sha256 in hex."""
        receipt = self._workspace / f"{_fingerprint(artifact)}.sha256"
        if self._cache is None and receipt.exists() and artifact.target.exists():
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
            _compare(artifact, content.sha256)
            ready = scratch / "ready"
            self._place(content, ready)
            _replace(artifact.target, ready)
        return content.sha256

    def _content(self, artifact: Artifact, download: Path) -> _Content:
        match scheme_of(artifact.uri):
            case "https":
                return self._from_afar(artifact, download, self._download)
            case "configmap":
                return _at_hand(_key_of(_volume(artifact), artifact.uri), artifact.uri, _copy)
            case "pvc":
                return _at_hand(_volume(artifact), artifact.uri, _link)
            case "file":
                return _at_hand(Path(path_of(artifact.uri)), artifact.uri, _link)
            case scheme if scheme in STORAGE_SCHEMES:
                return self._from_afar(artifact, download, self._download_from_storage)
        raise FetchError(f"{shown(artifact.uri)}: this scheme cannot be fetched yet")

    def _from_afar(
        self, artifact: Artifact, download: Path, bring: Callable[[Artifact, Path], str]
    ) -> _Content:
        name = file_name(artifact.uri) or "model"
        if self._cache is None:
            return _Content(download, name, bring(artifact, download), Path.rename)

        def bring_as_pinned(path: Path) -> str:
            sha256 = bring(artifact, path)
            _compare(artifact, sha256)
            return sha256

        kept, sha256 = self._cache.get(f"{artifact.uri}\n{artifact.sha256 or ''}", bring_as_pinned)
        return _Content(kept, name, sha256, _link)

    def _download(self, artifact: Artifact, download: Path) -> str:
        if file_name(artifact.uri) is None:
            raise FetchError(f"{shown(artifact.uri)} does not end in the name of a file")
        secret = authorization(artifact.credentials_dir) if artifact.credentials_dir else None
        return self._downloader.download(artifact.uri, download, secret)

    def _download_from_storage(self, artifact: Artifact, download: Path) -> str:
        self._storage.download(artifact.uri, download, artifact.credentials_dir)
        return digest(download)

    def _place(self, content: _Content, target: Path) -> None:
        if content.path.is_dir():
            content.put(content.path, target)
        elif is_archive(content.name):
            unpack(content.path, content.name, target, self._limits)
        else:
            target.mkdir()
            content.put(content.path, target / content.name)


def _compare(artifact: Artifact, sha256: str) -> None:
    if artifact.sha256 not in {None, sha256}:
        raise DigestMismatchError(
            f"{shown(artifact.uri)} has sha256 {sha256}, but {artifact.sha256} is pinned"
        )


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
