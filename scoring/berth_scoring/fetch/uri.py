from pathlib import PurePosixPath
from urllib.parse import unquote, urljoin, urlsplit

from berth_scoring.fetch.errors import FetchError


def shown(uri: str) -> str:
    """Return the URI without its query, which can be a signature, and its user, for messages.

    In a URI of Azure storage what looks like a user is the container.
    """
    parts = urlsplit(uri)
    user, at, host = parts.netloc.rpartition("@")
    if parts.scheme.startswith(("abfs", "wasb")) and ":" not in user:
        host = f"{user}{at}{host}"
    return f"{parts.scheme}://{host}{parts.path}"


def scheme_of(uri: str) -> str:
    """Return the scheme in lower case; raises FetchError for a URI whose host or port can be none."""
    try:
        parts = urlsplit(uri)
        _ = parts.port  # is read only now
    except ValueError as error:
        raise FetchError("the URI has no valid host or port") from error
    return parts.scheme


def redirected(uri: str, location: str) -> str:
    """Return where a redirect leads; raises FetchError for one that leads nowhere."""
    try:
        target = urljoin(uri, location)
        scheme_of(target)
    except (ValueError, FetchError) as error:
        raise FetchError(f"{shown(uri)} redirects to an address that is none") from error
    return target


def path_of(uri: str) -> PurePosixPath:
    """Return the path behind the host, percent-decoded."""
    return PurePosixPath(unquote(urlsplit(uri).path) or "/")


def file_name(uri: str) -> str | None:
    """Return the last part of the path, under which the file is kept, if there is a usable one."""
    name = path_of(uri).name
    return None if name in {"", ".", ".."} or "\0" in name or "/" in name else name
