"""The table of routes: every path this server answers is known before the first request."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from berth_scoring import azureml
from berth_scoring.access_log import AccessLog
from berth_scoring.app import NotFound, Route
from berth_scoring.auth import KeyRing
from berth_scoring.bodies import DEFAULT_BODY_LIMIT
from berth_scoring.lifecycle import Lifecycle
from berth_scoring.messages import Handler, Headers, Refusal, Response
from berth_scoring.metrics import Metrics
from berth_scoring.swagger import Swagger

Refuse = Callable[[Refusal], Response]

SMALL_BODY = 64 * 1024
"""What some clients send along where nobody reads it."""


@dataclass(frozen=True, slots=True)
class RouteFactory:
    """Makes routes that share keys, log and metrics."""

    metrics: Metrics
    keys: KeyRing | None = None
    log: AccessLog | None = None
    body_limit: int = DEFAULT_BODY_LIMIT

    def guarded(self, label: str, handlers: Mapping[str, Handler], refuse: Refuse) -> Route:
        """Make a route that needs a key, if any does."""
        return Route(handlers, refuse, self.metrics.route(label), self.keys, self.log, self.body_limit)

    def public(self, label: str, handler: Handler) -> Route:
        """Make a route for probes and scrapers: no key, and no line in the log."""
        handlers = {"GET": handler}
        return Route(handlers, azureml.refuse, self.metrics.route(label), body_limit=SMALL_BODY)

    def fallback(self) -> Route:
        """Make the route of all other paths."""
        return NotFound({}, azureml.refuse, self.metrics.route("none"), None, self.log)


def probe_routes(make: RouteFactory, lifecycle: Lifecycle) -> dict[str, Route]:
    """Return the routes of the kubelet and of Prometheus."""
    return {
        "/livez": make.public("/livez", lifecycle.livez),
        "/readyz": make.public("/readyz", lifecycle.readyz),
        "/metrics": make.public("/metrics", make.metrics.expose),
    }


def azure_routes(
    make: RouteFactory, score: Mapping[str, Handler], swagger: Swagger, server_version: Headers
) -> dict[str, Route]:
    """Return the routes of Azure ML's inference server."""

    def dressed(handler: Handler) -> Handler:
        return azureml.with_headers(handler, server_version=server_version)

    scoring = {method: dressed(handler) for method, handler in score.items()}
    return {
        "/": make.public("/", dressed(azureml.healthy)),
        "/score": make.guarded("/score", scoring, azureml.refuse),
        "/swagger.json": make.guarded("/swagger.json", {"GET": dressed(swagger.answer)}, azureml.refuse),
    }
