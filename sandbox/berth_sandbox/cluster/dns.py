"""The names of Services and Pods: CoreDNS as a program beside the node."""

from pathlib import Path

from berth_sandbox.cluster.network import Network

NAME = "dns"
DOMAIN = "cluster.local"


def write_config(folder: Path, kubeconfig: Path, network: Network) -> Path:
    """Write the configuration: the cluster's own names, and all others from the way out."""
    path = folder / "Corefile"
    path.write_text(
        f""".:53 {{
    bind {network.node}
    errors
    cache 5
    kubernetes {DOMAIN} {{
        kubeconfig {kubeconfig}
    }}
    forward . {network.resolver}
}}
"""
    )
    return path


def command(binaries: Path, config: Path) -> list[str]:
    """Return the command line of CoreDNS."""
    return [f"{binaries}/dns", "-conf", str(config)]
