"""Mitogen's linear strategy where it is installed, Ansible's own otherwise.

Mitogen keeps one Python process a host for the whole run, which makes an unchanged run about
eight times as fast (`make bench`). Nothing depends on it: without it the same tasks run in the
same order. It is set in ansible.cfg; a play that must not use it names `ansible.builtin.linear`.

Ansible forks a worker for each task and host, and what a worker has worked out ends with it. Most
of a run's processor time is that every worker does the same again. Here they inherit it, and a task
has no worker where it is nothing but templates, or for one host alone.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import gc
import glob
import importlib.util
import marshal
import os
import struct
import tempfile
from types import CodeType
from typing import Any

from ansible.plugins.loader import filter_loader, test_loader
from ansible.plugins.strategy.linear import StrategyModule as Linear
from ansible.utils.collection_loader import AnsibleCollectionConfig

LENGTH_BYTES = 4
# What tasks do that need no host
TEMPLATES_ALONE = {
    f"{prefix}{name}"
    for prefix in ("", "ansible.builtin.")
    for name in (
        "assert", "debug", "fail", "include_role", "include_tasks", "set_fact",
        "validate_argument_spec",
    )
}  # fmt: skip
# They talk to whoever sits there, which a worker alone can be made to do.
ASK_SOMEBODY = {"pause", "ansible.builtin.pause", "ansible.legacy.pause"}
# So many hosts of a task are worked on one after the other; with more, each has a worker. The test
# bed sets it: on its two processors, with other runs beside it, workers take longer than they save.
HOSTS_IN_TURN = int(os.environ.get("LOOKOUT_HOSTS_IN_TURN") or 1)
TOO_MANY = HOSTS_IN_TURN + 1
HEAD_BYTES = 16  # of what Python keeps: a magic number, flags, time and size of the source


class Compiled:
    """Templates that a worker compiled, for the workers that are forked after it.

    They are passed on in a file without a name, which ends with the run.
    """

    def __init__(self) -> None:
        self.original: Any = None  # what it stands in for
        self.known: dict[tuple[Any, ...], CodeType] = {}
        self.read_bytes = 0
        with tempfile.NamedTemporaryFile() as file:
            self.file = os.open(file.name, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)

    def compile(self, environment: Any, source: Any, *others: Any, **options: Any) -> Any:
        """Do what Jinja does, once for each text and what it is read by."""
        if not isinstance(source, str) or others or options:
            return self.original(environment, source, *others, **options)
        context = _TemplateCompileContext.current(optional=True)
        syntax = [str(getattr(environment, name)) for name in _TEMPLATE_OVERRIDE_FIELD_NAMES]
        key = (str(source), context and context.escape_backslashes, *syntax)
        if key not in self.known:
            self.known[key] = self.original(environment, source)
            entry = marshal.dumps((key, self.known[key]))
            os.write(self.file, len(entry).to_bytes(LENGTH_BYTES, "big") + entry)
        return self.known[key]

    def learn(self) -> None:
        """Take up what workers have written since the last time."""
        new = os.pread(self.file, os.fstat(self.file).st_size - self.read_bytes, self.read_bytes)
        while (end := LENGTH_BYTES + int.from_bytes(new[:LENGTH_BYTES], "big")) <= len(new):
            key, code = marshal.loads(new[LENGTH_BYTES:end])  # noqa: S302 - our workers wrote it
            self.known[key] = code
            self.read_bytes += end
            new = new[end:]


def collection_dirs() -> list[bytes]:
    """Folders of the collections; Ansible's own reads what each of them says of itself."""
    roots = AnsibleCollectionConfig.collection_paths
    found = [path for root in roots for path in glob.glob(f"{root}/ansible_collections/*/*/")]
    return [os.fsencode(os.path.dirname(path)) for path in found]


def compiled_file(source: Any, path: str, mode: str) -> Any:
    """Do what `compile` does, with what Python keeps of a file that it compiled."""
    kept = importlib.util.cache_from_source(path)
    with contextlib.suppress(OSError, EOFError, ValueError), open(kept, "rb") as file:
        head, code = file.read(HEAD_BYTES), file.read()
        status = os.stat(path)
        parts = (int(status.st_mtime), status.st_size)
        if head == importlib.util.MAGIC_NUMBER + bytes(4) + struct.pack("<II", *parts):
            return marshal.loads(code)  # noqa: S302 - Python wrote it
    return compile(source, path, mode)


def copied(value: Any, memo: dict[int, Any]) -> Any:
    """Copy a list or a mapping, and share what says where it stands: that never changes."""
    made: Any = type(value)._instance_factory(value._native_type(), value._ansible_tags_mapping)
    memo[id(value)] = made
    if isinstance(value, dict):
        made.update((key, copy.deepcopy(item, memo)) for key, item in dict.items(value))
    else:
        made.extend(copy.deepcopy(item, memo) for item in list.__iter__(value))
    return made


def needs_worker(task: Any, hosts: int) -> bool:
    """Whether a task would hold up other hosts, or waits for what only a worker can wait for."""
    if task.until or task.retries or task.async_val or task.timeout or task.action in ASK_SOMEBODY:
        return True
    return task.action not in TEMPLATES_ALONE and hosts > HOSTS_IN_TURN


compiled = Compiled()
try:
    import ansible.plugins.strategy as strategies
    from ansible._internal._errors._error_utils import result_dict_from_exception
    from ansible._internal._task import TaskContext
    from ansible._internal._templating._jinja_bits import (
        _TEMPLATE_OVERRIDE_FIELD_NAMES,
        AnsibleEnvironment,
        _TemplateCompileContext,
    )
    from ansible.executor.process.worker import WorkerProcess
    from ansible.executor.task_executor import TaskExecutor
    from ansible.executor.task_result import _RawTaskResult
    from ansible.module_utils._internal._datatag import (
        AnsibleDatatagBase,
        _AnsibleTaggedDict,
        _AnsibleTaggedInt,
        _AnsibleTaggedList,
        _AnsibleTaggedStr,
    )
