"""Official files gone wrong: a valid JSON value with one or two things changed in it, or its bytes cut."""

import copy
import json
from typing import Any

from hypothesis import strategies as st

ODD: list[Any] = [None, True, 0, -1, 7, 2**70, 1.5, "", "x", "\u2028青", [], {}, [[]], [None], {"x": 1}]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value, the whole included."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, child in inner for place in places(child, (*path, key)))]


def _change(value: Any, place: tuple[Any, ...], how: str, odd: Any) -> Any:
    if not place:
        return copy.deepcopy(odd) if how == "replace" else value
    holder = value
    for key in place[:-1]:
        holder = holder[key]
    if how == "delete":
        del holder[place[-1]]
    elif how == "repeat" and isinstance(holder, list):
        holder.append(copy.deepcopy(holder[place[-1]]))
    else:
        holder[place[-1]] = copy.deepcopy(odd)
    return value


@st.composite
def mutations(draw: st.DrawFn, valid: Any) -> bytes:
    """The bytes of ``valid`` after one to three changes; now and then cut, or with some bytes overwritten."""
    value = copy.deepcopy(valid)
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.sampled_from(places(value)))
        how = draw(st.sampled_from(["delete", "replace", "replace", "repeat"]))
        value = _change(value, place, how, draw(st.sampled_from(ODD)))
    content = json.dumps(value, ensure_ascii=draw(st.booleans())).encode()
    if draw(st.integers(0, 4)) == 0:
        content = content[: draw(st.integers(0, len(content)))]
    if draw(st.integers(0, 4)) == 0:
        at = draw(st.integers(0, len(content)))
        content = content[:at] + draw(st.binary(max_size=4)) + content[at + draw(st.integers(0, 4)) :]
    return content
