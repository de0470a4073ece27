"""The words of the project as types, and its seams as protocols.

Everything else imports this module; it imports nothing of ours.

    EvolveError
    |-- BadInput              what the user gave cannot be used            exit 2
    `-- RunError              the run could not do its work                exit 1
        |-- SandboxUnavailable    untrusted code cannot be run here; another worker may try
        |   `-- PlaceLost             the machine where a worker was is gone, or cut off
        |-- EvaluatorError        the problem's trusted side crashed, hung or broke its contract
        |-- LedgerError           the run's history is damaged, locked or of another version
        `-- ModelError            a language model cannot be reached or paid

That a *program* failed is never an exception: it is a `Failure` inside an `Outcome` or `Evaluation`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

SCHEMA = 1  # version of the events' layout; a run of a newer one is refused, not guessed at

BROKE_PROTOCOL = "it broke the protocol between sandbox and client"

TURNS = 4  # runs of a case where two programs take turns, A B B A

Json = Any  # what strict JSON can hold: None, bool, int, finite float, str, list, dict with str keys
Files = Mapping[str, bytes]  # relative posix path -> content
Claim = Literal["artifact", "cases", "tasks"]
Split = Literal["search", "gate", "check", "sealed"]  # who draws the case; `check` also serves `evolve check`
Verdict = Literal["evaluated", "failed", "duplicate", "refused", "no_child"]
EventKind = Literal[
    "start", "proposal", "trial", "duel_open", "duel_batch", "duel_close",
    "promotion", "demotion", "sealed", "lesson", "control", "resume", "stop",
]  # fmt: skip
FailureKind = Literal[
    # of a program, on one case
    "timeout", "out_of_memory", "output_limit", "call_limit", "crash", "unclean",
    "invalid_answer", "out_of_range",
    "build",  # of a program that has to be built, on all cases
    # of an attempt, before anything was run
    "duplicate", "refused", "no_child", "model",
    # sound workers died of this program
    "machinery",
]  # fmt: skip


class EvolveError(Exception):
    """Base of every error that this project raises on purpose."""


class BadInput(EvolveError):
    """Something that the user gave cannot be used: one line, `where: expected X, got Y`."""

    def __init__(self, where: str, expected: str, got: str) -> None:
        self.where, self.expected, self.got = where, expected, got
        super().__init__(f"{where}: expected {expected}, got {got}")


class RunError(EvolveError):
    """The run could not do its work."""


class SandboxUnavailable(RunError):
    """Untrusted code cannot be run here."""


class PlaceLost(SandboxUnavailable):
    """Where a worker was is gone, with all that ran there."""

    def __init__(self, place: str, why: str) -> None:
        self.place = place  # no other has had this name
        super().__init__(f"{place} is lost: {why}")


class EvaluatorError(RunError):
    """The problem's trusted side crashed, hung or broke its contract."""


class LedgerError(RunError):
    """The run's history is damaged, locked by another process, or of another version."""


class ModelError(RunError):
    """A language model cannot be reached, or refuses for a reason that will not heal."""


# ---------------------------------------------------------------------------------------------- running


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a program got no score: a kind that is counted and a sentence that people and models read."""

    kind: FailureKind
    detail: str = ""

    @property
    def violates(self) -> bool:
        """Whether no honest program fails so: it left what could not be removed, or forged messages."""
        return self.kind == "unclean" or self.detail == BROKE_PROTOCOL


@dataclass(frozen=True, slots=True)
class Limits:
    """What one case may use."""

    seconds: float = 5.0  # wall clock
    memory_bytes: int = 1 << 30
    output_bytes: int = 1 << 20  # the encoded answer
    calls: int = 0  # requests to handlers outside; 0: none
    waiting_seconds: float = (
        0.0  # for handlers outside, on top of `seconds`; beyond, it is the program's time
    )


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a program may ask of language models while it has one case; kept outside the program."""

    calls: int = 8
    tokens: int = 32_000  # of prompts and replies
    usd: float | None = None  # None: what so many tokens cost
    seconds: float = 120.0  # that it may wait for replies
    models: tuple[str, ...] = ("*",)  # globs over the names of the run's models


