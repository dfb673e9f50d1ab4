"""Serve the emulated Azure until the process is told to end: `python -m berth_sandbox.azure --help`."""

import argparse
import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from berth_sandbox.azure.backing import Backing
from berth_sandbox.azure.clock import Clock
from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.configuration import configure
from berth_sandbox.azure.devices.objects import Surroundings
from berth_sandbox.azure.devices.service import devices_served
from berth_sandbox.azure.iot_hub.manifest_rules import own_rules
from berth_sandbox.azure.iot_hub.schemas import OfficialRules
from berth_sandbox.azure.pods.api import in_cluster
from berth_sandbox.azure.pods.backing import Pods
from berth_sandbox.azure.server import LOOPBACK, served
from berth_sandbox.azure.simulation import Simulation


def main() -> None:
    """Serve what the command line describes, and print where it is."""
    asyncio.run(_serve(_parser().parse_args()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="berth_sandbox.azure", description="Azure on one machine.")
    parser.add_argument("--folder", type=Path, required=True, help="keeps the certificate authority")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: any)")
    parser.add_argument("--plain-port", type=int, default=0, help="port without TLS (default: any)")
    parser.add_argument("--name", action="append", help="a name in the certificate; the first is in the URL")
    parser.add_argument("--configuration", type=Path, help="JSON: tenants and subscriptions")
    parser.add_argument("--schemas", type=Path, help="folder with Microsoft's schemas of edge deployments")
    pace = parser.add_mutually_exclusive_group()
    pace.add_argument("--factor", type=float, default=1.0, help="seconds that pass there in one of ours")
    pace.add_argument(
        "--pods", metavar="NAMESPACE", help="run the groups as Pods of this cluster's namespace"
    )
    parser.add_argument(
        "--devices",
        metavar="NAMESPACE",
        help="run the modules of devices that have a gateway as Pods of this namespace",
    )
    parser.add_argument("--helper", metavar="IMAGE", help="with Python: it prepares volumes of devices")
    return parser


async def _serve(options: argparse.Namespace) -> None:
    rules = OfficialRules(options.schemas) if options.schemas else own_rules
    async with _backing(options.pods) as backing:
        azure = Azure(backing=backing, clock=Clock(options.factor), manifest_rules=rules)
        if options.configuration:
            configure(azure, json.loads(options.configuration.read_text()))
        async with _devices(azure, options):
            await _serve_until_told(azure, options)


@asynccontextmanager
async def _backing(namespace: str | None) -> AsyncIterator[Backing]:
    if namespace is None:
        yield Simulation()
        return
    async with in_cluster(namespace) as api:
        pods = Pods(api)
        await pods.clear()
        yield pods


@asynccontextmanager
async def _devices(azure: Azure, options: argparse.Namespace) -> AsyncIterator[None]:
    if options.devices is None:
        yield
        return
    address = socket.gethostbyname(options.name[0])
    hosts = tuple((address, website) for website in azure.websites)
    surroundings = Surroundings(options.helper, (options.folder / "ca.pem").read_text(), hosts)
    async with in_cluster(options.devices) as api, devices_served(azure, api, surroundings, options.host):
        yield


async def _serve_until_told(azure: Azure, options: argparse.Namespace) -> None:
    told_to_end = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told_to_end.set)
    names = options.name or LOOPBACK
    async with served(
        azure,
        options.folder,
        host=options.host,
        port=options.port,
        plain_port=options.plain_port,
        names=names,
    ) as endpoint:
        told = {"url": endpoint.url, "caFile": str(endpoint.ca_file), "plainUrl": endpoint.plain_url}
        print(json.dumps(told), flush=True)
        await told_to_end.wait()


if __name__ == "__main__":
    main()
