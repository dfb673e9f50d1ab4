"""HTTPS of a container group: what the server is told, and by what the operator knows it."""

from hashlib import sha256
from typing import Any

import pytest
import trustme
from certificates import pair
from container_groups import CERTIFIED, CONTENT, aci_spec, desired, place, shown
from container_groups import SUBNET as SUBNET_ID
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from deployments import Spec

from berth.api.conditions import Reason
from berth.core.errors import Terminal
from berth.plan.group_content import Content
from berth.plan.group_endpoint import observed_root
from berth.plan.group_tls import certificate_digest, flaw, observed_certificate
from berth_scoring.config import ScoringConfig

SECRET = {"secretRef": {"name": "cert"}}
SELF_SIGNED = {"selfSigned": True}


def scoring(tls: Spec, **fields: Any) -> Any:
    (container,) = desired(aci_spec(tls=tls, **fields)).body["properties"]["containers"]
    return container["properties"]


def config(container: Any) -> ScoringConfig:
    return ScoringConfig.from_environment(
        {each["name"]: each["value"] for each in container["environmentVariables"]}
    )


def with_certificate(**entries: bytes) -> Content:
    secrets = {**CONTENT.secrets, "cert": {name.replace("_", "."): value for name, value in entries.items()}}
    return Content(CONTENT.config_maps, secrets, CONTENT.operator_secrets)