except ImportError:
    pass  # another ansible-core, which is as slow as it is
else:
    compiled.original = AnsibleEnvironment.compile

    def compile_template(environment: Any, *arguments: Any, **options: Any) -> Any:
        """Stand in for the method of Jinja's environment."""
        return compiled.compile(environment, *arguments, **options)

    AnsibleEnvironment.compile = compile_template

    # A look-up of a template copies all variables, a read of a file all that it has, and with each
    # string what says where it stands. These never change.
    for kind in (AnsibleDatatagBase, _AnsibleTaggedInt, _AnsibleTaggedStr):
        kind.__deepcopy__ = lambda value, _memo: value
    for kind in (_AnsibleTaggedDict, _AnsibleTaggedList):
        kind.__deepcopy__ = copied

    class Worker(WorkerProcess):  # type: ignore[misc]
        """Works on a task in a process of its own, if there is a reason to."""

        def start(self) -> None:
            if needs_worker(self._task, Prepared.hosts):
                super().start()
                return
            try:
                self._final_q.send_task_result(self.work_here())
            # A worker that a plug-in ends is told of; this process would end without a word.
            except (Exception, SystemExit) as error:
                if self._task.action in TEMPLATES_ALONE:
                    super().start()  # a worker says of each error what there is to say
                else:
                    self._final_q.send_task_result(self.failed(error))

        def run(self) -> None:
            # As below, for what the play has become since.
            gc.freeze()
            super().run()

        def work_here(self) -> Any:
            """What a worker sends back, of a copy of the task.

            What the variables hold is the play's own: an action that changed them in place, which
            Ansible's do not, would change them for the tasks that follow.
            """
            task = self._task.copy(exclude_parent=True, exclude_tasks=True)
            task._parent = self._task._parent
            with TaskContext(task):
                done = TaskExecutor(
                    self._host, task, dict(self._task_vars), self._play_context, self._loader,
                    self._shared_loader_obj, self._final_q, self._variable_manager,
                ).run()  # fmt: skip
                return _RawTaskResult(
                    host=self._host, task=task, return_data=done, task_fields=task.dump_attrs()
                )

        def failed(self, error: BaseException) -> Any:
            """Tell of a result that cannot be told: what it did to the host is done."""
            data = result_dict_from_exception(error)
            return _RawTaskResult(
                host=self._host, task=self._task, return_data=data, task_fields={}
            )

    strategies.WorkerProcess = Worker


class Prepared(Linear):  # type: ignore[misc]
    """Does once what all workers need, in the process that they are forked from."""

    # How many are at the task that is worked on. Nobody says so without mitogen: each has a worker,
    # as ssh would ask whoever sits there for what it misses.
    hosts = TOO_MANY

    def run(self, *arguments: Any, **options: Any) -> Any:
        # Ansible loads these where the first one is used. That is a worker, so that each of them
        # compiles every file of filters again: a quarter of a run's processor time.
        for loader in (filter_loader, test_loader):
            list(loader.all())
        # Whatever there is by now stays. A worker that looks through it for garbage writes to each
        # object, and has to be given a copy of its memory for that.
        gc.freeze()
        try:
            return super().run(*arguments, **options)
        finally:
            Prepared.hosts = TOO_MANY  # the next play may have another strategy

    def _queue_task(self, *arguments: Any, **options: Any) -> Any:
        compiled.learn()
        return super()._queue_task(*arguments, **options)


try:
    import ansible.collections.list
    import ansible_mitogen.affinity
    import ansible_mitogen.module_finder
    import mitogen.core
    import mitogen.master
    import mitogen.minify
    from ansible_mitogen.strategy import StrategyMixin
except ImportError:
    StrategyModule = Prepared
else:
    # Mitogen pins each process to one processor. Where there are two, all workers and whatever they
    # start share the second one, of every run at the same time, and the first one idles.
    ansible_mitogen.affinity.policy = ansible_mitogen.affinity.Policy()

    # For each kind of module Mitogen compiles all of Ansible's that it imports. Most are the same.
    ansible_mitogen.module_finder.compile = functools.cache(compile)

    # To learn what they import it compiles all that it sends. Python has done so before.
    mitogen.master.compile = compiled_file

    # It takes the comments out of what it sends, which takes longer than to send them.
    mitogen.minify.minimize_source = mitogen.core.to_text

    # For each module out of a collection it asks where all collections are.
    ansible.collections.list.list_collection_dirs = collection_dirs

    class StrategyModule(StrategyMixin, Prepared):  # type: ignore[misc, no-redef]
        """Ansible's linear strategy over mitogen's connections."""

        def _get_next_task_lockstep(self, *arguments: Any, **options: Any) -> Any:
            step = super()._get_next_task_lockstep(*arguments, **options)
            Prepared.hosts = len(step)
            return step

        def _queue_task(self, *arguments: Any, **options: Any) -> Any:
            try:
                return super()._queue_task(*arguments, **options)
            finally:
                # What a loop over several hosts leaves connected: a worker that is forked after it
                # would take it for its own, and wait for an answer for ever.
                self._worker_model.on_binding_close()


DOCUMENTATION = """
name: lookout
short_description: linear, over mitogen where it is installed
description:
  - Runs tasks in lock-step like P(ansible.builtin.linear#strategy), over mitogen's connections
    where the Python package mitogen is installed on the control node.
author: Lookout
"""
