"""Checks responses against the OpenAPI document of the Iceberg REST catalog.

``rest-catalog-open-api.yaml`` is Apache Iceberg's (``open-api/``), under the Apache License 2.0,
unchanged; its licence header stands in the file.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

DOCUMENT = Path(__file__).parent / "rest-catalog-open-api.yaml"
TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


class Mismatch(AssertionError):
    """A response is not what the document says."""


class OpenApi:
    """The document, and what it says about each operation's responses."""

    def __init__(self) -> None:
        self.document: dict[str, Any] = yaml.load(DOCUMENT.read_text(), yaml.CSafeLoader)
        self.checked: set[str] = set()
        self._paths = []
        for path, operations in self.document["paths"].items():
            without_prefix = path.replace("/{prefix}", "")
            pattern = re.sub(r"\{[^}]+\}", "[^/]+", without_prefix)
            self._paths.append((re.compile(pattern + r"\Z"), path, operations))

    def check(self, method: str, url: str, status: int, body: bytes) -> None:
        """Raise ``Mismatch`` if a response is not as the document says."""
        path = urlsplit(url).path.partition("/iceberg")[2]
        found = [
            (name, operations[method.lower()])
            for pattern, name, operations in self._paths
            if pattern.match(path) and method.lower() in operations
        ]
        if not found:
            return
        name, operation = min(found, key=lambda item: item[0].count("{"))
        responses = operation["responses"]
        response = responses.get(status) or responses.get(str(status))
        if response is None and 400 <= status < 500:
            response = self.document["components"]["responses"]["BadRequestErrorResponse"]
        response = self._resolve(response or responses.get("5XX"))
        if response is None:
            raise Mismatch(f"{method} {name} has no response {status}")
        self.checked.add(f"{method} {name} {status}")
        content = response.get("content", {}).get("application/json")
        if content is None or not body:
            if body:
                raise Mismatch(f"{method} {name} {status} has no body, this has: {body[:200]!r}")
            if content is not None and method != "HEAD" and status < 400:
                raise Mismatch(f"{method} {name} {status} has a body, this has none")
            return
        schema = content["schema"]
        if schema.get("$ref", "").endswith("/ErrorModel"):
            # One place of the document forgets the envelope that all clients expect.
            schema = {"$ref": "#/components/schemas/IcebergErrorResponse"}
        self.validate(json.loads(body), schema, f"{method} {name} {status}")

    def _resolve(self, node: Any) -> Any:
        while isinstance(node, dict) and "$ref" in node:
            target: Any = self.document
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            node = target
        return node

    def validate(self, value: Any, schema: Any, where: str) -> None:
        """Raise ``Mismatch`` if a JSON value does not fit a schema."""
        schema = self._resolve(schema)
        if value is None and schema.get("nullable"):
            return
        for part in schema.get("allOf", ()):
            self.validate(value, part, where)
        for key in ("oneOf", "anyOf"):
            if key in schema:
                self._validate_any(value, schema[key], where)
        if "enum" in schema and value not in schema["enum"]:
            raise Mismatch(f"{where}: {value!r} is none of {schema['enum']}")
        if "const" in schema and value != schema["const"]:
            raise Mismatch(f"{where}: {value!r} is not {schema['const']!r}")
        kind = schema.get("type")
        if kind is not None and (
            not isinstance(value, TYPES[kind])
            or (isinstance(value, bool) and kind in ("integer", "number"))
        ):
            raise Mismatch(f"{where}: {value!r} is no {kind}")
        if isinstance(value, dict):
            self._validate_object(value, schema, where)
        if isinstance(value, list) and "items" in schema:
            for number, item in enumerate(value):
                self.validate(item, schema["items"], f"{where}[{number}]")

    def _validate_any(self, value: Any, schemas: list[Any], where: str) -> None:
        reasons = []
        for schema in schemas:
            try:
                self.validate(value, schema, where)
                return
            except Mismatch as mismatch:
                reasons.append(str(mismatch))
        raise Mismatch(f"{where}: fits none of: " + " | ".join(reasons))

    def _validate_object(self, value: dict[str, Any], schema: Any, where: str) -> None:
        for name in schema.get("required", ()):
            if name not in value:
                raise Mismatch(f"{where}: lacks {name}")
        properties = schema.get("properties", {})
        extra = schema.get("additionalProperties")
        for name, item in value.items():
            if name in properties:
                self.validate(item, properties[name], f"{where}.{name}")
            elif isinstance(extra, dict):
                self.validate(item, extra, f"{where}.{name}")
