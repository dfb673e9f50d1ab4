"""The emulator's own interface, below `/_emulator`: faults, log, time, and what Azure's is no place for."""

import json
from collections.abc import Awaitable, Callable

from aiohttp import web

from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.configuration import configure
from berth_sandbox.azure.errors import ArmError
from berth_sandbox.azure.faults import fault
from berth_sandbox.azure.iot_hub import admin as iot_hub
from berth_sandbox.azure.iot_hub.errors import HubError
from berth_sandbox.azure.iot_hub.hub import Hub
from berth_sandbox.azure.names import GroupId
from berth_sandbox.azure.simulation import Behaviour, Simulation

PREFIX = "/_emulator"
Handler = Callable[[web.Request], Awaitable[web.Response]]


class Admin:
    """Answers who steers the emulator."""

    def __init__(self, azure: Azure) -> None:
        self._azure = azure

    def routes(self) -> list[web.RouteDef]:
        """List the routes with their handlers."""
        return [
            web.get(f"{PREFIX}/requests", self._requests),
            web.delete(f"{PREFIX}/requests", self._clear_requests),
            web.get(f"{PREFIX}/faults", self._faults),
            web.post(f"{PREFIX}/faults", _checked(self._add_fault)),
            web.delete(f"{PREFIX}/faults", self._clear_faults),
            web.get(f"{PREFIX}/clock", self._clock),
            web.put(f"{PREFIX}/clock", _checked(self._set_clock)),
            web.get(f"{PREFIX}/groups", self._groups),
            web.delete(f"{PREFIX}/groups", _checked(self._delete_group)),
            web.post(f"{PREFIX}/groups/stop", _checked(self._stop_group)),
            web.put(f"{PREFIX}/images", _checked(self._set_image)),
            web.put(f"{PREFIX}/configuration", _checked(self._configure)),
            web.get(f"{PREFIX}/hubs/{{hub}}", _checked(self._hub)),
            web.post(f"{PREFIX}/hubs/{{hub}}/devices", _checked(self._register_devices)),
            web.put(f"{PREFIX}/hubs/{{hub}}/devices", _checked(self._steer_devices)),
            web.get(f"{PREFIX}/hubs/{{hub}}/devices/{{device}}/messages", _checked(self._messages)),
            web.post(f"{PREFIX}/hubs/{{hub}}/devices/{{device}}/messages", _checked(self._send)),
            web.delete(f"{PREFIX}/hubs/{{hub}}/configurations", _checked(self._delete_configuration)),
        ]

    async def _requests(self, received: web.Request) -> web.Response:
        wanted = received.query.getall("operation", [])
        exchanges = self._azure.requests.of(*wanted) if wanted else self._azure.requests
        return web.json_response({"value": [exchange.document() for exchange in exchanges]})

    async def _clear_requests(self, _: web.Request) -> web.Response:
        self._azure.requests.clear()
        return web.json_response({})

    async def _faults(self, _: web.Request) -> web.Response:
        pending = self._azure.faults.pending()
        return web.json_response({str(number): planned.document() for number, planned in pending.items()})

    async def _add_fault(self, received: web.Request) -> web.Response:
        return web.json_response({"number": self._azure.faults.plan(fault(await received.json()))})

    async def _clear_faults(self, _: web.Request) -> web.Response:
        self._azure.faults.clear()
        return web.json_response({})

    async def _clock(self, _: web.Request) -> web.Response:
        clock = self._azure.clock
        return web.json_response({"now": clock.now().isoformat(), "factor": clock.factor})

    async def _set_clock(self, received: web.Request) -> web.Response:
        wanted = await received.json()
        if "factor" in wanted:
            self._azure.clock.run_at(float(wanted["factor"]))
        self._azure.clock.advance(float(wanted.get("advanceSeconds", 0)))
        return await self._clock(received)

    async def _groups(self, _: web.Request) -> web.Response:
        return web.json_response({"value": sorted(map(str, self._azure.service.group_ids()))})

    async def _delete_group(self, received: web.Request) -> web.Response:
        await self._azure.service.vanish(_group(received))
        return web.json_response({})

    async def _stop_group(self, received: web.Request) -> web.Response:
        await self._azure.service.stop(_group(received))
        return web.json_response({})

    async def _set_image(self, received: web.Request) -> web.Response:
        simulation = self._azure.backing
        if not isinstance(simulation, Simulation):
            raise TypeError(
                "What runs behind the groups is real; only a simulation can be told what it does."
            )
        wanted = await received.json()
        simulation.behaviours[wanted["image"]] = Behaviour(**wanted["behaviour"])
        return web.json_response({})

    async def _configure(self, received: web.Request) -> web.Response:
        configure(self._azure, await received.json())
        return web.json_response({})

    async def _hub(self, received: web.Request) -> web.Response:
        return web.json_response(iot_hub.overview(self._asked_hub(received)))

    async def _register_devices(self, received: web.Request) -> web.Response:
        iot_hub.register(self._asked_hub(received), await received.json())
        return await self._hub(received)

    async def _steer_devices(self, received: web.Request) -> web.Response:
        iot_hub.steer(self._asked_hub(received), await received.json())
        return await self._hub(received)

    async def _delete_configuration(self, received: web.Request) -> web.Response:
        self._asked_hub(received).delete_configuration(received.query["id"], None)
        return await self._hub(received)

    async def _messages(self, received: web.Request) -> web.Response:
        found = iot_hub.sent_upstream(self._asked_hub(received), received.match_info["device"])
        return web.json_response({"value": found})

    async def _send(self, received: web.Request) -> web.Response:
        device = received.match_info["device"]
        iot_hub.send(self._asked_hub(received), device, await received.json())
        return web.json_response({})

    def _asked_hub(self, received: web.Request) -> Hub:
        return self._azure.hubs.hub(received.match_info["hub"])


def _group(received: web.Request) -> GroupId:
    return GroupId.parse(received.query["id"])


def _checked(handler: Handler) -> Handler:
    """Answer 400 to what cannot be read or done."""

    async def checked(received: web.Request) -> web.Response:
        try:
            return await handler(received)
        except (ArmError, HubError, KeyError, TypeError, ValueError) as error:
            text = json.dumps({"error": f"{type(error).__name__}: {error}"})
            return web.Response(status=400, text=text, content_type="application/json")

    return checked
