"""A secret is made once, is private, and of two makers one wins."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleLookupError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from plugins.lookup import secret


def look_up(folder: Path, *names: str, **variables: Any) -> list[str]:
    known = {"ansible_inventory_sources": [str(folder / "hosts.yml")], **variables}
    lookup = secret.LookupModule(loader=DataLoader(), templar=Templar(DataLoader(), known))
    return lookup.run(list(names), known)


def test_it_is_made_once_and_private(tmp_path: Path) -> None:
    [first] = look_up(tmp_path, "ca")
    assert len(first) == 32
    assert look_up(tmp_path, "ca") == [first]
    file = tmp_path / "secrets/ca"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in file.parent.iterdir()] == ["ca"]


def test_each_name_has_its_own(tmp_path: Path) -> None:
    one, other = look_up(tmp_path, "one", "other")
    assert one != other


def test_what_the_operator_put_there_is_kept(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/ca").write_text("chosen by hand\n")
    assert look_up(tmp_path, "ca") == ["chosen by hand"]


def test_check_mode_writes_nothing(tmp_path: Path) -> None:
    assert len(look_up(tmp_path, "ca", ansible_check_mode=True)[0]) == 32
    assert list(tmp_path.iterdir()) == []


def test_of_several_at_once_one_wins(tmp_path: Path) -> None:
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(secret.make(tmp_path / "secrets/ca")))
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 16
    assert len(set(found)) == 1


def test_an_empty_file_is_not_taken_for_a_secret(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/ca").touch()
    with pytest.raises(AnsibleLookupError, match="put the secret back"):
        look_up(tmp_path, "ca")


@pytest.mark.parametrize("name", ["../ca", "a/b", "", ".hidden", "A"])
def test_a_name_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(AnsibleLookupError, match="no name of a secret"):
        look_up(tmp_path, name)
