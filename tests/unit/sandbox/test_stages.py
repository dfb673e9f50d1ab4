import pytest

from berth_sandbox import images, kind, packages, stages


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was done to prepare, in order."""
    done: list[str] = []
    monkeypatch.setattr(packages, "ensure", lambda: done.append("packages"))
    monkeypatch.setattr(images, "archive", lambda image: done.append(image.file_name))
    return done


def test_what_builds_images_is_installed_before_they_are_built(
    monkeypatch: pytest.MonkeyPatch, calls: list[str]
) -> None:
    monkeypatch.setattr(kind, "usable", lambda: False)
    for prepare in stages.STAGES["e2e"].prepare[1:]:
        prepare()
    assert calls == ["packages", "berth", "berth-scoring", "berth-sandbox"]


def test_docker_needs_nothing_installed_and_builds_for_itself(
    monkeypatch: pytest.MonkeyPatch, calls: list[str]
) -> None:
    monkeypatch.setattr(kind, "usable", lambda: True)
    for prepare in stages.STAGES["e2e"].prepare[1:]:
        prepare()
    assert calls == []
