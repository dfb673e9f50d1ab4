"""metrics-server as a program beside the node, behind the API server's aggregation layer."""

from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from berth_sandbox.cluster.certificates import KeyPair
from berth_sandbox.cluster.network import Network

NAME = "metrics-server"
NAMESPACE = "kube-system"
HOST = f"{NAME}.{NAMESPACE}.svc"
PORT = 4443


def command(
    binaries: Path, kubeconfig: Path, server: KeyPair, authority: Path, network: Network
) -> list[str]:
    """Return the command line of metrics-server."""
    return [
        f"{binaries}/metrics-server",
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        f"--bind-address={network.node}",
        f"--secure-port={PORT}",
        f"--tls-cert-file={server.certificate}",
        f"--tls-private-key-file={server.key}",
        f"--kubelet-certificate-authority={authority}",
        "--kubelet-preferred-address-types=InternalIP",
        "--kubelet-request-timeout=5s",
        "--metric-resolution=10s",
    ]


def manifest(authority: Path, network: Network) -> Mapping[str, Any]:
    """Return the objects that lead the API server to metrics-server."""
    metadata = {"name": NAME, "namespace": NAMESPACE}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"ports": [{"name": "https", "port": 443, "targetPort": PORT}]},
    }
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {**metadata, "labels": {"kubernetes.io/service-name": NAME}},
        "addressType": "IPv4",
        "ports": [{"name": "https", "port": PORT}],
        "endpoints": [{"addresses": [str(network.node)], "conditions": {"ready": True}}],
    }
    service_of_api = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1beta1.metrics.k8s.io"},
        "spec": {
            "service": {"name": NAME, "namespace": NAMESPACE},
            "group": "metrics.k8s.io",
            "version": "v1beta1",
            "caBundle": b64encode(authority.read_bytes()).decode(),
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
        },
    }
    return {"apiVersion": "v1", "kind": "List", "items": [service, endpoints, service_of_api]}
