"""A module that uses Microsoft's SDK: `edge_peer.py sink`, `produce` or `twin`, with IoT Edge's variables.

A sink prints a line of JSON for each message; a producer sends one for each line of JSON that it reads, tells
how many it has sent whenever it reads an empty line, and leaves at the end of its input. A `twin` prints its
own, what is desired of it and the methods that are called, and reports what it reads.
"""

import asyncio
import json
import sys
import threading
from typing import Any

from azure.iot.device import IoTHubModuleClient, Message, MethodRequest, MethodResponse
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


async def twin() -> None:
    client = AsyncClient.create_from_edge_environment()

    async def answer(request: MethodRequest) -> None:
        print(json.dumps({"method": request.name, "payload": request.payload}), flush=True)
        await client.send_method_response(MethodResponse(request.request_id, 201, {"echo": request.payload}))

    client.on_twin_desired_properties_patch_received = lambda patch: print(json.dumps(patch), flush=True)
    client.on_method_request_received = answer
    await client.connect()
    print(json.dumps(await client.get_twin()), flush=True)
    while line := (await asyncio.to_thread(sys.stdin.readline)):
        try:
            await client.patch_twin_reported_properties(json.loads(line))
        except failures.ClientError as error:
            print(json.dumps(type(error).__name__), flush=True)
        else:
            print(json.dumps("reported"), flush=True)
    await client.shutdown()


match sys.argv[1]:
    case "sink":
        sink()
    case "produce":
        asyncio.run(produce())
    case "twin":
        asyncio.run(twin())
