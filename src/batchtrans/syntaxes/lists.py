"""What a Lisp format string says of its arguments: a list, of which each item may be there or not, and be this or that.

Lisp's directives can jump, branch, loop and take lists apart, so that "the same arguments" means "the same set of
argument lists". Such a set is described as :class:`Items`, a beginning and a loop that goes on for ever; the operations
are those of sets, as far as such a description goes.
"""

from __future__ import annotations

from math import lcm
from typing import NamedTuple

#: Each type with those that it is a part of; whatever has no common part excludes each other.
_WIDER = {
    "object": (),
    "character or integer or nil": ("object",),
    "character or nil": ("character or integer or nil", "object"),
    "integer or nil": ("character or integer or nil", "object"),
    "character": ("character or nil", "character or integer or nil", "object"),
    "integer": ("integer or nil", "real", "complex", "character or integer or nil", "object"),
    "real": ("complex", "object"),
    "complex": ("object",),
    "list": ("object",),
    "format string": ("object",),
    "function": ("object",),
}


class Item(NamedTuple):
    """One place in an argument list: whether the list may not end before it, and what it holds. A list's own items are
    ``inside``."""

    required: bool
    type: str
    inside: Items | None = None


class Items(NamedTuple):
    """The items of a list: those of ``first``, then those of ``loop`` again and again. Without a loop the list ends."""

    first: tuple[Item, ...] = ()
    loop: tuple[Item, ...] = ()

    def at(self, position: int) -> Item | None:
        """The item at a position, or nothing behind the end."""
        if position < len(self.first):
            return self.first[position]
        return self.loop[(position - len(self.first)) % len(self.loop)] if self.loop else None

    def unrolled(self, length: int) -> Items:
        """The same with at least so many items before the loop, if there is one."""
        more = max(0, length - len(self.first)) if self.loop else 0
        added = tuple(self.loop[index % len(self.loop)] for index in range(more))
        turn = more % len(self.loop) if more else 0
        return Items(self.first + added, self.loop[turn:] + self.loop[:turn])

    def normal(self) -> Items:
        """The shortest description of the same; but gettext does not see that a loop of equal items is as good as one
        of them, so neither do we."""
        first, loop = self.first, self.loop
        turn = len(loop)
        if len(set(loop)) > 1:
            turn = 1
            period = next(n for n in range(1, len(loop) + 1) if loop == loop[:n] * (len(loop) // n))
            loop = loop[:period]
        while loop and first[-turn:] == loop[-turn:]:
            first, loop = first[:-turn], loop[-turn:] + loop[:-turn]
        return Items(first, loop)


_LONGEST = 2000  # items of a description
ANYTHING = Items((), (Item(False, "object"),))
NOTHING = Items()


def both(one: Items | None, other: Items | None) -> Items | None:
    """What satisfies both, or ``None`` if nothing does."""
    if one is None or other is None:
        return None
    length = max(len(one.first), len(other.first))
    for first, loop in (one, other):
        if len(set(loop)) == 1:  # see Items.normal
            length += -(length - len(first)) % len(loop)
    period = lcm(len(one.loop), len(other.loop)) if one.loop and other.loop else 0
    items: list[Item] = []
    for position in _places(length + period):
        here, there = one.at(position), other.at(position)
        item = _meet(here, there) if here and there else None
        if item is None:
            must = (here and here.required) or (there and there.required)
            return _ended(items) if must else Items(tuple(items)).normal()
        items.append(item)
    return Items(tuple(items[:length]), tuple(items[length:])).normal()


def _places(number: int) -> range:
    if number > _LONGEST:
        raise OverflowError("loops of too many different lengths")
    return range(number)


def _ended(items: list[Item]) -> Items | None:
    """A list that cannot go on: it ends at the last place where it may."""
    while items:
        if not items.pop().required:
            return Items(tuple(items)).normal()
    return None


def either(one: Items | None, other: Items | None) -> Items | None:
    """What satisfies one of the two, as narrowly as can be said."""
    if one is None or other is None:
        return one or other
    length = max(len(one.first), len(other.first))
    length += bool(one.loop) != bool(other.loop)  # the place where one of them ends is not part of the loop
    period = lcm(len(one.loop) or 1, len(other.loop) or 1) if one.loop or other.loop else 0
    items: list[Item] = []
    over = False  # one of them is; where it ends, the other may
    for position in _places(length + period):
        here, there = one.at(position), other.at(position)
        if here and there:
            items.append(_join(here, there))
        elif found := here or there:
            items.append(found if over else found._replace(required=False))
            over = True
    return Items(tuple(items[:length]), tuple(items[length:])).normal()


def _meet(one: Item, other: Item) -> Item | None:
    required = one.required or other.required
    if one.type == other.type:
        if one.type != "list":
            return Item(required, one.type)
        inside = both(one.inside, other.inside)
        return inside and Item(required, "list", inside)
    for narrow, wide in ((one, other), (other, one)):
        if wide.type in _WIDER[narrow.type]:
            return Item(required, narrow.type, narrow.inside)
        if narrow.type == "list" and wide.type.endswith("nil"):
            return both(narrow.inside, NOTHING) and Item(required, "list", NOTHING)
    return Item(required, "list", NOTHING) if one.type.endswith("nil") and other.type.endswith("nil") else None


def _join(one: Item, other: Item) -> Item:
    required = one.required and other.required
    if one.type == other.type:
        return Item(required, one.type, either(one.inside, other.inside))
    for narrow, wide in ((one, other), (other, one)):
        if wide.type in _WIDER[narrow.type]:
            return Item(required, wide.type)
        if narrow == Item(narrow.required, "list", NOTHING) and f"{wide.type} or nil" in _WIDER:
            return Item(required, f"{wide.type} or nil")
        if narrow == Item(narrow.required, "list", NOTHING) and wide.type.endswith("nil"):
            return Item(required, wide.type)
    sorts = {*one.type.split(" or "), *other.type.split(" or ")}
    return Item(required, "character or integer or nil" if sorts <= {"character", "integer", "nil"} else "object")


def require(items: Items | None, position: int, type: str = "object", inside: Items | None = None) -> Items | None:
    """``items`` if there is one of this type at the position, and all before it."""
    before = (Item(True, "object"),) * position
    return both(items, Items((*before, Item(True, type, inside)), ANYTHING.loop))


def ended(items: Items | None, position: int) -> Items | None:
    """``items`` if there is none at the position."""
    return both(items, Items((Item(False, "object"),) * position))


def repeated(items: Items | None, period: int | None) -> Items | None:
    """What satisfies ``items`` from each ``period``-th place on, up to its end, which is at such a place; or, gettext
    says, within the items at its beginning that are alike."""
    if items is None or not period:
        return items and ANYTHING
    first, loop = items.unrolled(period)
    alike = next((place for place, item in enumerate(first) if item != first[0]), len(first))
    first = (*(item._replace(required=False) for item in first[:alike]), *first[alike:])
    found: Items | None = ANYTHING
    rounds = len(first) // period + 1
    for start in range(0, (rounds + 1) * period, period):
        found = both(found, Items((*ANYTHING.loop * start, *first), loop))
    if found is None:
        return None
    first, _ = found.unrolled((rounds + 1) * period)
    return Items(first[: rounds * period], first[rounds * period : (rounds + 1) * period]).normal()
