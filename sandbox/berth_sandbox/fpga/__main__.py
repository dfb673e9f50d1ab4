"""Announce emulated FPGAs to the kubelet of this node."""

import argparse
import logging
import signal
import threading
from pathlib import Path

from berth_sandbox.fpga.devices import Devices
from berth_sandbox.fpga.plugin import Plugin
from berth_sandbox.fpga.serving import serve


def main() -> None:
    """Serve until a signal comes."""
    options = _parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    stopping = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stopping.set())
    devices = Devices(options.folder, options.devices.split(","))
    devices.make()
    socket = options.registry / f"{options.resource.replace('/', '_')}.sock"
    serve(Plugin(options.resource, devices), socket, stopping)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m berth_sandbox.fpga", description=__doc__)
    parser.add_argument(
        "--resource", required=True, help="extended resource, such as fpga.example.com/arria10"
    )
    parser.add_argument("--devices", required=True, help="names of the devices, such as acl0,acl1")
    parser.add_argument(
        "--folder", type=Path, required=True, help="where the devices are, on the node as here"
    )
    parser.add_argument("--registry", type=Path, required=True, help="the kubelet's folder plugins_registry")
    return parser


if __name__ == "__main__":
    main()
