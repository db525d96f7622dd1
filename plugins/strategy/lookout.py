"""Mitogen's linear strategy where it is installed, Ansible's own otherwise.

Mitogen keeps one Python process a host for the whole run, which makes an unchanged run about
eight times as fast (`make bench`). Nothing depends on it: without it the same tasks run in the
same order. It is set in ansible.cfg; a play that must not use it names `ansible.builtin.linear`.
"""

from __future__ import annotations

from ansible.plugins.strategy.linear import StrategyModule as Linear

try:
    import ansible_mitogen.affinity
    from ansible_mitogen.strategy import StrategyMixin
except ImportError:
    StrategyModule = Linear
else:
    # Mitogen pins each process to one processor. Where there are two, all workers and whatever they
    # start share the second one, of every run at the same time, and the first one idles.
    ansible_mitogen.affinity.policy = ansible_mitogen.affinity.Policy()

    class StrategyModule(StrategyMixin, Linear):  # type: ignore[misc, no-redef]
        """Ansible's linear strategy over mitogen's connections."""


DOCUMENTATION = """
name: lookout
short_description: linear, over mitogen where it is installed
description:
  - Runs tasks in lock-step like P(ansible.builtin.linear#strategy), over mitogen's connections
    where the Python package mitogen is installed on the control node.
author: Lookout
"""
