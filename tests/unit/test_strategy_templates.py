"""A task of templates alone, or for one host, has no worker, and that is all one can tell."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLAYBOOK = Path(__file__).parent / "strategy/play.yml"
LINEAR = "ansible.builtin.linear"


def play(
    strategy: str, playbook: Path = PLAYBOOK, hosts: str = "a,b,", in_turn: int = 1, **words: str
) -> tuple[int, list[str]]:
    """The status and the sorted output: two hosts may begin and end a task in either order."""
    given = [f"-e{name}={value}" for name, value in words.items()]
    done = subprocess.run(
        ["ansible-playbook", "-i", hosts, "-c", "local", "--diff", *given, str(playbook)],
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_STRATEGY": strategy,
            "LOOKOUT_HOSTS_IN_TURN": str(in_turn),
            "ANSIBLE_FORCE_COLOR": "0",
            "NO_COLOR": "1",
        },
        text=True,
        capture_output=True,
        check=False,
        timeout=120,
    )
    shown = re.sub(r"Playbook run took.*", "", done.stdout + done.stderr)
    # What a run names by itself
    shown = re.sub(r"/\S*/ansible-local-\S+|(start|end|delta): '.*'|jid=\S+", "", shown)
    return done.returncode, sorted(shown.replace(" for b, a", " for a, b").splitlines())


def pids(shown: list[str]) -> list[str]:
    return [match[1] for line in shown if (match := re.search(r"PID (\d+)", line))]


def test_it_goes_as_with_the_strategy_of_ansible() -> None:
    status, shown = play("lookout")
    assert (status, shown) == play(LINEAR)
    assert status == 2
    recap = [" ".join(line.split()) for line in shown if re.match(r"[ab] +: ok=", line)]
    assert recap == [
        "a : ok=20 changed=1 unreachable=0 failed=0 skipped=2 rescued=1 ignored=2",
        "b : ok=16 changed=1 unreachable=0 failed=1 skipped=1 rescued=1 ignored=3",
    ]


def test_without_workers_all_goes_as_with_them(tmp_path: Path) -> None:
    seen = []
    for in_turn in (0, 2):
        folder = tmp_path / "same"
        folder.mkdir()
        work = PLAYBOOK.with_name("work.yml")
        status, shown = play("lookout", work, in_turn=in_turn, folder=str(folder))
        assert status == 2, shown
        seen.append((shown, {file.name: file.read_text() for file in folder.iterdir()}))
        shutil.rmtree(folder)
    assert seen[0] == seen[1]
    assert seen[0][1]["a"] == "one\ntwo\n"


def test_one_host_has_no_worker_and_several_have(tmp_path: Path) -> None:
    playbook = tmp_path / "play.yml"
    # A look-up is worked out where the task is; the module is what makes it more than templates.
    task = "{ping: {data: \"PID {{ lookup('pipe', 'echo $PPID') }}\"}, register: said}"
    show = "{debug: {var: said.ping}}"
    playbook.write_text(
        f"- {{hosts: all, gather_facts: false, tasks: [{task}, {show}, {task}, {show}]}}\n",
        encoding="ascii",
    )
    for hosts, in_turn, processes in (("a,", 1, 1), ("a,b,", 1, 4), ("a,b,", 2, 1)):
        status, shown = play("lookout", playbook, hosts, in_turn)
        assert status == 0, shown
        assert len(set(pids(shown))) == processes, (hosts, in_turn)
    # A play after it that has another strategy
    linear = f"- {{hosts: all, strategy: {LINEAR}, gather_facts: false, tasks: [{task}, {show}]}}\n"
    playbook.write_text(playbook.read_text(encoding="ascii") + linear, encoding="ascii")
    status, shown = play("lookout", playbook, "a,")
    assert status == 0, shown
    assert len(set(pids(shown))) == 1 + 1


def test_a_worker_after_a_loop_over_hosts_does_not_wait_for_ever(tmp_path: Path) -> None:
    playbook = tmp_path / "play.yml"
    # The last connection is not one of mitogen's, the one before stays open: nobody closes it.
    loop = "{command: {argv: ['true']}, delegate_to: '{{ item }}', loop: [a, other]}"
    worker = "{command: {argv: [echo, reached]}, until: true, retries: 1}"
    playbook.write_text(
        "- {hosts: localhost, gather_facts: false, tasks: [{add_host: {name: other,"
        " ansible_connection: ansible.builtin.local}}]}\n"
        f"- {{hosts: a, gather_facts: false, tasks: [{loop}, {worker}]}}\n",
        encoding="ascii",
    )
    status, shown = play("lookout", playbook, "a,")
    assert status == 0, shown


def test_no_worker_is_forked_for_templates(tmp_path: Path) -> None:
    playbook = tmp_path / "play.yml"
    task = "{debug: {msg: \"PID {{ lookup('pipe', 'echo $PPID') }}\"}}"
    waiting = "{debug: {msg: \"PID {{ lookup('pipe', 'echo $PPID') }}\"}, retries: 1}"
    playbook.write_text(
        f"- {{hosts: all, gather_facts: false, tasks: [{task}, {task}, {waiting}]}}\n",
        encoding="ascii",
    )
    for strategy, processes in (("lookout", 1 + 2), (LINEAR, 6)):
        status, shown = play(strategy, playbook)
        assert status == 0, shown
        found = pids(shown)
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
