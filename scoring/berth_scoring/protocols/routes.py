"""The routes of models that are served by their format alone."""

import time
from collections.abc import Mapping, Sequence

from berth_scoring import azureml
from berth_scoring.app import Route
from berth_scoring.formats.service import ModelService
from berth_scoring.messages import Handler, Refusal, Request, Response, json_response
from berth_scoring.protocols.encoding import decode_object, encode, refuse
from berth_scoring.protocols.v1 import V1, rows_of
from berth_scoring.protocols.v2 import V2, server_metadata
from berth_scoring.routes import RouteFactory
from berth_scoring.swagger import Schema


def model_routes(make: RouteFactory, services: Sequence[ModelService]) -> dict[str, Route]:
    """Return the V1 and V2 routes of all models."""
    routes = _server_routes(make, [service.name for service in services])
    for service in services:
        routes |= _v1_routes(make, service) | _v2_routes(make, service)
    return routes


def score_handlers(services: Sequence[ModelService]) -> Mapping[str, Handler]:
    """Return `/score` for clients of Azure ML, whose convention is `{"data": [...]}`; it names no model."""
    if len(services) != 1:
        names = ", ".join(f"/v1/models/{service.name}:predict" for service in services)

        async def ambiguous(_request: Request) -> Response:
            raise Refusal(404, f"/score cannot tell which model is meant; use {names}")

        return {"POST": ambiguous}
    return {"POST": _Score(services[0]).answer, "OPTIONS": azureml.answer_options}


class _Score:
    def __init__(self, service: ModelService) -> None:
        self._service = service
        self._v1 = V1(service)

    async def answer(self, request: Request) -> Response:
        inputs = self._v1.parse(decode_object(request.body).get("data"), "data")
        started = time.perf_counter()
        outputs = await self._service.predict(request, inputs, self._service.model.primary)
        response = encode(rows_of(outputs))
        response.headers += [(azureml.RUN_FAILED, b"False"), azureml.run_time(time.perf_counter() - started)]
        return response


def score_schema() -> Schema:
    """Describe `/score` of a model that is served by its format."""
    rows = {"type": "array", "items": {}}
    return Schema({"type": "object", "required": ["data"], "properties": {"data": rows}}, rows)


def _v1_routes(make: RouteFactory, service: ModelService) -> dict[str, Route]:
    v1 = V1(service)
    path = f"/v1/models/{service.name}"
    return {
        path: make.guarded("v1 status", {"GET": v1.status}, refuse),
        f"{path}:predict": make.guarded("v1 predict", {"POST": v1.predict}, refuse),
    }


def _v2_routes(make: RouteFactory, service: ModelService) -> dict[str, Route]:
    v2 = V2(service)
    metadata = make.guarded("v2 metadata", {"GET": v2.metadata}, refuse)
    ready = make.guarded("v2 ready", {"GET": v2.ready}, refuse)
    infer = make.guarded("v2 infer", {"POST": v2.infer}, refuse)
    path = f"/v2/models/{service.name}"
    return {
        f"{base}{action}": route
        for base in (path, f"{path}/versions/{service.version}")
        for action, route in (("", metadata), ("/ready", ready), ("/infer", infer))
    }


def _server_routes(make: RouteFactory, names: list[str]) -> dict[str, Route]:
    async def live(_request: Request) -> Response:
        return json_response({"live": True})

    async def ready(_request: Request) -> Response:
        return json_response({"ready": True})

    async def models(_request: Request) -> Response:
        return json_response({"models": names})

    return {
        "/v2": make.public("v2 server", server_metadata),
        "/v2/health/live": make.public("v2 health", live),
        "/v2/health/ready": make.public("v2 health", ready),
        "/v1/models": make.guarded("v1 models", {"GET": models}, refuse),
    }
