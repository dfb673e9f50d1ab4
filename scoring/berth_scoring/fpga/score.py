"""`/score` over HTTP for the model that gRPC serves."""

import asyncio
import base64
import binascii
import time
from concurrent.futures import Executor

import numpy as np
from grpc import StatusCode

from berth_scoring import azureml
from berth_scoring.formats.base import Tensors
from berth_scoring.fpga.errors import Rejected, invalid
from berth_scoring.fpga.images import check_array, check_batch
from berth_scoring.fpga.pipeline import Images, Pipeline
from berth_scoring.messages import Headers, Refusal, Request, Response
from berth_scoring.protocols.encoding import decode_object, encode

FIELD = "data"
STATUSES = {
    StatusCode.INVALID_ARGUMENT: 400,
    StatusCode.UNAVAILABLE: 503,
    StatusCode.DEADLINE_EXCEEDED: 504,
}


class Score:
    """Takes a JPEG as the body, or JSON with `data`: JPEGs in base64, or arrays for the featurizer."""

    def __init__(
        self, pipeline: Pipeline, executor: Executor, max_batch: int, timeout: float, headers: Headers
    ) -> None:
        self._pipeline = pipeline
        self._executor = executor
        self._max_batch = max_batch
        self._timeout = timeout
        self.about = headers
        """What every answer over HTTP says of the device, and of what runs on it."""

    async def answer(self, request: Request) -> Response:
        """Answer `POST /score` with one row per image."""
        started = time.perf_counter()
        loop = asyncio.get_running_loop()
        try:
            work = loop.run_in_executor(self._executor, self._scored, request)
            response = await asyncio.wait_for(work, self._timeout)
        except Rejected as error:
            raise Refusal(STATUSES.get(error.status, 500), error.message, self._refused(error)) from error
        except TimeoutError as error:
            raise Refusal(504, f"Scoring timeout after {self._timeout:g} s") from error
        response.headers += [
            (azureml.RUN_FAILED, b"False"),
            azureml.run_time(time.perf_counter() - started),
        ]
        return response

    def _refused(self, error: Rejected) -> Headers:
        return [(b"retry-after", b"1")] if error.status is StatusCode.UNAVAILABLE else []

    def _scored(self, request: Request) -> Response:
        return encode(self._rows(self._pipeline.run(self._images(request), lambda: True)))

    def _images(self, request: Request) -> Images:
        if (request.header(b"content-type") or "").startswith("image/jpeg"):
            return self._pipeline.decode([request.body], "body")
        values = decode_object(request.body).get(FIELD)
        if not isinstance(values, list):
            raise invalid(f"{FIELD!r} must be a list: JPEGs in base64, or arrays of numbers")
        check_batch(len(values), self._max_batch, FIELD)
        if all(isinstance(value, str) for value in values):
            return self._pipeline.decode([_decoded(value, at) for at, value in enumerate(values)], FIELD)
        return self._array(values)

    def _array(self, values: list[object]) -> Images:
        try:
            array = np.asarray(values, np.float32)
        except (TypeError, ValueError) as error:
            raise invalid(f"{FIELD!r}: neither JPEGs in base64 nor arrays of numbers of one shape") from error
        check_array(array.shape, self._pipeline.featurizer, FIELD)
        return self._pipeline.arrange(array)

    def _rows(self, outputs: Tensors) -> object:
        signature = self._pipeline.signature
        named = {
            alias: outputs[spec.name].tolist()
            for alias, spec in zip(signature.aliases, signature.specs, strict=True)
        }
        return named[signature.primary] if signature.primary else named


def _decoded(value: str, at: int) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise invalid(f"{FIELD!r}, image {at}: not base64: {error}") from error
