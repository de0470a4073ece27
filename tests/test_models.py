"""The seam to language models, over real HTTP to a server on the loopback."""

import asyncio
import subprocess
import sys
import threading
import time

import pytest
from openai_server import Answer, serving

from evolve.models import NoReply, Price, Settings
from evolve.models.chat import Chat
from evolve.models.desk import Desk
from evolve.models.litellm import LiteLLM
from evolve.models.named import desk, parse
from evolve.models.purse import Limits
from evolve.models.scripted import Scripted
from evolve.types import BadInput


@pytest.fixture(params=[LiteLLM, Chat])
def ask(request):
    """One prompt to a model at an address: through LiteLLM, and directly."""

    def ask(url, prompt="hello", name="openai/gpt-4.1-mini", wished=None, **settings):
        settings = {"pause": 0.01, **settings}
        model = request.param(name, Settings(api_base=url, api_key="none", **settings))
        return asyncio.run(model.complete(prompt, seed=5, temperature=wished))

    return ask


def test_an_exchange_keeps_prompt_reply_tokens_cost_and_parameters(ask):
    with serving(lambda body, _: Answer(f"you said {body['messages'][0]['content']}")) as server:
        exchange = ask(server.url)
    assert (exchange.prompt, exchange.reply) == ("hello", "you said hello")
    assert (exchange.prompt_tokens, exchange.reply_tokens) == (120, 30)
    assert exchange.usd == pytest.approx((120 * 0.4 + 30 * 1.6) / 1e6)  # list price of gpt-4.1-mini
    assert exchange.seconds > 0
    assert exchange.parameters["temperature"] == 1.0
    sent = server.requests[0]
    assert (sent["path"], sent["model"], sent["seed"]) == ("/v1/chat/completions", "gpt-4.1-mini", 5)


def test_a_prompt_may_have_a_temperature_of_its_own_unless_the_provider_takes_none(ask):
    with serving(lambda *_: Answer("hi")) as server:
        warm, cold, none = (ask(server.url, wished=0.25, temperature=set_) for set_ in (1.0, 0.0, None))
        usual = ask(server.url, temperature=0.5)
    assert [sent.get("temperature") for sent in server.requests] == [0.25, 0.25, None, 0.5]
    assert [each.parameters.get("temperature") for each in (warm, cold, none, usual)] == [
        0.25,
        0.25,
        None,
        0.5,
    ]


def test_a_given_price_counts_and_an_unknown_one_is_said_to_be(ask):
    with serving(lambda *_: Answer("hi")) as server:
        priced = ask(server.url, name="openai/mine", price=Price(10.0, 20.0))
        unpriced = ask(server.url, name="openai/mine")
    assert priced.usd == pytest.approx((120 * 10 + 30 * 20) / 1e6)
    assert (unpriced.usd, unpriced.parameters["price"]) == (0.0, "unknown")


@pytest.mark.parametrize("status", [429, 500, 502, 503, 520])
def test_a_busy_provider_is_asked_again_and_only_the_reply_is_paid(status, ask):
    with serving(lambda _, n: Answer("busy", status) if n < 2 else Answer("there")) as server:
        exchange = ask(server.url)
    assert exchange.reply == "there"
    assert len(server.requests) == 3


def test_a_late_provider_is_asked_again(ask):
    with serving(lambda _, n: Answer("late", delay_seconds=0.0 if n else 10.0)) as server:
        exchange = ask(server.url, seconds=2.0)
    assert exchange.reply == "late"
    assert len(server.requests) == 2
    model = LiteLLM("openai/gpt-4.1-mini")
    once = (120 * 0.4 + 30 * 1.6) / 1e6
    most = model.most(len("hello"))
    assert once < exchange.usd < most.usd, "the first may be billed, and counts in full"
    assert exchange.usd == pytest.approx(once + most.usd / 2)
    assert exchange.prompt_tokens + exchange.reply_tokens == 150 + most.tokens / 2


