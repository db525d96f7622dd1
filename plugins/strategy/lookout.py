"""Mitogen's linear strategy where it is installed, Ansible's own otherwise.

Mitogen keeps one Python process a host for the whole run, which makes an unchanged run about
eight times as fast (`make bench`). Nothing depends on it: without it the same tasks run in the
same order. It is set in ansible.cfg; a play that must not use it names `ansible.builtin.linear`.
"""

from __future__ import annotations

import functools
from typing import Any

from ansible.plugins.loader import filter_loader, test_loader
from ansible.plugins.strategy.linear import StrategyModule as Linear


class Prepared(Linear):  # type: ignore[misc]
    """Loads the filters and tests once, in the process that all workers are forked from.

    Ansible loads them where the first one is used. That is a worker, one for each task and host, so
    that each of them compiles every file of filters again: a quarter of a run's processor time.
    """

    def run(self, *arguments: Any, **options: Any) -> Any:
        for loader in (filter_loader, test_loader):
            list(loader.all())
        return super().run(*arguments, **options)


try:
    import ansible_mitogen.affinity
    import ansible_mitogen.module_finder
    from ansible_mitogen.strategy import StrategyMixin
except ImportError:
    StrategyModule = Prepared
else:
    # Mitogen pins each process to one processor. Where there are two, all workers and whatever they
    # start share the second one, of every run at the same time, and the first one idles.
    ansible_mitogen.affinity.policy = ansible_mitogen.affinity.Policy()

    # For each kind of module Mitogen compiles all of Ansible's that it imports. Most are the same.
    ansible_mitogen.module_finder.compile = functools.cache(compile)

    class StrategyModule(StrategyMixin, Prepared):  # type: ignore[misc, no-redef]
        """Ansible's linear strategy over mitogen's connections."""


DOCUMENTATION = """
name: lookout
short_description: linear, over mitogen where it is installed
description:
  - Runs tasks in lock-step like P(ansible.builtin.linear#strategy), over mitogen's connections
    where the Python package mitogen is installed on the control node.
author: Lookout
"""
