import re

import pytest
from manifests import SOURCE_OF_SCHEME

from berth.api.uri import SCHEMES, Scheme, split_uri


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
def test_a_uri_of_each_scheme_has_its_shape(scheme: Scheme) -> None:
    uri = SOURCE_OF_SCHEME[scheme.name]
    assert re.fullmatch(scheme.prefix + scheme.pattern, uri)


@pytest.mark.parametrize(
    ("uri", "parts"),
    [
        ("configmap://iris", ("configmap", "iris", "")),
        ("configmap://iris/model.onnx", ("configmap", "iris", "model.onnx")),
        ("pvc://models/iris/3/model.onnx", ("pvc", "models", "iris/3/model.onnx")),
        ("file:///models/iris.onnx", ("file", "", "models/iris.onnx")),
        ("https://example.org/a?b=c", ("https", "example.org", "a?b=c")),
    ],
)
def test_a_uri_is_split_into_scheme_head_and_rest(uri: str, parts: tuple[str, str, str]) -> None:
    assert split_uri(uri) == parts