def test_a_provider_that_stays_late_is_asked_twice_and_both_count(ask):
    with serving(lambda *_: Answer("late", delay_seconds=10.0)) as server, pytest.raises(NoReply) as raised:
        ask(server.url, seconds=1.0)
    assert len(server.requests) == 2
    assert raised.value.exchange.usd == LiteLLM("openai/gpt-4.1-mini").most(len("hello")).usd


def test_a_reply_without_a_count_of_tokens_counts_in_full(ask):
    with serving(lambda *_: Answer("hi", missing="usage")) as server:
        exchange = ask(server.url)
    assert exchange.reply == "hi"
    assert exchange.usd == pytest.approx(LiteLLM("openai/gpt-4.1-mini").most(len("hello")).usd / 2)


def test_a_reply_without_a_message_is_none(ask):
    with serving(lambda *_: Answer(missing="choices")) as server, pytest.raises(NoReply):
        ask(server.url, tries=2)


def test_a_provider_that_stays_busy_gives_no_reply_which_the_next_prompt_may_get(ask):
    with serving(lambda *_: Answer("busy", 429)) as server, pytest.raises(NoReply, match="3 tries"):
        ask(server.url, tries=3)
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "invalid_api_key"),
        (402, "no_money"),
        (403, "forbidden"),
        (404, "model_not_found"),
        (400, "bad"),
        (422, "bad"),
    ],
)
def test_what_will_not_heal_is_a_model_error_at_once(status, code, ask):
    with (
        serving(lambda *_: Answer(code, status, code)) as server,
        pytest.raises(NoReply, match=code) as raised,
    ):
        ask(server.url)
    assert raised.value.for_good
    assert len(server.requests) == 1


def test_a_prompt_that_is_too_long_fails_alone(ask):
    text = "This model's maximum context length is 10 tokens."
    with serving(lambda *_: Answer(text, 400, "context_length_exceeded")) as server, pytest.raises(NoReply):
        ask(server.url)


def test_a_server_that_is_not_there_is_a_model_error(ask):
    with pytest.raises(NoReply, match="Connection error") as raised:
        ask("http://127.0.0.1:9/v1", tries=2)
    assert raised.value.for_good


def test_a_server_that_goes_away_fails_the_prompt_and_not_the_run():
    async def ask_twice(model):
        await model.complete("one")
        server.close()
        await model.complete("two")

    with serving(lambda *_: Answer("hi")) as server:
        settings = Settings(api_base=server.url, api_key="none", pause=0.01, tries=2)
        with pytest.raises(NoReply, match="2 tries") as raised:
            asyncio.run(ask_twice(LiteLLM("openai/gpt-4.1-mini", settings)))
    assert not raised.value.for_good


def test_a_server_that_breaks_each_time_fails_the_prompt_and_not_the_run(ask):
    with serving(lambda *_: Answer("boom", 500)) as server, pytest.raises(NoReply, match="2 tries"):
        ask(server.url, tries=2)


@pytest.mark.parametrize("kind", [LiteLLM, Chat])
def test_256_prompts_are_in_flight_at_once(kind):
    everybody_is_there = threading.Barrier(256, timeout=600)

    def answer(body, _):
        return Answer(body["messages"][0]["content"], wait=everybody_is_there.wait)

    async def all_at_once(url):
        model = kind("openai/gpt-4.1-mini", Settings(api_base=url, api_key="none"))
        return await asyncio.gather(*(model.complete(f"prompt {i}") for i in range(256)))

    with serving(answer) as server:
        exchanges = asyncio.run(all_at_once(server.url))
    assert [exchange.reply for exchange in exchanges] == [f"prompt {i}" for i in range(256)]
    assert max(server.at_once) == 256


def test_a_provider_that_says_when_to_come_again_is_not_asked_before(ask):
    with serving(lambda _, n: Answer("there") if n else Answer("busy", 429, retry_after=2)) as server:
        began = time.monotonic()
        assert ask(server.url).reply == "there"
    assert time.monotonic() - began >= 2
    with serving(lambda _, n: Answer("there") if n else Answer("busy", 429, retry_after=86400)) as server:
        assert ask(server.url, seconds=2.0).reply == "there", "but nobody waits longer than for a reply"


