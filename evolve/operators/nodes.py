"""The nodes of a syntax tree."""

from __future__ import annotations

import ast

_NO_NODES = frozenset({"ctx", "op", "ops", "id", "attr", "kind", "type_comment"})  # fields of no interest
_FIELDS = {
    kind: tuple(name for name in kind._fields if name not in _NO_NODES)
    for kind in vars(ast).values()
    if isinstance(kind, type) and issubclass(kind, ast.AST)
}


def nodes(root: ast.AST) -> list[ast.AST]:
    """A node and all below it, operators and contexts left out, in the order of `ast.walk`, but sooner."""
    found = [root]
    for node in found:  # which grows meanwhile
        for name in _FIELDS[type(node)]:
            value = getattr(node, name, None)
            if isinstance(value, ast.AST):
                found.append(value)
            elif type(value) is list:
                found += [item for item in value if isinstance(item, ast.AST)]
    return found
