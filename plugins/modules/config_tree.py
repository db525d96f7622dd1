#!/usr/bin/python
"""Put a whole configuration tree in place: checked first, swapped in one rename, old one kept."""

from __future__ import annotations

DOCUMENTATION = r"""
module: config_tree
short_description: a service's configuration tree, validated and swapped in atomically
description:
  - Writes all files of a configuration into a new folder beside the live one, runs the service's
    own checker over it, and only then points the symbolic link O(path) at it. A tree that the
    checker refuses is thrown away, and the live one stays as it was.
  - The link C(<path>.loaded), kept by M(service_live), names the tree that the service took last;
    it is what a roll-back returns to. Trees that neither link names are removed.
  - In check mode the tree is checked too (where the checker is installed), in a temporary folder.
options:
  path:
    description: The symbolic link to the live tree. Trees live in C(<path>.trees/).
    type: path
    required: true
  files:
    description: Contents by name relative to the tree. What is not named here is not in the tree.
    type: dict
    required: true
  check:
    description: The checker's argument list; C({tree}) stands for the folder to check.
    type: list
    elements: str
    default: []
  owner:
    description: Owner of the tree.
    type: str
    default: root
  group:
    description: Group of the tree.
    type: str
    default: root
  mode:
    description: Mode of the files; folders get the execute bits that belong to it.
    type: str
    default: "0640"
  diff_without:
    description: Files whose contents C(--diff) does not show, as a secret may stand in them.
    type: list
    elements: str
    default: []
author: Lookout
"""

EXAMPLES = r"""
- name: Ensure a checked configuration is in place
  config_tree:
    path: /etc/prometheus/config
    files:
      prometheus.yml: "{{ lookup('ansible.builtin.template', 'prometheus.yml.j2') }}"
    check: [promtool, check, config, "{tree}/prometheus.yml"]
    group: prometheus
"""

RETURN = r"""
tree:
  description: The folder that O(path) points at.
  returned: success
  type: str
"""

import contextlib
import grp
import hashlib
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.lookout_links import fsync_folder, loaded_link, point

CHECK_TIMEOUT_SECONDS = 120


class TreeError(Exception):
    """The tree cannot be put in place; the live one is untouched."""


def digest(files: dict[str, str], owner: str, group: str, mode: int) -> str:
    """A name for a tree that two trees share only when they are equal."""
    seen = hashlib.sha256(f"{owner}:{group}:{mode:o}".encode())
    for name, content in sorted(files.items()):
        seen.update(f"\0{name}\0{len(content)}\0{content}".encode())
    return seen.hexdigest()[:16]


def read_tree(tree: Path) -> dict[str, str]:
    """All files of a tree by relative name; empty where there is no tree."""
    if not tree.is_dir():
        return {}
    return {
        str(file.relative_to(tree)): file.read_bytes().decode(errors="replace")
        for file in sorted(tree.rglob("*"))
        if file.is_file()
    }


def folder_mode(mode: int) -> int:
    """Folders are as readable as the files in them."""
    return mode | ((mode & 0o444) >> 2)


def belongs(tree: Path, uid: int, gid: int, mode: int) -> bool:
    """Whether owner, group and mode of all that is in a tree are as they were put."""
    for place in (tree, *tree.rglob("*")):
        seen = place.stat()
        wanted = folder_mode(mode) if place.is_dir() else mode
        if (seen.st_uid, seen.st_gid, stat.S_IMODE(seen.st_mode)) != (uid, gid, wanted):
            return False
    return True


def write_tree(folder: Path, files: dict[str, str], uid: int, gid: int, mode: int) -> None:
    """Write and fsync every file of a new tree."""
    for name, content in files.items():
        file = folder / name
        if folder.resolve() not in file.resolve().parents:
            raise TreeError(f"{name} lies outside of the tree")
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(file, "w", encoding="utf-8") as handle:
            os.fchmod(handle.fileno(), mode)
            os.fchown(handle.fileno(), uid, gid)
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
    for place in (folder, *(p for p in folder.rglob("*") if p.is_dir())):
        os.chown(place, uid, gid)
        os.chmod(place, folder_mode(mode))
        fsync_folder(place)


