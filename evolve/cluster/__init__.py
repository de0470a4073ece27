"""Workers on the nodes of a Ray cluster.

    driver                                          | node
    executor -> seat -> fleet -> call of an actor   | station -> worker -> evaluator -> sandbox

A *station* is what a node does for a run: a pool of workers, each with a sandbox, in one actor. A *seat* is
one of these workers as the driver sees it: a `Fitness`, so that the executor of one machine, with its one
policy for faults, serves a cluster as well. The *fleet* knows the nodes; it alone knows Ray.
"""
