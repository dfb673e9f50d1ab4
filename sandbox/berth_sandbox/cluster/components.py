"""The command lines of the control plane."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from berth_sandbox.cluster.certificates import Authority, KeyPair, service_account_key
from berth_sandbox.cluster.kubeconfig import Identity, write_kubeconfig

ADMIN = "berth-admin"
CONTROLLER_MANAGER = "system:kube-controller-manager"
MASTERS = "system:masters"
KUBELET_CLIENT = "kube-apiserver-kubelet-client"
FRONT_PROXY = "front-proxy-client"
AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
"""


@dataclass(frozen=True)
class Address:
    """Where a control plane listens, and the range of its Services."""

    host: str
    api_port: int
    etcd_port: int
    etcd_peer_port: int
    service_range: str
    service_ip: str

    @property
    def url(self) -> str:
        """Return the URL of the API server."""
        return f"https://{self.host}:{self.api_port}"


@dataclass(frozen=True)
class Credentials:
    """The keys, certificates and tokens of one cluster, in one folder."""

    folder: Path
    authority: Authority
    front_authority: Authority
    server: KeyPair
    kubelet_client: KeyPair
    front_proxy: KeyPair
    service_accounts: Path
    identities: dict[str, Identity]

    def kubeconfig(self, user: str, address: Address) -> Path:
        """Write the kubeconfig of one of the identities."""
        path = self.folder / f"{user.replace(':', '-')}.kubeconfig"
        return write_kubeconfig(
            path, server=address.url, authority=self.authority.certificate, identity=self.identities[user]
        )


def issue_credentials(folder: Path, address: Address, identities: Sequence[Identity]) -> Credentials:
    """Make the authorities, sign the certificates and write the token file."""
    authority = Authority(folder, "ca")
    front_authority = Authority(folder, "front-proxy-ca")
    hosts = ["localhost", "kubernetes.default.svc", "127.0.0.1", address.host, address.service_ip]
    credentials = Credentials(
        folder=folder,
        authority=authority,
        front_authority=front_authority,
        server=authority.server("kube-apiserver", hosts),
        kubelet_client=authority.client(KUBELET_CLIENT, MASTERS),
        front_proxy=front_authority.client(FRONT_PROXY),
        service_accounts=service_account_key(folder),
        identities={identity.user: identity for identity in identities},
    )
    (folder / "tokens.csv").write_text("".join(identity.token_line() for identity in identities))
    (folder / "audit-policy.yaml").write_text(AUDIT_POLICY)
    return credentials


def etcd(binaries: Path, data: Path, address: Address) -> list[str]:
    """Return the command line of etcd, for data that may be lost."""
    client = f"http://{address.host}:{address.etcd_port}"
    peer = f"http://{address.host}:{address.etcd_peer_port}"
    return [
        f"{binaries}/etcd",
        "--name=berth",
        f"--data-dir={data}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=berth={peer}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def apiserver(binaries: Path, credentials: Credentials, address: Address, audit_log: Path) -> list[str]:
    """Return the command line of the API server: RBAC, tokens, aggregation and an audit log."""
    own = credentials
    return [
        f"{binaries}/kube-apiserver",
        f"--bind-address={address.host}",
        f"--advertise-address={address.host}",
        f"--secure-port={address.api_port}",
        f"--etcd-servers=http://{address.host}:{address.etcd_port}",
        f"--service-cluster-ip-range={address.service_range}",
        "--authorization-mode=Node,RBAC",
        f"--token-auth-file={own.folder}/tokens.csv",
        f"--client-ca-file={own.authority.certificate}",
        f"--tls-cert-file={own.server.certificate}",
        f"--tls-private-key-file={own.server.key}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={own.service_accounts}",
        f"--service-account-signing-key-file={own.service_accounts}",
        f"--kubelet-certificate-authority={own.authority.certificate}",
        f"--kubelet-client-certificate={own.kubelet_client.certificate}",
        f"--kubelet-client-key={own.kubelet_client.key}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--proxy-client-cert-file={own.front_proxy.certificate}",
        f"--proxy-client-key-file={own.front_proxy.key}",
        f"--requestheader-client-ca-file={own.front_authority.certificate}",
        f"--requestheader-allowed-names={FRONT_PROXY}",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--enable-aggregator-routing=true",
        f"--audit-policy-file={own.folder}/audit-policy.yaml",
        f"--audit-log-path={audit_log}",
        "--allow-privileged=true",
        "--profiling=false",
    ]


def controller_manager(binaries: Path, credentials: Credentials, kubeconfig: Path) -> list[str]:
    """Return the command line of the controllers: garbage collection, Deployments, autoscaling, ..."""
    return [
        f"{binaries}/kube-controller-manager",
        f"--kubeconfig={kubeconfig}",
        f"--service-account-private-key-file={credentials.service_accounts}",
        f"--root-ca-file={credentials.authority.certificate}",
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        "--secure-port=0",
        # The default is a folder in /usr of the host.
        f"--flex-volume-plugin-dir={credentials.folder}",
    ]
