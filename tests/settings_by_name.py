"""Settings of several kinds from one set of names, as the tests of the trainers give them."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any


def settings_of(values: Mapping[str, Any], *kinds: type) -> list:
    """One of each of these dataclasses, with those of the values that it has a field for; every value has one."""
    names = [{field.name for field in fields(kind)} for kind in kinds]
    unknown = set(values) - set().union(*names)
    assert not unknown, f"no setting is called {unknown}"
    return [
        kind(**{name: value for name, value in values.items() if name in own})
        for kind, own in zip(kinds, names, strict=True)
    ]
