import datetime
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from berth_sandbox.cluster.certificates import Authority, service_account_key


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ca")


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_a_server_certificate_names_its_hosts_and_addresses(authority: Authority) -> None:
    pair = authority.server("kube-apiserver", ["localhost", "10.0.0.1"])
    names = load(pair.certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("10.0.0.1")]


def test_a_client_certificate_names_the_user_and_the_group(authority: Authority) -> None:
    subject = load(authority.client("someone", "some-group").certificate).subject
    assert subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "someone"
    assert subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value == "some-group"


def test_what_it_signs_is_trusted_by_tls(authority: Authority) -> None:
    pair = authority.server("server", ["localhost"])
    load(pair.certificate).verify_directly_issued_by(load(authority.certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    context.load_verify_locations(authority.certificate)


def test_keys_are_for_their_owner_only(authority: Authority, tmp_path: Path) -> None:
    keys = [authority.client("someone").key, service_account_key(tmp_path)]
    assert {key.stat().st_mode & 0o077 for key in keys} == {0}


def test_a_clock_that_is_a_little_late_is_no_trouble(authority: Authority) -> None:
    certificate = load(authority.certificate)
    now = datetime.datetime.now(datetime.UTC)
    assert certificate.not_valid_before_utc < now - datetime.timedelta(minutes=1)
