"""Download over HTTPS: verified, resumed where it was cut, repeated while that can help."""

import hashlib
import random
import ssl
import time
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import IO
from urllib.parse import SplitResult, urlsplit

import urllib3
from urllib3.exceptions import (
    HTTPError,
    LocationValueError,
    NameResolutionError,
    NewConnectionError,
    SSLError,
)
from urllib3.exceptions import TimeoutError as HTTPTimeoutError

from berth_scoring.fetch.errors import FetchError
from berth_scoring.fetch.uri import redirected, scheme_of, shown

_CHUNK_BYTES = 1 << 20
_MAX_REDIRECTS = 5
_REDIRECTS = {301, 302, 303, 307, 308}
_WORTH_REPEATING = {408, 425, 429, 500, 502, 503, 504}
_UNRESUMABLE = {HTTPStatus.PARTIAL_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE}
_REFUSALS = {
    401: "the server asks for credentials (401): check credentialsSecretRef",
    403: "the server refuses access (403): check the credentials or the signature of the URI",
    404: "not found (404)",
    410: "no longer there (410)",
}


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a download is tried; times in seconds."""

    deadline: float = 3600.0
    connect: float = 10.0
    stall: float = 60.0
    """The longest wait for the next bytes."""
    first_pause: float = 0.5
    longest_pause: float = 30.0
    attempts: int = 6
    """Attempts in a row without any progress."""


class _InterruptedError(Exception):
    """An attempt failed in a way that the next one may not."""

    def __init__(self, message: str, pause: float | None = None) -> None:
        super().__init__(message)
        self.pause = pause
        """What the server asks for, in seconds."""


class _Part:
    """What has arrived so far of one file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.start_over()

    def start_over(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._hash = hashlib.sha256()
        self.size = 0
        self.validator: str | None = None

    def add(self, chunk: bytes) -> None:
        self._file.write(chunk)
        self._hash.update(chunk)
        self.size += len(chunk)

    def sha256(self) -> str:
        return self._hash.hexdigest()


class Downloader:
    """Downloads over one pool of connections; trusts the system's authorities or `SSL_CERT_FILE`."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._pool = urllib3.PoolManager(ssl_context=ssl.create_default_context(), retries=False)

    def download(self, url: str, target: Path, authorization: str | None) -> str:
        """Write the content of `url` to the file `target` and return its sha256 in hex."""
        end = time.monotonic() + self._patience.deadline
        failures = 0
        with target.open("wb") as file:
            part = _Part(file)
            while True:
                size = part.size
                try:
                    self._attempt(url, part, authorization, end)
                except _InterruptedError as error:
                    failures = 1 if part.size > size else failures + 1
                    self._pause(url, error, failures, end)
                else:
                    return part.sha256()

    def _pause(self, url: str, error: _InterruptedError, failures: int, end: float) -> None:
        if failures >= self._patience.attempts:
            raise FetchError(f"{shown(url)}: {error}; gave up after {failures} attempts") from error
        grown = min(self._patience.first_pause * 2 ** (failures - 1), self._patience.longest_pause)
        pause = error.pause if error.pause is not None else grown * random.uniform(0.5, 1)  # noqa: S311
        if time.monotonic() + pause >= end:
            raise FetchError(f"{shown(url)}: {error}; {self._out_of_time()}") from error
        time.sleep(pause)

    def _attempt(self, url: str, part: _Part, authorization: str | None, end: float) -> None:
        try:
            with self._open(url, part, authorization, end) as response:
                _prepare(part, response, url)
                while chunk := response.read1(_CHUNK_BYTES):
                    part.add(chunk)
                    if time.monotonic() >= end:
                        raise FetchError(
                            f"{shown(url)}: {part.size} bytes have arrived; {self._out_of_time()}"
                        )
        except HTTPError as error:
            raise _translated(error, url) from error

    def _open(self, url: str, part: _Part, authorization: str | None, end: float) -> urllib3.BaseHTTPResponse:
        target = url
        for _ in range(_MAX_REDIRECTS + 1):
            if scheme_of(target) != "https":
                raise FetchError(f"{shown(url)} leads to {shown(target)}, which is not https")
            secret = {"Authorization": authorization} if authorization and _same_origin(url, target) else {}
            response = self._get(target, _headers(part) | secret, end)
            if response.status not in _REDIRECTS:
                return response
            response.close()
            target = redirected(target, response.headers.get("Location", ""))
        raise FetchError(f"{shown(url)} redirects more than {_MAX_REDIRECTS} times")

    def _get(self, url: str, headers: dict[str, str], end: float) -> urllib3.BaseHTTPResponse:
        left = max(end - time.monotonic(), 0.001)
        timeout = urllib3.Timeout(
            connect=min(self._patience.connect, left), read=min(self._patience.stall, left)
        )
        return self._pool.request(
            "GET",
            url,
            headers=headers,
            timeout=timeout,
            redirect=False,
            preload_content=False,
            decode_content=False,
        )

    def _out_of_time(self) -> str:
        return f"gave up at the deadline of {self._patience.deadline:g} s"


def _headers(part: _Part) -> dict[str, str]:
    headers = {"Accept-Encoding": "identity", "User-Agent": "berth-scoring"}
    if part.size and part.validator:
        headers |= {"Range": f"bytes={part.size}-", "If-Range": part.validator}
    return headers


def _prepare(part: _Part, response: urllib3.BaseHTTPResponse, url: str) -> None:
    """Let the answer's body follow what is there already, or start over."""
    if response.status == HTTPStatus.PARTIAL_CONTENT and _continues(part, response):
        return
    part.start_over()
    if response.status in _UNRESUMABLE:
        raise _InterruptedError("the server cannot resume the download")
    if response.status in _WORTH_REPEATING:
        raise _InterruptedError(
            f"the server answers {response.status}", urllib3.Retry().get_retry_after(response)
        )
    if response.status != HTTPStatus.OK:
        refusal = _REFUSALS.get(response.status, f"the server answers {response.status}")
        raise FetchError(f"{shown(url)}: {refusal}")
    if (encoding := response.headers.get("Content-Encoding", "identity")) != "identity":
        raise FetchError(f"{shown(url)}: the server insists on Content-Encoding {encoding}")
    part.validator = _validator(response)


def _continues(part: _Part, response: urllib3.BaseHTTPResponse) -> bool:
    return response.headers.get("Content-Range", "").startswith(f"bytes {part.size}-")


def _validator(response: urllib3.BaseHTTPResponse) -> str | None:
    """Return what proves that a resumed file is still the same one; a weak tag does not."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified")


def _same_origin(one: str, other: str) -> bool:
    return _origin(urlsplit(one)) == _origin(urlsplit(other))


def _origin(parts: SplitResult) -> tuple[str, str | None, int]:
    return parts.scheme, parts.hostname, parts.port or 443


def _translated(error: HTTPError, url: str) -> Exception:
    """Say in the user's words what urllib3 met, and whether to try again."""
    host = urlsplit(url).hostname
    match error:
        case LocationValueError():
            return FetchError(f"{shown(url)} is not a valid address")
        case SSLError(args=(ssl.SSLCertVerificationError() as reason, *_)):
            return FetchError(
                f"{shown(url)}: the certificate of the server is not trusted: {reason.verify_message}"
            )
        case NameResolutionError():
            return _InterruptedError(f"the name {host} cannot be resolved")
        case NewConnectionError():
            return _InterruptedError(f"nothing answers at {host}")
        case HTTPTimeoutError():
            return _InterruptedError("the server does not answer in time")
        case _:
            return _InterruptedError(f"the connection broke: {type(error).__name__}")
