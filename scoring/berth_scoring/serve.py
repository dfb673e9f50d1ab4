"""`berth-scoring serve`: puts the parts together."""

import gc
import io
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from berth_scoring import azureml, swagger
from berth_scoring.access_log import AccessLog
from berth_scoring.app import Application, Route
from berth_scoring.auth import KeyRing
from berth_scoring.azureml import ScriptService
from berth_scoring.bodies import DEFAULT_BODY_LIMIT, Bodies
from berth_scoring.config import (
    CodeSource,
    Layout,
    RequestLimits,
    ScoringConfig,
    read_number,
)
from berth_scoring.cors import Cors
from berth_scoring.execution import InlineQueue, WorkQueue
from berth_scoring.fpga.options import PipelineOptions
from berth_scoring.lifecycle import Lifecycle
from berth_scoring.listener import listen
from berth_scoring.messages import Handler, Headers
from berth_scoring.metrics import Metrics
from berth_scoring.reading import ConfigError
from berth_scoring.routes import RouteFactory, azure_routes, probe_routes
from berth_scoring.script import is_schema_decorated
from berth_scoring.server import STOP_SIGNALS, Server, exit_at_once
from berth_scoring.startup import StartupError, export_environment, load_model, start_script
from berth_scoring.swagger import Service, Swagger
from berth_scoring.termination import write_termination_message
from berth_scoring.tls import server_context

if TYPE_CHECKING:
    from berth_scoring.fpga.assembly import PipelineService

STARTUP_FAILED = 3
BODIES_AT_ONCE = 2
"""How many bodies of the largest size may be in memory."""
GC_THRESHOLD = 50_000


@dataclass(frozen=True, slots=True)
class Context:
    """What a serving process is given."""

    config: ScoringConfig
    layout: Layout
    environment: Mapping[str, str]
    log: AccessLog

    def tls(self) -> ssl.SSLContext | None:
        """Return what the port speaks HTTPS with, if it does."""
        return None if self.config.tls is None else server_context(self.config.tls)


def main(environment: Mapping[str, str]) -> int:
    """Serve what is there already until told to stop; returns the exit code of the process."""
    return guarded(environment, _serve)


def guarded(environment: Mapping[str, str], work: Callable[[Context], int]) -> int:
    """Do the work of a serving process, and tell why it cannot start if it cannot."""
    for number in STOP_SIGNALS:
        signal.signal(number, exit_at_once)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    layout = Layout.from_environment(environment)
    log = AccessLog()
    try:
        return work(Context(ScoringConfig.from_environment(environment), layout, environment, log))
    except (ConfigError, StartupError) as error:
        text = str(error) if isinstance(error, StartupError) else f"ConfigInvalid: {error}"
        print(text, file=sys.stderr)  # noqa: T201 - for kubectl logs
        write_termination_message(layout.termination_log, text)
        return STARTUP_FAILED
    finally:
        log.close()


def load(context: Context, tls: ssl.SSLContext | None) -> Callable[[socket.socket], None]:
    """Load what is to be served, and return what serves it on a listener."""
    config, environment = context.config, context.environment
    export_environment(config, context.layout)
    metrics = Metrics()
    limits = _limits(config, environment)
    queue = WorkQueue(limits, metrics.observe_batch)
    lifecycle = Lifecycle(lambda: queue.stuck)
    body_limit = read_number(environment, "BERTH_MAX_BODY_BYTES", DEFAULT_BODY_LIMIT, least=1)
    make = RouteFactory(metrics, _key_ring(config.keys_dir), context.log, body_limit)
    loaded = Scoring(config, context.layout, environment, make, queue=queue, limits=limits).load()
    application = Application(
        probe_routes(make, lifecycle) | loaded.routes,
        make.fallback(),
        cors=Cors.from_text(environment.get("AML_CORS_ORIGINS")),
        bodies=Bodies(BODIES_AT_ONCE * body_limit),
    )
    server = Server(
        application,
        queue,
        lifecycle,
        drain_seconds=read_number(environment, "BERTH_DRAIN_SECONDS", 5.0, least=0),
        stop_seconds=limits.timeout_milliseconds / 1000,
        tls=tls,
        beside=_beside(context, loaded, metrics, queue, lifecycle),
        on_leave=context.log.close,
    )
    runs = queue if loaded.pipeline is None else loaded.pipeline.gate
    metrics.watch(lambda: queue.depth, lambda: runs.running, lambda: context.log.dropped)
    for model in config.models:
        metrics.describe(model)
    _settle_memory()
    return lambda listener: server.run(listener, limits.max_concurrent_per_replica)


def listening(context: Context) -> socket.socket:
    """Listen on the port that is configured, or say why that fails."""
    port = context.config.port
    try:
        return listen(port, context.environment)
    except OSError as error:
        raise StartupError("PortUnavailable", f"cannot listen on port {port}: {error}") from error


def _serve(context: Context) -> int:
    run = load(context, context.tls())
    with listening(context) as listener:
        run(listener)
    return 0


