// The page /docs, on which users try out the API of /openapi.json. All its requests go to this service.
"use strict";

// The caller's session. With the console's cookie, each request needs its CSRF token, to show that this page sends it.
const session = fetch("/session")
  .then((answer) => (answer.ok ? answer.json() : {}))
  .catch(() => ({}));

async function asOurs(request) {
  const { csrf_token: token } = await session;
  if (token && new URL(request.url, location.href).origin === location.origin) {
    request.headers["X-CSRF-Token"] = token;
  }
  return request;
}

window.addEventListener("DOMContentLoaded", () => {
  SwaggerUIBundle({
    url: "/openapi.json",
    dom_id: "#docs",
    deepLinking: true,
    displayRequestDuration: true,
    docExpansion: "none",
    // No list of all schemas: each operation shows its own.
    defaultModelsExpandDepth: -1,
    filter: true,
    requestInterceptor: asOurs,
    tryItOutEnabled: true,
    // Otherwise, the page would have another host validate the document.
    validatorUrl: null,
  });
});
