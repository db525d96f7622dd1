"""A task that is templates alone has no worker, and that is all one can tell."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLAYBOOK = Path(__file__).parent / "strategy/play.yml"


def play(strategy: str, playbook: Path = PLAYBOOK) -> tuple[int, list[str]]:
    """The status and the sorted output: two hosts may begin and end a task in either order."""
    done = subprocess.run(
        ["ansible-playbook", "-i", "a,b,", "-c", "local", "--diff", str(playbook)],
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_STRATEGY": strategy,
            "ANSIBLE_FORCE_COLOR": "0",
            "NO_COLOR": "1",
        },
        text=True,
        capture_output=True,
        check=False,
        timeout=120,
    )
    shown = re.sub(r"Playbook run took.*", "", done.stdout + done.stderr)
    return done.returncode, sorted(shown.replace(" for b, a", " for a, b").splitlines())


def test_it_goes_as_with_the_strategy_of_ansible() -> None:
    status, shown = play("lookout")
    assert (status, shown) == play("ansible.builtin.linear")
    assert status == 2
    recap = [" ".join(line.split()) for line in shown if re.match(r"[ab] +: ok=", line)]
    assert recap == [
        "a : ok=20 changed=1 unreachable=0 failed=0 skipped=2 rescued=1 ignored=2",
        "b : ok=16 changed=1 unreachable=0 failed=1 skipped=1 rescued=1 ignored=3",
    ]


def test_no_worker_is_forked_for_templates(tmp_path: Path) -> None:
    playbook = tmp_path / "play.yml"
    task = "{debug: {msg: \"PID {{ lookup('pipe', 'echo $PPID') }}\"}}"
    waiting = "{debug: {msg: \"PID {{ lookup('pipe', 'echo $PPID') }}\"}, retries: 1}"
    playbook.write_text(
        f"- {{hosts: all, gather_facts: false, tasks: [{task}, {task}, {waiting}]}}\n",
        encoding="ascii",
    )
    for strategy, processes in (("lookout", 1 + 2), ("ansible.builtin.linear", 6)):
        status, shown = play(strategy, playbook)
        assert status == 0, shown
        found = [match[1] for line in shown if (match := re.search(r"PID (\d+)", line))]
        assert len(found) == 6
        assert len(set(found)) == processes


def test_what_python_compiled_is_read_while_it_is_of_the_file_as_it_is(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("kept", ROOT / "plugins/strategy/lookout.py")
    assert spec is not None
    assert spec.loader is not None
    plugin = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plugin)
    file = tmp_path / "module.py"
    file.write_text("import kept_one\n", encoding="ascii")
    subprocess.run(["python3", "-m", "py_compile", str(file)], check=True, timeout=60)
    assert plugin.compiled_file("import other", str(file), "exec").co_names == ("kept_one",)
    file.write_text("import another_one\n", encoding="ascii")
    assert plugin.compiled_file("import other", str(file), "exec").co_names == ("other",)
    assert plugin.compiled_file("import other", "<text>", "exec").co_names == ("other",)
