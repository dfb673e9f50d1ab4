"""The gRPC port: predictions, health and reflection, with keys and TLS where there are any."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, TypeVar, cast

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from berth_scoring.auth import KeyRing
from berth_scoring.fpga.errors import Rejected
from berth_scoring.fpga.measures import Measures
from berth_scoring.fpga.prediction import Prediction
from berth_scoring.fpga.wire import prediction_service_pb2 as serving
from berth_scoring.startup import StartupError
from berth_scoring.tls import CertificatePair

SERVICE = "tensorflow.serving.PredictionService"
LARGEST_MESSAGE = 64 * 1024 * 1024
"""More than an image may take, so that a too large one is refused by name."""
CALLS_AT_ONCE = 128
OPTIONS = (
    ("grpc.max_receive_message_length", LARGEST_MESSAGE),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),
    # Clients keep their channels over two idle minutes, and may ask whether the server is still there.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    # Each message would be followed by a ping to measure the network, whose answer wakes threads meanwhile.
    ("grpc.http2.bdp_probe", 0),
)
KEY_NEEDED = "This endpoint needs a key: send the metadata 'authorization: <primary or secondary key>'"
Metadata = Sequence[tuple[str, str]]

Q = TypeVar("Q")
A = TypeVar("A")
Answer = Callable[[Q, Callable[[], bool]], A]
"""Answers a message; told whether the client still waits."""

logger = logging.getLogger(__name__)


class KeyGuard(grpc.ServerInterceptor):
    """Refuses calls without a key before their message is read; probes need none."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:  # noqa: ANN401
        """Let a call through, or answer in its place."""
        if details.method.startswith("/grpc.health.v1.Health/"):
            return continuation(details)
        values = [value for name, value in details.invocation_metadata if name == "authorization"]
        # Clients of 2018 sent the key alone, those of 2020 as a bearer's.
        token = values[-1].removeprefix("Bearer ").encode() if values else b""
        return (
            continuation(details)
            if self._keys.holds(token)
            else grpc.stream_unary_rpc_method_handler(_refuse)
        )


class Uploads:
    """Messages that are on their way; the calls of those that take too long are ended."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._begun: dict[Any, float] = {}

    def receive(self, messages: Iterator[Q], context: Any) -> Q:  # noqa: ANN401
        """Return the one message of a call; raises what ends a call whose client has gone."""
        self._begun[context] = self._clock()
        try:
            return next(messages)
        except StopIteration:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "exactly one message is needed")
            raise
        finally:
            del self._begun[context]

    def end_overdue(self) -> None:
        """End the calls whose message has not come in time; called now and then by who watches."""
        limit = self._clock() - self._seconds
        for context, begun in list(self._begun.items()):
            if begun < limit:
                context.cancel()


class GrpcPort:
    """The server; `start` opens it, `stop` drains it."""

    def __init__(
        self,
        prediction: Prediction,
        measures: Measures,
        executor: Executor,
        uploads: Uploads,
        *,
        about: Metadata,
        keys: KeyRing | None,
    ) -> None:
        self._measures = measures
        self._uploads = uploads
        self._about = tuple(about)
        pool = cast("ThreadPoolExecutor", executor)  # of which no more is used than any executor has
        self._health = health.HealthServicer(experimental_non_blocking=True, experimental_thread_pool=pool)
        self._server = grpc.server(
            pool,
            interceptors=[] if keys is None else [KeyGuard(keys)],
            options=OPTIONS,
            maximum_concurrent_rpcs=CALLS_AT_ONCE,
        )
        handlers = {
            "Predict": self._handler(
                "Predict", prediction.predict, serving.PredictRequest, serving.PredictResponse
            ),
            "GetModelMetadata": self._handler(
                "GetModelMetadata",
                prediction.metadata,
                serving.GetModelMetadataRequest,
                serving.GetModelMetadataResponse,
            ),
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server
        )
        self.tell_health(healthy=False)

    def bind(self, port: int, certificate: CertificatePair | None) -> int:
        """Take the port, which answers once the server has started; returns its number."""
        address = f"[::]:{port}"
        try:
            if certificate is None:
                return self._server.add_insecure_port(address)
            return self._server.add_secure_port(address, _credentials(certificate))
        except RuntimeError as error:
            raise StartupError("PortUnavailable", f"cannot listen on port {port}: {error}") from error

    def start(self) -> None:
        """Answer calls."""
        self._server.start()

    def stop(self, grace: float) -> None:
        """Take no more calls, and wait for those under way for at most so many seconds."""
        self._server.stop(grace).wait()

    def tell_health(self, *, healthy: bool) -> None:
        """Say to gRPC's own health checks whether this replica wants calls."""
        states = health_pb2.HealthCheckResponse
        state = states.SERVING if healthy else states.NOT_SERVING
        for service in ("", SERVICE):
            self._health.set(service, state)

    def _handler(self, name: str, answer: Answer[Q, A], request: type[Any], response: type[Any]) -> Any:  # noqa: ANN401
        def handle(messages: Iterator[Q], context: Any) -> A:  # noqa: ANN401
            message = self._uploads.receive(messages, context)
            started = time.perf_counter()
            context.set_trailing_metadata(self._about)
            code, told = grpc.StatusCode.OK, ""
            try:
                return answer(message, context.is_active)
            except Rejected as error:
                code, told = error.status, error.message
            except Exception:  # a bug takes its call with it, and no other
                logger.exception("%s failed", name)
                code, told = grpc.StatusCode.INTERNAL, "An unexpected internal error occurred"
            finally:
                self._measures.call(name, code.name, time.perf_counter() - started)
            context.abort(code, told)
            raise AssertionError("abort has raised")

        # As a stream, so that the call is known before its message has come.
        return grpc.stream_unary_rpc_method_handler(
            handle, request_deserializer=request.FromString, response_serializer=response.SerializeToString
        )


def _refuse(_messages: object, context: Any) -> None:  # noqa: ANN401
    context.abort(grpc.StatusCode.UNAUTHENTICATED, KEY_NEEDED)


def _credentials(certificate: CertificatePair) -> Any:  # noqa: ANN401
    def configuration() -> Any:  # noqa: ANN401
        return grpc.ssl_server_certificate_configuration([certificate.read()])

    return grpc.dynamic_ssl_server_credentials(configuration(), configuration)
