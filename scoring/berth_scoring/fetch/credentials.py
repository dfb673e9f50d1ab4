"""What opens a remote URI, out of a mounted Secret."""

from base64 import b64encode
from pathlib import Path

from berth_scoring.fetch.errors import FetchError


def authorization(folder: Path) -> str:
    """Return the header for a Secret with `authorization`, `token`, or `username` and `password`."""
    match _values(folder, "authorization", "token", "username", "password"):
        case {"authorization": value}:
            return value
        case {"token": token}:
            return f"Bearer {token}"
        case {"username": username, "password": password}:
            return "Basic " + b64encode(f"{username}:{password}".encode()).decode()
    raise FetchError("the credentials Secret has none of: authorization, token, username with password")


def storage_key(folder: Path) -> tuple[str, str]:
    """Return which of `sasToken` and `accountKey` a Secret for Azure storage holds, and its value."""
    values = _values(folder, "sasToken", "accountKey")
    if not values:
        raise FetchError("the credentials Secret has none of: sasToken, accountKey")
    return next(iter(values.items()))


def _values(folder: Path, *names: str) -> dict[str, str]:
    return {name: _value(folder / name) for name in names if (folder / name).is_file()}


def _value(path: Path) -> str:
    # Checked here because the HTTP library would show the value in its complaint.
    try:
        value = path.read_text("utf-8").strip()
    except UnicodeDecodeError:
        value = ""
    if not (value and value.isprintable() and value.isascii()):
        raise FetchError(
            f"{path.name} in the credentials Secret is empty or holds control or non-ASCII characters"
        )
    return value
