"""Put built pages into the published site, where each version has a folder of its own.

    python docs/publish.py docs/_build/html SITE VERSION

SITE then holds the pages of all versions in ``main/``, ``0.2.0/`` and so on; ``versions.json``, from which the sidebar
offers them; and an ``index.html`` that leads to the newest release, or to ``main`` before there is one.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

DEVELOPMENT = "main"
_RELEASE = re.compile(r"\d+(\.\d+)*")
_REDIRECT = """<!doctype html>
<meta charset="utf-8">
<title>xr_s2sr</title>
<meta http-equiv="refresh" content="0; url={0}/">
<a href="{0}/">The documentation of xr_s2sr</a>
"""


def publish(pages: Path, site: Path, version: str) -> list[str]:
    """Replace the pages of one version; return all versions, newest release first, `main` last.

    Raises
    ------
    ValueError
        If the version is neither "main" nor numbers with dots between them.
    """
    if version != DEVELOPMENT and not _RELEASE.fullmatch(version):
        raise ValueError(f"the version {version!r} cannot be published; expected {DEVELOPMENT!r} or one such as 0.2.0")
    site.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(site / version, ignore_errors=True)
    shutil.copytree(pages, site / version)
    releases = [folder.name for folder in site.iterdir() if folder.is_dir() and _RELEASE.fullmatch(folder.name)]
    releases.sort(key=lambda name: [int(part) for part in name.split(".")], reverse=True)
    versions = [*releases, *([DEVELOPMENT] if (site / DEVELOPMENT).is_dir() else [])]
    (site / "versions.json").write_text(json.dumps(versions), encoding="utf-8")
    (site / "index.html").write_text(_REDIRECT.format(versions[0]), encoding="utf-8")
    (site / ".nojekyll").touch()  # else GitHub leaves out folders such as _static
    return versions


if __name__ == "__main__":
    print(*publish(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