@pytest.mark.parametrize("tls", [SECRET, SELF_SIGNED])
def test_all_that_speaks_to_the_group_speaks_https_on_port_443(tls: Spec) -> None:
    there = shown(desired(aci_spec(tls=tls)))
    there["properties"]["ipAddress"]["ip"] = "h"
    assert observed_root(there) == "https://h"
    assert there["properties"]["ipAddress"]["ports"] == [{"port": 443, "protocol": "TCP"}]
    container = scoring(tls)
    assert container["ports"] == [{"port": 443, "protocol": "TCP"}]
    assert (config(container).port, config(container).user) == (443, 65532)
    for probe, path in (("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
        assert container[probe]["httpGet"] == {"path": path, "port": 443, "scheme": "https"}


def test_the_certificate_travels_to_the_scoring_container_alone() -> None:
    body = desired(aci_spec(tls=SECRET)).body["properties"]
    volumes = {volume["name"]: volume for volume in body["volumes"]}
    assert set(volumes["berth-tls"]["secret"]) == {"tls.crt", "tls.key"}
    tls = config(scoring(SECRET)).tls
    assert tls
    mount = {"name": "berth-tls", "mountPath": str(tls.dir), "readOnly": True}
    assert mount in scoring(SECRET)["volumeMounts"]
    assert mount not in body["initContainers"][0]["properties"]["volumeMounts"]


def test_without_a_secret_nothing_travels() -> None:
    names = {volume["name"] for volume in desired(aci_spec(tls=SELF_SIGNED)).body["properties"]["volumes"]}
    assert "berth-tls" not in names


@pytest.mark.parametrize(
    ("tls", "aci", "name"),
    [
        (SELF_SIGNED | {"hostname": "iris.example.org"}, {}, "iris.example.org"),
        (SELF_SIGNED, {"dnsNameLabel": "iris-live"}, "iris-live.eastus.azurecontainer.io"),
        (
            SELF_SIGNED,
            {"dnsNameLabel": "iris-live", "location": "westus"},
            "iris-live.westus.azurecontainer.io",
        ),
        (SELF_SIGNED, {"subnetId": SUBNET_ID}, "localhost"),
    ],
)
def test_a_self_signed_certificate_names_what_callers_use(tls: Spec, aci: Spec, name: str) -> None:
    told = config(scoring(tls, aci=aci)).tls
    assert told
    assert told.self_signed_for == (name,)


def test_a_group_is_known_by_its_certificate() -> None:
    there = shown(desired(aci_spec(tls=SECRET)))
    assert there["tags"]["berth-certificate"] == CERTIFIED.digest.hex()
    assert observed_certificate(there) == CERTIFIED.digest


def test_a_group_that_makes_its_own_is_known_by_none_whatever_it_had_before() -> None:
    before = desired(aci_spec(tls=SECRET)).tags
    assert observed_certificate({"tags": before | desired(aci_spec(tls=SELF_SIGNED)).tags}) is None


@pytest.mark.parametrize("tags", [None, {}, {"berth-certificate": "0g"}, {"berth-certificate": "ab"}])
def test_a_tag_that_tells_nothing_is_no_certificate(tags: Any) -> None:
    assert observed_certificate({"tags": tags}) is None


def test_a_group_without_tls_has_no_such_tag() -> None:
    assert "berth-certificate" not in desired().tags


def test_a_new_certificate_and_a_new_key_are_new_wishes() -> None:
    before = desired(aci_spec(tls=SECRET))
    for other in (pair("rose.example.org"), pair("iris.example.org", seed="another")):
        content = with_certificate(tls_crt=other.certificate.encode(), tls_key=other.key.encode())
        assert desired(aci_spec(tls=SECRET), content=content).fingerprint != before.fingerprint


OWN = CERTIFIED.certificate.encode()
OWN_KEY = CERTIFIED.key.encode()


def locked(key: str) -> bytes:
    """Return a key that asks for a password."""
    lock = BestAvailableEncryption(b"password")
    return load_pem_private_key(key.encode(), None).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ({"tls_key": OWN_KEY}, "has no key tls.crt"),
        ({"tls_crt": OWN}, "has no key tls.key"),
        ({"tls_crt": b"\xff", "tls_key": OWN_KEY}, "holds no certificate in tls.crt"),
        ({"tls_crt": OWN_KEY, "tls_key": OWN_KEY}, "holds no certificate in tls.crt"),
        ({"tls_crt": OWN[:80] + OWN[90:], "tls_key": OWN_KEY}, "holds no certificate in tls.crt"),
        ({"tls_crt": OWN + OWN[:80] + OWN[90:], "tls_key": OWN_KEY}, "holds no certificate in tls.crt"),
        ({"tls_crt": OWN, "tls_key": b"k"}, "holds no private key in tls.key"),
        ({"tls_crt": OWN, "tls_key": OWN}, "holds no private key in tls.key"),
        (
            {"tls_crt": OWN, "tls_key": locked(CERTIFIED.key)},
            "holds a private key in tls.key that asks for a password",
        ),
        (
            {"tls_crt": OWN, "tls_key": pair("iris.example.org", seed="another").key.encode()},
            "holds a private key in tls.key that is not that of the certificate in tls.crt",
        ),
    ],
)
def test_what_no_server_takes_is_refused(entries: Any, told: str) -> None:
    with pytest.raises(Terminal) as refused:
        desired(aci_spec(tls=SECRET), content=with_certificate(**entries))
    assert (refused.value.reason, refused.value.message) == (
        Reason.CERTIFICATE_INVALID,
        f"Secret cert {told}",
    )


def test_keys_of_every_kind_are_known() -> None:
    authority = trustme.CA(key_type=trustme.KeyType.RSA)
    for kind in trustme.KeyType:
        issued = authority.issue_cert("iris.example.org", key_type=kind)
        chain = b"".join(part.bytes() for part in issued.cert_chain_pems)
        files = {"tls.crt": b"Bag Attributes\n" + chain, "tls.key": issued.private_key_pem.bytes()}
        assert flaw(files) is None


def test_a_missing_secret_is_told() -> None:
    content = Content(CONTENT.config_maps, {})
    with pytest.raises(Terminal, match="Secret cert does not exist"):
        desired(aci_spec(tls=SECRET), place(), content=content)


def test_of_a_chain_the_first_certificate_counts() -> None:
    authority = trustme.CA()
    chain = authority.create_child_ca().issue_cert("iris.example.org").cert_chain_pems
    pem = b"".join(part.bytes() for part in chain)
    leaf = x509.load_pem_x509_certificate(chain[0].bytes()).public_bytes(Encoding.DER)
    assert len(chain) > 1
    assert certificate_digest({"tls.crt": b"Bag Attributes\n" + pem}) == sha256(leaf).hexdigest()
