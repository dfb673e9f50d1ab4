"""The `Authorization` header out of a mounted Secret."""

from base64 import b64encode
from pathlib import Path

from berth_scoring.fetch.errors import FetchError


def authorization(folder: Path) -> str:
    """Return the header for a Secret with `authorization`, `token`, or `username` and `password`."""
    match _keys(folder):
        case {"authorization": value}:
            return value
        case {"token": token}:
            return f"Bearer {token}"
        case {"username": username, "password": password}:
            return "Basic " + b64encode(f"{username}:{password}".encode()).decode()
    raise FetchError("the credentials Secret has none of: authorization, token, username with password")


def _keys(folder: Path) -> dict[str, str]:
    names = ("authorization", "token", "username", "password")
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
