"""Schemas as people write them, each with a configuration that matches it."""

from typing import Any

_SEMVER = (
    r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
    r"(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?$"
)
_NAME = r"^(?:@[a-z0-9-*~][a-z0-9-*._~]*/)?[a-z0-9-~][a-z0-9-._~]*$"
_DEPENDENCIES: dict[str, Any] = {"type": "object", "additionalProperties": {"type": "string"}}

PACKAGE: dict[str, Any] = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "title": "a package",
    "definitions": {
        "person": {
            "oneOf": [
                {"type": "string"},
                {
                    "type": "object",
                    "required": ["name"],
                    "properties": {
                        "name": {"type": "string"},
                        "email": {"type": "string", "format": "email"},
                        "url": {"type": "string", "format": "uri"},
                    },
                },
            ]
        },
        "dependency": _DEPENDENCIES,
        "exports": {
            "type": "object",
            "patternProperties": {"^\\./": {"type": ["string", "null"]}},
            "additionalProperties": {
                "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]
            },
        },
    },
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 214, "pattern": _NAME},
        "version": {"type": "string", "pattern": _SEMVER},
        "description": {"type": "string"},
        "keywords": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        "homepage": {"type": "string", "format": "uri"},
        "private": {"type": "boolean"},
        "type": {"enum": ["commonjs", "module"], "default": "commonjs"},
        "license": {"anyOf": [{"enum": ["MIT", "Apache-2.0", "BSD-3-Clause"]}, {"type": "string"}]},
        "author": {"$ref": "#/definitions/person"},
        "contributors": {"type": "array", "items": {"$ref": "#/definitions/person"}},
        "files": {"type": "array", "items": {"type": "string"}},
        "bin": {"type": ["string", "object"], "additionalProperties": {"type": "string"}},
        "exports": {"oneOf": [{"type": "string"}, {"$ref": "#/definitions/exports"}]},
        "scripts": {"type": "object", "additionalProperties": {"type": "string"}},
        "dependencies": {"$ref": "#/definitions/dependency"},
        "devDependencies": {"$ref": "#/definitions/dependency"},
        "peerDependencies": {"$ref": "#/definitions/dependency"},
        "engines": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "required": ["name", "version"],
    "dependencies": {"bin": ["files"]},
}

_EXPRESSION = r"^\$\{\{(.|[\r\n])*\}\}$"
_MAP: dict[str, Any] = {
    "type": "object",
    "additionalProperties": {"type": ["string", "number", "boolean"]},
    "minProperties": 1,
}
_EVENTS = (
    "push",
    "pull_request",
    "issues",
    "release",
    "schedule",
    "workflow_dispatch",
    "workflow_call",
    "create",
)

WORKFLOW: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$defs": {
        "name": {"type": "string", "pattern": "^[_a-zA-Z][a-zA-Z0-9_-]*$"},
        "expression": {"type": "string", "pattern": _EXPRESSION},
        "env": {"oneOf": [_MAP, {"$ref": "#/$defs/expression"}]},
        "branches": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        "event": {
            "type": ["object", "null"],
            "properties": {
                "branches": {"$ref": "#/$defs/branches"},
                "branches-ignore": {"$ref": "#/$defs/branches"},
                "tags": {"$ref": "#/$defs/branches"},
                "paths": {"$ref": "#/$defs/branches"},
                "types": {
                    "type": "array",
                    "items": {"enum": ["opened", "edited", "closed"]},
                    "uniqueItems": True,
                },
            },
            "not": {"required": ["branches", "branches-ignore"]},
        },
        "container": {
            "type": "object",
            "properties": {
                "image": {"type": "string"},
                "env": {"$ref": "#/$defs/env"},
                "ports": {"type": "array", "items": {"oneOf": [{"type": "integer"}, {"type": "string"}]}},
                "options": {"type": "string"},
            },
            "required": ["image"],
            "additionalProperties": False,
        },
        "step": {
            "type": "object",
            "properties": {
                "id": {"type": "string"},
                "if": {"type": ["boolean", "number", "string"]},
                "name": {"type": "string"},
                "uses": {"type": "string"},
                "run": {"type": "string"},
                "working-directory": {"type": "string"},
                "shell": {"anyOf": [{"type": "string"}, {"enum": ["bash", "pwsh", "python", "sh"]}]},
                "with": {"$ref": "#/$defs/env"},
                "env": {"$ref": "#/$defs/env"},
                "continue-on-error": {"oneOf": [{"type": "boolean"}, {"$ref": "#/$defs/expression"}]},
                "timeout-minutes": {"oneOf": [{"type": "number"}, {"$ref": "#/$defs/expression"}]},
            },
            "oneOf": [{"required": ["uses"]}, {"required": ["run"]}],
            "dependentRequired": {"working-directory": ["run"], "shell": ["run"]},
            "unevaluatedProperties": False,
        },
        "job": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "needs": {
                    "oneOf": [
                        {"type": "array", "items": {"$ref": "#/$defs/name"}, "minItems": 1},
                        {"$ref": "#/$defs/name"},
                    ]
                },
                "runs-on": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
                "env": {"$ref": "#/$defs/env"},
                "if": {"type": ["boolean", "number", "string"]},
                "steps": {"type": "array", "items": {"$ref": "#/$defs/step"}, "minItems": 1},
                "strategy": {
                    "type": "object",
                    "properties": {
                        "matrix": {
                            "oneOf": [
                                {"$ref": "#/$defs/expression"},
                                {
                                    "type": "object",
                                    "patternProperties": {"^(in|ex)clude$": {"type": "array"}},
                                    "additionalProperties": {"type": "array", "minItems": 1},
                                },
                            ]
                        },
                        "fail-fast": {"type": ["boolean", "string"]},
                        "max-parallel": {"type": ["number", "string"]},
                    },
                    "required": ["matrix"],
                },
                "container": {"oneOf": [{"type": "string"}, {"$ref": "#/$defs/container"}]},
                "services": {"type": "object", "additionalProperties": {"$ref": "#/$defs/container"}},
                "concurrency": {"anyOf": [{"type": "string"}, _MAP]},
            },
            "if": {"required": ["strategy"]},
            "then": {"required": ["steps"]},
            "required": ["runs-on"],
        },
    },
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "on": {
            "oneOf": [
                {"enum": list(_EVENTS)},
                {"type": "array", "items": {"enum": list(_EVENTS)}, "minItems": 1},
                {"type": "object", "properties": {event: {"$ref": "#/$defs/event"} for event in _EVENTS}},
            ]
        },
        "env": {"$ref": "#/$defs/env"},
        "defaults": {"type": "object"},
        "jobs": {
            "type": "object",
            "patternProperties": {"^[_a-zA-Z][a-zA-Z0-9_-]*$": {"$ref": "#/$defs/job"}},
            "minProperties": 1,
            "additionalProperties": False,
        },
        "permissions": {"oneOf": [{"enum": ["read-all", "write-all"]}, _MAP]},
    },
    "required": ["on", "jobs"],
    "additionalProperties": False,
}

