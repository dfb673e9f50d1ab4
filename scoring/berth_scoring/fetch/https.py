"""Download over HTTPS: verified, resumed where it was cut, repeated while that can help."""

import ssl
from http import HTTPStatus
from pathlib import Path
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
from berth_scoring.fetch.transfer import (
    REFUSALS,
    WORTH_REPEATING,
    InterruptedDownloadError,
    Part,
    Patience,
    Transfer,
)
from berth_scoring.fetch.uri import redirected, scheme_of, shown

_CHUNK_BYTES = 1 << 20
_MAX_REDIRECTS = 5
_REDIRECTS = {301, 302, 303, 307, 308}
_UNRESUMABLE = {HTTPStatus.PARTIAL_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE}


class Downloader:
    """Downloads over one pool of connections; trusts the system's authorities or `SSL_CERT_FILE`."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._pool = urllib3.PoolManager(ssl_context=ssl.create_default_context(), retries=False)

    def download(self, url: str, target: Path, authorization: str | None) -> str:
        """Write the content of `url` to the file `target` and return its sha256 in hex."""
        transfer = Transfer(self._patience, shown(url))
        return transfer.file(target, lambda part: self._attempt(url, part, authorization, transfer))

    def _attempt(self, url: str, part: Part, authorization: str | None, transfer: Transfer) -> None:
        try:
            with self._open(url, part, authorization, transfer) as response:
                _prepare(part, response, url)
                while chunk := response.read1(_CHUNK_BYTES):
                    part.add(chunk)
                    transfer.check(part.size)
        except HTTPError as error:
            raise translated(error, url) from error

    def _open(
        self, url: str, part: Part, authorization: str | None, transfer: Transfer
    ) -> urllib3.BaseHTTPResponse:
        target = url
        for _ in range(_MAX_REDIRECTS + 1):
            if scheme_of(target) != "https":
                raise FetchError(f"{shown(url)} leads to {shown(target)}, which is not https")
            secret = {"Authorization": authorization} if authorization and _same_origin(url, target) else {}
            response = self._get(target, _headers(part) | secret, transfer)
            if response.status not in _REDIRECTS:
                return response
            response.close()
            target = redirected(target, response.headers.get("Location", ""))
        raise FetchError(f"{shown(url)} redirects more than {_MAX_REDIRECTS} times")

    def _get(self, url: str, headers: dict[str, str], transfer: Transfer) -> urllib3.BaseHTTPResponse:
        connect, read = transfer.timeouts()
        return self._pool.request(
            "GET",
            url,
            headers=headers,
            timeout=urllib3.Timeout(connect=connect, read=read),
            redirect=False,
            preload_content=False,
            decode_content=False,
        )


def _headers(part: Part) -> dict[str, str]:
    headers = {"Accept-Encoding": "identity", "User-Agent": "berth-scoring"}
    if part.size and part.validator:
        headers |= {"Range": f"bytes={part.size}-", "If-Range": part.validator}
    return headers


def _prepare(part: Part, response: urllib3.BaseHTTPResponse, url: str) -> None:
    """Let the answer's body follow what is there already, or start over."""
    if response.status == HTTPStatus.PARTIAL_CONTENT and _continues(part, response):
        return
    part.start_over()
    if response.status in _UNRESUMABLE:
        raise InterruptedDownloadError("the server cannot resume the download")
    if response.status in WORTH_REPEATING:
        raise InterruptedDownloadError(
            f"the server answers {response.status}", urllib3.Retry().get_retry_after(response)
        )
    if response.status != HTTPStatus.OK:
        refusal = REFUSALS.get(response.status, f"the server answers {response.status}")
        raise FetchError(f"{shown(url)}: {refusal}")
    if (encoding := response.headers.get("Content-Encoding", "identity")) != "identity":
        raise FetchError(f"{shown(url)}: the server insists on Content-Encoding {encoding}")
    part.validator = _validator(response)


def _continues(part: Part, response: urllib3.BaseHTTPResponse) -> bool:
    return response.headers.get("Content-Range", "").startswith(f"bytes {part.size}-")


def _validator(response: urllib3.BaseHTTPResponse) -> str | None:
    """Return what proves that a resumed file is still the same one; a weak tag does not."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified")


def _same_origin(one: str, other: str) -> bool:
    return _origin(urlsplit(one)) == _origin(urlsplit(other))


def _origin(parts: SplitResult) -> tuple[str, str | None, int]:
    return parts.scheme, parts.hostname, parts.port or 443


def translated(error: HTTPError, url: str) -> Exception:
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
            return InterruptedDownloadError(f"the name {host} cannot be resolved")
        case NewConnectionError():
            return InterruptedDownloadError(f"nothing answers at {host}")
        case HTTPTimeoutError():
            return InterruptedDownloadError("the server does not answer in time")
        case _:
            return InterruptedDownloadError(f"the connection broke: {type(error).__name__}")
