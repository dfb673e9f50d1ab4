from dataclasses import dataclass
from typing import Annotated

from pydantic import StringConstraints

from berth.api.base import Rule

_NAME = r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?"


@dataclass(frozen=True)
class Scheme:
    """A kind of URI that a model or a scoring script can come from."""

    name: str
    shape: str
    pattern: str

    @property
    def prefix(self) -> str:
        """The scheme with its separator, such as `https://`."""
        return f"{self.name}://"


STORAGE_SCHEMES = ("abfss", "abfs", "wasbs")
"""Those of Azure storage."""
_IN_STORAGE = r"[a-z0-9$-]+@[a-z0-9.-]+/.+"

SCHEMES = (
    Scheme("https", "https://HOST/PATH", r"[^/@ ]+/[^ ]*"),
    Scheme("configmap", "configmap://NAME or configmap://NAME/KEY", rf"{_NAME}(/[-._a-zA-Z0-9]+)?"),
    Scheme("pvc", "pvc://NAME/PATH", rf"{_NAME}/[^/].*"),
    Scheme("file", "file:///PATH", r"/.+"),
    Scheme("abfss", "abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/PATH", _IN_STORAGE),
    Scheme("abfs", "abfs://CONTAINER@ACCOUNT.dfs.core.windows.net/PATH", _IN_STORAGE),
    Scheme("wasbs", "wasbs://CONTAINER@ACCOUNT.blob.core.windows.net/PATH", _IN_STORAGE),
    Scheme("s3", "s3://BUCKET/KEY", r"[a-z0-9.-]+/.+"),
    Scheme("gs", "gs://BUCKET/KEY", r"[a-z0-9._-]+/.+"),
    Scheme("hf", "hf://ORG/REPO[@REVISION]/FILE", r"[\w.-]+/[\w.-]+(@[\w./-]+)?/.+"),
    Scheme("oci", "oci://REGISTRY/REPOSITORY:TAG or oci://REGISTRY/REPOSITORY@DIGEST", r"[^/ ]+/.+[:@].+"),
)


def _scheme_rules() -> tuple[Rule, ...]:
    known = " || ".join(f"self.startsWith('{scheme.prefix}')" for scheme in SCHEMES)
    names = ", ".join(scheme.prefix for scheme in SCHEMES)
    shapes = (
        Rule(
            f"!self.startsWith('{scheme.prefix}') || self.matches(r'^{scheme.prefix}{scheme.pattern}$')",
            f"write a URI of {scheme.name} as {scheme.shape}",
        )
        for scheme in SCHEMES
    )
    return (
        Rule(known, f"the URI must start with one of {names}"),
        Rule("!self.contains('/../') && !self.endsWith('/..')", "a URI must not climb with '..'"),
        *shapes,
    )


URI_RULES = _scheme_rules()
Uri = Annotated[str, StringConstraints(min_length=1, max_length=1024), *URI_RULES]


def split_uri(uri: str) -> tuple[str, str, str]:
    """Split `scheme://head/rest` into its three parts; `rest` is empty where there is none."""
    scheme, _, remainder = uri.partition("://")
    head, _, rest = remainder.partition("/")
    return scheme, head, rest