SERVICE: dict[str, Any] = {
    "type": "object",
    "$defs": {
        "port": {"type": "integer", "minimum": 1, "maximum": 65535},
        "duration": {"type": "string", "pattern": r"^\d+(ms|s|m|h)$"},
        "rate": {"type": "number", "exclusiveMinimum": 0, "multipleOf": 0.01},
        "label": {"type": "string", "pattern": "^[a-z0-9-]{1,63}$"},
        "retry": {
            "type": "object",
            "properties": {
                "attempts": {"type": "integer", "minimum": 0, "maximum": 20},
                "backoff": {"$ref": "#/$defs/duration"},
                "jitter": {"type": "number", "minimum": 0, "maximum": 1},
            },
            "additionalProperties": False,
        },
    },
    "properties": {
        "listen": {"$ref": "#/$defs/port"},
        "labels": {"type": "object", "propertyNames": {"$ref": "#/$defs/label"}},
        "upstreams": {
            "type": "array",
            "maxItems": 200,
            "uniqueItems": True,
            "items": {
                "type": "object",
                "required": ["name", "kind"],
                "properties": {
                    "name": {"$ref": "#/$defs/label"},
                    "kind": {"enum": ["http", "grpc", "tcp"]},
                    "url": {"type": "string", "format": "uri"},
                    "port": {"$ref": "#/$defs/port"},
                    "retry": {"$ref": "#/$defs/retry"},
                    "rate": {"$ref": "#/$defs/rate"},
                    "until": {"type": "string", "format": "date-time"},
                },
                "allOf": [
                    {"if": {"properties": {"kind": {"const": "tcp"}}}, "then": {"required": ["port"]}},
                    {"if": {"properties": {"kind": {"const": "http"}}}, "then": {"required": ["url"]}},
                ],
                "unevaluatedProperties": False,
            },
        },
    },
    "required": ["listen"],
}


def package() -> dict[str, Any]:
    """A package with 150 dependencies."""
    return {
        "name": "@example/tools",
        "version": "1.20.3-beta.1+build.5",
        "keywords": [f"word-{each}" for each in range(30)],
        "homepage": "https://example.com/tools",
        "author": {"name": "Ada", "email": "ada@example.com"},
        "contributors": ["Grace", {"name": "Edsger", "url": "https://example.com/edsger"}],
        "license": "MIT",
        "files": ["dist"],
        "bin": {"tools": "dist/cli.js"},
        "exports": {"./a": "./dist/a.js", ".": "./dist/index.js"},
        "scripts": {f"task:{each}": f"node scripts/task-{each}.js --watch" for each in range(20)},
        "dependencies": {f"library-{each}": f"^1.{each}.0" for each in range(50)},
        "devDependencies": {f"@example/tool-{each}": f"~2.{each}.1" for each in range(100)},
    }


def workflow() -> dict[str, Any]:
    """Ten jobs of ten steps."""
    step = {"name": "a step", "uses": "actions/checkout@v4", "with": {"depth": 1, "path": "main"}}
    script = {"name": "another", "run": "make test\nmake build\n" * 10, "shell": "bash", "env": {"CI": True}}
    job = {
        "runs-on": ["self-hosted", "linux"],
        "needs": ["first"],
        "env": {"LEVEL": "info"},
        "strategy": {"matrix": {"python": ["3.11", "3.12"], "include": [{"python": "3.13"}]}},
        "steps": [step, script] * 5,
    }
    return {
        "name": "checks",
        "on": {"push": {"branches": ["main"]}, "pull_request": {"types": ["opened", "edited"]}},
        "jobs": {"first": {"runs-on": "linux", "steps": [step]}} | {f"job_{each}": job for each in range(9)},
    }


def service() -> dict[str, Any]:
    """Forty upstreams."""
    return {
        "listen": 8080,
        "labels": {f"label-{each}": "x" for each in range(10)},
        "upstreams": [
            {
                "name": f"upstream-{each}",
                "kind": "http",
                "url": f"https://upstream-{each}.example.com/api",
                "port": 443,
                "rate": 12.5,
                "retry": {"attempts": 3, "backoff": "200ms", "jitter": 0.5},
                "until": "2027-01-01T00:00:00Z",
            }
            for each in range(40)
        ],
    }


HONEST: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "package": (PACKAGE, package()),
    "workflow": (WORKFLOW, workflow()),
    "service": (SERVICE, service()),
}
