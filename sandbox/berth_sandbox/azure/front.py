"""Between the network and Azure: what goes wrong on demand happens here, and all is remembered."""

import asyncio
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from aiohttp import web

from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.faults import CutConnection, Delay, LoseAnswer, Refuse, TransportEffect
from berth_sandbox.azure.http import Answer, Asked, Request
from berth_sandbox.azure.requests import Exchange, public

GATEWAY_PAGE = "<html><head><title>Bad Gateway</title></head><body>Bad Gateway</body></html>"


class Service(Protocol):
    """One of the services that can be asked."""

    async def answer(self, request: Request) -> Answer:
        """Answer a request, with an error if it comes to that."""

    def refused(self, status: int, code: str, message: str) -> Answer:
        """Say no in the words of the service."""

    def common_headers(self) -> Mapping[str, str]:
        """Return the headers of every answer."""


class Front:
    """Receives requests over HTTP."""

    def __init__(self, azure: Azure) -> None:
        self._azure = azure

    async def handle(self, received: web.Request) -> web.Response:
        """Answer one request, unless its answer is to be lost."""
        arrived = self._azure.clock.now()
        request = await _read(received)
        answering, asked = self._answering(request)
        effect = self._azure.faults.take(TransportEffect, request.method, request.path)
        answer = await self._answer(request, effect, answering)
        if answer is None:
            self._azure.requests.add(_exchange(arrived, received, request, asked))
            _cut(received)
            return web.Response()
        response = _response(answer, answering.common_headers())
        self._azure.requests.add(
            _exchange(arrived, received, request, asked, answer=answer, response=response)
        )
        return response

    def _answering(self, request: Request) -> tuple[Service, Asked]:
        for service in (self._azure.entra, self._azure.hubs):
            if asked := service.asked(request):
                return service, asked
        return self._azure.manager, self._azure.manager.asked(request)

    @staticmethod
    async def _answer(request: Request, effect: TransportEffect | None, answering: Service) -> Answer | None:
        match effect:
            case Refuse():
                return _refusal(effect, answering)
            case CutConnection():
                return None
            case LoseAnswer():
                await answering.answer(request)
                return None
            case Delay(seconds):
                await asyncio.sleep(seconds)
        return await answering.answer(request)


async def _read(received: web.Request) -> Request:
    return Request(
        received.method,
        received.rel_url.raw_path,
        str(received.url.origin()),
        dict(received.query),
        {name.lower(): value for name, value in received.headers.items()},
        await _body(received),
    )


async def _body(received: web.Request) -> Any:  # noqa: ANN401 - any JSON
    if received.content_type == "application/x-www-form-urlencoded":
        return {name: str(value) for name, value in (await received.post()).items()}
    text = await received.text()
    try:
        return json.loads(text) if text else None
    except json.JSONDecodeError:
        return text


def _refusal(effect: Refuse, answering: Service) -> Answer:
    headers = {} if effect.retry_after is None else {"Retry-After": str(effect.retry_after)}
    if not effect.code:
        return Answer(effect.status, GATEWAY_PAGE, headers)
    refused = answering.refused(effect.status, effect.code, effect.message)
    return Answer(refused.status, refused.body, {**refused.headers, **headers})


def _response(answer: Answer, common: Mapping[str, str]) -> web.Response:
    headers = {**common, **answer.headers}
    if answer.body is None:
        return web.Response(status=answer.status, headers=headers)
    if isinstance(answer.body, str):
        return web.Response(status=answer.status, headers=headers, text=answer.body, content_type="text/html")
    return web.json_response(answer.body, status=answer.status, headers=headers)


def _exchange(
    arrived: datetime,
    received: web.Request,
    request: Request,
    asked: Asked,
    *,
    answer: Answer | None = None,
    response: web.Response | None = None,
) -> Exchange:
    body = public(request.body) if isinstance(request.body, dict) else request.body
    return Exchange(
        time=arrived,
        operation=asked.operation,
        method=request.method,
        url=str(received.url),
        connection=str(received.transport and received.transport.get_extra_info("peername")),
        principal=asked.principal,
        status=answer.status if answer else None,
        request_headers=public(dict(received.headers)),
        request_body=body,
        response_headers=dict(response.headers) if response else {},
        response_body=answer.body if answer else None,
    )


def _cut(received: web.Request) -> None:
    if received.transport:
        received.transport.abort()
