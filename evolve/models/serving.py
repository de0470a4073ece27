"""The process that serves a GGUF file. The only place that imports xllamacpp."""

from __future__ import annotations

import json
import os
import signal
import sys
from threading import Event

from sandbox import kernel


def main() -> None:
    """Read a JSON list on stdin, as `evolve.models.served` writes it; print the address."""
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    starter, path, context_tokens, at_once, threads, key = json.load(sys.stdin)
    if os.getppid() != starter:  # who died before it could be watched
        return
    import xllamacpp  # late: from here on a kill of the run is heard of

    params = xllamacpp.CommonParams()
    params.model.path = path
    params.hostnames, params.port = ["127.0.0.1"], 0
    params.api_keys = [key]
    params.n_ctx, params.n_parallel = context_tokens * at_once, at_once
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    # edits repeat their prompts: what followed the last twelve tokens there is guessed, and read as one batch
    params.speculative.types = [xllamacpp.common_speculative_type.COMMON_SPECULATIVE_TYPE_NGRAM_SIMPLE]
    params.verbosity = 1  # errors
    params.warmup = params.ui = False
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    Event().wait()


if __name__ == "__main__":
    main()
