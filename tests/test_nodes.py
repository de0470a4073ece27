import ast
from pathlib import Path

from evolve.operators import nodes as module
from evolve.operators.nodes import Nodes, nodes

LEFT_OUT = (ast.expr_context, ast.operator, ast.unaryop, ast.cmpop, ast.boolop)


def test_every_node_is_found_in_the_order_of_the_standard_library():
    for path in sorted(Path(module.__file__).parents[1].rglob("*.py")):
        tree = ast.parse(path.read_bytes())
        assert nodes(tree) == [node for node in ast.walk(tree) if not isinstance(node, LEFT_OUT)]


def test_what_is_below_a_statement_is_next_to_each_other():
    for path in sorted(Path(module.__file__).parents[1].rglob("*.py")):
        tree = ast.parse(path.read_bytes())
        found = Nodes(tree)
        everything = nodes(tree)
        assert len(found.all) == len(everything) and set(found.all) == set(everything)
        for statement in [node for node in everything if isinstance(node, ast.stmt)]:
            below = found.below(statement)
            assert len(below) == len(set(below)) and set(below) == set(nodes(statement))
