"""Serve the emulated Azure until the process is told to end: `python -m berth_sandbox.azure --help`."""

import argparse
import asyncio
import json
import signal
from pathlib import Path

from berth_sandbox.azure.clock import Clock
from berth_sandbox.azure.cloud import Azure
from berth_sandbox.azure.configuration import configure
from berth_sandbox.azure.iot_hub.manifest_rules import own_rules
from berth_sandbox.azure.iot_hub.schemas import OfficialRules
from berth_sandbox.azure.server import LOOPBACK, served


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
    parser.add_argument("--factor", type=float, default=1.0, help="seconds that pass there in one of ours")
    return parser


async def _serve(options: argparse.Namespace) -> None:
    rules = OfficialRules(options.schemas) if options.schemas else own_rules
    azure = Azure(clock=Clock(options.factor), manifest_rules=rules)
    if options.configuration:
        configure(azure, json.loads(options.configuration.read_text()))
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
