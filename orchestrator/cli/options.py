"""Options that several commands have."""

from __future__ import annotations

import yaml

from orchestrator.errors import ConfigError


def recipe_overrides(pairs: list[str]) -> dict[str, object]:
    """FIELD=VALUE to a mapping; body.X=V, head.X=V and the like reach into those sections. Raises ConfigError."""
    fields: dict[str, object] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise ConfigError(f"--set '{pair}': write FIELD=VALUE, for example steps=500")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise ConfigError(f"--set '{pair}': the value is not YAML") from None
        section, dot, inner = name.partition(".")
        if dot:
            inside = fields.setdefault(section, {})
            if not isinstance(inside, dict):
                raise ConfigError(f"--set '{pair}': {section} was set to a plain value before")
            inside[inner] = value
        else:
            fields[name] = value
    return fields
