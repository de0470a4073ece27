"""Runs inside, with the program that a scaffold wrote: calls its function, says what it returned."""


def answer(case, entry, call):
    arguments = [decode(each) for each in case["arguments"]]
    keywords = {name: decode(each) for name, each in case.get("keywords", {}).items()}
    return encode(entry(*arguments, **keywords))


def encode(value):
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return ["float", repr(value)]
    if type(value) in (list, tuple, set, frozenset):
        return [type(value).__name__, [encode(each) for each in value]]
    if type(value) is dict:
        return ["dict", [[encode(key), encode(each)] for key, each in value.items()]]
    raise TypeError(f"it returned a {type(value).__name__}")


def decode(value):
    if not isinstance(value, list):
        return value
    kind, held = value
    if kind == "float":
        return float(held)
    if kind == "dict":
        return {decode(key): decode(each) for key, each in held}
    return {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[kind](map(decode, held))