@dataclass(frozen=True, slots=True)
class Resources:
    """What a cluster must set aside for each worker, and where it may be."""

    cpus: float = 1.0
    gpus: float = 0.0  # for evaluate.py: no sandbox holds one
    memory_bytes: int = 0
    custom: Mapping[str, float] = field(default_factory=dict)  # of the cluster's own, by name
    labels: Mapping[str, str] = field(default_factory=dict)  # that a node must have


@dataclass(frozen=True, slots=True)
class Walls:
    """Which sandbox somebody asked for."""

    kind: str = "auto"  # docker, process, bubblewrap, landlock, none; auto: what works here
    trusted: bool = False  # the programs are, says the user: only then may there be no sandbox
    runtime: str | None = None  # of the Docker daemon: runsc (gVisor), ...; None: its default


ANY_WALLS = Walls()


@dataclass(frozen=True, slots=True)
class Build:
    """What makes a program that can be run of its files, and what that may use."""

    command: tuple[str, ...]  # in the folder of the files
    seconds: float = 60.0  # wall clock
    memory_bytes: int = 1 << 30  # a process


@dataclass(frozen=True, slots=True)
class Errand:
    """What an agent is sent to do, instead of cases; its answer is what it made."""

    entry: str  # of the job's files
    harness: bytes
    case: Json
    limits: Limits
    allowance: Allowance


@dataclass(frozen=True, slots=True)
class Program:
    """What runs inside a sandbox: untrusted files, and the function to call or the command to run."""

    files: Files
    entry: str = ""  # "program.py:select"; empty where there is a command
    harness: bytes | None = None  # source of harness.py: answer(case, entry, call) -> answer
    command: tuple[str, ...] = ()  # any language: the case as JSON on its stdin, the answer on its stdout
    build: Build | None = None  # before the command is run


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a sandbox says of one case. The answer is opaque bytes until `sandbox.values.decode`."""

    answer: bytes | None
    failure: Failure | None = None
    seconds: float = 0.0  # wall clock, measured outside the program
    cpu_seconds: float = 0.0  # of the whole job, on its last case; 0 elsewhere
    memory_bytes: int = 0  # its peak, the interpreter's own included, likewise
    calls: int = 0


Handler = Callable[[int, str, Json], Json]  # (position of the case, name, arguments) -> result


class Sandbox(Protocol):
    """Runs untrusted files under limits and says what happened."""

    level: str  # what really protects: "bubblewrap", "landlock", "none", "docker", ...

    def run(
        self, program: Program, cases: Sequence[Json], limits: Limits, call: Handler | None = None
    ) -> list[Outcome]:
        """Run the program on each case, in order; one outcome a case, whatever the program does.

        Raises SandboxUnavailable when the machinery, not the program, failed.
        """
        ...

    def apart(self, what: object = None) -> AbstractContextManager[None]:
        """Within: where nothing has run before and nothing will run after, but for the same `what`."""
        ...

    def close(self) -> None:
        """Kill whatever is left and remove it. Idempotent."""
        ...


# ------------------------------------------------------------------------------------------- evaluating


def mean(scores: Sequence[float] | NDArray[np.float64]) -> float:
    """The mean of at least one score: bit-equal to `np.mean`, at a third of its time for a few scores."""
    return float(np.add.reduce(scores)) / len(scores)


class CaseKey(NamedTuple):
    """Names a case: `evaluate.case(split, seed)` makes it, always the same."""

    split: Split
    seed: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One variant on a list of cases. Scores are raw: in the problem's unit and direction."""

    scores: tuple[float, ...]  # `worst` where the case failed
    failures: tuple[Failure | None, ...]
    seconds: tuple[float, ...]  # wall clock a case
    metrics: Mapping[str, float] = field(default_factory=dict)  # means over the cases that have them
    feedback: str = ""  # what the evaluator says to a mutator
    answers: tuple[bytes | None, ...] = ()  # encoded, only where the job asked to keep them
    fingerprint: str = ""  # hash of all encoded answers in order; empty where a case has none, or not known
    constrained: Mapping[str, tuple[float, ...]] = field(default_factory=dict)  # metric -> raw, a case each
    rival: Evaluation | None = None  # of the job's second program, if it had one
    survived: tuple[str, ...] = ()  # what the machinery failed with, before another worker did it
    busy: float = 0.0  # seconds that a worker had with all of it, machinery included; 0: not measured
    asked: tuple[Exchange, ...] = ()  # what its programs asked of language models, as long as no event has it

    @property
    def failed(self) -> bool:
        """A variant failed if no case was scored."""
        return all(failure is not None for failure in self.failures)

    @property
    def broken(self) -> Failure | None:
        """Why nothing of it runs: it was not built, or it crashed on every case with the same words."""
        first = self.failures[0]
        same = all(failure == first for failure in self.failures)
        return first if first is not None and first.kind in ("crash", "build") and same else None

    @property
    def worker_seconds_a_case(self) -> float:
        """What a case costs: of a worker's time where that was measured, else of the program's."""
        return (self.busy or sum(self.seconds)) / len(self.scores)

    @property
    def mean(self) -> float:
        """Mean raw score over the cases."""
        return mean(self.scores)


