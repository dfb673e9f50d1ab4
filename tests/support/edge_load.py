"""A device that sends a module a steady stream: `python edge_load.py ADDRESS FOLDER`.

Prints the module's environment; then each line that it reads is a rate in messages per second from then
on, and is answered with how many outputs came back so far.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

from berth_sandbox.azure.edge_hub.device import EdgeServices
from berth_sandbox.azure.edge_hub.messages import Identity, Message

BODY = json.dumps({"data": [[5.1, 3.5, 1.4, 0.2]]}).ljust(200).encode()
ROUTES = (
    'FROM /messages/modules/producer/* INTO BrokeredEndpoint("/modules/scorer/inputs/amlInput")',
    "FROM /messages/modules/scorer/* INTO $upstream",
)
TICK_SECONDS = 0.01


class Stream:
    """Sends messages at a rate."""

    def __init__(self, services: EdgeServices) -> None:
        self._hub = services.hub
        self._message = Message(Identity("dev1", "producer"), "readings", {"$.mid": "m"}, BODY)
        self.rate = 0.0
        self.sent = 0

    async def run(self) -> None:
        owed, last = 0.0, time.monotonic()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = time.monotonic()
            owed += (now - last) * self.rate
            last = now
            while owed >= 1:
                owed -= 1
                self.sent += 1
                self._hub.deliver(self._message)


class Count(list[Message]):
    """Takes what goes upstream, and only counts it."""

    count = 0

    def append(self, _message: Message) -> None:
        self.count += 1


async def main(address: str, folder: Path) -> None:
    services = EdgeServices(
        hub="hub.example", device="dev1", modules=["producer", "scorer"], address=address, folder=folder
    )
    services.hub.route(ROUTES)
    came_back = services.hub.upstream = Count()
    stream = Stream(services)
    async with services.served():
        sending = asyncio.create_task(stream.run())
        print(json.dumps(services.environment("scorer")), flush=True)
        while line := (await asyncio.to_thread(sys.stdin.readline)):
            stream.rate = float(line)
            waiting = len(services.hub.sessions["scorer"].stored)
            print(json.dumps({"sent": stream.sent, "back": came_back.count, "waiting": waiting}), flush=True)
        sending.cancel()


asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
