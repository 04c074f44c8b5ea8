"""Stock of a small warehouse: what lies where, and what has to be ordered."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Item:
    """One article on the shelves."""

    name: str
    quantity: int
    price: float
    minimum: int = 0

    @property
    def value(self) -> float:
        return self.quantity * self.price

    def is_short(self) -> bool:
        """Whether there is less than the minimum."""
        return self.quantity < self.minimum

    def __str__(self) -> str:
        return f"{self.name}: {self.quantity} at {self.price:.2f}"


@dataclass
class Warehouse:
    """All articles by name."""

    items: dict[str, Item] = field(default_factory=dict)

    def add(self, item: Item) -> None:
        """Put a new article on the shelves."""
        if item.name in self.items:
            raise ValueError(f"{item.name} is already there")
        self.items[item.name] = item

    def remove(self, name: str) -> None:
        """Take an article out of the list."""
        if name not in self.items:
            raise KeyError(name)
        del self.items[name]

    def total_value(self) -> float:
        """The value of everything on the shelves."""
        return sum(item.value for item in self.items.values())

    def total_quantity(self) -> int:
        """The number of pieces on the shelves."""
        return sum(item.quantity for item in self.items.values())

    def short_items(self) -> list[Item]:
        """The articles that have to be ordered."""
        return [item for item in self.items.values() if item.is_short()]


def report(warehouse: Warehouse) -> str:
    """One line per article, and the total."""
    lines = []
    for item in warehouse.items.values():
        lines.append(str(item))
    lines.append(f"total: {warehouse.total_value():.2f}")
    return "\n".join(lines)