@dataclass(frozen=True, slots=True)
class Job:
    """One call of a worker: a program's files on a list of cases."""

    files: Files
    cases: tuple[CaseKey, ...]
    keep_answers: bool = False
    # a second program, in turn with the first on each case: what it uses is compared
    rival: Files | None = None
    alone: bool = False  # in a sandbox that has run, and will run, nothing but its programs
    first: bool = False  # of a new program: with the checks that the problem has for those
    errand: Errand | None = None  # what its program does instead of the cases, which only name the job


class Fitness(Protocol):
    """Turns a program into an evaluation."""

    @property
    def level(self) -> str:
        """The level of the sandbox behind it."""
        ...

    def evaluate(self, job: Job) -> Evaluation:
        """Run and score. Raises EvaluatorError or SandboxUnavailable when the machinery failed."""
        ...

    def interrupt(self) -> None:
        """Give up the job that runs now, if any, from another thread; the next one runs as ever."""
        ...

    def close(self) -> None:
        """Free what it holds. Idempotent."""
        ...


class Hearing(Protocol):
    """What the programs of one job ask of language models, and are told."""

    def ask(self, position: int, request: Json) -> Json:
        """Answer one request of the program that has the case at `position`; refusals are answers, too.

        Raises ModelError where no model will answer, or the run's budget has no room: no program's fault.
        """
        ...

    def close(self) -> tuple[Exchange, ...]:
        """Everything that was said. Idempotent."""
        ...


class Broker(Protocol):
    """Brings programs that have neither network nor key to language models, within their allowance."""

    def open(self, job: Job) -> Hearing:
        """Begin to listen to the programs of a job."""
        ...


class Executor(Protocol):
    """Spreads jobs over workers. First in, first out; with one worker, strictly in order."""

    workers: int

    @property
    def level(self) -> str:
        """The sandbox's level."""
        ...

    def submit(self, job: Job) -> Future[Evaluation]:
        """Start a job; the future raises a RunError when the machinery failed for good."""
        ...

    def interrupt(self) -> None:
        """Give up the jobs that run and drop those that wait; later ones run as ever."""
        ...

    def close(self) -> None:
        """Drop what waits, kill what runs. Idempotent."""
        ...


# --------------------------------------------------------------------------------------------- evolving


