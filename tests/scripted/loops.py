"""One conversation that every client has with every upstream, and what must come of it.

Two calls at once, one of which fails; then one whose result is a picture; then words that quote it, and
another question.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .client import Call, Client, Given, Heard, Tool, png
from .script import Answer, Conversation, Think, Use, answer
from .server import Server

TOOLS = (
    Tool("weather", {"city": {"type": "string"}, "days": {"type": "integer"}}),
    Tool("clock", {"zone": {"type": "string"}}),
    Tool("look", {"what": {"type": "string"}}),
)
WEATHER = Use("weather", {"city": "Zürich", "days": 3})
CLOCK = Use("clock", {"zone": 'Europe/"Nowhere"\n'})
LOOK = Use("look", {"what": "map"})

THOUGHTS = ["The user wants\nto know the weather, and the time.", "A map helps.", "", ""]
TEXTS = ["Let me see. ", "Now the map.", "So it is a black pixel.", "You are welcome."]
RESULTS = [[], ["21 °C ☀\nwind: none", "no such zone"], ["a black pixel"], []]
THINKING: dict[str, Any] = {
    "chat": {"reasoning_effort": "medium"},
    "messages": {"thinking": {"type": "adaptive"}},
    "responses": {"reasoning": {"effort": "medium"}, "include": ["reasoning.encrypted_content"]},
}
"""How each client asks for thoughts."""
QUESTION, THANKS = "How is the weather, and how late is it?", "Thank you."


def play(conversation: Conversation) -> Answer:
    """The model's side; the parallel calls interleave."""
    match conversation.rounds, conversation.results:
        case 0, _:
            return answer(Think(THOUGHTS[0]), TEXTS[0], WEATHER, CLOCK, interleave=True)
        case 1, _:
            return answer(Think(THOUGHTS[1]), TEXTS[1], LOOK)
        case _, []:
            return answer(TEXTS[3])
    return answer(f"So it is {conversation.results[0].text}.")


def loop(client: Client) -> list[Heard]:
    """The user's side; every answer in turn."""
    heard = [client.ask(QUESTION)]
    weather, clock = heard[0].calls
    client.give([Given(weather.id, RESULTS[1][0]), Given(clock.id, RESULTS[1][1], error=True)])
    heard.append(client.hear())
    (look,) = heard[1].calls
    client.give([Given(look.id, RESULTS[2][0], image=png())])
    heard.append(client.hear())
    heard.append(client.ask(THANKS))
    return heard


def check_heard(heard: Sequence[Heard]) -> None:
    """What the client got is what the model said."""
    assert [said.text for said in heard] == TEXTS
    assert [said.thoughts for said in heard] == THOUGHTS
    assert [said.stop for said in heard] == ["tools", "tools", "stop", "stop"]
    uses = [[(call.name, call.input) for call in said.calls] for said in heard]
    expected = [[WEATHER, CLOCK], [LOOK], [], []]
    assert uses == [[(use.name, use.input) for use in round] for round in expected]
    assert {(said.input, said.cached, said.output, said.model) for said in heard} == {(25, 5, 12, "m")}


def check_seen(server: Server, heard: Sequence[Heard]) -> None:
    """What the model was told is what the client said; it refused nothing."""
    assert server.refusals == []
    seen = [server.dialect.view(request.body) for request in server.completions]
    calls: list[Call] = []
    for said, told, results in zip(heard, seen, RESULTS, strict=True):
        assert told.calls == {call.id: call.name for call in calls}
        assert [result.text for result in told.results] == results
        assert [result.id for result in told.results] == [
            call.id for call in calls[len(calls) - len(results) :]
        ]
        assert {name: tool.schema for name, tool in told.tools.items()} == {t.name: t.schema for t in TOOLS}
        calls += said.calls
    assert [told.images + sum(result.images for result in told.results) for told in seen[:3]] == [0, 0, 1]
    assert (seen[0].prompt, seen[3].prompt) == (QUESTION, THANKS)
