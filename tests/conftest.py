"""Makes the plug-ins importable as Ansible sees them."""

from __future__ import annotations

import sys
from pathlib import Path

import ansible.module_utils

ROOT = Path(__file__).parents[1]

# `plugins.modules.config_tree` and the like are namespace packages below the repository.
sys.path.insert(0, str(ROOT))
# What ansible.cfg says with `module_utils = plugins/module_utils`.
ansible.module_utils.__path__.append(str(ROOT / "plugins/module_utils"))