@dataclass(frozen=True, slots=True)
class Variant:
    """An immutable set of program files: a git commit. Its id is `<trial>-<first six of the tree>`."""

    id: str
    files: Files
    parents: tuple[str, ...] = ()
    operator: str = "seed"
    idea: str = ""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request to a language model and its reply, as paid for; without a reply, why there is none."""

    model: str
    prompt: str
    reply: str
    usd: float = 0.0
    prompt_tokens: int = 0
    reply_tokens: int = 0
    seconds: float = 0.0
    parameters: Mapping[str, Json] = field(default_factory=dict)
    error: str = ""  # why no reply came, where none did
    after: Failure | None = None  # what the child before it did where it was run, if that is why it was asked


@dataclass(frozen=True, slots=True)
class Proposal:
    """What an operator made of its parents: files, or a failure that says why there are none."""

    files: Files | None
    idea: str = ""  # one line, kept in the commit
    failure: Failure | None = None
    details: Mapping[str, Json] = field(default_factory=dict)  # what the operator wants to be told again
    exchanges: tuple[Exchange, ...] = ()

    @property
    def usd(self) -> float:
        """Dollars paid for this proposal."""
        return sum(exchange.usd for exchange in self.exchanges)


@dataclass(frozen=True, slots=True)
class Question:
    """What an operator wants to ask a language model."""

    prompt: str
    seed: int | None = None  # for models that can repeat themselves
    otherwise: Failure | Proposal | None = None  # how the attempt ends without budget; a child: or an answer
    form: str | None = None  # GBNF grammar of the reply; models that cannot be held to one ignore it
    details: Mapping[str, Json] = field(default_factory=dict)  # of the attempt, if it ends without an answer


# What an operator says to a language model: it yields questions and is sent exchanges that have a reply. A
# child that it yields may come back with a failure that another question could mend: it is not new, or it was
# run and does not run; the one that it returns is final. It asks nobody itself, so that the driver counts,
# records and replays what is said.
Conversation = Generator[Question | Proposal, Exchange | Failure | None, Proposal]


@dataclass(frozen=True, slots=True)
class Mission:
    """What an operator sends an agent to do: a job with an errand, and how its answer is read."""

    job: Callable[[], Job]
    read: Callable[[Evaluation], Proposal | Conversation]  # the latter: with the monitor


def arm(operator: str, model: str | None) -> str:
    """Who makes children: an operator, or one with a model."""
    return operator if model is None else f"{operator}@{model}"


def arm_parts(arm: str) -> tuple[str, str | None]:
    """Operator and model of an arm."""
    operator, _, model = arm.partition("@")
    return operator, model or None


@dataclass(frozen=True, slots=True)
class Trial:
    """One attempt, finished. Trial 0 is the seed. `value` is oriented: greater is better."""

    index: int
    told: int  # index of the last event that its ask had seen
    operator: str
    parents: tuple[str, ...]
    variant: str | None  # None: no child
    verdict: Verdict
    value: float | None = None  # oriented mean over the search cases; None unless evaluated
    values: tuple[float, ...] = ()  # oriented, one a search case
    objectives: tuple[float, ...] = ()  # oriented means of what the problem constrains, in its order
    evaluation: Evaluation | None = None
    failure: Failure | None = None  # of the attempt
    idea: str = ""
    details: Mapping[str, Json] = field(default_factory=dict)
    usd: float = 0.0
    model: str | None = None  # that was asked
    carried: Mapping[str, Json] = field(default_factory=dict)  # by its prompt, beside the parents
    tokens: int = 0  # of its prompts and replies

    @property
    def arm(self) -> str:
        """Who made it: an operator, or `operator@model`."""
        return arm(self.operator, self.model)

    @property
    def seconds_a_case(self) -> float:
        """Mean wall clock of a case; 0 where nothing ran."""
        seconds = self.evaluation.seconds if self.evaluation else ()
        return sum(seconds) / len(seconds) if seconds else 0.0


@dataclass(frozen=True, slots=True)
class Parent:
    """What an operator gets of a parent: the program and how it did."""

    variant: Variant
    trial: Trial
    # of the first one: what else a prompt may say that has so many bytes without it
    beside: Callable[[int], str] = lambda used: ""


class Operator(Protocol):
    """Makes a child from parents."""

    name: str
    arity: int  # how many parents it wants

    @property
    def prompt_bytes(self) -> int:
        """The length of its longest prompt; 0: it asks no language model."""
        ...

    def propose(
        self, parents: Sequence[Parent], rng: np.random.Generator
    ) -> Proposal | Conversation | Mission:
        """Make one child; by a conversation or a mission, if and only if `prompt_bytes` is not 0."""
        ...

    def tell(self, trial: Trial) -> None:
        """Learn from any finished trial, its own or another operator's."""
        ...


@runtime_checkable
class Sends(Protocol):
    """An operator that sends agents: it gives missions, and what they ask is their own affair."""

    sends: bool


@runtime_checkable
class Chooses(Protocol):
    """An operator that may name its parents itself."""

    def choose(self, rng: np.random.Generator, pending: Collection[str]) -> tuple[str, ...]:
        """Ids of the parents that it wants; empty: whichever the population gives. `pending` as there."""
        ...


