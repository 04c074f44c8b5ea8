"""Installed adapters: copied whole, chosen by workspace, and taken back."""

from __future__ import annotations

from pathlib import Path

import pytest

from diffill.model.adapter_store import BASE, CHOICES_FILE, AdapterStore
from diffill.model.engine_settings import EngineSettings
from tests.adapters import tiny_factors, write_adapter
from tests.tiny import tiny_checkpoint, tiny_config


@pytest.fixture
def store(tmp_path: Path) -> AdapterStore:
    return AdapterStore(tmp_path / "store")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_adapter(tmp_path / "adapter", tiny_checkpoint(tmp_path / "base"))


def test_installed_once(store: AdapterStore, source: Path) -> None:
    first, second = store.install(source), store.install(source)
    assert first == second
    assert [one.key for one in store.installed()] == [first.key]
    assert store.find("team") == store.find(first.key) == first
    assert {path.name for path in first.path.iterdir()} == {"manifest.json", "adapter.safetensors"}


def test_the_nearest_workspace_decides(store: AdapterStore, source: Path, tmp_path: Path) -> None:
    key = store.install(source).key
    project, other = tmp_path / "project", tmp_path / "other"
    (project / "pkg").mkdir(parents=True)
    other.mkdir()
    assert store.chosen(project) is None
    store.use(key, project)
    assert store.chosen(project / "pkg" / "new.py") == store.directory / key
    assert store.chosen(other) is None
    store.use(key, None)
    assert store.chosen(other) == store.directory / key
    store.use(BASE, other)
    assert store.chosen(other) is None, "a workspace may keep the base"
    store.use(BASE, project / "pkg")
    assert store.chosen(project / "pkg") is None
    assert store.chosen(project) == store.directory / key


def test_a_choice_is_taken_back(store: AdapterStore, source: Path) -> None:
    key = store.install(source).key
    store.use(BASE, None)
    store.use(key, None)
    store.use(key, None)
    assert store.rollback(None) == BASE
    assert store.rollback(None) == BASE
    with pytest.raises(ValueError, match="nothing was chosen for all workspaces"):
        store.rollback(None)


def test_who_saw_a_file(store: AdapterStore, tmp_path: Path) -> None:
    base = tiny_checkpoint(tmp_path / "base")
    saw = store.install(write_adapter(tmp_path / "saw", base, files=("src/pkg/a.py", "src/pkg/b.py", "other/a.py")))
    store.install(write_adapter(tmp_path / "not", base, tiny_factors(tiny_config(), seed=2), files=("src/c.py",)))
    assert store.that_saw("src/pkg/a.py") == [(saw, ["src/pkg/a.py"])]
    assert store.that_saw("./src/pkg/") == [(saw, ["src/pkg/a.py", "src/pkg/b.py"])]
    assert store.that_saw("a.py") == [(saw, ["other/a.py", "src/pkg/a.py"])]
    assert store.that_saw("pkg/c.py") == store.that_saw("src/pk") == []
    for path in ("", "/src", "../src"):
        with pytest.raises(ValueError, match=r"PATH: .*is not below the top of a repository"):
            store.that_saw(path)


def test_what_is_wrong_is_named(store: AdapterStore, source: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no adapter called team is installed"):
        store.find("team")
    store.use("gone-1", None)
    with pytest.raises(ValueError, match="gone-1 is chosen but not installed"):
        store.chosen(tmp_path)
    (store.directory / CHOICES_FILE).write_text("{")
    with pytest.raises(ValueError, match=r"cannot read .*choices\.json"):
        store.chosen(tmp_path)


def test_settings_follow_the_choice(
    store: AdapterStore, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diffill.model.adapter_store.default_store", lambda: store.directory)
    installed = store.install(source)
    store.use(installed.key, tmp_path)
    chosen = EngineSettings.from_environment(place=tmp_path / "a.py")
    assert chosen.adapter == installed.path
    plain = EngineSettings.from_environment()
    assert plain.adapter is None
    assert chosen.runtime_directory().key == plain.runtime_directory().key, "one engine has both"
    assert EngineSettings.from_environment(place=tmp_path, checkpoint=tmp_path / "base").adapter is None
    monkeypatch.setenv("DIFFILL_ADAPTER", "elsewhere")
    assert EngineSettings.from_environment(place=tmp_path).adapter == Path("elsewhere")
