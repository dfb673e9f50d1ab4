"""The operator gets what it uses, where it serves, and nothing else."""

from collections.abc import Callable
from typing import Any

import pytest

Render = Callable[..., Any]

OWNED = {"get", "list", "watch", "create", "patch", "delete"}
NEEDED = {
    ("berth.dev", "modeldeployments"): {"list", "watch"},
    ("berth.dev", "modeldeployments/status"): {"patch"},
    ("berth.dev", "modeldeployments/finalizers"): {"update"},
    ("apps", "deployments"): OWNED,
    ("", "services"): OWNED,
    ("autoscaling", "horizontalpodautoscalers"): OWNED,
    ("policy", "poddisruptionbudgets"): OWNED,
    ("", "secrets"): OWNED,
    ("", "pods"): {"list"},
    ("", "events"): {"list"},
    ("events.k8s.io", "events"): {"create", "patch"},
}

OF_THE_CLUSTER = {
    ("berth.dev", "modeldeployments"): {"list", "watch", "patch"},
    ("", "configmaps"): {"get"},
    ("berth.dev", "computetargets"): {"list", "watch", "patch"},
    ("berth.dev", "computetargets/status"): {"patch"},
    ("", "namespaces"): {"get"},
    ("", "nodes"): {"list", "watch"},
    ("", "pods"): {"list", "watch", "delete"},
    ("scheduling.k8s.io", "priorityclasses"): {"get"},
    ("resource.k8s.io", "resourceclaimtemplates"): {"get", "create", "patch"},
    ("resource.k8s.io", "deviceclasses"): {"list", "watch"},
    ("resource.k8s.io", "resourceslices"): {"list", "watch"},
    ("resource.k8s.io", "resourceclaims"): {"list", "watch"},
}


def grants(role: dict[str, Any]) -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = {}
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                found.setdefault((group, resource), set()).update(rule["verbs"])
    return found


def test_the_cluster_role_holds_exactly_what_is_needed(render: Render) -> None:
    assert grants(render().one("ClusterRole")) == NEEDED | OF_THE_CLUSTER


def test_namespaced_each_role_holds_the_same_and_no_cluster_role_is_left(render: Render) -> None:
    manifests = render("watchNamespaces={team-a,team-b}")
    assert manifests.of("ClusterRole") == manifests.of("ClusterRoleBinding") == []
    roles = {each["metadata"]["namespace"]: each for each in manifests.of("Role")}
    assert set(roles) == {"team-a", "team-b", "berth-system"}
    assert grants(roles["team-a"]) == grants(roles["team-b"]) == NEEDED
    for binding in manifests.of("RoleBinding"):
        assert binding["subjects"][0]["namespace"] == "berth-system"


@pytest.mark.parametrize("assignment", ["replicaCount=2", "watchNamespaces={team-a}"])
def test_leases_are_granted_in_the_namespace_of_the_operator_alone(render: Render, assignment: str) -> None:
    manifests = render(assignment)
    holders = [
        each
        for kind in ("Role", "ClusterRole")
        for each in manifests.of(kind)
        if any("leases" in rule["resources"] for rule in each["rules"])
    ]
    (role,) = holders
    assert role["metadata"]["namespace"] == "berth-system"
    by_name = [rule for rule in role["rules"] if "create" not in rule["verbs"]]
    assert [rule["resourceNames"] for rule in by_name] == [[manifests.environment["BERTH_LEASE_NAME"]]]
    assert [rule["verbs"] for rule in by_name] == [["get", "update"]]


@pytest.mark.parametrize("assignment", ["replicaCount=2", "watchNamespaces={team-a}"])
def test_no_rule_has_a_wildcard(render: Render, assignment: str) -> None:
    manifests = render(assignment)
    for role in [*manifests.of("ClusterRole"), *manifests.of("Role")]:
        for rule in role["rules"]:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]


def test_the_operator_makes_and_deletes_nothing_that_the_user_owns(render: Render) -> None:
    held = {"list", "watch", "patch"}  # to patch is for the finalizer
    granted = grants(render().one("ClusterRole"))
    for kind in ("modeldeployments", "computetargets"):
        assert granted["berth.dev", kind] == held


def test_users_get_the_resource_through_the_roles_that_they_have(render: Render) -> None:
    manifests = render()
    view = manifests.one("ClusterRole", "berth-view")
    edit = manifests.one("ClusterRole", "berth-edit")
    assert view["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-view"] == "true"
    assert all(set(rule["verbs"]) <= {"get", "list", "watch"} for rule in view["rules"])
    assert "rbac.authorization.k8s.io/aggregate-to-view" not in edit["metadata"]["labels"]
    assert {"create", "update", "patch", "delete"} <= grants(edit)["berth.dev", "modeldeployments"]
    for role in (view, edit):
        assert all("secrets" not in rule["resources"] for rule in role["rules"])


def test_users_roles_can_be_left_out(render: Render) -> None:
    assert len(render("rbac.aggregate=false").of("ClusterRole")) == 1


def test_rbac_can_be_left_to_the_platform_team(render: Render) -> None:
    manifests = render("rbac.create=false")
    for kind in ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"):
        assert manifests.of(kind) == []
