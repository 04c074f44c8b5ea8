"""Parameters of our own methods as plain data: pygls makes nested tuples with names of what it has no type for."""

from __future__ import annotations


def plain(value: object) -> object:
    """Objects and arrays as dictionaries and lists, whatever depth they have."""
    fields = getattr(value, "_asdict", None)
    if isinstance(value, tuple) and fields is not None:
        return {name: plain(member) for name, member in fields().items()}
    return [plain(item) for item in value] if isinstance(value, list) else value
