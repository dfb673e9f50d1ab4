"""The HTTP contract of Azure ML's inference server: `/`, `/score`, and what their headers say."""

import time
import traceback
from collections.abc import Sequence
from typing import Any

from werkzeug.wrappers import Response as WerkzeugResponse

from berth_scoring import __version__
from berth_scoring.app import INTERNAL_ERROR, REQUEST_ID_LIMIT
from berth_scoring.execution import Interrupted, Lane, WorkQueue
from berth_scoring.messages import Handler, Headers, Refusal, Request, Response, json_response
from berth_scoring.script import Script

RUN_FAILED = b"x-ms-run-function-failed"
NOT_FAILED = (RUN_FAILED, b"False")
OF_THE_SERVER = {b"content-length", b"x-request-id", b"x-ms-request-id"} | {
    *(b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade"),
}
"""What the server says itself, whatever a script has put there."""
SERVER_VERSION = (b"x-ms-server-version", f"berth-scoring/{__version__}".encode())
HTML_HEADER = (b"content-type", b"text/html; charset=utf-8")

SCRIPT_FAILED = "An unexpected error occurred in scoring script. Check the logs for more info."


class RunFailed(Refusal):
    """The script raised."""

    def __init__(self) -> None:
        super().__init__(500, SCRIPT_FAILED)


class ScriptService:
    """A script behind the queue, one request at a time and thread."""

    def __init__(self, script: Script, queue: WorkQueue) -> None:
        self._script = script
        self._queue = queue
        self._lane: Lane[Request, Response] = Lane(self._execute)

    @property
    def handlers(self) -> dict[str, Handler]:
        """The methods of `/score`."""
        others: dict[str, Handler] = {"OPTIONS": answer_options}
        return others | dict.fromkeys(self._script.methods, self._score)

    async def _score(self, request: Request) -> Response:
        return await self._queue.submit(self._lane, request, request.disconnect)

    def _execute(self, requests: Sequence[Request]) -> list[Response | Exception]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Response | Exception:
        try:
            arguments = self._script.arguments(request)
        except Refusal as refusal:
            return refusal
        started = time.perf_counter()
        try:
            output = self._script.run(**arguments)
        except Interrupted:
            raise
        except BaseException:  # noqa: BLE001 - a script may raise anything, and takes only its request with it
            traceback.print_exc()
            return RunFailed()
        elapsed = time.perf_counter() - started
        return _with_run_time(output, elapsed)


def _with_run_time(output: Any, seconds: float) -> Response | Exception:  # noqa: ANN401 - what the script returned
    try:
        response = to_response(output)
    except (TypeError, ValueError):
        traceback.print_exc()
        return Refusal(500, INTERNAL_ERROR)
    response.headers.append(run_time(seconds))
    return response


def run_time(seconds: float) -> tuple[bytes, bytes]:
    """Return the header that says how long the script or model took, in milliseconds."""
    return b"x-ms-run-fn-exec-ms", f"{seconds * 1000:.3f}".encode()


def to_response(output: Any) -> Response:  # noqa: ANN401 - what the script returned
    """Turn what `run` returned into a response: one made by the script as it is, all else as JSON."""
    if isinstance(output, WerkzeugResponse):
        return _from_werkzeug(output)
    response = json_response({} if output is None else output)
    response.headers.append(NOT_FAILED)
    return response


def _from_werkzeug(response: WerkzeugResponse) -> Response:
    if not 200 <= response.status_code < 600:  # noqa: PLR2004
        raise ValueError(f"run returned a response with status {response.status_code}: no final one of HTTP")
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
    kept = [header for header in headers if header[0] not in OF_THE_SERVER]
    if response.status_code >= 500:  # noqa: PLR2004
        kept = [header for header in kept if header[0] != RUN_FAILED] + [(RUN_FAILED, b"True")]
    return Response(response.status_code, response.get_data(), kept)


def refuse(refusal: Refusal) -> Response:
    """Write a refusal as Azure ML's clients expect it."""
    failed = isinstance(refusal, RunFailed) or refusal.status == 504  # noqa: PLR2004 - the run's own time-out
    response = json_response({"message": refusal.message}, refusal.status)
    response.headers.append((RUN_FAILED, str(failed).encode()))
    return response


def with_headers(handler: Handler, *, server_version: Headers) -> Handler:
    """Add the headers of Azure ML to what `handler` answers, refusals included."""

    async def answer(request: Request) -> Response:
        try:
            ids = client_ids(request)
            response = await handler(request)
        except Refusal as refusal:
            ids = [] if refusal.status == 431 else client_ids(request)  # noqa: PLR2004
            response = refuse(refusal)
            response.headers.extend(refusal.headers)
        response.headers.extend(server_version + ids + trace_id(request))
        return response

    return answer


def client_ids(request: Request) -> Headers:
    """Return the ids to send back; `x-ms-request-id` is never empty, as old clients read it."""
    client = request.header(b"x-ms-client-request-id") or ""
    legacy = request.header(b"x-ms-request-id") or ""
    if max(len(client), len(legacy)) > REQUEST_ID_LIMIT:
        text = f"x-ms-request-id and x-ms-client-request-id must not exceed {REQUEST_ID_LIMIT} characters"
        raise Refusal(431, text)
    client = client or legacy
    headers = [(b"x-ms-request-id", (legacy or client or request.request_id).encode("latin-1"))]
    if client:
        headers.append((b"x-ms-client-request-id", client.encode("latin-1")))
    return headers


def trace_id(request: Request) -> Headers:
    """Return the `TraceId` that Office services send along."""
    value = request.fields.get(b"traceid")
    return [] if value is None else [(b"traceid", value)]


async def healthy(_request: Request) -> Response:
    """Answer `/`."""
    return Response(200, b"Healthy", [HTML_HEADER])


async def answer_options(_request: Request) -> Response:
    """Answer `OPTIONS /score` for scripts that do not see the request itself."""
    return Response(200, b"", [HTML_HEADER, NOT_FAILED])
