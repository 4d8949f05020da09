"""The page `/docs`, on which users try out the API. Swagger UI makes it from `/openapi.json`.

Like that document, the page needs no token. The requests that it sends need one, or the console's session.
"""

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from ops.http.routing import route
from ops.http.shipped_files import ShippedFiles

PATH = "/docs"
_FILES = ShippedFiles(
    "ops.http.openapi",
    PATH,
    {
        "docs.js": "text/javascript; charset=utf-8",
        "LICENSES.txt": "text/plain; charset=utf-8",
        "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
        "swagger-ui.css": "text/css; charset=utf-8",
    },
)
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>hyperpage: the HTTP API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{style}">
<script src="{library}" defer></script>
<script src="{start}" defer></script>
</head>
<body>
<div id="docs"></div>
<noscript>This page needs JavaScript; <a href="/openapi.json">/openapi.json</a> does not.</noscript>
</body>
</html>
"""


async def answer_page(request: Request) -> Response:
    """The page."""
    style, library, start = map(_FILES.address_of, ("swagger-ui.css", "swagger-ui-bundle.js", "docs.js"))
    return HTMLResponse(_PAGE.format(style=style, library=library, start=start))


ROUTES = [route(PATH, answer_page, role=None, operation=None), _FILES.route]
