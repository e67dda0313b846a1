"""What an LLM looks like from outside, for llm_gateway.yaml: each word is a token, in and out.

Its answers have the shape of OpenAI's: usage at the end of the JSON or, where the request asks for
`stream_options: {include_usage: true}`, in the last event but `[DONE]`.
"""

import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from starlette.responses import Response

app = FastAPI()


class Chat(BaseModel):
    messages: list[dict[str, str]]
    max_tokens: int = 20
    stream: bool = False
    stream_options: dict[str, bool] = {}


@app.post("/v1/chat/completions", response_model=None)
async def chat(asked: Chat) -> dict[str, Any] | Response:
    prompt = sum(len(message["content"].split()) for message in asked.messages)
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": asked.max_tokens,
        "total_tokens": prompt + asked.max_tokens,
    }
    if asked.stream:
        events = _events(asked, usage)
        return StreamingResponse(events, media_type="text/event-stream")
    message = {"role": "assistant", "content": " ".join(["word"] * asked.max_tokens)}
    return {"object": "chat.completion", "choices": [{"message": message}], "usage": usage}


async def _events(asked: Chat, usage: dict[str, int]) -> AsyncIterator[str]:
    for _ in range(asked.max_tokens):
        yield _event({"choices": [{"delta": {"content": " word"}}], "usage": None})
    if asked.stream_options.get("include_usage"):
        yield _event({"choices": [], "usage": usage})
    yield "data: [DONE]\n\n"


def _event(members: dict[str, Any]) -> str:
    return f"data: {json.dumps(members)}\n\n"
