from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit


def shown(uri: str) -> str:
    """Return the URI without its query, which can be a signature, and its user, for messages."""
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


def scheme_of(uri: str) -> str:
    """Return the scheme in lower case."""
    return urlsplit(uri).scheme


def path_of(uri: str) -> PurePosixPath:
    """Return the path behind the host, percent-decoded."""
    return PurePosixPath(unquote(urlsplit(uri).path) or "/")


def file_name(uri: str) -> str | None:
    """Return the last part of the path, under which the file is kept, if there is a usable one."""
    name = path_of(uri).name
    return None if name in {"", ".", ".."} or "\0" in name or "/" in name else name
