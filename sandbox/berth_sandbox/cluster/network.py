"""The addresses of one cluster, chosen so that no two clusters on a machine meet."""

import hashlib
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from berth_sandbox.errors import SandboxError
from berth_sandbox.runner import Runner

POOL = IPv4Network("10.192.0.0/10")
BLOCK_BITS = 18
UNLINK_SECONDS = 5


@dataclass(frozen=True)
class Network:
    """A /18 block: a link to the host, a way out, Pods and Services."""

    block: IPv4Network
    link: str

    def _part(self, index: int, bits: int) -> IPv4Network:
        return list(self.block.subnets(new_prefix=bits))[index]

    @property
    def host(self) -> IPv4Address:
        """Return the host's address on the link."""
        return self._part(0, 24)[1]

    @property
    def node(self) -> IPv4Address:
        """Return the node's address on the link."""
        return self._part(0, 24)[2]

    @property
    def outward(self) -> IPv4Network:
        """Return the range of the user-mode network that leads out."""
        return self._part(1, 24)

    @property
    def resolver(self) -> IPv4Address:
        """Return the address at which the user-mode network answers DNS."""
        return self.outward[3]

    @property
    def pods(self) -> IPv4Network:
        """Return the range of the Pods."""
        return self._part(1, 20)

    @property
    def services(self) -> IPv4Network:
        """Return the range of the Services."""
        return self._part(2, 20)

    @property
    def api_service(self) -> IPv4Address:
        """Return the address of the Service `kubernetes`."""
        return self.services[1]


def choose(name: str, used: Iterable[IPv4Network]) -> Network:
    """Return the first free block at or after the place that the cluster's name hashes to."""
    digest = hashlib.sha256(name.encode()).digest()
    blocks = list(POOL.subnets(new_prefix=BLOCK_BITS))
    start = digest[0] % len(blocks)
    taken = list(used)
    for block in blocks[start:] + blocks[:start]:
        if not any(block.overlaps(other) for other in taken):
            return Network(block, f"berth-{digest.hex()[:8]}")
    raise SandboxError(
        f"Every block of {POOL} is routed already: stop a cluster, or free a part of that range."
    )


def routed() -> list[IPv4Network]:
    """List the networks that this machine has routes to, the default route apart."""
    routes = json.loads(Runner().run("ip", "-4", "-json", "route", "show", "table", "all"))
    return [IPv4Network(route["dst"]) for route in routes if route["dst"] != "default"]


def connect(network: Network, machine: Runner, pid: int) -> None:
    """Join the machine whose init is `pid` to the host, by a link and routes that vanish with it."""
    host = Runner()
    wait_until_unlinked(network)
    host.run("ip", "link", "add", network.link, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
    for runner, device, address in ((host, network.link, network.host), (machine, "eth0", network.node)):
        runner.run("ip", "address", "add", f"{address}/24", "dev", device)
        runner.run("ip", "link", "set", device, "up")
    machine.run("ip", "link", "set", "lo", "up")
    for destination in (network.pods, network.services):
        host.run("ip", "route", "add", str(destination), "via", str(network.node))


def wait_until_unlinked(network: Network) -> None:
    """Wait for the kernel, which takes a moment to remove the interface of a machine that has ended."""
    end = time.monotonic() + UNLINK_SECONDS
    while Path("/sys/class/net", network.link).exists():
        if time.monotonic() > end:
            raise SandboxError(
                f"The interface {network.link} of a forgotten cluster is in the way: "
                f"remove it with `ip link delete {network.link}`, then run this again."
            )
        time.sleep(0.02)
