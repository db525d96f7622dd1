"""Makes the plug-ins importable as Ansible sees them; nothing fails for being slow."""

from __future__ import annotations

import sys
from pathlib import Path

import ansible.module_utils
from hypothesis import settings

ROOT = Path(__file__).parents[1]

# `plugins.modules.config_tree` and the like are namespace packages below the repository.
sys.path.insert(0, str(ROOT))
# What ansible.cfg says with `module_utils = plugins/module_utils`.
ansible.module_utils.__path__.append(str(ROOT / "plugins/module_utils"))

# A busy machine stops a test for longer than hypothesis' deadline of 0.2 s.
settings.register_profile("lookout", deadline=None)
settings.load_profile("lookout")
