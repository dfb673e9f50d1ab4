"""ETags: the number of a version in base64, in quotes in headers and without them in bodies."""

import base64
import binascii
import re

QUOTED = re.compile(r'"([^"]+)"')
ANY = {"*", '"*"'}


def of_number(number: int) -> str:
    """Return the ETag of a configuration or an identity."""
    return base64.b64encode(str(number).encode()).decode()


def of_twin(version: int) -> str:
    """Return the ETag of a twin."""
    return base64.b64encode(version.to_bytes(8, "big")).decode()


def number(etag: str) -> int:
    """Return the number of an ETag of a configuration or an identity; one that is none is of no version."""
    try:
        return int(base64.b64decode(etag, validate=True))
    except (binascii.Error, ValueError):
        return 0


def required(if_match: str | None) -> str | None:
    """Return the ETag that a request insists on; one without quotes counts as none."""
    found = QUOTED.fullmatch(if_match or "")
    return found[1] if found and if_match not in ANY else None


def insists(if_match: str | None) -> bool:
    """Tell whether a request says that something is there already."""
    return if_match in ANY or required(if_match) is not None
