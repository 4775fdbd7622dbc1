"""Files that pages load: Plotly from its package, icons from Bootstrap's, addresses that change with content."""

from __future__ import annotations

import gzip
import hashlib
import re
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import flask_bootstrap
from flask import Response, current_app, request, url_for
from markupsafe import Markup, escape
from werkzeug import Response as BaseResponse

_ICONS = Path(flask_bootstrap.__file__).parent / "static" / "bootstrap5" / "icons" / "bootstrap-icons.svg"
_YEAR = 365 * 24 * 3600


@lru_cache(maxsize=1)
def _plotly() -> tuple[bytes, bytes, str]:
    """Plotly's script: as it is, gzipped, and a digest. Found without importing the package."""
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise RuntimeError("the package plotly is not installed, so pages have no plots")
    raw = (Path(spec.origin).parent / "package_data" / "plotly.min.js").read_bytes()
    return raw, gzip.compress(raw, 6), hashlib.sha256(raw).hexdigest()[:12]


def plotly_js() -> BaseResponse:
    """Plotly's script, to be kept by browsers for a year; its address carries its digest."""
    raw, packed, digest = _plotly()
    zipped = request.accept_encodings["gzip"] > 0
    response = Response(packed if zipped else raw, mimetype="text/javascript")
    if zipped:
        response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
    response.cache_control.public = True
    response.cache_control.max_age = _YEAR
    response.cache_control.immutable = True
    response.set_etag(digest + ("-gz" if zipped else ""))
    return response.make_conditional(request)


@lru_cache(maxsize=64)
def _digest(path: Path, modified: int) -> str:  # noqa: ARG001 (part of the cache's key)
    return hashlib.sha256(path.read_bytes()).hexdigest()[:10]


def asset(name: str) -> str:
    """The address of a static file, or of `plotly.js`, that changes when the content does."""
    if name == "plotly.js":
        return url_for("pages.plotly_js", v=_plotly()[2])
    path = Path(str(current_app.static_folder)) / name
    return url_for("static", filename=name, v=_digest(path, path.stat().st_mtime_ns))


@lru_cache(maxsize=1)
def _icons() -> dict[str, tuple[str, str]]:
    symbol = r'<symbol[^>]*?viewBox="([^"]+)"[^>]*?id="([^"]+)"[^>]*>(.*?)</symbol>'
    found = re.findall(symbol, _ICONS.read_text(), re.DOTALL)
    return {name: (box, body) for box, name, body in found}


@lru_cache(maxsize=256)
def icon(name: str, label: str = "") -> Markup:
    """One of Bootstrap's icons, drawn inline; decoration unless it has a `label`. `KeyError` if there is none."""
    box, body = _icons()[name]
    spoken = f'role="img" aria-label="{escape(label)}"' if label else 'aria-hidden="true"'
    drawing = f'<svg class="icon" viewBox="{box}" fill="currentColor" {spoken}>{body}</svg>'
    return Markup(drawing)  # noqa: S704 (our package's file; the label is escaped)
