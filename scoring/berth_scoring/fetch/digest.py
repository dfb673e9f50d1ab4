"""Digests of what was fetched.

A file, an archive included, has the sha256 of its bytes. A folder has the sha256 over one line per file,
sorted by path: the path relative to the folder, a NUL, the file's digest in hex, a newline.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path


def digest(path: Path) -> str:
    """Return the digest of a file or a folder in hex."""
    return _folder_digest(path) if path.is_dir() else _file_digest(path)


def is_hidden(name: str) -> bool:
    """Tell whether a name is Kubernetes' own: a mounted ConfigMap keeps its versions in `..data`."""
    return name.startswith("..")


def _folder_digest(folder: Path) -> str:
    paths = {path.relative_to(folder).as_posix(): path for path in _visible_files(folder)}
    lines = (f"{name}\0{_file_digest(path)}\n" for name, path in sorted(paths.items()))
    return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()


def _visible_files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_dir() and not is_hidden(path.name):
            yield from _visible_files(path)
        elif not is_hidden(path.name):
            yield path


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
