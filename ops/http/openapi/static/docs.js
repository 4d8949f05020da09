// The page at /docs: the API as /openapi.json describes it, to be tried out. All that it asks is this service.
"use strict";

// Who is logged in with the console's cookie shows with each request that it is a page of this service that asks.
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
    // Schemas stand with the operations that have them.
    defaultModelsExpandDepth: -1,
    filter: true,
    requestInterceptor: asOurs,
    tryItOutEnabled: true,
    // It would ask another host for a verdict on the document.
    validatorUrl: null,
  });
});