class Selector(Protocol):
    """Decides who makes the next child: an arm is an operator or, as `operator@model`, one with a model."""

    def ask(self, rng: np.random.Generator, pending: Collection[str]) -> str:
        """Name of the next arm; `pending` names those of the attempts in flight."""
        ...

    def tell(self, trial: Trial) -> None:
        """Learn from a finished trial."""
        ...


class Population(Protocol):
    """Decides who breeds (`ask`) and who is kept (`tell`). Pure: no clock, no generator of its own."""

    def ask(self, rng: np.random.Generator, count: int, pending: Collection[str]) -> tuple[str, ...]:
        """Ids of `count` parents; `pending` names the parents of the attempts in flight, repeats included."""
        ...

    def tell(self, trial: Trial) -> None:
        """Learn from a finished trial, in the ledger's order."""
        ...


# -------------------------------------------------------------------------------------- ledger and gate


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `decision`: what was chosen and why. `measured`: scores, times, cost."""

    index: int
    kind: EventKind
    decision: Mapping[str, Json]
    measured: Mapping[str, Json] = field(default_factory=dict)
    variant: str | None = None  # id of the variant that it is about


class Ledger(Protocol):
    """The ordered events of a run. What `append` returned is safe once `sync` has returned."""

    @property
    def head(self) -> str:
        """Hash that commits to everything appended and written to git so far."""
        ...

    def events(self) -> Iterator[Event]:
        """Every event so far, in order."""
        ...

    def pending(self) -> Sequence[tuple[Mapping[str, Json], Proposal]]:
        """Proposals without a trial, in trial order: (decision, proposal with all that was said for it)."""
        ...

    def append(
        self,
        kind: EventKind,
        decision: Mapping[str, Json],
        measured: Mapping[str, Json] | None = None,
        *,
        variant: Variant | str | None = None,
        files: Files | None = None,
    ) -> Event:
        """Add an event; a `Variant` is stored with it, a `str` refers to one stored before."""
        ...

    def propose(
        self, decision: Mapping[str, Json], proposal: Proposal, measured: Mapping[str, Json] | None = None
    ) -> Event | None:
        """Keep a child until its trial is there: as an event where a model was asked, else in the journal."""
        ...

    def sync(self) -> None:
        """Make everything appended durable. Nothing may act on an event before."""
        ...

    def variant(self, id: str) -> Variant:
        """A variant by its id, program included."""
        ...

    def files(self, index: int) -> Files:
        """The files of an event."""
        ...

    def close(self) -> None:
        """Write everything to git and free the lock. Idempotent."""
        ...


class Decision(NamedTuple):
    """An event that a pure part of the system wants appended."""

    kind: EventKind
    decision: Mapping[str, Json]
    measured: Mapping[str, Json] = {}
    variant: str | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Pairs that a duel wants: each side on the same draws. A side that needs no run is None."""

    duel: int
    phase: Literal["duel", "check"]
    first: int  # number of the first draw
    cases: tuple[CaseKey, ...]
    challenger: str
    champion: str
    reference: str | None = None  # whose metrics constrain the challenger's, where it is not the champion
    known: tuple[float, ...] | None = None  # raw champion scores where they need no second run
    identical: bool = False  # whether both answer alike is asked: record the fingerprints


class Gate(Protocol):
    """Decides from fresh evidence whether a child becomes champion. Pure: fed by events alone."""

    champion: str

    def tell(self, event: Event) -> None:
        """Fold one event of any kind."""
        ...

    def judge(self, finishing: bool = False) -> Sequence[Decision]:
        """Decisions that follow from what it was told; call again after they are appended and told."""
        ...

    def ask(self, finishing: bool = False) -> Batch | None:
        """The next batch of pairs to evaluate, if one may start now."""
        ...

    def stop(self, reason: str) -> Sequence[Decision]:
        """Decisions that close what is still open when a run ends for good."""
        ...

    def leader(self) -> Mapping[str, Json] | None:
        """The best guess that is not proven: {id, score, n, proven: false}; None: the champion is it."""
        ...


class Listener(Protocol):
    """Hears every event, after it is durable: the progress display, traces."""

    def tell(self, event: Event) -> None:
        """Hear one event."""
        ...
