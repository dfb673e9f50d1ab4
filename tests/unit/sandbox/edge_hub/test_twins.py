import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth_sandbox.azure.edge_hub.tokens import expiry, sign
from berth_sandbox.azure.edge_hub.twins import Twin, TwinError

KEY = b"key"
RESOURCE = "hub.example/devices/d/modules/m"

leaves = st.integers() | st.text(max_size=5)
keys = st.sampled_from("abc")
documents = st.recursive(
    st.dictionaries(keys, leaves, max_size=3), lambda inner: st.dictionaries(keys, inner | leaves, max_size=3)
)


@given(documents, documents)
def test_a_patch_is_merged_and_its_nulls_remove(first: dict[str, Any], second: dict[str, Any]) -> None:
    twin = Twin()
    twin.report(json.dumps(first).encode())
    assert twin.reported == first
    twin.report(json.dumps(second).encode())
    assert {key: twin.reported[key] for key in second if not isinstance(second[key], dict)} == {
        key: value for key, value in second.items() if not isinstance(value, dict)
    }
    twin.report(json.dumps(dict.fromkeys("abc")).encode())
    assert twin.reported == {}
    assert twin.versions["reported"] == 4


@pytest.mark.parametrize(
    "patch",
    [
        b"no JSON",
        b"[]",
        b'{"a.b": 1}',
        b'{"a": {"$b": 1}}',
        b'{"a b": 1}',
        json.dumps({"a": "x" * 4097}).encode(),
        json.dumps({f"k{n}": "x" * 4000 for n in range(9)}).encode(),
    ],
)
def test_what_a_twin_cannot_hold_is_refused_and_changes_nothing(patch: bytes) -> None:
    twin = Twin()
    with pytest.raises(TwinError):
        twin.report(patch)
    assert (twin.reported, twin.versions["reported"]) == ({}, 1)


def test_a_twin_is_told_with_its_versions() -> None:
    twin = Twin()
    assert json.loads(twin.desire({"speed": 3})) == {"speed": 3, "$version": 2}
    assert json.loads(twin.document()) == {
        "desired": {"speed": 3, "$version": 2},
        "reported": {"$version": 1},
    }


def token(resource: str = "hub.example%2Fdevices%2Fd%2Fmodules%2Fm", key: bytes = KEY, se: str = "99") -> str:
    signature = sign(key, f"{resource}\n{se}".encode()).replace("+", "%2B").replace("=", "%3D")
    return f"SharedAccessSignature sr={resource}&sig={signature.replace('/', '%2F')}&se={se}"


def test_a_good_token_tells_when_it_expires() -> None:
    assert expiry(token(), RESOURCE, KEY) == 99


@pytest.mark.parametrize(
    "bad",
    [
        token(key=b"other"),
        token(resource="hub.example%2Fdevices%2Fd%2Fmodules%2Fother"),
        token(se="soon"),
        token().replace("se=99", "se=100"),
        token().removeprefix("SharedAccessSignature "),
        "SharedAccessSignature sr=x",
        "",
    ],
)
def test_any_other_token_is_none(bad: str) -> None:
    assert expiry(bad, RESOURCE, KEY) is None