def run_check(check: list[str], tree: Path) -> None:
    """Run the service's checker over a tree; TreeError with what it said where it refuses."""
    if not check:
        return
    argv = [part.replace("{tree}", str(tree)) for part in check]
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, check=False, timeout=CHECK_TIMEOUT_SECONDS
        )
    except FileNotFoundError:
        raise TreeError(f"the checker {argv[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise TreeError(f"{argv[0]} did not end within {CHECK_TIMEOUT_SECONDS} s") from None
    if done.returncode != 0:
        said = (done.stdout + done.stderr).replace(f"{tree}/", "").strip()
        raise TreeError(f"{argv[0]} refuses the new configuration:\n{said}")


def prune(path: Path, trees: Path) -> None:
    """Remove the trees that neither the live link nor the loaded one names."""
    wanted = {link.resolve() for link in (path, loaded_link(path)) if link.is_symlink()}
    for tree in trees.iterdir():
        if tree.resolve() not in wanted:
            shutil.rmtree(tree)


def ids(owner: str, group: str) -> tuple[int, int]:
    return pwd.getpwnam(owner).pw_uid, grp.getgrnam(group).gr_gid


def put(
    path: Path,
    files: dict[str, str],
    check: list[str],
    *,
    owner: str = "root",
    group: str = "root",
    mode: int = 0o640,
    dry_run: bool = False,
) -> tuple[bool, Path, dict[str, str]]:
    """Bring the tree into place. Returns (changed, live tree, former files)."""
    if path.exists() and not path.is_symlink():
        raise TreeError(f"{path} is not a symbolic link: move what is there out of the way")
    before = read_tree(path)
    name = digest(files, owner, group, mode)
    trees = path.with_name(f"{path.name}.trees")
    if path.is_symlink() and path.resolve().name.startswith(name) and before == files:
        uid, gid = ids(owner, group)
        if belongs(path.resolve(), uid, gid, mode):
            return False, path.resolve(), before
    if dry_run:
        with tempfile.TemporaryDirectory() as folder:
            write_tree(Path(folder), files, os.getuid(), os.getgid(), mode)
            if not check or shutil.which(check[0]):
                run_check(check, Path(folder))
        return True, trees / name, before

    uid, gid = ids(owner, group)
    trees.mkdir(parents=True, exist_ok=True)
    trees.chmod(0o755)  # whatever the umask is: the service goes through it to its tree
    fresh = Path(tempfile.mkdtemp(prefix=".new-", dir=trees))
    try:
        write_tree(fresh, files, uid, gid, mode)
        run_check(check, fresh)
        tree = trees / name
        if tree.exists():  # same contents once, edited by hand since: keep both names apart
            tree = trees / f"{name}-{os.stat(fresh).st_ino}"
        os.rename(fresh, tree)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    fsync_folder(trees)
    point(path, os.path.relpath(tree, path.parent))
    with contextlib.suppress(OSError):  # a leftover tree costs a few kilobytes, no more
        prune(path, trees)
    return True, tree, before


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "files": {"type": "dict", "required": True},
            "check": {"type": "list", "elements": "str", "default": []},
            "owner": {"type": "str", "default": "root"},
            "group": {"type": "str", "default": "root"},
            "mode": {"type": "str", "default": "0640"},
            "diff_without": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    asked = module.params
    files = {str(name): str(content) for name, content in asked["files"].items()}
    try:
        changed, tree, before = put(
            Path(asked["path"]),
            files,
            asked["check"],
            owner=asked["owner"],
            group=asked["group"],
            mode=int(asked["mode"], 8),
            dry_run=module.check_mode,
        )
    except (TreeError, KeyError, OSError, ValueError) as error:
        module.fail_json(
            msg=f"{error}\nThe live configuration {asked['path']} stays as it was.",
        )
    diff = [
        {
            "before_header": f"{asked['path']}/{name}",
            "after_header": f"{asked['path']}/{name}",
            "before": before.get(name, ""),
            "after": files.get(name, ""),
        }
        for name in sorted(before.keys() | files.keys())
        if before.get(name) != files.get(name) and name not in asked["diff_without"]
    ]
    module.exit_json(changed=changed, tree=str(tree), diff=diff)


if __name__ == "__main__":
    main()
