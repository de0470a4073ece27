"""The seam to language models, over real HTTP to a server on the loopback."""

import asyncio
import subprocess
import sys

import pytest
from openai_server import Answer, serving

from evolve.models import NoReply
from evolve.models.litellm import LiteLLM, Settings
from evolve.models.scripted import Scripted
from evolve.types import BadInput, ModelError


def ask(url, prompt="hello", name="openai/gpt-4.1-mini", **settings):
    model = LiteLLM(name, Settings(api_base=url, api_key="none", pause=0.01, **settings))
    return asyncio.run(model.complete(prompt, seed=5))


def test_an_exchange_keeps_prompt_reply_tokens_cost_and_parameters():
    with serving(lambda body, _: Answer(f"you said {body['messages'][0]['content']}")) as server:
        exchange = ask(server.url)
    assert (exchange.prompt, exchange.reply) == ("hello", "you said hello")
    assert (exchange.prompt_tokens, exchange.reply_tokens) == (120, 30)
    assert exchange.usd == pytest.approx((120 * 0.4 + 30 * 1.6) / 1e6)  # list price of gpt-4.1-mini
    assert exchange.seconds > 0
    assert exchange.parameters["temperature"] == 1.0
    sent = server.requests[0]
    assert (sent["path"], sent["model"], sent["seed"]) == ("/v1/chat/completions", "gpt-4.1-mini", 5)


def test_a_given_price_counts_and_an_unknown_one_is_said_to_be():
    with serving(lambda *_: Answer("hi")) as server:
        priced = ask(server.url, name="openai/mine", usd_per_million=(10.0, 20.0))
        unpriced = ask(server.url, name="openai/mine")
    assert priced.usd == pytest.approx((120 * 10 + 30 * 20) / 1e6)
    assert (unpriced.usd, unpriced.parameters["price"]) == (0.0, "unknown")


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_provider_is_asked_again_and_only_the_reply_is_paid(status):
    with serving(lambda _, n: Answer("busy", status) if n < 2 else Answer("there")) as server:
        exchange = ask(server.url)
    assert exchange.reply == "there"
    assert len(server.requests) == 3


def test_a_late_provider_is_asked_again():
    with serving(lambda _, n: Answer("late", delay_seconds=0.0 if n else 1.5)) as server:
        exchange = ask(server.url, seconds=0.5)
    assert exchange.reply == "late"
    assert len(server.requests) == 2


def test_a_provider_that_stays_busy_gives_no_reply_which_the_next_prompt_may_get():
    with serving(lambda *_: Answer("busy", 429)) as server, pytest.raises(NoReply, match="3 tries"):
        ask(server.url, tries=3)
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("status", "code"), [(401, "invalid_api_key"), (404, "model_not_found"), (400, "bad")]
)
def test_what_will_not_heal_is_a_model_error_at_once(status, code):
    with (
        serving(lambda *_: Answer(code, status, code)) as server,
        pytest.raises(ModelError, match=code) as raised,
    ):
        ask(server.url)
    assert not isinstance(raised.value, NoReply)
    assert len(server.requests) == 1


def test_a_prompt_that_is_too_long_fails_alone():
    text = "This model's maximum context length is 10 tokens."
    with serving(lambda *_: Answer(text, 400, "context_length_exceeded")) as server, pytest.raises(NoReply):
        ask(server.url)


def test_a_server_that_is_not_there_is_a_model_error():
    with pytest.raises(ModelError):
        ask("http://127.0.0.1:9/v1", tries=1)


def test_many_prompts_are_in_flight_at_once():
    async def all_at_once(url):
        model = LiteLLM("openai/gpt-4.1-mini", Settings(api_base=url, api_key="none"))
        return await asyncio.gather(*(model.complete(f"prompt {i}") for i in range(20)))

    with serving(lambda body, _: Answer(body["messages"][0]["content"], delay_seconds=0.3)) as server:
        exchanges = asyncio.run(all_at_once(server.url))
    assert [exchange.reply for exchange in exchanges] == [f"prompt {i}" for i in range(20)]
    assert sum(exchange.seconds for exchange in exchanges) > 20 * 0.3


def test_the_most_that_an_exchange_may_cost_is_never_nothing():
    assert LiteLLM("openai/gpt-4.1-mini", Settings(reply_tokens=1000)).most_usd == pytest.approx(0.002)
    assert LiteLLM("openai/unpriced").most_usd > 0
    assert Scripted(["hi"]).most_usd > 0


def test_a_name_without_a_provider_is_bad_input():
    with pytest.raises(BadInput, match="PROVIDER/NAME"):
        LiteLLM("no-such-provider/x").most_usd  # noqa: B018


def test_litellm_is_imported_by_the_first_model_and_not_before():
    code = "import sys, evolve.operators, evolve.models.litellm; print('litellm' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"


def test_a_scripted_model_answers_in_turn_or_by_the_prompt():
    async def ask_thrice(model):
        return [(await model.complete(prompt)).reply for prompt in "abc"]

    assert asyncio.run(ask_thrice(Scripted(["1", "2"]))) == ["1", "2", "1"]
    model = Scripted(str.upper, usd=0.5)
    assert asyncio.run(ask_thrice(model)) == ["A", "B", "C"]
    assert model.prompts == ["a", "b", "c"] and model.most_usd == 0.5