def _beside(
    context: Context, loaded: "Loaded", metrics: Metrics, queue: WorkQueue, lifecycle: Lifecycle
) -> Callable[[], AbstractAsyncContextManager[None]]:
    if (service := loaded.pipeline) is not None:
        grace = _limits(context.config, context.environment).timeout_milliseconds / 1000
        lifecycle.add(lambda: service.failure)
        return lambda: service.running(lambda: lifecycle.draining, grace)
    if context.config.edge is None:
        return nullcontext
    # Only a device needs it.
    from berth_scoring.edge.assembly import edge_module  # noqa: PLC0415

    score = loaded.score["POST"]
    return edge_module(context.config.edge, context, score, metrics, lambda: queue.stuck).running


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a script or models answer: the methods of `/score`, and all routes."""

    score: Mapping[str, Handler]
    routes: dict[str, Route]
    pipeline: "PipelineService | None" = None


class Scoring:
    """Loads what the configuration names, and makes its routes."""

    def __init__(
        self,
        config: ScoringConfig,
        layout: Layout,
        environment: Mapping[str, str],
        make: RouteFactory,
        *,
        queue: WorkQueue,
        limits: RequestLimits,
    ) -> None:
        self._limits = limits
        self._config = config
        self._layout = layout
        self._make = make
        self._queue = queue
        self._service = Service.from_environment(environment)
        self._environment = environment
        self._threads = read_number(environment, "BERTH_THREADS", 1, least=1)
        self._server_version = _server_version(environment)

    def load(self) -> Loaded:
        """Load the pipeline or the script, or without one each model by its format."""
        if self._config.pipeline is not None:
            return self._load_pipeline(self._config.pipeline)
        code = self._config.code
        return self._load_models() if code is None else self._load_script(code)

    def _load_script(self, code: CodeSource) -> Loaded:
        script = start_script(code, self._layout)
        schema = swagger.script_schema(script.run) if is_schema_decorated(script.run) else swagger.UNDECLARED
        try:
            documents = swagger.documents(self._service, schema, self._layout.code)
        except swagger.DocumentError as error:
            raise StartupError("SwaggerInvalid", str(error)) from error
        handlers = ScriptService(script, self._queue).handlers
        routes = azure_routes(self._make, handlers, Swagger(documents), self._server_version)
        return Loaded(handlers, routes)

    def _load_pipeline(self, options: PipelineOptions) -> Loaded:
        from berth_scoring.fpga.tuning import tune_process  # noqa: PLC0415

        tune_process()
        # gRPC, and what decodes images, is only there with the extra for it.
        from berth_scoring.fpga.assembly import Assembly  # noqa: PLC0415
        from berth_scoring.protocols.routes import score_schema  # noqa: PLC0415

        assembly = Assembly(self._config, options, self._layout, self._make.metrics, self._environment)
        service = assembly.load(self._limits, _key_ring(self._config.keys_dir))
        documents = swagger.documents(self._service, score_schema(), None)
        handlers = {"POST": service.score.answer, "OPTIONS": azureml.answer_options}
        told = [*self._server_version, *service.score.about]
        routes = azure_routes(self._make, handlers, Swagger(documents), told)
        return Loaded(handlers, routes, service)

    def _load_models(self) -> Loaded:
        # These need numpy, which is only there with the extra of a format.
        from berth_scoring.formats.service import ModelService  # noqa: PLC0415
        from berth_scoring.protocols.routes import model_routes, score_handlers, score_schema  # noqa: PLC0415

        inline = InlineQueue(self._make.metrics.observe_batch)
        services = [
            ModelService(model, load_model(model, self._layout, self._threads), self._queue, inline)
            for model in self._config.models
        ]
        documents = swagger.documents(self._service, score_schema(), None)
        score = score_handlers(services)
        azure = azure_routes(self._make, score, Swagger(documents), self._server_version)
        return Loaded(score, azure | model_routes(self._make, services))


def _limits(config: ScoringConfig, environment: Mapping[str, str]) -> RequestLimits:
    """Return the limits; the shorter of the two time-outs holds, the resource's and the variable's."""
    configured = config.requests.timeout_milliseconds
    wanted = read_number(environment, "SCORING_TIMEOUT_MS", configured, least=1)
    return replace(config.requests, timeout_milliseconds=min(configured, wanted))


def _server_version(environment: Mapping[str, str]) -> Headers:
    shown = environment.get("SERVER_VERSION_LOG_RESPONSE_ENABLED", "true").lower() == "true"
    return [azureml.SERVER_VERSION] if shown else []


def _key_ring(folder: Path | None) -> KeyRing | None:
    if folder is None:
        return None
    keys = KeyRing(folder)
    if not keys:
        raise StartupError(
            "KeysMissing", f"no key in {folder}: it must hold primaryKey, secondaryKey or both"
        )
    return keys


def _settle_memory() -> None:
    # What is loaded stays: the collector need not walk it again and again while requests are answered.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 20)
