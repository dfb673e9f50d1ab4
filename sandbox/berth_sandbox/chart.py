"""Berth in a cluster, by its Helm chart."""

import json

from berth_sandbox import folders, images
from berth_sandbox.access import Access
from berth_sandbox.errors import SandboxError
from berth_sandbox.progress import step
from berth_sandbox.runner import last_lines

SYSTEM_NAMESPACE = "berth-system"


def install(access: Access) -> None:
    """Install Berth by its Helm chart, or upgrade it to what this checkout holds."""
    settings = [
        f"{role}.{key}={value}"
        for role, image in (("image", images.OPERATOR), ("scoringImage", images.SCORING))
        for key, value in (("repository", image.repository), ("tag", image.tag))
    ]
    with step("installing Berth by its Helm chart"):
        _clear_interrupted(access)
        try:
            access.helm(
                *("upgrade", "--install", "berth", folders.REPOSITORY / "charts" / "berth"),
                *("--namespace", SYSTEM_NAMESPACE, "--create-namespace", "--wait", "--timeout=3m"),
                *(f"--set-string={setting}" for setting in settings),
            )
        except SandboxError as error:
            raise SandboxError(f"{error}\n{_last_words(access)}") from None


def _last_words(access: Access) -> str:
    selected = (f"--namespace={SYSTEM_NAMESPACE}", "--selector=app.kubernetes.io/name=berth")
    pods = access.kubectl("get", "pods", *selected)
    return f"{pods}{last_lines(access.kubectl('logs', '--tail=12', *selected))}"


def _clear_interrupted(access: Access) -> None:
    """Remove a release whose installation was cut off: Helm refuses to go on with it."""
    pending = json.loads(access.helm("list", "--pending", "--namespace", SYSTEM_NAMESPACE, "--output=json"))
    if pending:
        access.helm("uninstall", "berth", "--namespace", SYSTEM_NAMESPACE, "--wait")
