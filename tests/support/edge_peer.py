"""A module that uses Microsoft's SDK: `python edge_peer.py sink` or `produce`, with IoT Edge's variables.

A sink prints a line of JSON for each message; a producer sends one for each line of JSON that it reads, tells
how many it has sent whenever it reads an empty line, and leaves at the end of its input.
"""

import asyncio
import json
import sys
import threading
from typing import Any

from azure.iot.device import IoTHubModuleClient, Message
from azure.iot.device import exceptions as failures
from azure.iot.device.aio import IoTHubModuleClient as AsyncClient

AT_ONCE = 20


def sink() -> None:
    client = IoTHubModuleClient.create_from_edge_environment()
    lock = threading.Lock()

    def show(message: Message) -> None:
        line = {
            "input": message.input_name,
            "body": message.data.decode(errors="replace"),
            "properties": message.custom_properties,
            "id": message.message_id,
            "correlation": message.correlation_id,
            "type": message.content_type,
        }
        with lock:
            print(json.dumps(line), flush=True)

    client.on_message_received = show
    print(json.dumps("connected"), flush=True)
    sys.stdin.read()
    client.shutdown()


async def produce() -> None:
    client = AsyncClient.create_from_edge_environment()
    await client.connect()
    print(json.dumps("connected"), flush=True)
    window, sending, sent = asyncio.Semaphore(AT_ONCE), set(), 0
    while line := (await asyncio.to_thread(sys.stdin.readline)):
        if not line.strip():
            await asyncio.gather(*sending)
            print(json.dumps(sent), flush=True)
            continue
        await window.acquire()
        task = asyncio.create_task(send(client, json.loads(line), window))
        sending.add(task)
        task.add_done_callback(sending.discard)
        sent += 1
    await client.shutdown()


async def send(client: AsyncClient, line: dict[str, Any], window: asyncio.Semaphore) -> None:
    message = Message(line["body"].encode("latin-1"), line.get("id"), "utf-8", line.get("type"))
    message.custom_properties = line.get("properties", {})
    while True:
        try:
            await client.send_message_to_output(message, "readings")
        except (failures.ConnectionFailedError, failures.ConnectionDroppedError):
            await asyncio.sleep(0.2)  # offline, the SDK refuses at once
        else:
            window.release()
            return


if sys.argv[1] == "sink":
    sink()
else:
    asyncio.run(produce())
