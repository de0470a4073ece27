"""The nodes of a syntax tree."""

from __future__ import annotations

import ast

_NO_NODES = frozenset({"ctx", "op", "ops", "id", "attr", "kind", "type_comment"})  # fields of no interest
_FIELDS = {
    kind: tuple(name for name in kind._fields if name not in _NO_NODES)
    for kind in vars(ast).values()
    if isinstance(kind, type) and issubclass(kind, ast.AST)
}


class Nodes:
    """The nodes of a tree in one list, in which those of each statement are next to each other."""

    def __init__(self, tree: ast.Module) -> None:
        self.all: list[ast.AST] = []
        self._spans: dict[ast.stmt, slice] = {}
        self._read(tree)

    def below(self, statement: ast.stmt) -> list[ast.AST]:
        """A statement and all below it, in no order that means anything."""
        return self.all[self._spans[statement]]

    def _read(self, root: ast.Module | ast.stmt) -> None:
        first, waiting = len(self.all), list[ast.AST]([root])
        while waiting:
            node = waiting.pop()
            self.all.append(node)
            for name in _FIELDS[type(node)]:
                value = getattr(node, name, None)
                if isinstance(value, ast.AST):
                    waiting.append(value)
                elif type(value) is list:
                    for item in value:
                        if isinstance(item, ast.stmt):
                            self._read(item)
                        elif isinstance(item, ast.AST):
                            waiting.append(item)
        if isinstance(root, ast.stmt):
            self._spans[root] = slice(first, len(self.all))


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
