"""Say in the user's words what Azure's libraries met, and whether to try again."""

import re
from collections.abc import Mapping

from azure.core.exceptions import AzureError, HttpResponseError
from urllib3.exceptions import HTTPError, MaxRetryError

from berth_scoring.fetch import https
from berth_scoring.fetch.blob_location import BlobLocation
from berth_scoring.fetch.errors import FetchError
from berth_scoring.fetch.transfer import REFUSALS, WORTH_REPEATING, InterruptedDownloadError

_ENTRA_CODE = re.compile(r"AADSTS(\d+)")
_ENTRA_IS_BUSY = {"90033", "50196"}
_CHANGED = 412


def error_code(error: HttpResponseError) -> str:
    """Return the storage service's own word for what is wrong, if it sent one."""
    code = getattr(error, "error_code", None) or ""
    return str(getattr(code, "value", code))


def translated(error: Exception, location: BlobLocation) -> Exception:
    """Translate what an operation on a blob or container raised."""
    if isinstance(error, HttpResponseError) and error.status_code:
        return _answered(error, error.status_code, location)
    if (met := _met_by_urllib3(error)) is not None:
        return https.translated(met, location.account_url)
    return InterruptedDownloadError(f"the connection broke: {type(error).__name__}")


def sign_in_error(error: Exception, location: BlobLocation) -> Exception:
    """Translate what signing in raised: what Entra gives a code of its own is final, all else may pass."""
    text = str(error).partition(" Trace ID")[0].splitlines()[0]
    code = _ENTRA_CODE.search(text)
    if isinstance(error, ValueError) or (code and code[1] not in _ENTRA_IS_BUSY):
        return FetchError(f"{location.shown}: signing in fails: {text}")
    if not code and (met := _met_by_urllib3(error.__cause__)) is not None:
        return https.translated(met, location.account_url)
    return InterruptedDownloadError(f"signing in fails: {text}")


def _answered(error: HttpResponseError, status: int, location: BlobLocation) -> Exception:
    if status == _CHANGED:
        return InterruptedDownloadError("the blob changed while it was read")
    if status in WORTH_REPEATING:
        return InterruptedDownloadError(f"the server answers {status}", _retry_after(error))
    refusal = REFUSALS.get(status, f"the server answers {status}")
    return FetchError(f"{location.shown}: {refusal} {error_code(error)}".rstrip())


def _retry_after(error: HttpResponseError) -> float | None:
    headers: Mapping[str, str] = getattr(error.response, "headers", {})
    value = headers.get("Retry-After", "")
    return float(value) if value.isdecimal() else None


def _met_by_urllib3(error: object) -> HTTPError | None:
    """Unwrap what azure-core, requests and urllib3 put around the first cause."""
    match error:
        case MaxRetryError(reason=reason):
            return _met_by_urllib3(reason)
        case HTTPError():
            return error
        case AzureError():
            return _met_by_urllib3(error.inner_exception or error.__cause__)
        case OSError(args=(inner, *_)):
            return _met_by_urllib3(inner)
    return None
