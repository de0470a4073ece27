"""Calls a function without arguments."""


def answer(case, entry, call):
    return entry()
