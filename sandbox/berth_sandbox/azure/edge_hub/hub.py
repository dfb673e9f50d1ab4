"""The edge hub: modules connect to it by MQTT, and it brings their messages to each other."""

import asyncio
import json
import time
import uuid
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from berth_sandbox.azure.edge_hub.connection import Client
from berth_sandbox.azure.edge_hub.faults import Faults
from berth_sandbox.azure.edge_hub.messages import Identity, Message
from berth_sandbox.azure.edge_hub.routes import UPSTREAM, Route
from berth_sandbox.azure.edge_hub.session import Session, Stored
from berth_sandbox.azure.edge_hub.tokens import expiry
from berth_sandbox.azure.edge_hub.twins import Properties, Twin, TwinError

MOST_UPSTREAM = 10_000
METHOD_SECONDS = 30.0


@dataclass(frozen=True)
class Limits:
    """How long messages are kept, and how long a module may take to acknowledge one."""

    time_to_live_seconds: float = 7200
    ack_seconds: float = 30


class EdgeHub:
    """Keeps what modules send until its receivers have it."""

    def __init__(
        self, hub: str, device: str, keys: Mapping[str, bytes], limits: Limits | None = None
    ) -> None:
        self.hub = hub
        self.device = device
        self.keys = dict(keys)
        """The key of each module that may connect."""
        self.limits = limits or Limits()
        self.routes: list[Route] = []
        self.faults = Faults()
        self.sessions: defaultdict[str, Session] = defaultdict(lambda: Session(self.limits.ack_seconds))
        self.twins: defaultdict[str, Twin] = defaultdict(Twin)
        self.upstream: deque[Message] = deque(maxlen=MOST_UPSTREAM)
        """What was routed to IoT Hub."""
        self.connections: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self._methods: dict[str, asyncio.Future[tuple[int, bytes]]] = {}

    def route(self, texts: Iterable[str]) -> None:
        """Replace the routes."""
        self.routes = [Route.from_text(text) for text in texts]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        await Client(self, reader, writer).serve()

    def expiry(self, identity: Identity, username: str, token: str) -> float | None:
        """Return when the login expires, if it is good."""
        key = self.keys.get(identity.module)
        path = [self.hub, identity.device, identity.module]
        if key is None or identity.device != self.device or username.split("/")[:3] != path:
            return None
        resource = f"{self.hub}/devices/{identity.device}/modules/{identity.module}"
        expires = expiry(token, resource, key)
        return expires if expires is not None and expires > time.time() else None

    def deliver(self, message: Message) -> None:
        """Store a message for all that it is routed to."""
        expires = time.monotonic() + self.limits.time_to_live_seconds
        for route in self.routes:
            if not route.takes(message):
                continue
            if route.target == UPSTREAM:
                self.upstream.append(message)
            else:
                topic = message.input_topic(route.target, route.input)
                self.sessions[route.target].keep(Stored(topic, message.body, expires))

    def about_twin(self, module: str, topic: str, payload: bytes) -> None:
        """Answer a request about the module's own twin."""
        kind, _, request = topic.removeprefix("$iothub/twin/").partition("/?$rid=")
        session, twin = self.sessions[module], self.twins[module]
        if kind == "GET":
            session.tell(f"$iothub/twin/res/200/?$rid={request}", twin.document())
        elif kind == "PATCH/properties/reported":
            try:
                version = twin.report(payload)
            except TwinError:
                session.tell(f"$iothub/twin/res/400/?$rid={request}", b"")
            else:
                session.tell(f"$iothub/twin/res/204/?$rid={request}&$version={version}", b"")

    def desire(self, module: str, patch: Properties) -> None:
        """Change desired properties of a module."""
        told = self.twins[module].desire(patch)
        topic = f"$iothub/twin/PATCH/properties/desired/?$version={self.twins[module].versions['desired']}"
        self.sessions[module].tell(topic, told)

    async def call(self, module: str, method: str, payload: object) -> tuple[int, bytes]:
        """Call a direct method and return status and body of its answer; raises TimeoutError without one."""
        request = uuid.uuid4().hex
        answer: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
        self._methods[request] = answer
        try:
            async with asyncio.timeout(METHOD_SECONDS):
                topic = f"$iothub/methods/POST/{method}/?$rid={request}"
                self.sessions[module].tell(topic, json.dumps(payload).encode())
                return await answer
        finally:
            del self._methods[request]

    def answered(self, topic: str, payload: bytes) -> None:
        """Hand the answer of a method to who called it."""
        status, _, request = topic.removeprefix("$iothub/methods/res/").partition("/?$rid=")
        answer = self._methods.get(request)
        if answer is not None and not answer.done():
            answer.set_result((int(status), payload))

    def cut(self, module: str | None = None) -> None:
        """Cut the connection of a module, or all."""
        for name, session in self.sessions.items():
            if session.writer is not None and module in {None, name}:
                session.writer.transport.abort()

    def forget_subscriptions(self, module: str | None = None) -> None:
        """Lose what a module has subscribed to, or all, as a restart may; what is stored stays."""
        self.cut(module)
        for name, session in self.sessions.items():
            if module in {None, name}:
                session.filters.clear()
