"""How Sphinx makes the site of these pages: ``make docs`` writes ``build/docs/``.

Every page is Markdown that reads well as a file, too. The pages of ``reference/`` are made from the
code by ``docs/reference/generate.py`` and committed, so that they show in a diff.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from nestnet.version import VERSION  # noqa: E402

project = "nestnet"
author = "the nestnet authors"
release = version = VERSION
extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["Thumbs.db"]
html_theme = "furo"
html_title = f"nestnet {VERSION}"
html_copy_source = False
html_show_copyright = False
html_last_updated_fmt = None
