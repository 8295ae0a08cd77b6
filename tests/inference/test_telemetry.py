"""ONNX Runtime's telemetry: off from the first import on, unless the user set the switch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from xr_s2sr import runtime

#: Where one of these is set, ONNX Runtime sends nothing anyway.
SWITCHES = ("ORT_DISABLE_TELEMETRY", "CI", "GITHUB_ACTIONS", "TF_BUILD")


def upsampled_at(home: Path, tmp_path: Path, code: str) -> str:
    """What code prints after a first upsample in a process whose home is an empty folder."""
    elsewhere = {"HOME": home, "USERPROFILE": home, "NUMBA_CACHE_DIR": tmp_path / "numba"}
    env = {k: v for k, v in os.environ.items() if k not in SWITCHES and not k.startswith("XDG_")}
    first = "import xr_s2sr; xr_s2sr.tutorial.synthetic_scene(60)[0].s2sr.upsample('B05', device='cpu')"
    done = subprocess.run(
        [sys.executable, "-c", f"{first}; {code}"],
        env=env | {key: str(path) for key, path in elsewhere.items()},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_a_first_upsample_leaves_nothing_below_home(tmp_path: Path) -> None:
    """Without the switch: a device id and a database below ~/.cache/Microsoft."""
    home = tmp_path / "home"
    home.mkdir()
    assert upsampled_at(home, tmp_path, "import os; print(os.environ['ORT_DISABLE_TELEMETRY'])") == "1"
    assert list(home.rglob("*")) == []


@pytest.mark.parametrize(("own", "kept"), [("0", "0"), ("1", "1"), (None, "1")])
def test_the_users_own_setting_stays(own: str | None, kept: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The module is a fake, so that nothing is ever sent."""
    fake = ModuleType("onnxruntime")
    monkeypatch.setattr(fake, "InferenceSession", None, raising=False)
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", own or "")
    if own is None:
        monkeypatch.delenv("ORT_DISABLE_TELEMETRY")
    runtime.import_onnxruntime.cache_clear()
    assert runtime.import_onnxruntime() is fake
    runtime.import_onnxruntime.cache_clear()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == kept
