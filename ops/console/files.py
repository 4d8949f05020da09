"""The files that pages load: style, scripts and icon."""

from ops.console.rendering import PREFIX
from ops.http.shipped_files import ShippedFiles

_FILES = ShippedFiles(
    "ops.console",
    PREFIX,
    {
        "console.css": "text/css; charset=utf-8",
        "console.js": "text/javascript; charset=utf-8",
        "forms.js": "text/javascript; charset=utf-8",
        "htmx.min.js": "text/javascript; charset=utf-8",
        "icon.svg": "image/svg+xml",
        "LICENSES.txt": "text/plain; charset=utf-8",
        "tail.js": "text/javascript; charset=utf-8",
        "uplot.min.css": "text/css; charset=utf-8",
        "uplot.min.js": "text/javascript; charset=utf-8",
    },
)
address_of = _FILES.address_of

ROUTES = [_FILES.route]
