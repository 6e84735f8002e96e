"""Follows a stream with httpx-sse and a plain `json.loads`."""

import json
import os
from pathlib import Path
from uuid import uuid4

import httpx
from httpx_sse import connect_sse

photo = Path(os.environ["PHOTO"])
with httpx.Client(base_url=os.environ["DIAGFLOW_URL"], timeout=60) as client:
    accepted = client.post(
        "/api/user/submit",
        data={"email": f"{uuid4()}@example.org", "comments": "itches", "consent": "true"},
        files={"images": (photo.name, photo.read_bytes(), "image/jpeg")},
    )
    assert accepted.status_code == 202, accepted.text
    body = accepted.json()
    headers = {"Authorization": f"Bearer {body['access_token']}"}
    path = f"/api/user/events/{body['submission_id']}"
    with connect_sse(client, "GET", path, headers=headers) as source:
        steps = [json.loads(event.data)["step"] for event in source.iter_sse()]

assert steps[0] == "received" and steps[-1] == "result_ready", steps
assert len(set(steps)) == len(steps), steps
print(f"httpx-sse: {', '.join(steps)}")