@pytest.mark.parametrize("name", ["openai/gpt-4", "openai/mine"])
def test_a_prompt_that_cannot_fit_is_not_sent(ask, name):
    settings = {"context_tokens": 8192} if name == "openai/mine" else {}
    with (
        serving(lambda *_: Answer("hi")) as server,
        pytest.raises(NoReply, match=r"not sent: .* a context of 8,192") as raised,
    ):
        ask(server.url, "word " * 6000, name, **settings)
    assert not raised.value.for_good and not server.requests


def test_the_most_that_an_exchange_may_use_is_never_nothing_and_follows_the_prompt():
    model = LiteLLM("openai/gpt-4.1-mini", Settings(reply_tokens=1000))
    assert model.most(936) == pytest.approx((2 * (1000 * 0.4 + 1000 * 1.6) / 1e6, 4000, 1))
    assert model.most(100_936) == pytest.approx((2 * (101_000 * 0.4 + 1000 * 1.6) / 1e6, 204_000, 1))
    assert LiteLLM("openai/unpriced").most(1)[1:] > (0, 0)
    assert Scripted(["hi"]).most(1)[1:] > (0, 0)


def test_it_is_known_whose_price_is_known():
    assert LiteLLM("openai/gpt-4.1-mini").price == pytest.approx((0.4, 1.6))
    assert LiteLLM("openai/unpriced").price is None
    assert LiteLLM("openai/unpriced", Settings(price=Price(0.0, 0.0))).price == (0.0, 0.0)
    desk = Desk([Scripted(["hi"]), LiteLLM("openai/mine")])
    assert desk.prices == {"scripted": (0.0, 0.0), "openai/mine": None}
    assert desk.unpriced(everywhere=True) == "openai/mine" and desk.unpriced(everywhere=False) is None


def test_a_name_without_a_provider_is_bad_input():
    with pytest.raises(BadInput, match="PROVIDER/NAME"):
        LiteLLM("no-such-provider/x").most(1)


def test_litellm_is_imported_by_the_first_model_and_not_before():
    code = "import sys, evolve.operators, evolve.models.litellm; print('litellm' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"


def test_a_server_that_holds_replies_to_a_grammar_is_sent_it_and_no_other_is():
    async def ask(name):
        return await desk([name], Limits(), {}).model("openai/mine").complete("hello", form='root ::= "yes"')

    with serving(lambda *_: Answer("yes")) as server:
        for setting in ("", ",grammar=gbnf"):
            exchange = asyncio.run(ask(f"openai/mine,base={server.url}{setting}"))
    assert [sent.get("grammar") for sent in server.requests] == [None, 'root ::= "yes"']
    assert len(exchange.parameters["grammar"]) == 12
    with pytest.raises(BadInput, match="with a base=ADDRESS"):
        parse("openai/mine,grammar=gbnf")


def test_a_scripted_model_answers_in_turn_or_by_the_prompt():
    async def ask_thrice(model):
        return [(await model.complete(prompt)).reply for prompt in "abc"]

    assert asyncio.run(ask_thrice(Scripted(["1", "2"]))) == ["1", "2", "1"]
    model = Scripted(str.upper, usd=0.5)
    assert asyncio.run(ask_thrice(model)) == ["A", "B", "C"]
    assert model.prompts == ["a", "b", "c"] and model.most(1).usd == 0.5


def test_a_model_is_named_with_what_it_may_use_and_how_it_is_asked():
    asked = parse("openai/x,price=0.25/2,usd=1.5,tokens=1e6,calls=10,at_once=64,temperature=default,tries=2")
    assert (asked.name, asked.at_once, asked.settings.tries) == ("openai/x", 64, 2)
    assert (asked.limits.usd, asked.limits.tokens, asked.limits.calls) == (1.5, 1_000_000, 10)
    assert asked.settings.price == (0.25, 2.0) and asked.settings.temperature is None
    assert parse("ollama/y,base=http://127.0.0.1:1/v1").settings.api_base == "http://127.0.0.1:1/v1"
